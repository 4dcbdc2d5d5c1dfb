"""The content-addressed store: keys, publishing, pins, room, locks, two gateways, and what does not work."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.core.artifact import FILE
from gateway.errors import JobCancelled, StoreError, UnsafeDrop
from gateway.repository import fs, locks
from gateway.repository.store import MAX_FAILURES, Store
from tests.repository.trees import Fifo, Hard, Link, Tree, Watched, artifact, plant


def key(name: str) -> str:
    return Store.key(name, "{}", "onnx", "test 1")


def publish(store: Store, name: str, tree: Tree | None = None) -> Path:
    with store.stage() as folder:
        plant(folder, tree or {"model.onnx": f"net {name}", "weights/w.bin": b"\0" * 10})
        return store.publish(key(name), folder, artifact()).folder


@pytest.fixture
def other(store: Store) -> Iterator[Store]:
    """A second gateway on the same store."""
    second = Store(store.root)
    second.open()
    yield second
    second.close()


def test_a_key_changes_with_everything_that_matters() -> None:
    same = ("d", "{}", "onnx", "c 1")
    keys = {Store.key(*same)}
    for place in range(4):
        keys.add(Store.key(*(text + "x" * (number == place) for number, text in enumerate(same))))
    keys.add(Store.key("d{}", "", "onnx", "c 1"))
    assert len(keys) == 6
    assert all(len(k) == 64 for k in keys)


def test_publish_and_find(store: Store) -> None:
    assert store.find(key("a")) is None
    folder = publish(store, "a")
    stored = store.find(key("a"))
    assert stored is not None
    assert (stored.folder, stored.key, stored.artifact.digest) == (folder, key("a"), key("a"))
    assert dict(stored.artifact.files) == {"model.onnx": 5, "weights/w.bin": 10}
    assert (folder / "model.onnx").read_text() == "net a"
    assert [path.name for path in (store.root / "tmp").iterdir()] == [store._own.name if store._own else ""]


def test_who_publishes_second_takes_what_is_there(store: Store, other: Store) -> None:
    publish(store, "a", {"model.onnx": "first"})
    folder = publish(other, "a", {"model.onnx": "second"})
    assert (folder / "model.onnx").read_text() == "first"


def test_a_damaged_artifact_is_replaced(store: Store) -> None:
    (publish(store, "a") / "model.onnx").write_text("short")
    (publish(store, "a") / "model.onnx").unlink()
    assert store.find(key("a")) is None
    assert (publish(store, "a") / "model.onnx").read_text() == "net a"


def test_what_is_renamed_in_is_on_the_disk_first(
    repo: Path, watched: Watched, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut cannot be tried here; the order of the calls that make it harmless can."""
    done: list[str] = []
    sync, rename = fs.sync, fs.rename

    def log_sync(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        done.append(f"sync {name}")
        sync(descriptor)

    def log_rename(source: Path, target: Path) -> None:
        done.append(f"rename {target.parent.name}")
        rename(source, target)

    monkeypatch.setattr(fs, "sync", log_sync)
    monkeypatch.setattr(fs, "rename", log_rename)
    plant(repo, {"x/1/m.onnx": "x", "x/1/sub/w.bin": "w"})
    watched.repository.ingest(watched.settled()["x", 1], store)
    before, after = done[: done.index("rename drops")], done[done.index("rename drops") :]
    assert {"sync m.onnx", "sync w.bin", "sync sub", "sync files"} <= set(before)
    assert after[1] == "sync drops"
    done.clear()
    folder = publish(store, "a")
    at = done.index("rename artifacts")
    assert {"sync model.onnx", "sync w.bin", "sync weights", "sync gateway.json"} <= set(done[:at])
    assert done[at + 1] == "sync artifacts"
    assert folder.exists()


NOT_PLAIN = {
    "a link": {"model.onnx": Link("/etc/hostname")},
    "a link to a folder": {"model.onnx": "x", "sub": Link("/etc")},
    "a hard link": {"model.onnx": "x", "copy": Hard("model.onnx")},
    "a FIFO": {"model.onnx": Fifo},
}


@pytest.mark.parametrize("tree", NOT_PLAIN.values(), ids=NOT_PLAIN.keys())
def test_only_plain_files_are_published(tree: Tree, store: Store) -> None:
    with pytest.raises(UnsafeDrop, match="not a plain file; nothing was published"):
        publish(store, "a", tree)
    assert store.find(key("a")) is None


def test_files_that_the_artifact_names_must_be_there(store: Store) -> None:
    from dataclasses import replace

    with store.stage() as folder, pytest.raises(StoreError, match=r"model.onnx should have 3 bytes.*no such file"):
        store.publish(key("a"), folder, replace(artifact(), files={"model.onnx": 3}))


DAMAGE = {
    "no gateway.json": lambda folder: (folder / FILE).unlink(),
    "half a gateway.json": lambda folder: (folder / FILE).write_text('{"schema": 1, "digest":'),
    "gateway.json is a list": lambda folder: (folder / FILE).write_text("[]"),
    "gateway.json of another schema": lambda folder: (folder / FILE).write_text('{"schema": 99}'),
    "gateway.json without keys": lambda folder: (folder / FILE).write_text('{"schema": 1}'),
    "a file is gone": lambda folder: (folder / "model.onnx").unlink(),
    "a file is short": lambda folder: (folder / "model.onnx").write_text("n"),
    "empty": lambda folder: [(folder / FILE).unlink(), (folder / "model.onnx").unlink()],
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_damaged_artifacts_are_not_used_and_go_at_the_next_open(damage: object, store: Store) -> None:
    damaged, whole = publish(store, "a"), publish(store, "b")
    damage(damaged)  # type: ignore[operator]
    assert store.find(key("a")) is None
    again = Store(store.root)
    again.open()
    assert not damaged.exists()
    assert again.find(key("b")) is not None
    assert whole.exists()
    again.close()


def test_no_path_is_built_from_anything_but_a_hash(store: Store) -> None:
    for bad in ("", "../../etc", "A" * 64, "0" * 63, "0" * 64 + "/x"):
        for call in (store.find, store.pin, store.find_drop, store.failure, store.forget_failure):
            with pytest.raises(StoreError, match="not a key of the store"):
                call(bad)
        with pytest.raises(StoreError, match="not a key"), store.lock(bad):
            pass


# --- room


def test_the_longest_unused_goes_first_and_pins_stay(store: Store, other: Store) -> None:
    for number, name in enumerate("abcd"):
        folder = publish(store, name)
        os.utime(folder, (number, number))
    store.pin(key("a"))
    other.pin(key("b"))  # by another gateway
    assert store.find(key("c")) is not None  # used just now
    size = fs.size_of(store.root / "artifacts") // 4
    store.max_bytes = 3 * size + 50
    assert store.collect() == (key("d"),)
    store.max_bytes = 0
    assert store.collect() == (key("c"),)
    store.unpin(key("a"))
    other.unpin(key("b"))
    assert set(store.collect()) == {key("a"), key("b")}
    assert store.collect() == ()
    assert not list((store.root / "locks").iterdir()), "locks that nobody holds leave no files"


def test_pins_count(store: Store) -> None:
    publish(store, "a")
    store.pin(key("a"))
    store.pin(key("a"))
    store.unpin(key("a"))
    store.max_bytes = 0
    assert store.collect() == ()
    store.unpin(key("a"))
    store.unpin(key("a"))  # one too many does nothing
    assert store.collect() == (key("a"),)


def test_copies_of_drops_go_before_artifacts(repo: Path, watched: Watched, store: Store) -> None:
    plant(repo, {"x.onnx": b"0" * 5000})
    drop = watched.repository.ingest(watched.settled()["x", 1], store)
    folder = publish(store, "a")
    os.utime(folder, (0, 0))
    store.max_bytes = fs.size_of(folder) + 100
    store.pin(key("a"))
    assert store.collect() == (), "what is being converted stays"
    store.unpin(key("a"))
    store._pins.unpin(f"drops-{drop.digest}")
    assert store.collect() == (drop.digest,)
    assert store.find(key("a")) is not None


def test_what_a_dead_gateway_left_goes_at_open(repo: Path, watched: Watched, store: Store, other: Store) -> None:
    plant(repo, {"x.onnx": "x"})
    drop = watched.repository.ingest(watched.settled()["x", 1], store)
    plant(store.root / "tmp", {"dead/half/model.onnx": "x", "dead/lock": "", "stray": "x"})
    with store.stage() as staged:
        plant(staged, {"model.onnx": "x"})
        third = Store(store.root)
        third.open()
        assert (staged / "model.onnx").exists(), "a living gateway's is left alone"
        assert drop.source.path("x.onnx").exists(), "and what it has pinned"
    assert not (store.root / "tmp" / "dead").exists()
    assert not (store.root / "tmp" / "stray").exists()
    third.close()
    store.close()
    other.close()
    fourth = Store(store.root)
    fourth.open()
    assert not drop.source.root.exists()
    fourth.close()
    assert not list((store.root / "tmp").iterdir())
    assert not list((store.root / "locks").iterdir())


# --- locks


def test_one_at_a_time_for_a_key(store: Store, other: Store) -> None:
    inside, most, done = [0], [0], []

    def work(which: Store) -> None:
        for _ in range(5):
            with which.lock(key("a")):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                time.sleep(0.002)
                inside[0] -= 1
        done.append(1)

    threads = [threading.Thread(target=work, args=(which,)) for which in (store, store, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (len(done), most[0]) == (3, 1)
    assert not (store.root / "locks" / key("a")).exists()


def test_waiting_for_a_lock_ends(store: Store, other: Store) -> None:
    cancel = threading.Event()
    with store.lock(key("a")):
        with pytest.raises(StoreError, match="held by somebody else for 0 s"), other.lock(key("a"), timeout_s=0.1):
            pass
        threading.Timer(0.1, cancel.set).start()
        started = time.monotonic()
        with pytest.raises(JobCancelled), other.lock(key("a"), cancel):
            pass
        assert time.monotonic() - started < 5
        with other.lock(key("b")):
            pass
    with other.lock(key("a"), timeout_s=0.1):
        pass


def test_a_lock_file_that_was_removed_while_we_opened_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its holder gave it back between our open and our flock: who holds a file without a name holds nothing."""
    path, real = tmp_path / "lock", locks.fcntl.flock

    def flock(descriptor: int, operation: int) -> None:
        monkeypatch.setattr(locks.fcntl, "flock", real)
        path.unlink()
        real(descriptor, operation)

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    held = locks.try_lock(path)
    assert held is not None
    assert locks.try_lock(path) is None
    locks.release(held, path)


# --- failures


def test_failures_are_remembered_and_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert store.failure(key("a")) is None
    store.remember_failure(key("a"), {"error": "CorruptModel", "message": "m"})
    assert Store(store.root).failure(key("a")) == {"error": "CorruptModel", "message": "m"}
    publish(store, "a")
    assert store.failure(key("a")) is None, "what is published has not failed"
    (store.root / "failures" / f"{key('b')}.json").write_text("{half")
    assert store.failure(key("b")) is None
    assert MAX_FAILURES >= 100
    monkeypatch.setattr("gateway.repository.store.MAX_FAILURES", 3)
    for number in range(5):
        store.remember_failure(key(str(number)), {"error": "x"})
        os.utime(store.root / "failures" / f"{key(str(number))}.json", (number, number))
    assert len(list((store.root / "failures").iterdir())) == 3
    assert store.failure(key("4")) is not None


# --- a store that does not work


def test_a_file_where_the_store_should_be(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("")
    with pytest.raises(StoreError, match=r"while opening it: .*store") as caught:
        Store(tmp_path / "store").open()
    assert "--store" in caught.value.hint


def test_a_read_only_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Permissions do not hold root back, so the refusal is put in."""

    def refuse(path: Path) -> None:
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr(fs, "make_folder", refuse)
    with pytest.raises(StoreError, match="Read-only file system") as caught:
        Store(tmp_path / "store").open()
    assert "Mount it writable" in caught.value.hint


def test_a_store_that_is_not_open(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is not open"), Store(tmp_path).stage():
        pass


def test_free_bytes(store: Store) -> None:
    assert store.free_bytes() > 0
    with pytest.raises(StoreError, match="asking for free space"):
        Store(store.root / "gone").free_bytes()


def test_gateway_json_is_what_api_reads(store: Store) -> None:
    data = json.loads((publish(store, "a") / FILE).read_text())
    assert (data["schema"], data["kind"], data["digest"]) == (1, "onnx", key("a"))
