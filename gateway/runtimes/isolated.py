"""Any runtime in a process of its own: what kills the model costs a worker, not the gateway.

Rule 1: every wait on the worker has a wall clock; past it the worker is killed, with all it started.
Rule 2: a worker that is gone raises WorkerDied with the signal's name, on this and every later
        call. Starting another one is the manager's business.
Rule 3: `close` leaves no process, no zombie, no descriptor and no file.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from gateway.core.artifact import FROZEN, NATIVE, ONNX, SAVEDMODEL, Artifact
from gateway.core.dtypes import Tensors
from gateway.errors import BadFrame, EnvironmentMissing, GatewayError, ModelRunError, PeerGone, WorkerDied
from gateway.formats.base import all_formats
from gateway.process import family, joblog, sandbox, sandbox_levels, spawn, wire
from gateway.process.environments import Environments
from gateway.process.job import Interpreters, how_it_ended
from gateway.runtimes.base import Runtime

MAX_LOG = 64 << 20  # bytes of one file that a worker may write; its log is the only one it should
OOM_SCORE = 250  # after the converters', before the gateway's


@dataclass(frozen=True, kw_only=True)
class Worker:
    """How a worker is started and held. Seconds are wall clock; `memory_bytes` 0 is unbounded."""

    runtime: str = "gateway.runtimes.ort:OrtRuntime"
    environment: str = "base"
    environments: Interpreters = field(default_factory=Environments)
    load_s: float = 60.0
    run_s: float = 60.0
    close_s: float = 2.0  # for the worker to leave by itself
    memory_bytes: int = 0
    min_level: int = 0  # of the sandbox
    max_level: int = sandbox.LEVELS[-1]
    packages: Mapping[str, Path] = field(default_factory=dict)  # further ones that `runtime` may live in

    def for_artifact(self, artifact: Artifact) -> Worker:
        """The same bounds, with the runtime and the Environment of that artifact's kind."""
        if artifact.kind in (SAVEDMODEL, FROZEN):
            return replace(self, runtime="gateway.runtimes.tensorflow:TensorflowRuntime", environment="tensorflow")
        if artifact.kind != NATIVE:
            return replace(self, min_level=max(self.min_level, sandbox.NEEDED_BY_DATA))
        source = all_formats()[artifact.provenance.format]
        return replace(
            self,
            runtime="gateway.runtimes.native:NativeRuntime",
            environment=source.environment_of(NATIVE),
            min_level=max(self.min_level, sandbox.NEEDED_BY_DATA if source.data_only else sandbox.NEEDED_BY_CODE),
        )


