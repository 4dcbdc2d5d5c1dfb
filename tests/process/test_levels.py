"""Levels: found by trying, said with reasons, chosen or refused; and as whom a held process runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import SandboxTooWeak
from gateway.process import sandbox_bwrap, sandbox_landlock, sandbox_levels, sandbox_seccomp, spawn
from gateway.process.job import JobSpec, run_job
from gateway.process.sandbox_user import NOBODY
from tests.process.interpreters import PACKAGES, Here, ThisPython


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox_levels, "_found", {})


def l3_missing(monkeypatch: pytest.MonkeyPatch, program: str) -> sandbox_levels.Reached:
    monkeypatch.setattr(sandbox_bwrap, "program", lambda: program)
    return sandbox_levels.reached()


def test_without_bubblewrap_it_is_level_2(monkeypatch: pytest.MonkeyPatch) -> None:
    found = l3_missing(monkeypatch, "")
    assert (found.level, list(found.missing)) == (2, [3])
    assert found.missing[3] == "bubblewrap is not installed (the program bwrap is not on PATH)"
    assert str(found).startswith("L2: resource limits, landlock (ABI ")


def test_a_bubblewrap_that_is_refused_is_level_2_with_its_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As in a container without user namespaces."""
    refusing = tmp_path / "bwrap"
    refusing.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    refusing.chmod(0o755)
    found = l3_missing(monkeypatch, str(refusing))
    assert (found.level, found.missing) == (2, {3: "bwrap: No permissions to create new namespace"})


def test_a_bubblewrap_that_holds_nothing_does_not_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It starts the child where it is: what the child sees then says so."""
    lying = tmp_path / "bwrap"
    lying.write_text('#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\nshift\nexec "$@"\n')
    lying.chmod(0o755)
    assert l3_missing(monkeypatch, str(lying)).missing == {3: "a held process sees the numbers of other processes"}


def test_rules_that_the_kernel_does_not_keep_are_no_level_2(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under a kernel that takes the calls and does nothing: here the child is given all there is."""
    monkeypatch.setattr(sandbox_bwrap, "program", lambda: "")
    monkeypatch.setattr("gateway.process.sandbox_paths.FILES", ("/",))
    found = sandbox_levels.reached()
    assert found.level == 1
    assert found.missing[2].startswith("a held process could read a file outside")


def test_an_interpreter_that_does_not_start_reaches_nothing() -> None:
    assert sandbox_levels.reached(Path("/nonexistent/python")).level == 0


CHOICES = {
    "the best there is": (0, 3, 2),
    "no more than is allowed": (0, 1, 1),
    "as much as is asked": (2, 3, 2),
    "more than is here": (3, 3, "sandbox level L3 is needed and L2 is reached here: no bwrap."),
    "more than there is": (4, 3, "sandbox level L4 is needed and L2 is reached here: there is no such level."),
    "more than is allowed": (2, 1, "L2 is needed and L1 is allowed by jobs.sandbox_max_level."),
}


@pytest.mark.parametrize(("least", "most", "expected"), CHOICES.values(), ids=CHOICES.keys())
def test_choose(least: int, most: int, expected: int | str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox_levels, "_try_all", lambda python: sandbox_levels.Reached(2, {3: "no bwrap"}))
    if isinstance(expected, int):
        assert sandbox_levels.choose(least, max_level=most) == expected
        return
    with pytest.raises(SandboxTooWeak) as caught:
        sandbox_levels.choose(least, max_level=most)
    assert expected in caught.value.message


# -- the filter, for both architectures --------------------------------------------------------


