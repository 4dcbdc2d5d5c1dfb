"""Environments: found, built once and whole, or not there; every refusal says what to do."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.errors import EnvironmentBroken, EnvironmentMissing, GatewayError, UsageError
from gateway.process import envbuild, environments, step
from gateway.process.environments import STAMP, Environments, environments_report
from gateway.process.pins import Pins, plain
from tests.process.wheels import wheel

ROOT = Path(__file__).parents[2]
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"


def pin(package: str) -> str:
    """One package with its hashes, as in the pins of the tests themselves: a small one, and it is in the cache."""
    text = (ROOT / "deploy" / "envs" / "dev.txt").read_text()
    found = re.search(rf"^{package}==.*?(?=^\S)", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found.group()


def write(pins: Path, name: str = "tiny", python: str = PYTHON, wanted: str = "iniconfig", text: str = "") -> None:
    pins.mkdir(exist_ok=True)
    (pins / f"{name}.in").write_text(f"# A tiny one.\n# python: {python}\n{wanted}\n")
    (pins / f"{name}.txt").write_text(text or pin("iniconfig"))


@pytest.fixture
def tiny(tmp_path: Path) -> Environments:
    write(tmp_path / "pins")
    return Environments(tmp_path / "envs", tmp_path / "pins")


def parts(tiny: Environments) -> list[str]:
    return [path.name for path in tiny.folder.glob(".*.part")]


def test_build_find_remove(tiny: Environments) -> None:
    (info,) = tiny.known()
    assert (info.name, info.title, info.python, info.packages) == ("tiny", "A tiny one.", PYTHON, 1)
    assert (info.built, info.size_bytes) == (False, None)
    said: list[str] = []
    built = tiny.build("tiny", said.append)
    assert built == tiny.find("tiny") == tiny.ensure("tiny")
    assert built.versions["iniconfig"] in pin("iniconfig")
    assert built.versions["python"].startswith(f"{PYTHON}.")
    code = "import iniconfig, sys; print(iniconfig.__file__, sys.prefix)"
    seen = subprocess.run([built.python, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert all(place.startswith(str(info.path)) for place in seen)
    assert said[-1].startswith("Environment 'tiny': ready: ")
    assert parts(tiny) == []
    (info,) = tiny.known()
    assert info.built
    assert info.size_bytes is not None
    assert info.size_bytes > 1000
    assert tiny.remove("tiny")
    assert tiny.remove("tiny") == []
    assert not info.path.exists()
    with pytest.raises(EnvironmentMissing, match="has not been built") as caught:
        tiny.find("tiny")
    assert caught.value.hint == "Build it with: gateway doctor --install tiny"


def test_a_changed_pin_file_is_another_environment(tiny: Environments) -> None:
    old = tiny.build("tiny")
    (tiny.pins / "tiny.txt").write_text(pin("iniconfig") + "# a line more\n")
    changed = Environments(tiny.folder, tiny.pins)
    with pytest.raises(EnvironmentMissing, match="pin file has changed"):
        changed.find("tiny")
    assert changed.build("tiny").digest != old.digest
    assert tiny.find("tiny") == old


def no_interpreter(path: Path) -> None:
    (path / "bin" / "python").unlink()


def no_stamp(path: Path) -> None:
    (path / STAMP).unlink()


def half_a_stamp(path: Path) -> None:
    (path / STAMP).write_text((path / STAMP).read_text()[:40])


def another_digest(path: Path) -> None:
    stamp = json.loads((path / STAMP).read_text())
    (path / STAMP).write_text(json.dumps(stamp | {"digest": "0" * 64}))


HARMED = {
    "its interpreter is gone": no_interpreter,
    "no stamp": no_stamp,
    "half a stamp": half_a_stamp,
    "the stamp of another": another_digest,
}


@pytest.mark.parametrize("harm", HARMED.values(), ids=HARMED.keys())
def test_a_harmed_one_is_missing_and_build_mends_it(harm: Callable[[Path], None], tiny: Environments) -> None:
    path = tiny.build("tiny").python.parents[1]
    harm(path)
    with pytest.raises(EnvironmentMissing):
        tiny.find("tiny")
    (row,) = environments_report(tiny)
    assert not row["built"]
    assert "is missing" in row["problem"]
    assert tiny.build("tiny").python.exists()
    assert parts(tiny) == []


@dataclass(frozen=True)
class Fails:
    says: str
    python: str = PYTHON
    wanted: str = "iniconfig"
    text: str = ""
    hint: str = ""


GOOD = pin("iniconfig")
FAILS = {
    "a Python that is not here": Fails(
        r"needs Python 3\.99, and there is none on this machine; found: .*\d\.\d+\.\d+",
        python="3.99",
        hint="Put a python3.99 on PATH",
    ),
    "a hash that is not the package's": Fails(
        "`uv pip install` ended with", text=re.sub("sha256:.{8}", "sha256:00000000", GOOD)
    ),
    "no hash": Fails("`uv pip install` ended with", text=GOOD.split()[0] + "\n"),
    "a package that nobody has": Fails(
        "`uv pip install` ended with", text=f"no-such-package-{'x' * 20}==1.0 --hash=sha256:{'0' * 64}\n"
    ),
    "what is wanted is not what is pinned": Fails("pluggy is not installed", wanted="pluggy"),
}


@pytest.mark.parametrize("case", FAILS.values(), ids=FAILS.keys())
def test_a_build_that_fails_says_where_and_leaves_nothing(case: Fails, tmp_path: Path) -> None:
    write(tmp_path / "pins", "tiny", case.python, case.wanted, case.text)
    environments = Environments(tmp_path / "envs", tmp_path / "pins")
    with pytest.raises(EnvironmentBroken, match=case.says) as caught:
        environments.build("tiny")
    assert case.hint in caught.value.hint
    assert [path.name for path in environments.folder.iterdir() if not path.name.endswith(".lock")] == []


def test_a_package_that_does_not_import(tmp_path: Path) -> None:
    text = wheel(tmp_path / "wheels", "onlyone", code=b"raise RuntimeError('built for another machine')")
    write(tmp_path / "pins", wanted="onlyone", text=text)
    tiny = Environments(tmp_path / "envs", tmp_path / "pins")
    with pytest.raises(EnvironmentBroken, match="onlyone does not import: RuntimeError: built for another machine"):
        tiny.build("tiny", None, tmp_path / "wheels")
    with pytest.raises(EnvironmentMissing):
        tiny.find("tiny")


def test_a_step_past_its_wall_clock_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step, "STEP_S", 0.3)
    began = time.monotonic()
    code, lines = step.run(["sh", "-c", "echo begun; sleep 600 & exec sleep 600"], dict(os.environ), print)
    assert code == -signal.SIGKILL
    assert lines == ["begun"]
    assert time.monotonic() - began < 10


USAGE = {
    "a name nobody knows": ("tinny", UsageError, "no Environment 'tinny'; known are tiny.* Did you mean 'tiny'"),
    "a path": ("../tiny", UsageError, "no Environment '../tiny'"),
    "a file of pins that is no Environment": ("plain", UsageError, "no Environment 'plain'"),
}


@pytest.mark.parametrize("case", USAGE.values(), ids=USAGE.keys())
def test_names(case: tuple[str, type[GatewayError], str], tiny: Environments) -> None:
    (tiny.pins / "plain.in").write_text("# says nothing of a Python\niniconfig\n")
    for method in (tiny.find, tiny.build, tiny.ensure, tiny.remove):
        with pytest.raises(case[1], match=case[2]):
            method(case[0])


def test_an_environment_without_its_pins(tiny: Environments) -> None:
    (tiny.pins / "tiny.txt").unlink()
    with pytest.raises(EnvironmentBroken, match=r"has no tiny\.txt"):
        tiny.known()


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    write(tmp_path / "pins")
    (tmp_path / "envs").write_text("a file")
    with pytest.raises(EnvironmentBroken, match="could not be built in"):
        Environments(tmp_path / "envs", tmp_path / "pins").build("tiny")


BUILDER = """
import sys, time
from pathlib import Path
from gateway.process.environments import Environments

