"""Hostile children: seventeen probes and more, each fires without a sandbox, and none but the control at L2 and L3."""

from __future__ import annotations

import ctypes
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import SandboxTooWeak
from gateway.process import sandbox, sandbox_landlock, sandbox_levels
from gateway.process.job import JobSpec, run_job
from tests.process.interpreters import PACKAGES, Here
from tests.process.jobtasks import hostile

ROOT_ONLY = ("P01", "E02 owner of a file", "E17 mount")
"""Without a sandbox these are root's alone."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """A machine around the child: files, listeners, a process with a secret in its environment."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("the secret")
    (outside / "victim").write_text("of the user")
    libc = ctypes.CDLL(None, use_errno=True)
    shm = libc.shmget(0, 4096, 0o1600)  # IPC_PRIVATE, IPC_CREAT
    name = f"model-gateway-test-{os.getpid()}"
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_UNIX) as path,
        socket.socket(socket.AF_UNIX) as abstract,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams,
        subprocess.Popen(["sleep", "300"], env={"TOKEN": "of the victim"}) as victim,
    ):
        udp.bind(("127.0.0.1", 0))
        path.bind(str(outside / "socket"))
        datagrams.bind(str(outside / "socket") + ".datagrams")
        abstract.bind("\0" + name)
        path.listen()
        abstract.listen()
        try:
            yield {
                "secret": str(outside / "secret"),
                "victim_file": str(outside / "victim"),
                "outside": str(outside),
                "home": str(Path.home()),
                "tcp": tcp.getsockname()[1],
                "udp": udp.getsockname()[1],
                "unix": str(outside / "socket"),
                "abstract": name,
                "victim": victim.pid,
                "shm": shm,
            }
        finally:
            victim.kill()
            libc.shmctl(shm, 0, None)  # IPC_RMID


def held(level: int, world: dict[str, Any], folder: Path) -> dict[str, Any]:
    reached = sandbox_levels.reached()
    if reached.level < level:
        pytest.skip(f"sandbox level L{level} is not reached here: {reached.missing[level]}")
    spec = JobSpec("jobtasks.hostile:probes", {"world": world}, timeout_s=60.0, memory_bytes=256 << 20)
    return run_job(spec, environments=Here(), folder=folder / "job", packages=PACKAGES, max_level=level).value


def fired(found: dict[str, str | None]) -> list[str]:
    return [name for name, why in found.items() if why is None]


def test_without_a_sandbox_every_probe_fires(world: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    argv = [sys.executable, hostile.__file__, json.dumps(world | {"folder": str(folder)})]
    environ = {"PATH": os.environ["PATH"], "TOKEN": "of the gateway"}
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, env=environ, check=True)
    found = json.loads(done.stdout)
    quiet = {name: why for name, why in found.items() if why is not None}
    assert {name: why for name, why in quiet.items() if os.geteuid() == 0 or name not in ROOT_ONLY} == {}
    assert set(found) == set(hostile.PROBES)


@pytest.mark.parametrize("level", [2, 3])
def test_none_fires(level: int, world: dict[str, Any], tmp_path: Path) -> None:
    seen = held(level, world, tmp_path)
    assert fired(seen["found"]) == ["P17"], seen["found"]
    assert set(seen["found"]) == set(hostile.PROBES)
    outside = Path(world["outside"])
    assert (outside / "victim").read_text() == "of the user"
    assert sorted(path.name for path in outside.iterdir()) == ["secret", "socket", "socket.datagrams", "victim"]


@pytest.mark.parametrize("abi", range(1, sandbox_landlock.NEWEST))
def test_none_fires_on_an_older_kernel(
    abi: int, world: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What this landlock does not hold yet, seccomp does."""
    if sandbox_landlock.abi() < abi:
        pytest.skip(f"the kernel has landlock ABI {sandbox_landlock.abi()}")
    monkeypatch.setattr(sandbox_landlock, "abi", lambda: abi)
    assert fired(held(2, world, tmp_path)["found"]) == ["P17"]


def test_level_1_holds_what_it_says(world: dict[str, Any], tmp_path: Path) -> None:
    """No wall around files or the network: the reason why code needs L2."""
    found = held(1, world, tmp_path)["found"]
    assert {"P15", "P16", "E17 mount", "E02 owner of a file"} & set(fired(found)) <= {"E02 owner of a file"}
    assert {"P03", "P04", "P08", "P09"} <= set(fired(found))


def test_what_a_task_names_is_read_and_nothing_beside_it(world: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "outside" / "link").symlink_to(world["secret"])
    named = [world["victim_file"], str(tmp_path / "outside" / "link")]
    spec = JobSpec("jobtasks.tasks:reads", {"paths": [*named, world["secret"]]}, read=tuple(named))
    for level in range(2, sandbox_levels.available_level() + 1):
        seen = run_job(spec, environments=Here(), folder=tmp_path / str(level), packages=PACKAGES, max_level=level)
        assert seen.value == {"read": ["of the user", None, None]}, f"L{level}"


REFUSED = {
    "no landlock in the kernel": ("why_absent", "this kernel has no landlock: it came with Linux 5.13"),
    "landlock switched off": ("why_absent", "landlock is in this kernel and switched off at boot (lsm=)"),
}


@pytest.mark.parametrize(("name", "why"), REFUSED.values(), ids=REFUSED.keys())
def test_code_is_refused_by_name_where_level_2_is_not_reached(
    name: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox_levels, "_found", {})
    monkeypatch.setattr(sandbox_landlock, name, lambda: why)
    assert sandbox_levels.available_level() == 1
    with pytest.raises(SandboxTooWeak) as caught:
        run_job(
            JobSpec("jobtasks.tasks:good", {"text": "x"}),
            environments=Here(),
            folder=tmp_path / "job",
            packages=PACKAGES,
            min_level=sandbox.NEEDED_BY_CODE,
        )
    assert caught.value.message == f"sandbox level L2 is needed and L1 is reached here: {why}."
    assert "docs/security.md" in caught.value.hint
    assert not (tmp_path / "job").exists()
