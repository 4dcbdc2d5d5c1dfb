"""A runtime in a worker: the same numbers, and no way to die that costs more than the worker."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from gateway.core.artifact import Artifact, Provenance, Verdict, Verification
from gateway.core.dtypes import Tensors
from gateway.core.signature import Signature, TensorSpec
from gateway.errors import EnvironmentMissing, GatewayError, InvalidTensor, ModelRunError, WorkerDied
from gateway.process import family
from gateway.process.environments import Environments
from gateway.process.job import JobSpec, run_job
from gateway.runtimes.isolated import IsolatedRuntime, Worker
from gateway.runtimes.ort import OrtRuntime
from tests.process.interpreters import PACKAGES, Here
from tests.process.processes import gone, no_children, outside

ARTIFACT = Artifact(
    digest="0" * 64,
    kind="onnx",
    signatures=(Signature((TensorSpec("x", "float32", (None, 3)),), (TensorSpec("y", "float32", (None, 3)),)),),
    provenance=Provenance("onnx", "", "", "", "", "", ""),
    verification=Verification(Verdict.UNVERIFIED),
)
X: Tensors = {"x": np.arange(6, dtype=np.float32).reshape(2, 3)}


def worker(**changes: float | str) -> Worker:
    settings = {"runtime": "jobtasks.runtimes:Obedient", "environments": Here(), "packages": PACKAGES} | changes
    return Worker(**settings)  # type: ignore[arg-type]


def obedient(folder: Path, **changes: float | str) -> IsolatedRuntime:
    return IsolatedRuntime.load(ARTIFACT, folder, threads=1, worker=worker(**changes))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with model.onnx: y = 2 x + 1, made in Environment base."""
    folder = tmp_path_factory.mktemp("model")
    spec = JobSpec("jobtasks.models:make_model", {}, timeout_s=60.0)
    return run_job(spec, environments=Environments(), folder=folder / "job", packages=PACKAGES).out


def test_onnxruntime_in_a_worker_of_base_gives_the_same_bits(model: Path) -> None:
    inside = OrtRuntime.load(ARTIFACT, model, threads=1)
    outside = IsolatedRuntime.load(ARTIFACT, model, threads=1)
    try:
        expected = inside.run("serving_default", X)
        np.testing.assert_array_equal(expected["y"], X["x"] * 2 + 1, strict=True)
        for _ in range(3):
            found = outside.run("serving_default", X, ["y"])
            assert list(found) == ["y"]
            np.testing.assert_array_equal(found["y"], expected["y"], strict=True)
        placement = outside.placement()
        assert placement["runtime"] == inside.placement()["runtime"]
        assert (placement["isolation"], placement["device"]) == ("process", "cpu")
        assert placement["pid"] != str(os.getpid())
    finally:
        inside.close()
        outside.close()


