"""Folders from a spec, and a clock that moves when told."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway import config
from gateway.core.artifact import Artifact, Provenance, Verdict, Verification
from gateway.core.signature import Signature, TensorSpec
from gateway.repository.index import Index
from gateway.repository.source import Repository, Scan, Seen

WATCH = config.Watch(settle_s=2.0)


@dataclass(frozen=True)
class Link:
    to: str


@dataclass(frozen=True)
class Hard:
    to: str


@dataclass(frozen=True)
class Sparse:
    size: int


class Folder:
    """An empty folder."""


class Fifo:
    """A named pipe: reading it would block for ever."""


Entry = str | bytes | Link | Hard | Sparse | type[Folder] | type[Fifo]
Tree = Mapping[str, Entry]


def plant(root: Path, tree: Tree) -> Path:
    """Write `tree` below `root`. `{outside}` in a link's target is a folder beside the root."""
    root.mkdir(parents=True, exist_ok=True)
    for name, entry in tree.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(entry, str | bytes):
            path.write_bytes(entry.encode() if isinstance(entry, str) else entry)
        elif isinstance(entry, Link):
            path.symlink_to(entry.to.format(outside=root.parent / "outside"))
        elif isinstance(entry, Hard):
            os.link(root / entry.to, path)
        elif isinstance(entry, Sparse):
            with path.open("wb") as stream:
                stream.truncate(entry.size)
        elif entry is Fifo:
            os.mkfifo(path)
        else:
            path.mkdir()
    return root


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Watched:
    """A repository on a clock of the test's own."""

    def __init__(self, root: Path, index: Index, watch: config.Watch = WATCH) -> None:
        self.clock = Clock()
        self.repository = Repository(root, watch, index, self.clock, suffixes=(".onnx", ".pb"))

    def scan(self, after_s: float = 0.0) -> Scan:
        self.clock.now += after_s
        return self.repository.scan()

    def settled(self) -> dict[tuple[str, int], Seen]:
        """What lies there, once it has held long enough."""
        self.scan()
        return {(seen.model, seen.version): seen for seen in self.scan(2.0).entries}


def artifact(*, source: str = "") -> Artifact:
    spec = TensorSpec("x", "float32", (None, 2))
    return Artifact(
        digest="",
        kind="onnx",
        signatures=(Signature(inputs=(spec,), outputs=(spec,)),),
        provenance=Provenance("onnx", "13", "a magic number", source, "test 1", "base", "none"),
        verification=Verification(Verdict.UNVERIFIED, reason="a test made it"),
    )
