"""Copies by content: what a digest depends on, what is kept, and copies of files that move under our hands."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from gateway import config
from gateway.errors import DropChanged, DropError, JobCancelled, ModelTomlError
from gateway.repository import drop as drop_module
from gateway.repository.drop import Drop, read_loose
from gateway.repository.source import Seen
from gateway.repository.store import Store
from tests.repository.trees import Hard, Link, Tree, Watched, plant

TREE: Tree = {
    "a/1/m.onnx": "the model",
    "a/1/sub/w.bin": b"\0" * 9_000_000,
    "a/1/model.toml": 'verify = "off"\nlabels = "l.txt"',
    "a/1/l.txt": "cat\r\n\r\ndog\n\n",
    "a/1/test/input_0.npy": "in",
    "a/1/test/output_0.npy": "out",
}


def ingest(watched: Watched, store: Store, key: tuple[str, int] = ("a", 1)) -> Drop:
    return watched.repository.ingest(watched.settled()[key], store)


def test_a_drop_is_a_copy_of_plain_files(repo: Path, watched: Watched, store: Store) -> None:
    plant(repo, TREE)
    drop = ingest(watched, store)
    assert (drop.model, drop.version, drop.options.verify) == ("a", 1, "off")
    assert drop.labels == ("cat", "", "dog")
    assert drop.source.files == ("m.onnx", "sub/w.bin")
    assert drop.source.path("m.onnx").read_text() == "the model"
    assert drop.source.path("sub/w.bin").read_bytes() == TREE["a/1/sub/w.bin"]
    assert drop.vectors is not None
    assert sorted(path.name for path in drop.vectors.iterdir()) == ["input_0.npy", "output_0.npy"]
    assert drop.bytes == sum(len(content) for content in TREE.values())  # type: ignore[arg-type]
    copied = [path for path in (store.root / "drops").rglob("*") if not path.is_dir()]
    assert len(copied) == len(TREE) - 1, "all but model.toml"
    assert all(path.lstat().st_nlink == 1 and not path.is_symlink() for path in copied)


SAME = {
    "another name of the model": {"b/1/m.onnx": "the model"},
    "another version": {"a/7/m.onnx": "the model"},
    "no version folder": {"b/m.onnx": "the model"},
    "reached through links": {"..x/m.onnx": "the model", "b/1": Link("../..x")},
    "what model.toml says is not content": {"b/1/m.onnx": "the model", "b/1/model.toml": 'isolation = "process"'},
    "papers and temporary files beside it": {"b/1/m.onnx": "the model", "b/1/README.md": "x", "b/1/x.tmp": "y"},
}
OTHER = {
    "another byte": {"b/1/m.onnx": "the modem"},
    "another file name": {"b/1/n.onnx": "the model"},
    "one more file": {"b/1/m.onnx": "the model", "b/1/x": ""},
    "bytes moved from one file to the next": {"b/1/m.onnx": "the mode", "b/1/n": "l"},
    "labels": {"b/1/m.onnx": "the model", "b/1/model.toml": 'labels = "l"', "b/1/l": "cat"},
    "vectors": {"b/1/m.onnx": "the model", "b/1/test/input_0.npy": ""},
}


@pytest.mark.parametrize(
    ("tree", "same"), [(t, True) for t in SAME.values()] + [(t, False) for t in OTHER.values()], ids=[*SAME, *OTHER]
)
def test_what_the_digest_depends_on(tree: Tree, same: bool, repo: Path, watched: Watched, store: Store) -> None:
    plant(repo, {"a/1/m.onnx": "the model"})
    first = ingest(watched, store).digest
    plant(repo, tree)
    (other,) = (key for key in watched.settled() if key != ("a", 1))
    assert (ingest(watched, store, other).digest == first) is same


def test_a_loose_drop_has_the_digest_of_the_drop(repo: Path, watched: Watched, store: Store) -> None:
    plant(repo, TREE)
    drop, loose = ingest(watched, store), read_loose(repo / "a" / "1")
    assert (loose.digest, loose.options, loose.labels) == (drop.digest, drop.options, drop.labels)
    assert loose.source.files == drop.source.files
    assert loose.source.root == repo / "a" / "1"
    assert loose.vectors == repo / "a" / "1" / "test"


def test_a_loose_file(repo: Path) -> None:
    plant(repo, {"m.onnx": "x", "m.onnx.data": "w", "other.onnx": "y", "m.toml": 'verify = "off"', "l": Link("m.onnx")})
    for name in ("m.onnx", "l"):
        loose = read_loose(repo / name)
        assert loose.source.files == ("m.onnx", "m.onnx.data")
        assert loose.options.verify == "off"


LOOSE_PROBLEMS = {
    "nothing there": ({}, "x", DropError, "cannot be read: No such file"),
    "an empty folder": ({"x/README": ""}, "x", DropError, "holds no files of a model"),
    "a hard link in a folder": ({"d/x": "1", "d/y": Hard("d/x")}, "d", DropError, "hard link"),
    "a link out of the folder": ({"x/m.onnx": Link("../y"), "y": "1"}, "x", DropError, "outside"),
    "bad toml": ({"x/m.onnx": "", "x/model.toml": "a"}, "x", ModelTomlError, "model.toml: not valid TOML"),
    "labels in another encoding": (
        {"x/m.onnx": "", "x/model.toml": 'labels = "l"', "x/l": b"caf\xe9"},
        "x",
        DropError,
        "labels 'l' is not UTF-8 text: byte 3",
    ),
}


@pytest.mark.parametrize("case", LOOSE_PROBLEMS.values(), ids=LOOSE_PROBLEMS.keys())
def test_loose_problems(case: tuple[Tree, str, type[DropError], str], repo: Path) -> None:
    tree, name, kind, text = case
    plant(repo, tree)
    with pytest.raises(kind, match=text):
        read_loose(repo / name)


def nothing_left(store: Store) -> bool:
    own = store._own
    assert own is not None
    return not any((store.root / "drops").iterdir()) and [path.name for path in own.iterdir()] == ["lock"]


CHANGES = {
    "a byte": lambda root: (root / "a/1/m.onnx").write_text("another m"),
    "appended": lambda root: (root / "a/1/m.onnx").write_text("the model and more"),
    "truncated": lambda root: os.truncate(root / "a/1/m.onnx", 3),
    "a new file": lambda root: (root / "a/1/new").write_text(""),
    "a file away": lambda root: (root / "a/1/sub/w.bin").unlink(),
    "the folder away": lambda root: (root / "a").rename(root / "b"),
    "a link in its place": lambda root: (
        (root / "a/1/m.onnx").unlink(),
        (root / "a/1/m.onnx").symlink_to("/etc/hostname"),
    ),
    "a fifo in its place": lambda root: ((root / "a/1/m.onnx").unlink(), os.mkfifo(root / "a/1/m.onnx")),
    "a hard link more": lambda root: os.link(root / "a/1/m.onnx", root / "x"),
    "another inode, all else the same": lambda root: (
        (root / "n").write_text("THE MODEL"),
        (root / "n").rename(root / "a/1/m.onnx"),
    ),
    "model.toml": lambda root: (root / "a/1/model.toml").write_text(""),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("when", ["before the copy", "between two chunks"])
def test_files_that_change_make_no_drop(
    change: object, when: str, repo: Path, watched: Watched, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(repo, TREE)
    seen = watched.settled()["a", 1]
    if when == "before the copy":
        change(repo)  # type: ignore[operator]
    else:
        real, calls = drop_module.fs.write, []

        def write(descriptor: int, data: bytes) -> None:
            real(descriptor, data)
            calls.append(len(data))
            if len(calls) == 2:
                change(repo)  # type: ignore[operator]

        monkeypatch.setattr(drop_module.fs, "write", write)
        monkeypatch.setattr(drop_module.fs, "clone", lambda source, target: False)
    with pytest.raises(DropChanged, match=r"a/1 changed while it was copied"):
        watched.repository.ingest(seen, store)
    assert nothing_left(store)
    assert store.index.get(seen.fingerprint) is None


def test_a_folder_swapped_for_the_moment_of_the_copy(
    repo: Path, watched: Watched, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The names lead elsewhere while the files are opened, and back when they are looked at again."""
    plant(repo, {"a/1/m.onnx": "the model", "a/.2/m.onnx": "A SECRET."})
    seen = watched.settled()["a", 1]
    make_folder, create = drop_module.fs.make_folder, drop_module.fs.create

    def swap(one: str, other: str) -> None:
        (repo / "a" / one).rename(repo / "a" / other)

    def before(path: Path) -> None:
        make_folder(path)
        if path.name == "files":
            swap("1", ".1")
            swap(".2", "1")

    def after(path: Path) -> int:
        if path.name == "m.onnx":
            swap("1", ".2")
            swap(".1", "1")
        return create(path)

    monkeypatch.setattr(drop_module.fs, "make_folder", before)
    monkeypatch.setattr(drop_module.fs, "create", after)
    with pytest.raises(DropChanged):
        watched.repository.ingest(seen, store)
    assert nothing_left(store)


