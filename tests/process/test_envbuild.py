"""How an Environment is built: offline, told first, stopped anywhere, on a full disk; verified, in use, removed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.errors import EnvironmentBroken, EnvironmentInUse, EnvironmentMissing, UsageError
from gateway.process import envbuild, envuse, pins
from gateway.process.environments import STAMP, Environments, environments_report
from tests.process.wheels import PYTHON, small, wheel
from tests.process.wheels import pins as write_pins

ROOT = Path(__file__).parents[2]
NOWHERE = "http://127.0.0.1:9"  # the discard port: nothing listens there


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every way to a network leads nowhere, and nothing is in uv's cache."""
    for name in ("PIP_FIND_LINKS", "UV_FIND_LINKS", "UV_INDEX", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"{NOWHERE}/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, NOWHERE)
        monkeypatch.setenv(name.upper(), NOWHERE)


@pytest.mark.usefixtures("nowhere")
def test_without_a_network_it_is_built_from_a_folder_of_wheels(tmp_path: Path) -> None:
    environments, wheels = small(tmp_path)
    with pytest.raises(EnvironmentBroken, match="`uv pip install` ended with"):  # so the network is really gone
        environments.build("small")
    said: list[str] = []
    built = environments.build("small", said.append, wheels)
    assert built == environments.find("small")
    assert built.versions["onlyone"] == "1.0"
    code = "import onlyone; print(onlyone.answer)"
    assert subprocess.check_output([built.python, "-c", code], text=True).strip() == "42"
    assert "Environment 'small': 1 packages installed" in said


@pytest.mark.usefixtures("nowhere")
def test_a_wheel_that_is_not_in_the_folder(tmp_path: Path) -> None:
    environments, wheels = small(tmp_path)
    (found,) = wheels.iterdir()
    found.unlink()
    with pytest.raises(EnvironmentBroken, match="onlyone") as caught:
        environments.build("small", None, wheels)
    assert f"Only {wheels} was looked into" in caught.value.hint
    assert "pip download --no-deps --require-hashes -r small.txt" in caught.value.hint
    with pytest.raises(UsageError, match="not a folder of wheels"):
        environments.build("small", None, wheels / "nothing")


@pytest.mark.usefixtures("nowhere")
def test_what_a_download_weighs_is_said_before_it_begins(tmp_path: Path) -> None:
    folder = tmp_path / "wheels"
    text = wheel(folder, "big", code=b"x = 0\n" * 400_000) + wheel(folder, "tiny")
    write_pins(tmp_path / "pins", "two", text, "big\ntiny")
    weights = {"big==1.0": {"download": 2_400_000, "installed": 2_400_000}}
    (tmp_path / "pins" / "sizes.json").write_text(json.dumps(weights))
    environments = Environments(tmp_path / "envs", tmp_path / "pins")
    (info,) = environments.known()
    assert (info.download_bytes, info.installed_bytes, info.unknown_sizes) == (2_400_000, 2_400_000, 1)
    said: list[str] = []
    environments.build("two", said.append, folder)
    told = [line.removeprefix("Environment 'two': ") for line in said]
    assert told[0].startswith(f"2 packages of two.txt for Python {PYTHON}, into ")
    assert told[1] == f"to take from {folder}: 2 packages, 2.3 MiB and 1 packages of unknown size"


PROGRESS = {
    "nothing in the cache": (["Would download 2 packages"], "to download: 2 packages, 12 MiB"),
    "half of it": (
        ["Would download 1 package"],
        "to download: 1 of 2 packages, at most 12 MiB; uv's cache has the others",
    ),
    "all of it": (["Would install 2 packages"], "nothing to download: uv's cache has all 2 packages"),
}


@pytest.mark.parametrize("case", PROGRESS.values(), ids=PROGRESS.keys())
def test_progress_is_said_in_packages_and_bytes(case: tuple[list[str], str], tmp_path: Path) -> None:
    """The lines are uv's own, recorded from version 0.13."""
    write_pins(tmp_path, "two", "big-one==1.0 --hash=sha256:00\ntiny==1.0 --hash=sha256:00\n", "big-one\ntiny")
    sizes = {"big-one==1.0": {"download": 11 << 20, "installed": 1}, "tiny==1.0": {"download": 1 << 20, "installed": 1}}
    (tmp_path / "sizes.json").write_text(json.dumps(sizes))
    (read,) = pins.Pins.read(tmp_path, "two")
    said: list[str] = []
    heard = envbuild._Plan(read, case[0], said.append)
    assert said == [case[1]]
    for line in ("Resolved 2 packages in 9ms", "Downloading big-one (11.0MiB)", " Downloaded big-one"):
        heard(line)
    for line in ("Prepared 2 packages in 1.41s", "Installed 2 packages in 47ms", " + tiny==1.0", "warning: odd"):
        heard(line)
    assert said[1:] == [
        "downloading big-one, 11 MiB",
        "downloaded big-one: 11 MiB of 12 MiB",
        "Prepared 2 packages in 1.41s",
        "2 packages installed",
        "warning: odd",
    ]


def test_a_long_download_is_said_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pins(tmp_path, "one", "big-one==1.0 --hash=sha256:00\n", "big-one")
    (tmp_path / "sizes.json").write_text(json.dumps({"big-one==1.0": {"download": 11 << 20, "installed": 1}}))
    (read,) = pins.Pins.read(tmp_path, "one")
    monkeypatch.setattr(envbuild, "BEAT_S", 0.01)
    said: list[str] = []
    again = threading.Event()

    def say(line: str) -> None:
        said.append(line)
        if line.startswith("still downloading big-one, 11 MiB: "):
            again.set()

    plan = envbuild._Plan(read, ["Would download 1 package"], say)
    with plan.beating():
        plan("Downloading big-one (11.0MiB)")
        assert again.wait(20)
        plan(" Downloaded big-one")
    assert "downloaded big-one: 11 MiB of 11 MiB" in said


VARIANTS = {
    "the wheel lies in a folder of find-links": ("UV_FIND_LINKS", "{wheels}", "frame-cpu.txt"),
    "in pip's words": ("PIP_FIND_LINKS", "/nowhere {wheels}", "frame-cpu.txt"),
    "as a file address": ("UV_FIND_LINKS", "file://{wheels}", "frame-cpu.txt"),
    "in another folder": ("UV_FIND_LINKS", "{wheels}/..", "frame.txt"),
    "an address, which is not asked": ("UV_FIND_LINKS", NOWHERE, "frame.txt"),
}


def variant(tmp_path: Path) -> None:
    """Environment `frame` with two pin files; the wheel of the second is in wheels/."""
    write_pins(tmp_path / "pins", "frame", "frame==1.0 --hash=sha256:00\n", "frame")
    (tmp_path / "pins" / "frame-cpu.txt").write_text(wheel(tmp_path / "wheels", "frame", "1.0+cpu"))


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("case", VARIANTS.values(), ids=VARIANTS.keys())
def test_the_cpu_pins_are_taken_where_find_links_has_their_wheel(
    case: tuple[str, str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variant(tmp_path)
    monkeypatch.setenv(case[0], case[1].format(wheels=tmp_path / "wheels"))
    (info,) = Environments(tmp_path / "envs", tmp_path / "pins").known()
    assert info.pins == case[2]


@pytest.mark.usefixtures("nowhere")
def test_what_was_built_from_the_cpu_pins_is_found_without_find_links(tmp_path: Path) -> None:
    variant(tmp_path)
    environments = Environments(tmp_path / "envs", tmp_path / "pins")
    assert environments.known()[0].pins == "frame.txt"
    built = environments.build("frame", None, tmp_path / "wheels")
    assert built.versions["frame"] == "1.0+cpu"
    assert Environments(tmp_path / "envs", tmp_path / "pins").find("frame") == built


# -- stopped ----------------------------------------------------------------------------------

BUILDER = """
import sys, time
from pathlib import Path
from gateway.process.environments import Environments

def say(line):
    print(line, flush=True)
    if sys.argv[4] in line:
        time.sleep(600)

Environments(Path(sys.argv[1]), Path(sys.argv[2])).build("small", say, Path(sys.argv[3]))
"""
STOPS = {
    "before anything is made": "packages of small.txt",
    "before packages come in": "to take from",
    "while packages come in": "packages installed",
    "before the proof": "importing",
    "before it is flushed": "flushing",
    "before it is renamed": "in its place",
}


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("stop_at", STOPS.values(), ids=STOPS.keys())
def test_kill_9_at_each_step_counts_for_nothing(stop_at: str, tmp_path: Path) -> None:
    environments, wheels = small(tmp_path)
    argv = [sys.executable, "-c", BUILDER, str(environments.folder), str(environments.pins), str(wheels), stop_at]
    seen = ""
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for seen in process.stdout:
            if stop_at in seen:
                break
        process.send_signal(signal.SIGKILL)
    assert seen, "it ended before that step"
    with pytest.raises(EnvironmentMissing, match="has not been built"):
        environments.find("small")
    folders, left = environments.outdated()
    assert folders == []
    assert len(left) == (0 if stop_at == "packages of small.txt" else 1)
    assert [gone.kept for gone in environments.prune()] == [""] * len(left)
    assert environments.build("small", None, wheels).python.exists()  # and waits for no lock of the dead
    assert environments.outdated() == ([], [])


@pytest.mark.usefixtures("nowhere")
def test_prune_leaves_a_build_that_is_under_way(tmp_path: Path) -> None:
    environments, wheels = small(tmp_path)
    argv = [sys.executable, "-c", BUILDER, str(environments.folder), str(environments.pins), str(wheels), "importing"]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "importing" in line:
                break
        try:
            assert environments.outdated() == ([], [])
            assert environments.prune() == []
        finally:
            process.kill()
    assert len(environments.prune()) == 1


FULL = """
import sys
from pathlib import Path
from gateway.errors import EnvironmentBroken
from gateway.process.environments import Environments
try:
    Environments(Path(sys.argv[1]), Path(sys.argv[2])).build("small", None, Path(sys.argv[3]))
except EnvironmentBroken as error:
    print(error.explain())
print(sorted(path.name[-5:] for path in Path(sys.argv[1]).iterdir()))
"""


@pytest.mark.usefixtures("nowhere")
def test_a_full_disk_is_named_and_nothing_is_left_on_it(tmp_path: Path) -> None:
    """A real file system of 1 MiB, in a mount namespace of the test's own."""
    environments, wheels = small(tmp_path, code=b"x = 0\n" * 400_000)
    environments.folder.mkdir()
    mount = f'mount -t tmpfs -o size=1m none {environments.folder} && exec "$@"'
    own = ["unshare", "--mount", *([] if os.getuid() == 0 else ["--user", "--map-root-user"]), "sh", "-c", mount, "sh"]
    if subprocess.run([*own, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a small file system")
    argv = [*own, sys.executable, "-c", FULL, str(environments.folder), str(environments.pins), str(wheels)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert "the disk is full. It needs about" in done.stdout, done.stdout + done.stderr
    assert "gateway doctor --prune" in done.stdout
    assert done.stdout.splitlines()[-1] == "['.lock']"


# -- verified ---------------------------------------------------------------------------------


def site(path: Path) -> Path:
    (found,) = path.glob("lib/python*/site-packages")
    return found


def alter(path: Path) -> None:
    """Replaced, not written into: uv's cache may hold the same file."""
    path.unlink()
    path.write_text("answer = 43\n")


def no_interpreter(path: Path) -> None:
    (path / "bin" / "python").unlink()


HARMED: dict[str, tuple[Callable[[Path], None], str]] = {
    "a file of the same length": (
        lambda path: alter(site(path) / "onlyone" / "__init__.py"),
        "onlyone: onlyone/__init__.py is not the file that was installed$",
    ),
    "a file that is gone": (
        lambda path: (site(path) / "onlyone" / "__init__.py").unlink(),
        "onlyone: onlyone/__init__.py cannot be compared: .*No such file",
    ),
    "a package that no pin names": (
        lambda path: (site(path) / "onlyone-1.0.dist-info").rename(site(path) / "onlyone-2.0.dist-info"),
        "onlyone",
    ),
    "an interpreter that does not start": (no_interpreter, "does not start: No such file"),
}


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("case", HARMED.values(), ids=HARMED.keys())
def test_verify_names_the_harm_and_build_mends_it(case: tuple[Callable[[Path], None], str], tmp_path: Path) -> None:
    environments, wheels = small(tmp_path)
    path = environments.build("small", None, wheels).python.parents[1]
    sound = environments.verify("small")
    assert (sound.problems, sound.notes) == ((), ())
    assert sound.files >= 3  # those of the wheel, and what uv adds
    case[0](path)
    found = environments.verify("small")
    assert any(re.search(case[1], problem) for problem in found.problems), found.problems
    with pytest.raises(EnvironmentMissing) as caught:
        environments.find("small")
    assert caught.value.hint == "Build it with: gateway doctor --install small"
    (row,) = environments_report(environments)
    assert (row["state"], row["built"]) == ("broken", False)
    environments.build("small", None, wheels)
    assert environments.verify("small").problems == ()
    assert environments_report(environments)[0]["state"] == "built"


@pytest.mark.usefixtures("nowhere")
def test_certificates_that_the_owner_of_a_machine_added_are_a_note(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    text = wheel(wheels, "certifi")
    write_pins(tmp_path / "pins", "small", text, "certifi")
    environments = Environments(tmp_path / "envs", tmp_path / "pins")
    path = environments.build("small", None, wheels).python.parents[1]
    record = site(path) / "certifi-1.0.dist-info" / "RECORD"
    rows = record.read_text().replace("certifi/__init__.py", "certifi/cacert.pem")
    record.unlink()
    record.write_text(rows)
    (site(path) / "certifi" / "cacert.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    found = environments.verify("small")
    assert found.problems == ()
    assert found.notes == (
        "certifi: certifi/cacert.pem: certificate authorities were added or removed on this machine",
    )


def test_what_is_not_built_cannot_be_verified(tmp_path: Path) -> None:
    environments, _ = small(tmp_path)
    with pytest.raises(EnvironmentMissing, match="has not been built"):
        environments.verify("small")


# -- in use -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("nowhere")
def test_one_in_use_is_never_removed(tmp_path: Path) -> None:
    environments, wheels = small(tmp_path)
    python = environments.build("small", None, wheels).python
    path = python.parents[1]
    with subprocess.Popen(
        [python, "-c", "print(1, flush=True); input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert [user.pid for user in envuse.users([path])] == [process.pid]
        with pytest.raises(EnvironmentInUse, match=rf"used by process {process.pid} \(python\)"):
            environments.remove("small")
        assert environments.find("small").python == python
        stamp = (path / STAMP).read_text()
        (path / STAMP).unlink()
        with pytest.raises(EnvironmentInUse, match="is used by process"):  # damaged, and still not taken away
            environments.build("small", None, wheels)
        (path / STAMP).write_text(stamp)
        (environments.pins / "small.txt").write_text((environments.pins / "small.txt").read_text() + "# changed\n")
        later = Environments(environments.folder, environments.pins)
        assert later.outdated() == ([path], [])
        (kept,) = later.prune()
        assert "is used by process" in kept.kept
        assert (path / STAMP).exists()
        process.communicate(b"\n")
    (gone,) = later.prune()
    assert (gone.path, gone.kept) == (path, "")
    assert gone.size_bytes > 1000
    assert not path.exists()


@pytest.mark.usefixtures("nowhere")
def test_who_starts_while_it_is_removed_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second look, after the folder was renamed, finds a process that the first did not."""
    environments, wheels = small(tmp_path)
    built = environments.build("small", None, wheels)
    looks: list[int] = []

    def users(folders: list[Path]) -> list[envuse.User]:
        looks.append(len(folders))
        return [envuse.User(7, "late")] if len(looks) == 2 else []

    monkeypatch.setattr(envuse, "users", users)
    with pytest.raises(EnvironmentInUse, match=r"7 \(late\)"):
        environments.remove("small")
    assert environments.find("small") == built
    (gone,) = environments.remove("small")
    assert not gone.path.exists()
    assert environments.remove("small") == []
