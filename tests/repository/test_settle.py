"""When something is believed: half copies, replacements, deletions, a repository that goes away."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway import config
from gateway.core.modeltoml import ModelOptions
from gateway.errors import DropError, RepositoryUnreadable
from gateway.repository.index import Known
from gateway.repository.source import Repository, Scan
from gateway.repository.store import Store
from tests.repository.trees import WATCH, Clock, Folder, Link, Watched, plant


def states(scan: Scan) -> dict[str, bool]:
    return {f"{seen.model}/{seen.version}": seen.settled for seen in scan.entries}


@dataclass(frozen=True)
class Step:
    """Do something, let `wait_s` pass, scan, and see: model/version -> settled."""

    do: Callable[[Path], object]
    wait_s: float
    seen: dict[str, bool]


def write(name: str, data: str) -> Callable[[Path], object]:
    return lambda root: plant(root, {name: data})


def append(name: str, data: str) -> Callable[[Path], object]:
    return lambda root: (root / name).write_text((root / name).read_text() + data)


def move(old: str, new: str) -> Callable[[Path], object]:
    return lambda root: (root / old).rename(root / new)


def remove(name: str) -> Callable[[Path], object]:
    return lambda root: shutil.rmtree(root / name) if (root / name).is_dir() else (root / name).unlink()


def overwrite_unseen(name: str) -> Callable[[Path], object]:
    """Other bytes, the same size, the same mtime: only ctime tells."""

    def do(root: Path) -> None:
        path = root / name
        before = path.stat()
        path.write_text("B" * before.st_size)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)

    return do


def nothing(root: Path) -> None:
    """Time passes."""


NEW, HELD = {"a/1": False}, {"a/1": True}
STORIES = {
    "a file that holds still": [
        Step(write("a.onnx", "A"), 0, NEW),
        Step(nothing, 1.9, NEW),
        Step(nothing, 0.1, HELD),
        Step(nothing, 0.5, HELD),
    ],
    "a slow copy": [
        Step(write("a/1/m.onnx", "A"), 0.5, NEW),
        *[Step(append("a/1/m.onnx", "A"), 1.5, NEW) for _ in range(4)],
        Step(nothing, 1.9, NEW),
        Step(nothing, 0.1, HELD),
    ],
    "a second file starts the wait again": [
        Step(write("a/1/m.onnx", "A"), 0, NEW),
        Step(write("a/1/w.bin", "A"), 1.9, NEW),
        Step(nothing, 1.9, NEW),
        Step(nothing, 0.1, HELD),
    ],
    "tar -x: old times on new files": [
        Step(lambda r: (plant(r, {"a/1/m.onnx": "A"}), os.utime(r / "a/1/m.onnx", (1, 1))), 0, NEW),
        Step(nothing, 2, HELD),
    ],
    "a transfer under a temporary name, then a rename": [
        Step(write("a.onnx.part", "A"), 5, {}),
        Step(move("a.onnx.part", "a.onnx"), 0, NEW),
        Step(nothing, 2, HELD),
    ],
    "a growing temporary file keeps its neighbours waiting": [
        Step(write("a/1/m.onnx", "A"), 0, NEW),
        Step(write("a/1/.w.bin.Ab12Cd", "A"), 1.5, NEW),
        Step(append("a/1/.w.bin.Ab12Cd", "A"), 1.5, NEW),
        Step(move("a/1/.w.bin.Ab12Cd", "a/1/w.bin"), 1.5, NEW),
        Step(nothing, 2, HELD),
    ],
    "a forgotten temporary file does not wait for ever": [
        Step(write("a/1/m.onnx", "A"), 0, NEW),
        Step(write("a/1/.m.onnx.swp", "A"), 1, NEW),
        Step(nothing, 2, HELD),
    ],
    "the same size and mtime, other bytes": [
        Step(write("a.onnx", "AAAA"), 0, NEW),
        Step(nothing, 2, HELD),
        Step(overwrite_unseen("a.onnx"), 0.5, NEW),
        Step(nothing, 2, HELD),
    ],
    "a staged folder is moved in": [
        Step(write(".staging/m.onnx", "A"), 5, {}),
        Step(lambda r: ((r / "a").mkdir(), (r / ".staging").rename(r / "a/1")), 0, NEW),
        Step(nothing, 2, HELD),
    ],
    "a deletion is believed when it has held": [
        Step(write("a.onnx", "A"), 0, NEW),
        Step(nothing, 2, HELD),
        Step(remove("a.onnx"), 0.5, NEW),
        Step(nothing, 1.9, NEW),
        Step(nothing, 0.1, {}),
    ],
    "rm and cp is a replacement": [
        Step(write("a/1/m.onnx", "A"), 0, NEW),
        Step(nothing, 2, HELD),
        Step(remove("a/1"), 0.5, NEW),
        Step(write("a/1/m.onnx", "B"), 1.4, NEW),
        Step(nothing, 1.9, NEW),
        Step(nothing, 0.1, HELD),
    ],
    "emptied version folder: the version is gone": [
        Step(write("a/1/m.onnx", "A"), 0, NEW),
        Step(nothing, 2, HELD),
        Step(remove("a/1/m.onnx"), 0.5, NEW),
        Step(nothing, 2, {}),
    ],
    "one version goes, the other stays": [
        Step(lambda r: plant(r, {"a/1/m.onnx": "A", "a/2/m.onnx": "A"}), 0, {"a/1": False, "a/2": False}),
        Step(nothing, 2, {"a/1": True, "a/2": True}),
        Step(remove("a/1"), 0, {"a/1": False, "a/2": True}),
        Step(nothing, 2, {"a/2": True}),
    ],
    "one toml for two versions touches both": [
        Step(lambda r: plant(r, {"a/1/m.onnx": "A", "a/2/m.onnx": "A"}), 0, {"a/1": False, "a/2": False}),
        Step(nothing, 2, {"a/1": True, "a/2": True}),
        Step(write("a/model.toml", 'verify = "off"'), 0, {"a/1": False, "a/2": False}),
        Step(nothing, 2, {"a/1": True, "a/2": True}),
    ],
    "a model is renamed": [
        Step(write("a/1/m.onnx", "A"), 0, NEW),
        Step(nothing, 2, HELD),
        Step(move("a", "b"), 0, {"a/1": False, "b/1": False}),
        Step(nothing, 2, {"b/1": True}),
    ],
    "a neighbour that changes touches nobody": [
        Step(lambda r: plant(r, {"a.onnx": "A", "b.onnx": "B"}), 0, {"a/1": False, "b/1": False}),
        Step(nothing, 2, {"a/1": True, "b/1": True}),
        Step(append("b.onnx", "B"), 0.5, {"a/1": True, "b/1": False}),
    ],
    "..data of a Kubernetes volume moves on": [
        Step(
            lambda r: plant(
                r, {"..1/a.onnx": "A", "..2/a.onnx": "B", "..data": Link("..1"), "a.onnx": Link("..data/a.onnx")}
            ),
            0,
            NEW,
        ),
        Step(nothing, 2, HELD),
        Step(lambda r: ((r / "..new").symlink_to("..2"), (r / "..new").rename(r / "..data")), 0, NEW),
        Step(nothing, 2, HELD),
    ],
}


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES.keys())
def test_settling(story: list[Step], repo: Path, watched: Watched) -> None:
    for number, step in enumerate(story):
        step.do(repo)
        assert states(watched.scan(step.wait_s)) == step.seen, f"step {number}"


def test_a_problem_is_told_when_it_has_held(repo: Path, watched: Watched) -> None:
    plant(repo, {"a/1/m.onnx": "A", "a/01/m.onnx": "A"})
    (first,) = watched.scan().entries
    assert (first.settled, first.problem) == (False, None)
    (second,) = watched.scan(2.0).entries
    assert second.settled
    assert second.problem is not None
    shutil.rmtree(repo / "a" / "01")
    assert [(s.settled, s.problem) for s in watched.scan(0.5).entries] == [(False, None)]


def test_files_the_index_knows_are_settled_at_once(repo: Path, store: Store, watched: Watched) -> None:
    plant(repo, {"a.onnx": "A"})
    (seen,) = watched.scan().entries
    known = Known("0" * 64, ModelOptions(verify="off"), ("cat", "dog"), 1)
    store.index.record(seen.fingerprint, known)
    again = Store(store.root)  # a restart: nothing of the first one is in memory
    fresh = Watched(repo, again.index)
    (seen,) = fresh.scan().entries
    assert seen.settled
    assert fresh.repository.known(seen) == known
    (repo / "a.onnx").write_text("B")
    assert states(fresh.scan(0.1)) == NEW


def test_a_renamed_model_is_known_at_once(repo: Path, store: Store, watched: Watched) -> None:
    plant(repo, {"a/1/m.onnx": "A"})
    store.index.record(watched.settled()["a", 1].fingerprint, Known("0" * 64, ModelOptions()))
    (repo / "a").rename(repo / "b")
    assert states(watched.scan()) == {"a/1": False, "b/1": True}


def test_an_unreadable_repository_is_not_a_deletion(repo: Path, watched: Watched) -> None:
    plant(repo, {"a.onnx": "A"})
    watched.settled()
    aside = repo.rename(repo.parent / "aside")
    for _ in range(3):
        with pytest.raises(RepositoryUnreadable, match="cannot be read: No such file") as caught:
            watched.scan(60.0)
        assert "what is served stays served" in caught.value.message
    aside.rename(repo)
    assert states(watched.scan()) == HELD


def test_a_repository_that_is_a_file(tmp_path: Path, store: Store) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RepositoryUnreadable, match="Not a directory"):
        Repository(tmp_path / "file", WATCH, store.index, Clock()).scan()


def test_an_unmounted_repository_is_not_a_deletion(
    repo: Path, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an unmount leaves: the same path, empty, on another device."""
    plant(repo, {"a.onnx": "A"})
    watched.settled()
    (repo / "a.onnx").rename(repo.parent / "a.onnx")
    monkeypatch.setattr(watched.repository, "_device", -1)
    with pytest.raises(RepositoryUnreadable, match="seems unmounted"):
        watched.scan(60.0)
    (repo.parent / "a.onnx").rename(repo / "a.onnx")
    assert set(states(watched.scan())) == {"a/1"}