def answer(program: list[tuple[int, int, int, int]], arch: int, number: int, *arguments: int) -> int:
    """What a kernel makes of a call: an interpreter of the few instructions of classic BPF that are used."""
    data = [number, arch, 0, 0, *(half for a in arguments for half in (a & 0xFFFFFFFF, a >> 32))] + [0] * 12
    value, at = 0, 0
    while True:
        code, yes, no, constant = program[at]
        at += 1
        if code == 0x20:
            value = data[constant // 4]
        elif code == 0x54:
            value &= constant
        elif code == 0x06:
            return constant
        else:
            test = {0x15: value == constant, 0x25: value > constant, 0x45: bool(value & constant)}[code]
            at += yes if test else no


ALLOW, KILL, EPERM, ENOSYS, QUIET = 0x7FFF0000, 0x80000000, 0x50001, 0x50026, 0x50000
CALLS: dict[str, tuple[str, tuple[int, ...], int]] = {
    "ptrace": ("ptrace", (16, 1), EPERM),
    "a mount": ("mount", (), EPERM),
    "clone as threads do": ("clone", (0x3D0F00,), ALLOW),
    "clone as fork does": ("clone", (0x1200011,), ALLOW),
    "clone with a user namespace": ("clone", (0x10000011,), EPERM),
    "clone with a network": ("clone", (0x40000011,), EPERM),
    "clone3 is not there": ("clone3", (), ENOSYS),
    "a TCP socket": ("socket", (2, 1), EPERM),
    "a unix socket": ("socket", (1, 1), EPERM),
    "a pair of streams": ("socketpair", (1, 0x80001), ALLOW),
    "a pair of datagrams": ("socketpair", (1, 0x80002), EPERM),
    "a pair of another family": ("socketpair", (30, 1), EPERM),
    "own limits": ("prlimit64", (0, 7), ALLOW),
    "limits of another": ("prlimit64", (1234, 7), EPERM),
    "mode of a file": ("fchmodat", (), QUIET),
    "given times": ("utimensat", (5, 1, 0x7FFF0000), QUIET),
    "the present time": ("utimensat", (5, 1, 0), EPERM),
    "typing into a terminal": ("ioctl", (0, 0x5412), EPERM),
    "size of a terminal": ("ioctl", (0, 0x5413), ALLOW),
    "signals to an owner": ("fcntl", (3, 8), EPERM),
    "duplicating": ("fcntl", (3, 0), ALLOW),
}


@pytest.mark.parametrize("machine", sandbox_seccomp._ARCH)
@pytest.mark.parametrize(("name", "arguments", "expected"), CALLS.values(), ids=CALLS.keys())
def test_the_filter(name: str, arguments: tuple[int, ...], expected: int, machine: str) -> None:
    arch = sandbox_seccomp._ARCH[machine]
    number = sandbox_seccomp.NUMBERS[name][list(sandbox_seccomp._ARCH).index(machine)]
    assert number, f"{machine} has no {name}"
    program = sandbox_seccomp.Filter(machine, 7, 99).program()
    assert answer(program, arch, number, *arguments) == expected


@pytest.mark.parametrize("machine", sandbox_seccomp._ARCH)
def test_the_filter_of_an_old_landlock_and_of_strange_calls(machine: str) -> None:
    arch, column = sandbox_seccomp._ARCH[machine], list(sandbox_seccomp._ARCH).index(machine)
    old = sandbox_seccomp.Filter(machine, 1, 99).program()
    new = sandbox_seccomp.Filter(machine, 7, 99).program()

    def asked(program: list[tuple[int, int, int, int]], name: str, *arguments: int) -> int:
        return answer(program, arch, sandbox_seccomp.NUMBERS[name][column], *arguments)

    assert asked(old, "kill", 98, 9) == asked(old, "tgkill", 98, 98, 9) == EPERM
    assert asked(old, "kill", 99, 9) == asked(old, "kill", 0, 9) == asked(new, "kill", 98, 9) == ALLOW
    assert asked(old, "openat", 5, 1, 0o1000) == asked(old, "truncate", 1) == EPERM
    assert asked(old, "openat", 5, 1, 0o1001) == asked(new, "openat", 5, 1, 0o1000) == ALLOW
    assert asked(old, "openat2") == ENOSYS
    assert answer(new, 0x40000003, 1) == KILL  # 32 bits
    assert answer(new, arch, sandbox_seccomp.NEWEST + 1) == ENOSYS
    assert answer(new, arch, 0x40000000 | 41) == ENOSYS  # x32
    assert all(len(sandbox_seccomp.Filter(machine, abi, 9).program()) < 4096 for abi in range(1, 8))


# -- as whom -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Open:
    """A Python that everybody may start, as the only Environment."""

    python: Path

    def find(self, name: str) -> ThisPython:
        return ThisPython(self.python)


@pytest.fixture
def public() -> Iterator[tuple[Open, Path]]:
    """A Python and a folder on open roads."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    for python in (Path(sys.executable), *sorted(Path("/usr/bin").glob("python3.1[1-9]"))):
        code = f"import sys; sys.exit(sys.version_info < (3, 11) or not open({str(spawn.GATEWAY / '__init__.py')!r}))"
        try:
            done = subprocess.run([python, "-c", code], user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True)
        except OSError:
            continue
        if done.returncode == 0:
            break
    else:
        pytest.skip("nobody but root can start a Python >= 3.11 here and read the gateway")
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="model-gateway-test-") as folder:
        Path(folder).chmod(0o755)
        yield Open(python), Path(folder)


@pytest.mark.parametrize("level", [1, 2])
def test_root_becomes_nobody_where_nobody_can_read_what_is_needed(level: int, public: tuple[Open, Path]) -> None:
    environments, folder = public
    spec = JobSpec("jobtasks.tasks:rights", {})
    result = run_job(spec, environments=environments, folder=folder / "job", packages=PACKAGES, max_level=level)
    assert result.value == {"user": NOBODY, "group": NOBODY, "groups": [], "capabilities": 0, "root_again": False}
    assert {path.stat().st_uid for path in (folder / "job").rglob("*")} == {0}


@pytest.mark.parametrize("level", [1, 2])
def test_below_a_private_home_it_starts_all_the_same_and_has_no_privilege(level: int, tmp_path: Path) -> None:
    spec = JobSpec("jobtasks.tasks:rights", {})
    seen = run_job(spec, environments=Here(), folder=tmp_path / "job", packages=PACKAGES, max_level=level).value
    assert (seen["user"], seen["capabilities"]) == (os.geteuid(), 0)


def test_another_user_than_root_is_held_too(public: tuple[Open, Path]) -> None:
    environments, folder = public
    folder.chmod(0o777)
    code = (
        "import sys, json; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "from gateway.process.job import JobSpec, run_job; from gateway.process import sandbox_levels\n"
        "class All:\n    python = Path(sys.executable)\n    def find(self, name): return self\n"
        "made = lambda name, task: run_job(JobSpec(task, {'paths': [sys.argv[3]]}), environments=All(),\n"
        "    folder=Path(sys.argv[2]) / name, packages={'jobtasks': Path(sys.argv[4])}).value\n"
        "print(json.dumps([sandbox_levels.available_level(), made('a', 'jobtasks.tasks:rights'),\n"
        "    made('b', 'jobtasks.tasks:reads')]))"
    )
    secret = folder / "secret"
    secret.write_text("x")
    argv = [environments.python, "-c", code, spawn.GATEWAY.parent, folder, secret, PACKAGES["jobtasks"]]
    done = subprocess.run(
        argv, user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, text=True, timeout=60, cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(folder)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    level, rights, read = json.loads(done.stdout)
    assert level >= 2 or sandbox_landlock.why_absent()
    assert (rights["user"], rights["capabilities"]) == (NOBODY, 0)
    assert read == {"read": [None]}


def test_what_doctor_shows_is_json() -> None:
    page: dict[str, Any] = json.loads(
        json.dumps(sandbox_levels.Reached(1, {2: "no landlock", 3: "no bwrap"}).to_json())
    )
    assert page["missing"] == {"L2": "no landlock", "L3": "no bwrap"}
    assert page["shown"] == "L1: resource limits"