def test_known_files_are_not_copied_again(
    repo: Path, watched: Watched, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(repo, TREE)
    seen = watched.settled()["a", 1]
    first = watched.repository.ingest(seen, store)

    def refuse(*_: object) -> bytes:
        raise AssertionError("copied again")

    with monkeypatch.context() as patch:
        patch.setattr(drop_module, "_copy", refuse)
        assert watched.repository.ingest(seen, store) == first
    store.release_drop(first.digest)
    assert first.source.path("m.onnx").exists(), "the second one still holds it"
    store.release_drop(first.digest)
    assert not first.source.root.exists()
    assert watched.repository.ingest(seen, store) == first


def test_a_damaged_copy_is_made_again(repo: Path, watched: Watched, store: Store) -> None:
    plant(repo, TREE)
    seen = watched.settled()["a", 1]
    drop = watched.repository.ingest(seen, store)
    store.release_drop(drop.digest)
    drop = watched.repository.ingest(seen, store)
    drop.source.path("m.onnx").write_text("broken")
    store._pins.unpin(f"drops-{drop.digest}")
    assert watched.repository.ingest(seen, store).source.path("m.onnx").read_text() == "the model"


def test_a_cancelled_copy_leaves_nothing(repo: Path, watched: Watched, store: Store) -> None:
    plant(repo, TREE)
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(JobCancelled):
        watched.repository.ingest(watched.settled()["a", 1], store, cancel)
    assert nothing_left(store)


def test_a_problem_is_raised_as_it_is(repo: Path, watched: Watched, store: Store) -> None:
    plant(repo, {"a.onnx": "x", "b.onnx": Hard("a.onnx")})
    seen: Seen = watched.settled()["a", 1]
    with pytest.raises(DropError) as caught:
        watched.repository.ingest(seen, store)
    assert caught.value is seen.problem


def test_a_copy_that_shares_blocks(repo: Path, watched: Watched, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few test machines have such a filesystem: the ioctl is played by a copy."""
    plant(repo, TREE)
    plain = ingest(watched, store)
    store.release_drop(plain.digest)

    def clone(source: int, target: int) -> bool:
        os.sendfile(target, source, 0, os.fstat(source).st_size)
        os.lseek(target, 0, os.SEEK_SET)  # as after the ioctl
        return True

    def refuse(*_: object) -> None:
        raise AssertionError("written again")

    monkeypatch.setattr(drop_module.fs, "clone", clone)
    monkeypatch.setattr(drop_module.fs, "write", refuse)
    monkeypatch.setattr(drop_module.Index, "record", refuse_nothing)
    assert ingest(watched, store) == plain
    assert plain.source.path("sub/w.bin").read_bytes() == TREE["a/1/sub/w.bin"]


def refuse_nothing(*_: object) -> None:
    """An index that forgets."""


def test_drops_while_somebody_swaps_the_folder(repo: Path, store: Store) -> None:
    """A real race: folders are renamed in and out all the time; every drop is one of them, whole."""
    watched = Watched(repo, store.index, config.Watch(settle_s=0.0))
    done = threading.Event()

    def swap() -> None:
        for number in range(150):
            plant(repo, {f".{number}/{name}": f"{number}" * 1000 for name in ("m.onnx", "w.bin", "x/y.bin")})
            (repo / "a").mkdir(exist_ok=True)
            if (repo / "a" / "1").exists():
                (repo / "a" / "1").rename(repo / f".old{number}")
            (repo / f".{number}").rename(repo / "a" / "1")
        done.set()

    writer = threading.Thread(target=swap)
    writer.start()
    taken: set[str] = set()
    last = False
    while not last:
        last = done.is_set()  # one more round when everything stands still
        for seen in watched.scan().entries:
            if not seen.settled:
                continue
            with suppress(DropChanged):
                drop = watched.repository.ingest(seen, store)
                contents = {drop.source.path(name).read_text() for name in drop.source.files}
                assert len(drop.source.files) == 3
                assert len(contents) == 1
                taken |= contents
                store.release_drop(drop.digest)
    writer.join(30)
    assert "149" * 1000 in taken


def test_a_file_that_a_person_names_may_be_a_hard_link(tmp_path: Path) -> None:
    """Package installers make them; what lies in a repository may not."""
    (tmp_path / "m.onnx").write_bytes(b"x")
    os.link(tmp_path / "m.onnx", tmp_path / "other")
    assert read_loose(tmp_path / "m.onnx").source.files == ("m.onnx",)


def test_a_symbol_alone_finds_its_weights(tmp_path: Path) -> None:
    for name in ("m-symbol.json", "m-0000.params", "other-0000.params", "m2-symbol.json"):
        (tmp_path / name).write_bytes(b"x")
    assert read_loose(tmp_path / "m-symbol.json").source.files == ("m-0000.params", "m-symbol.json")