def say(line):
    print(line, flush=True)
    if sys.argv[3] in line:
        time.sleep(600)

print(Environments(Path(sys.argv[1]), Path(sys.argv[2])).build("tiny", say).python, flush=True)
"""


def builder(tiny: Environments, stop_at: str = "(never)") -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", BUILDER, str(tiny.folder), str(tiny.pins), stop_at]
    return subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_two_builders_at_once_build_once(tiny: Environments) -> None:
    with builder(tiny) as one, builder(tiny) as two:
        told = [process.communicate(timeout=60)[0] for process in (one, two)]
    assert (one.returncode, two.returncode) == (0, 0)
    python = str(tiny.find("tiny").python)
    assert all(text.splitlines()[-1] == python for text in told)
    assert sum(": ready: " in text for text in told) == 1


def test_two_threads_at_once_build_once(tiny: Environments) -> None:
    said: list[str] = []
    threads = [threading.Thread(target=tiny.build, args=("tiny", said.append)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(": ready: " in line for line in said) == 1


WHERE = {
    "named": ({"MODEL_GATEWAY_ENVS": "/a/b"}, "/a/b"),
    "the user's cache": ({"XDG_CACHE_HOME": "/c"}, "/c/model-gateway/envs"),
    "home": ({"HOME": "/home/u"}, "/home/u/.cache/model-gateway/envs"),
}


@pytest.mark.parametrize("case", WHERE.values(), ids=WHERE.keys())
def test_where_they_live(case: tuple[dict[str, str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MODEL_GATEWAY_ENVS", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in case[0].items():
        monkeypatch.setenv(name, value)
    assert str(environments.default_folder()) == case[1]


def test_pips_settings_reach_uv_and_uvs_own_win(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("UV_FIND_LINKS", "UV_DEFAULT_INDEX", "UV_PYTHON_DOWNLOADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_FIND_LINKS", "/wheels /more")
    monkeypatch.setenv("PIP_INDEX_URL", "http://index.example/simple")
    environ = envbuild._environ()
    assert environ["UV_FIND_LINKS"] == "/wheels,/more"
    assert environ["UV_DEFAULT_INDEX"] == "http://index.example/simple"
    assert environ["UV_PYTHON_DOWNLOADS"] == "never"
    monkeypatch.setenv("UV_FIND_LINKS", "/mine")
    assert envbuild._environ()["UV_FIND_LINKS"] == "/mine"


def test_the_shipped_pins() -> None:
    """Every pin file of ours is whole: each wanted package is pinned, each pin has a hash."""
    for info in Environments().known():
        for pins in Pins.read(environments.default_pins(), info.name):
            assert {plain(name) for name in pins.direct} <= set(pins.versions), pins.file
            blocks = re.split(r"^(?=[a-z0-9])", pins.file.read_text(), flags=re.MULTILINE | re.IGNORECASE)[1:]
            assert len(blocks) == len(pins.versions), pins.file
            assert all("--hash=sha256:" in block for block in blocks), pins.file
    assert "base" in {info.name for info in Environments().known()}


def test_the_two_pin_files_of_torch_agree() -> None:
    """They differ in the build of torch and in what only the CUDA build brings, and in nothing else."""
    by_file = {pins.file.name: pins.versions for pins in Pins.read(environments.default_pins(), "torch")}
    cuda, cpu = by_file["torch.txt"], by_file["torch-cpu.txt"]
    assert [name for name, version in cpu.items() if "+" in version] == ["torch"]
    assert not [name for name, version in cuda.items() if "+" in version]
    assert cpu["torch"] == f"{cuda['torch']}+cpu"
    assert not [name for name in cpu if re.match("nvidia|cuda|triton", name)]
    assert {name: version for name, version in cpu.items() if name != "torch"}.items() <= cuda.items()