class IsolatedRuntime(Runtime):
    name: ClassVar[str] = "isolated"
    in_process = False

    def __init__(self, worker: Worker, folder: Path, threads: int, gpu: bool = False) -> None:
        """Starts the process; `load` is what callers use. Errors: EnvironmentMissing, SandboxTooWeak, ModelRunError."""
        self._worker = worker
        self._placement: dict[str, str] = {}
        self._died = ""
        python = worker.environments.find(worker.environment).python
        level = sandbox_levels.choose(worker.min_level, python, max_level=worker.max_level)
        self._folder = Path(tempfile.mkdtemp(prefix="model-gateway-worker-"))
        self._log = self._folder / "log.txt"
        self._hold = self._plan(python, folder, level, gpu)
        self._socket, theirs = socket.socketpair()
        try:
            self._process = self._start(python, theirs, threads)
        except FileNotFoundError:
            self._release()
            raise EnvironmentMissing(worker.environment, why=f"its interpreter {python} is gone") from None
        except OSError as error:
            self._release()
            raise ModelRunError(f"a worker could not be started: {error.strerror}.") from error
        finally:
            theirs.close()

    @classmethod
    def accepts(cls, artifact: Artifact) -> bool:
        return artifact.kind in (ONNX, NATIVE, SAVEDMODEL, FROZEN)

    @classmethod
    def load(
        cls,
        artifact: Artifact,
        folder: Path,
        *,
        threads: int = 0,
        providers: Sequence[str] = (),
        worker: Worker | None = None,
    ) -> IsolatedRuntime:
        """As Runtime.load, in a process that lives until `close`. Errors: the inner runtime's and __init__'s."""
        worker = worker or Worker()
        folder = folder.absolute()
        runtime = cls(worker, folder, threads, gpu="cpu" not in providers[:1])
        try:
            header, _ = runtime._call(
                {
                    "call": "load",
                    "runtime": worker.runtime,
                    "artifact": artifact.to_json(),
                    "folder": str(folder),
                    "threads": threads,
                    "providers": list(providers),
                },
                {},
                worker.load_s,
            )
            runtime._placement = {str(key): str(value) for key, value in header["placement"].items()}
        except BaseException:
            runtime.close()
            raise
        return runtime

    def run(self, signature: str, inputs: Tensors, outputs: Sequence[str] = ()) -> Tensors:
        header = {"call": "run", "signature": signature, "outputs": list(outputs)}
        return self._call(header, inputs, self._worker.run_s)[1]

    def placement(self) -> dict[str, str]:
        return {
            **self._placement,
            "isolation": "process",
            "pid": str(self._process.pid),
            "sandbox": self._hold.name,
        }

    @property
    def alive(self) -> bool:
        """Is the worker there? False is final."""
        return not self._died and self._process.poll() is None

    def close(self) -> None:
        if not self._died:
            self._died = "it was closed"
        # The end of the connection is the order to leave, in the middle of a run too.
        _hang_up(self._socket)
        _wait(self._process, self._worker.close_s)
        family.kill(self._process)
        self._release()

    def _start(self, python: Path, theirs: socket.socket, threads: int) -> subprocess.Popen[bytes]:
        arguments = [str(theirs.fileno()), self._hold.text()]
        argv = spawn.command(python, "gateway.runtimes.worker", arguments, self._worker.packages)
        log = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            environ = spawn.environment(python, self._folder, threads)
            return spawn.start_lasting(self._hold.wrap(argv), environ, self._folder, log, (theirs.fileno(),))
        finally:
            os.close(log)

    def _plan(self, python: Path, folder: Path, level: int, gpu: bool) -> sandbox.Hold:
        """The worker's own folder, and the artifact read-only."""
        limits = sandbox.Limits(
            memory_bytes=self._worker.memory_bytes, file_bytes=MAX_LOG, oom_score=OOM_SCORE, parent=os.getpid()
        )
        ours = (spawn.GATEWAY, *self._worker.packages.values())
        return sandbox.plan(python, self._folder, level=level, limits=limits, read=[folder], packages=ours, gpu=gpu)

    def _call(self, header: Mapping[str, Any], tensors: Tensors, seconds: float) -> tuple[dict[str, Any], Tensors]:
        """One round trip. Errors: what the worker answered; WorkerDied."""
        if self._died:
            raise WorkerDied(f"the worker of this model is gone: {self._died}.")
        deadline = time.monotonic() + seconds
        try:
            wire.send(self._socket, header, tensors, deadline=deadline)
            answer, outputs = self._receive(deadline)
        except TimeoutError:
            raise self._lost(f"it gave no answer to {header['call']} within {seconds:g} s and was killed") from None
        except PeerGone:
            raise self._lost("") from None
        if isinstance(answer.get("error"), dict):
            raise GatewayError.from_json(answer["error"])
        return answer, outputs

    def _receive(self, deadline: float) -> tuple[dict[str, Any], Tensors]:
        try:
            return wire.recv(self._socket, deadline=deadline)
        except PeerGone:
            raise
        except BadFrame as error:
            raise self._lost(f"it answered nonsense ({error}) and was killed") from error

    def _lost(self, why: str) -> WorkerDied:
        """The worker is gone or has to go: ended and reaped, and the sentence that tells it."""
        if not why:
            _wait(self._process, 1.0)  # it hung up: it is dying, and its status says of what
        family.kill(self._process)
        if not self._died:  # closed from another thread: that is the reason
            self._died = why or f"it {how_it_ended(self._hold.exit_code(self._process.returncode or 0))}"
        line = joblog.last_line(joblog.read(self._log))
        return WorkerDied(
            f"the worker of this model is gone: {self._died}" + (f"; its last line was: {line}" if line else ".")
        )

    def _release(self) -> None:
        self._socket.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _hang_up(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return
