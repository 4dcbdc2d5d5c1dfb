"""What counts as a model and what does not: each row is a tree, and what a scan makes of it."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway import config
from gateway.errors import AmbiguousFormat, DropError, DropTooLarge, GatewayError, ModelTomlError, UnsafeDrop
from gateway.repository.store import Store
from tests.repository.trees import Fifo, Folder, Hard, Link, Sparse, Tree, Watched, plant


@dataclass(frozen=True)
class Case:
    """`seen` maps "model/version" to its files (the owner's marked with a star) or to what is wrong."""

    tree: Tree
    seen: dict[str, list[str] | type[GatewayError]]
    says: tuple[str, ...] = ()  # in the problems' texts and hints
    notes: tuple[str, ...] = ()
    watch: config.Watch = field(default_factory=lambda: config.Watch(settle_s=2.0))


M = "net bytes"
CASES = {
    # --- the three layouts
    "empty repository": Case({}, {}),
    "version folders": Case(
        {"yolo/1/model.onnx": M, "yolo/2/model.onnx": M}, {"yolo/1": ["model.onnx"], "yolo/2": ["model.onnx"]}
    ),
    "leading zeros are a number": Case({"half/00000123/saved_model.pb": M}, {"half/123": ["saved_model.pb"]}),
    "version 0": Case({"a/0/m.onnx": M}, {"a/0": ["m.onnx"]}),
    "files in the model's folder are version 1": Case(
        {"net/saved_model.pb": M, "net/variables/variables.index": M},
        {"net/1": ["saved_model.pb", "variables/variables.index"]},
    ),
    "single file": Case({"net.onnx": M}, {"net/1": ["net.onnx"]}),
    "single file, suffix in capitals": Case({"net.ONNX": M}, {"net/1": ["net.ONNX"]}),
    "single file with its toml": Case(
        {"net.onnx": M, "net.toml": 'verify = "off"'}, {"net/1": ["net.onnx", "model.toml*"]}
    ),
    "single file with its weights beside it": Case(
        {"net.onnx": M, "net.onnx.data": M, "net.onnx_data_1": M, "net.onnxdata": M},
        {"net/1": ["net.onnx", "net.onnx.data", "net.onnx_data_1"]},
        notes=("net.onnxdata is not taken as a model",),
    ),
    "single file beside version folders of other numbers": Case(
        {"net.onnx": M, "net/2/m.onnx": M}, {"net/1": ["net.onnx"], "net/2": ["m.onnx"]}
    ),
    "labels and settings beside version folders are no model, whatever format calls its files so": Case(
        {"net/1/m.onnx": M, "net/classes.txt": "cat", "net/config.json": "{}", "net/net.cfg": "x"},
        {"net/1": ["m.onnx"]},
    ),
    "name with dots": Case({"yolo.v8.n.onnx": M}, {"yolo.v8.n/1": ["yolo.v8.n.onnx"]}),
    "v1 is not a version": Case({"net/v1/model.onnx": M}, {"net/1": ["v1/model.onnx"]}),
    # --- what is not a model
    "papers": Case({"README.md": "x", "notes.txt": "x", "net.toml": "", "labels.csv": "a", "logo.png": M}, {}),
    "an unknown suffix is told of": Case({"foo.bin": M}, {}, notes=("foo.bin is not taken as a model",)),
    "a model of a format that is not here yet is not ignored": Case({"net.h5": M}, {"net/1": ["net.h5"]}),
    "hidden": Case({".git/config": M, ".hidden.onnx": M, ".a/1/model.onnx": M}, {}),
    "a checkpoint of no name, as TensorFlow 1 writes it into a folder": Case(
        {"net/1/.meta": M, "net/1/.index": M, "net/1/.data-00000-of-00001": M, "net/1/.DS_Store": M},
        {"net/1": [".data-00000-of-00001", ".index", ".meta"]},
    ),
    "temporary names": Case(
        {f"net.onnx{end}": M for end in (".part", ".tmp", ".crdownload", ".filepart", "~", ".swp")}
        | {".net.onnx.Ab12Cd": M, "a/1/model.onnx.part": M},
        {},
        notes=("a holds no files of a model yet",),
    ),
    "temporary names beside a model": Case(
        {"a/1/m.onnx": M, "a/1/m.onnx.tmp": M, "a/1/.m.onnx.x1Y2z3": M}, {"a/1": ["m.onnx"]}
    ),
    "empty model folder waits": Case({"net": Folder}, {}),
    "empty version folder waits, the others do not": Case({"net/1/m.onnx": M, "net/2": Folder}, {"net/1": ["m.onnx"]}),
    "only empty version folders": Case(
        {"net/1": Folder, "net/2": Folder}, {}, notes=("net holds no files of a model yet",)
    ),
    "a folder with nothing but papers of its owner waits": Case(
        {"net/3/model.toml": 'verify = "off"', "net/3/README": "x", "net/3/_SUCCESS": ""},
        {},
        notes=("net/3 holds no files of a model yet",),
    ),
    "lost+found": Case({"lost+found/x.onnx": M}, {}),
    # --- the owner's files
    "vectors are the owner's": Case(
        {"a/1/m.onnx": M, "a/1/test/input_0.npy": M, "a/1/test/output_0.npy": M, "a/1/test/why.txt": M},
        {"a/1": ["m.onnx", "test/why.txt", "test/input_0.npy*", "test/output_0.npy*"]},
    ),
    "labels are the owner's": Case(
        {"a/1/m.onnx": M, "a/1/model.toml": 'labels = "l.txt"', "a/1/l.txt": "cat"},
        {"a/1": ["m.onnx", "l.txt*", "model.toml*"]},
    ),
    "one toml for all versions, labels beside it": Case(
        {"a/1/m.onnx": M, "a/2/m.onnx": M, "a/model.toml": 'labels = "l.txt"', "a/l.txt": "cat"},
        {"a/1": ["m.onnx", "l.txt*", "model.toml*"], "a/2": ["m.onnx", "l.txt*", "model.toml*"]},
    ),
    "the nearer toml wins whole": Case(
        {"a/1/m.onnx": M, "a/1/model.toml": 'verify = "off"', "a/model.toml": 'labels = "gone.txt"'},
        {"a/1": ["m.onnx", "model.toml*"]},
    ),
    "labels that are not there": Case(
        {"a/1/m.onnx": M, "a/1/model.toml": 'labels = "l.txt"'},
        {"a/1": DropError},
        ("a/1/model.toml names the labels 'l.txt', which do not lie beside it",),
    ),
    "bad toml names its file": Case(
        {"a/1/m.onnx": M, "a/model.toml": 'verfy = "off"', "b.onnx": M, "b.toml": "= ="},
        {"a/1": ModelTomlError, "b/1": ModelTomlError},
        ("a/model.toml: no such key 'verfy'. Did you mean 'verify'?", "b.toml: not valid TOML"),
    ),
    "toml that is not text": Case(
        {"b.onnx": M, "b.toml": b"\xff\xfe"}, {"b/1": ModelTomlError}, ("b.toml: not UTF-8",)
    ),
    # --- two things of one name
    "two folders of one number": Case(
        {"a/1/m.onnx": M, "a/01/m.onnx": M, "a/2/m.onnx": M},
        {"a/1": AmbiguousFormat, "a/2": ["m.onnx"]},
        ("a/01 and a/1 are the same version, 1",),
    ),
    "an empty twin does no harm": Case({"a/1/m.onnx": M, "a/01": Folder}, {"a/1": ["m.onnx"]}),
    "versions and files at once": Case(
        {"a/2/m.onnx": M, "a/m.onnx": M},
        {"a/1": AmbiguousFormat, "a/2": ["m.onnx"]},
        ("a holds version folders (2) and files beside them (m.onnx)", "such as a/3/"),
    ),
    "versions and papers at once": Case(
        {"a/2/m.onnx": M, "a/labels.pbtxt": "x", "a/notes.md": "x"}, {"a/2": ["m.onnx"]}
    ),
    "a file and a folder of one name": Case(
        {"a.onnx": M, "a/1/m.onnx": M}, {"a/1": AmbiguousFormat}, ("a/1 and a.onnx each claim to be version 1",)
    ),
    "two files of one name": Case(
        {"a.onnx": M, "a.pb": M}, {"a/1": AmbiguousFormat}, ("a.onnx and a.pb each claim to be version 1",)
    ),
    # --- names
    "a name with a blank": Case(
        {"my net.onnx": M}, {"my net/1": DropError}, ("cannot be the name of a model", "Rename")
    ),
    "a folder's name with a blank": Case({"my net/1/m.onnx": M}, {"my net/1": DropError}),
    "a name of bytes that are no text": Case(
        {os.fsdecode(b"n\xff.onnx"): M}, {"n\\xff/1": DropError}, ("cannot be the name",)
    ),
    "a file's name with a line break": Case({"a/1/m\n.onnx": M}, {"a/1": UnsafeDrop}, ("cannot be printed",)),
    "a number past int64": Case(
        {"a/9223372036854775808/m.onnx": M, "a/1/m.onnx": M}, {"a/9223372036854775807": DropError, "a/1": ["m.onnx"]}
    ),
    "a number of 200 digits": Case({f"a/{'9' * 200}/m.onnx": M}, {"a/9223372036854775807": DropError}),
    # --- links
    "links that stay inside": Case(
        {"..2024/net.onnx": M, "..data": Link("..2024"), "net.onnx": Link("..data/net.onnx"), "b/1": Link("../..2024")},
        {"net/1": ["net.onnx"], "b/1": ["net.onnx"]},
    ),
    "a link out": Case(
        {"a/1/m.onnx": M, "a/1/w.bin": Link("{outside}/secret"), "b/1/m.onnx": M},
        {"a/1": UnsafeDrop, "b/1": ["m.onnx"]},
        ("a/1/w.bin is a link to", "outside/secret, which is outside the repository"),
    ),
    "a link out, as a single file": Case({"a.onnx": Link("{outside}/secret")}, {"a/1": UnsafeDrop}),
    "a link out, as a model": Case({"a": Link("{outside}")}, {"a/1": UnsafeDrop}),
    "a link out, as a version": Case({"a/3": Link("{outside}")}, {"a/3": UnsafeDrop}),
    "a link out through two links": Case(
        {"a/1/m.onnx": Link("x"), "a/1/x": Link("{outside}/secret")}, {"a/1": UnsafeDrop}
    ),
    "model.toml is a link out": Case({"a/1/m.onnx": M, "a/model.toml": Link("{outside}/secret")}, {"a/1": UnsafeDrop}),
    "labels are a link out": Case(
        {"a/1/m.onnx": M, "a/1/model.toml": 'labels = "l.txt"', "a/1/l.txt": Link("{outside}/secret")},
        {"a/1": UnsafeDrop},
    ),
    "a link to nowhere": Case({"a/1/m.onnx": Link("gone")}, {"a/1": UnsafeDrop}, ("which does not exist",)),
    "a link to itself": Case({"a/1/m.onnx": Link("m.onnx")}, {"a/1": UnsafeDrop}, ("leads in a circle",)),
    "a folder link in a circle": Case(
        {"a/1/m.onnx": M, "a/1/sub/up": Link("../..")}, {"a/1": UnsafeDrop}, ("leads in a circle",)
    ),
    "a link to the repository itself": Case({"a": Link(".")}, {"a/1": UnsafeDrop}, ("leads in a circle",)),
    # --- what is not a plain file
    "a hard link": Case(
        {"a/1/m.onnx": M, "b.onnx": Hard("a/1/m.onnx")},
        {"a/1": UnsafeDrop, "b/1": UnsafeDrop},
        ("2 names", "cp --reflink"),
    ),
    "a FIFO in a folder": Case(
        {"a/1/m.onnx": M, "a/1/pipe": Fifo, "b.onnx": M}, {"a/1": UnsafeDrop, "b/1": ["b.onnx"]}, ("is a FIFO",)
    ),
    "a FIFO as a model": Case({"a.onnx": Fifo}, {"a/1": UnsafeDrop}, ("is a FIFO",)),
    "all problems at once": Case(
        {"a/1/m.onnx": Fifo, "a/1/x": Link("gone"), "a/1/y": Link("{outside}")},
        {"a/1": UnsafeDrop},
        ("a FIFO", "does not exist", "outside the repository"),
    ),
    # --- limits
    "a sparse file of 10 GB": Case(
        {"a.onnx": Sparse(10_000_000_000), "b.onnx": M},
        {"a/1": DropTooLarge, "b/1": ["b.onnx"]},
        ("10000000000 bytes, more than the limit of 8589934592; nothing was copied",),
    ),
    "the sum counts": Case(
        {"a/1/m.onnx": b"12345", "a/1/w.bin": b"12345"}, {"a/1": DropTooLarge}, watch=config.Watch(max_drop_bytes=9)
    ),
    "too many files": Case(
        {f"a/1/{i}": M for i in range(6)},
        {"a/1": DropTooLarge},
        ("more than 5 files",),
        watch=config.Watch(max_drop_files=5),
    ),
    "too deep": Case({"a/1/" + "d/" * 40 + "m.onnx": M}, {"a/1": UnsafeDrop}, ("more than 32 folders deep",)),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_layouts(case: Case, tmp_path: Path, store: Store) -> None:
    plant(tmp_path / "outside", {"secret": "secret", "1/m.onnx": M})
    watched = Watched(plant(tmp_path / "repo", case.tree), store.index, case.watch)
    notes = watched.scan().notes
    started = time.perf_counter()
    entries = watched.scan(2.0).entries
    assert time.perf_counter() - started < 1.0
    found = {
        f"{s.model}/{s.version}": type(s.problem) if s.problem else [f.name + "*" * f.owner for f in s.files]
        for s in entries
    }
    assert found == case.seen
    assert all(seen.settled for seen in entries)
    said = " ".join(seen.problem.explain() for seen in entries if seen.problem)
    for text in case.says:
        assert text in said
    assert [note[: len(start)] for note, start in zip(notes, case.notes, strict=True)] == list(case.notes)


def test_a_socket_is_refused(repo: Path, watched: Watched) -> None:
    plant(repo, {"a/1/m.onnx": M})
    with socket.socket(socket.AF_UNIX) as server:
        before = Path.cwd()
        os.chdir(repo / "a" / "1")  # the path of a socket may only have 108 bytes
        try:
            server.bind("s")
        finally:
            os.chdir(before)
        problem = watched.settled()["a", 1].problem
    assert isinstance(problem, UnsafeDrop)
    assert "is a socket" in problem.message


def test_folder_links_that_multiply_are_bounded(repo: Path, store: Store) -> None:
    # 2^30 paths, not one file: each folder of a ladder holds two links to the next.
    tree: dict[str, object] = {f"a/1/{i}/{side}": Link(f"../{i + 1}") for i in range(29) for side in "xy"}
    plant(repo, {**tree, "a/1/29/m.onnx": M})  # type: ignore[dict-item]
    watched = Watched(repo, store.index, config.Watch(settle_s=2.0, max_drop_files=50))
    started = time.perf_counter()
    problem = watched.settled()["a", 1].problem
    assert isinstance(problem, (DropTooLarge, UnsafeDrop))
    assert time.perf_counter() - started < 2.0


def test_notes_are_made_once(repo: Path, watched: Watched) -> None:
    plant(repo, {"foo.bin": M})
    assert len(watched.scan().notes) == 1
    assert watched.scan().notes == ()
    (repo / "foo.bin").unlink()
    assert watched.scan().notes == ()
    plant(repo, {"foo.bin": M})
    assert len(watched.scan().notes) == 1


def test_suffixes_come_from_the_formats(repo: Path, store: Store) -> None:
    from gateway.repository.source import Repository

    plant(repo, {"net.onnx": M})
    assert [seen.model for seen in Repository(repo, config.Watch(), store.index).scan().entries] == ["net"]
