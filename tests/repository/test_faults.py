"""A disk that fails at the Nth operation, for N = 1, 2 ... until none fires: a StoreError, and nothing broken."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import StoreError
from gateway.repository import fs
from gateway.repository.store import Store, Stored
from tests.repository.trees import Tree, Watched, artifact, plant

OPERATIONS = ("make_folder", "create", "write", "sync", "rename")
TREE: Tree = {"a/1/m.onnx": "the model", "a/1/sub/w.bin": "weights", "a/1/model.toml": 'verify = "off"'}


class Failing:
    """Counts the operations of the seam and fails one of them, for good or once."""

    def __init__(self, at: int, code: int, *, for_good: bool) -> None:
        self.at, self.code, self.for_good, self.count = at, code, for_good, 0

    @property
    def fired(self) -> bool:
        return self.count >= self.at

    def wrap(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*arguments: Any) -> Any:
            self.count += 1
            if self.count == self.at or (self.for_good and self.fired):
                raise OSError(self.code, os.strerror(self.code), str(arguments[0]))
            return real(*arguments)

        return operation


def take(watched: Watched, store: Store) -> Stored:
    """A drop from the repository to the published artifact, as the manager does it."""
    drop = watched.repository.ingest(watched.settled()["a", 1], store)
    try:
        key = store.key(drop.digest, drop.options.digest_text(), "onnx", "test 1")
        with store.stage() as folder:
            with fs.guard("converting", folder):
                fs.write_file(folder / "model.onnx", drop.source.path("m.onnx").read_bytes())
            return store.publish(key, folder, artifact())
    finally:
        store.release_drop(drop.digest)


def failure(watched: Watched, store: Store) -> StoreError | None:
    try:
        take(watched, store)
    except StoreError as error:
        return error
    return None


def whole(root: Path) -> bool:
    """No partial artifact or drop in sight, nothing left on the way."""
    for folder in (root / "artifacts").iterdir():
        if (folder / "model.onnx").read_text() != "the model" or not (folder / "gateway.json").is_file():
            return False
    for folder in (root / "drops").iterdir():
        if {path.name for path in folder.rglob("*") if path.is_file()} != {"m.onnx", "w.bin"}:
            return False
    on_the_way = [path for path in (root / "tmp").glob("*/*") if path.name != "lock"]
    return not on_the_way


def faults(code: int, for_good: bool) -> Iterator[Failing]:
    for at in range(1, 500):
        failing = Failing(at, code, for_good=for_good)
        yield failing
        if not failing.fired:
            assert at > 20, "the seam is not used"
            return
    raise AssertionError("the fault still fires at the 500th operation")


@pytest.mark.parametrize(
    ("code", "for_good"), [(errno.ENOSPC, True), (errno.EIO, False)], ids=["disk full for good", "one I/O error"]
)
def test_the_nth_operation_fails(
    code: int, for_good: bool, repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(repo, TREE)
    failed = 0
    for failing in faults(code, for_good):
        store = Store(tmp_path / f"store{failing.at}")
        store.open()
        watched = Watched(repo, store.index)
        with monkeypatch.context() as patch:
            for name in OPERATIONS:
                patch.setattr(fs, name, failing.wrap(getattr(fs, name)))
            problem = failure(watched, store)
        if problem is not None:
            failed += 1
            assert os.strerror(code) in problem.message
            assert str(store.root) in problem.message
            assert problem.hint
            assert failing.fired
        assert whole(store.root), failing.at
        stored = take(watched, store)  # the disk works again: so does the store, without a restart
        assert (stored.folder / "model.onnx").read_text() == "the model"
        assert whole(store.root)
        store.close()
    assert failed > 15


def test_a_full_disk_at_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for failing in range(1, 8):
        store = Store(tmp_path / f"store{failing}")
        fault = Failing(failing, errno.ENOSPC, for_good=False)
        with monkeypatch.context() as patch:
            patch.setattr(fs, "make_folder", fault.wrap(fs.make_folder))
            with pytest.raises(StoreError, match="No space left on device") as caught:
                store.open()
            assert "Free space" in caught.value.hint
        store.open()
        assert not (store.root / "locks" / "open").exists()
        store.close()