def test_the_repository_itself_is_a_link_that_moves(tmp_path: Path, store: Store) -> None:
    plant(tmp_path, {"rev1/a/1/m.onnx": "A", "rev2/a/1/m.onnx": "B", "rev2/b/1/m.onnx": "B", "current": Link("rev1")})
    watched = Watched(tmp_path / "current", store.index)
    assert {seen.root for seen in watched.settled().values()} == {tmp_path / "rev1/a/1"}
    plant(tmp_path, {"next": Link("rev2")})
    (tmp_path / "next").rename(tmp_path / "current")
    assert {key: seen.root for key, seen in watched.settled().items()} == {
        ("a", 1): tmp_path / "rev2/a/1",
        ("b", 1): tmp_path / "rev2/b/1",
    }


def test_a_model_folder_that_cannot_be_listed_keeps_its_versions(
    repo: Path, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Permissions do not hold root back, so the refusal is put in."""
    plant(repo, {"a/1/m.onnx": "A", "a/2/m.onnx": "A", "b.onnx": "B", "new": Folder})
    watched.settled()
    real = Path.iterdir

    def iterdir(path: Path) -> object:
        if path.name in ("a", "new"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert states(watched.scan()) == {"a/1": False, "a/2": False, "b/1": True, "new/1": False}
    entries = {(s.model, s.version): s for s in watched.scan(2.0).entries}
    for key in (("a", 1), ("a", 2), ("new", 1)):
        problem = entries[key].problem
        assert isinstance(problem, DropError)
        assert "cannot be read: Permission denied" in problem.message
    assert entries["b", 1].problem is None


@pytest.mark.parametrize("settle_s", [2.0, 0.0])
def test_a_file_that_vanishes_during_the_scan(
    settle_s: float, repo: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(repo, store.index, config.Watch(settle_s=settle_s))
    plant(repo, {"a/1/m.onnx": "A", "a/1/n.onnx": "A", "b.onnx": "B"})
    watched.settled()
    real = os.lstat

    def lstat(path: object) -> os.stat_result:
        if str(path).endswith("n.onnx"):
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return real(path)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(os, "lstat", lstat)
        assert states(watched.scan(60.0)) == {"a/1": False, "b/1": True}
    assert states(watched.scan(settle_s / 2)) == {"a/1": settle_s == 0, "b/1": True}
    assert states(watched.scan(2.0)) == {"a/1": True, "b/1": True}
