"""kill -9 at each step of publishing: nothing partial is seen, and it is converted exactly once more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.repository.store import STEPS, Store

ROOT = Path(__file__).parents[2]
# "staged" comes twice: for the copy of the drop, then for the artifact. What is converted when it dies:
DIES_AT = {
    "staged 1": 0,
    "drop copied 1": 0,
    "drop renamed 1": 0,
    "drop indexed 1": 0,
    "staged 2": 0,
    "artifact described 1": 1,
    "artifact synced 1": 1,
    "artifact renamed 1": 1,
    "artifact published 1": 1,
}
PUBLISHED = ("artifact renamed 1", "artifact published 1")


def run(repo: Path, root: Path, step: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.repository.dying", str(repo), str(root), step]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def converted(root: Path) -> int:
    log = root.parent / "converted"
    return len(log.read_text().splitlines()) if log.exists() else 0


def visible(root: Path) -> list[Path]:
    """Everything that another gateway would take as complete."""
    return [path for kind in ("artifacts", "drops") for path in (root / kind).iterdir()]


@pytest.mark.parametrize("step", DIES_AT)
def test_killed_at(step: str, repo: Path, tmp_path: Path) -> None:
    root = tmp_path / "store"
    (repo / "net.onnx").write_text("net")
    died = run(repo, root, step)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert converted(root) == DIES_AT[step]
    for path in visible(root):
        content = {"artifacts": "model.onnx", "drops": "files/net.onnx"}[path.parent.name]
        assert (path / content).read_text() == {"artifacts": "netnet", "drops": "net"}[path.parent.name]

    lived = run(repo, root, "")
    assert lived.returncode == 0, lived.stderr
    assert lived.stdout.startswith("netnet|")
    assert converted(root) == (1 if step in PUBLISHED else DIES_AT[step] + 1)

    store = Store(root)
    store.open()
    assert [path.parent.name for path in visible(root)] == ["artifacts"]
    store.close()
    left = {path.relative_to(root).parts[0] for path in root.rglob("*") if path.is_file()}
    assert left == {"artifacts", "index"}


def test_the_list_of_steps_is_whole(repo: Path, tmp_path: Path) -> None:
    (repo / "net.onnx").write_text("net")
    root = tmp_path / "store"
    passed = run(repo, root, "").stdout.strip().split("|")[1].split(", ")
    assert set(passed) == set(STEPS)
    assert [f"{step} {passed[: i + 1].count(step)}" for i, step in enumerate(passed)] == list(DIES_AT)
    assert run(repo, root, "").stdout == "netnet|\n", "no step is taken for what is there"


def test_two_gateways_convert_once(repo: Path, tmp_path: Path) -> None:
    (repo / "net.onnx").write_text("net")
    root = tmp_path / "store"
    command = [sys.executable, "-m", "tests.repository.dying", str(repo), str(root), ""]
    both = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ}) for _ in range(3)
    ]
    for process in both:
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert out.startswith("netnet|")
    assert converted(root) == 1