def test_an_artifact_that_onnxruntime_refuses(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(ModelRunError, match="onnxruntime cannot load the artifact") as caught:
        IsolatedRuntime.load(ARTIFACT, tmp_path)
    assert type(caught.value) is ModelRunError
    assert no_children()


LOADS = {
    "the runtime refuses": ("refuses", ModelRunError, r"the artifact is odd\."),
    "the runtime dies": ("dies", WorkerDied, "ended by SIGABRT"),
    "the runtime hangs": ("hangs", WorkerDied, "no answer to load within 0.8 s"),
}


@pytest.mark.parametrize("case", LOADS.values(), ids=LOADS.keys())
def test_load_that_fails_leaves_nothing(case: tuple[str, type[GatewayError], str], tmp_path: Path) -> None:
    before = descriptors()
    folder = tmp_path / case[0]
    folder.mkdir()
    with pytest.raises(case[1], match=case[2]) as caught:
        obedient(folder, load_s=0.8 if case[0] == "hangs" else 60.0)
    assert type(caught.value) is case[1]
    assert descriptors() == before
    assert no_children()


STARTS = {
    "Environment not built": "missing",
    "Environment without its Python": "gone",
}


@pytest.mark.parametrize("name", STARTS.values(), ids=STARTS.keys())
def test_a_worker_that_cannot_start(name: str, tmp_path: Path) -> None:
    before = descriptors()
    with pytest.raises(EnvironmentMissing):
        obedient(tmp_path, environment=name)
    assert descriptors() == before


@dataclass(frozen=True)
class Answer:
    error: type[GatewayError]
    says: str


ANSWERS = {
    "raise ours": Answer(InvalidTensor, "input 'x' is odd"),
    "raise foreign": Answer(ModelRunError, "LookupError: no kernel"),
    "foreign dtype": Answer(GatewayError, "datetime64"),
}


@pytest.mark.parametrize(("wish", "answer"), ANSWERS.items(), ids=ANSWERS.keys())
def test_an_error_is_an_answer_and_the_worker_lives(wish: str, answer: Answer, tmp_path: Path) -> None:
    runtime = obedient(tmp_path)
    try:
        with pytest.raises(answer.error, match=answer.says):
            runtime.run("s", {wish: X["x"]})
        np.testing.assert_array_equal(runtime.run("s", X)["x"], X["x"], strict=True)
        assert runtime.alive
    finally:
        runtime.close()


def test_an_input_that_no_frame_carries_does_not_cost_the_worker(tmp_path: Path) -> None:
    runtime = obedient(tmp_path)
    try:
        with pytest.raises(GatewayError, match="datetime64"):
            runtime.run("s", {"x": np.zeros(2, "datetime64[s]")})
        assert runtime.run("s", X)
    finally:
        runtime.close()


DEATHS = {
    "exit": "ended with exit code 7; its last line was: leaving in the middle",
    "sleep": "no answer to run within 0.6 s and was killed",
    "sleep with a grandchild": "no answer to run within 0.6 s and was killed",
    "nonsense": "it answered nonsense",
}


@pytest.mark.parametrize(("wish", "says"), DEATHS.items(), ids=DEATHS.keys())
def test_a_run_that_costs_the_worker(wish: str, says: str, tmp_path: Path) -> None:
    before = descriptors()
    runtime = obedient(tmp_path, run_s=0.6)
    pid = int(runtime.placement()["pid"])
    with pytest.raises(WorkerDied, match=says):
        runtime.run("s", {wish: X["x"]})
    assert not runtime.alive
    assert no_children()
    assert family.members(pid) == []
    with pytest.raises(WorkerDied):  # and every later call, at once
        runtime.run("s", X)
    runtime.close()
    assert descriptors() == before


def descriptors() -> int:
    gc.collect()  # what an earlier test left to the collector is not counted as ours
    return len(list(Path("/proc/self/fd").iterdir()))


def asleep(folder: Path) -> int:
    """Waits until a worker whose folder is below says that it is in the middle of a run: the pid it sees of itself."""
    end = time.monotonic() + 20
    while not (notes := list(folder.rglob("asleep"))) and time.monotonic() < end:
        time.sleep(0.005)
    return int(notes[0].read_text().split()[0])


@pytest.fixture
def sleeping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[IsolatedRuntime, int, Callable[[], BaseException]]]:
    """A runtime in the middle of a run, its worker's pid, and what waits for the error of that run."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    runtime = obedient(tmp_path)
    caught: list[BaseException] = []

    def call() -> None:
        try:
            runtime.run("s", {"sleep": X["x"]})
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=call)
    thread.start()

    def error() -> BaseException:
        thread.join(10)
        assert not thread.is_alive()
        return caught[0]

    yield runtime, outside(asleep(tmp_path), int(runtime.placement()["pid"])), error
    runtime.close()
    thread.join(10)


def test_kill_9_during_a_run(sleeping: tuple[IsolatedRuntime, int, Callable[[], BaseException]]) -> None:
    runtime, pid, error = sleeping
    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    died = error()
    assert time.monotonic() - began < 2
    assert isinstance(died, WorkerDied)
    assert "ended by SIGKILL" in died.message
    assert not runtime.alive
    assert no_children()


def test_close_during_a_run(sleeping: tuple[IsolatedRuntime, int, Callable[[], BaseException]]) -> None:
    runtime, pid, error = sleeping
    runtime.close()
    assert isinstance(error(), WorkerDied)
    assert gone(pid)
    assert no_children()


def test_kill_9_between_runs(tmp_path: Path) -> None:
    runtime = obedient(tmp_path)
    os.kill(int(runtime.placement()["pid"]), signal.SIGKILL)
    calls = (runtime.run("s", X) for _ in range(5000))  # what was killed is around the worker, which dies then
    with pytest.raises(WorkerDied, match="SIGKILL"):
        list(calls)
    runtime.close()


def test_close_leaves_nothing_and_may_be_called_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = descriptors()
    runtimes = [obedient(tmp_path) for _ in range(3)]
    pids = [int(runtime.placement()["pid"]) for runtime in runtimes]
    for runtime in runtimes:
        runtime.close()
        runtime.close()
        with pytest.raises(WorkerDied, match="it was closed"):
            runtime.run("s", X)
    assert descriptors() == before
    assert all(gone(pid) for pid in pids)
    assert no_children()
    assert list(tmp_path.iterdir()) == []


def test_a_killed_gateway_leaves_no_worker(tmp_path: Path) -> None:
    """In the middle of a run, too: the worker watches its end of the connection."""
    code = (
        "import sys; from pathlib import Path; from tests.runtimes.test_isolated import X, obedient\n"
        "obedient(Path(sys.argv[1])).run('s', {'sleep': X['x']})"
    )
    argv, environ = [sys.executable, "-c", code, str(tmp_path)], {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(argv, cwd=Path(__file__).parents[2], env=environ) as parent:
        pid = outside(asleep(tmp_path), parent.pid)
        parent.send_signal(signal.SIGKILL)
    assert gone(pid)
