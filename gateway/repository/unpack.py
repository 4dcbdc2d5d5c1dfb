"""A dropped archive that is no format of its own: unpacked beside its copy and taken for what it holds.

    faces.zip = a folder faces/ that somebody packed: with a model, and perhaps model.toml and test/*.npy

Rule 1: one level: an archive inside an archive is a file that nobody recognises.
Rule 2: the bounds of a drop (watch.max_drop_bytes, watch.max_drop_files) hold for what it unpacks to.
Rule 3: what a packer adds on its own (__MACOSX, .DS_Store) is not unpacked; a lone folder around all is the root.
"""

from __future__ import annotations

import threading
from pathlib import Path

from gateway import config
from gateway.archive import Limits, kind_of, open_archive
from gateway.errors import JobCancelled
from gateway.formats.base import Source
from gateway.recognise import recognise
from gateway.repository.seen import Seen, look_at
from gateway.repository.walk import is_ignored

FOLDER = "unpacked"
KINDS = ("zip", "tar")  # of the recogniser: what is no model's own form; a tar may be gzipped


def parcel(source: Source) -> Path | None:
    """The one file of a drop, when it is an archive and nothing more: a .keras or a .pt is a zip too. Else None.

    What the recogniser does not know at all (a tar of nothing but links) is one too: the extractor says what is wrong.
    """
    if len(source.files) != 1 or not kind_of(source.head(source.files[0], 512)):
        return None
    best = recognise(source.root, source.files).best
    return source.path(source.files[0]) if best is None or best.kind in KINDS else None


def unpack(archive: Path, folder: Path, watch: config.Watch, cancel: threading.Event | None = None) -> None:
    """All files of `archive` below `folder`, or none.

    Errors: UnsafeArchive, CorruptArchive, StoreError, JobCancelled.
    """

    def check() -> None:
        if cancel is not None and cancel.is_set():
            raise JobCancelled(f"{archive.name} changed or disappeared while it was unpacked.")

    limits = Limits(members=watch.max_drop_files, total_bytes=watch.max_drop_bytes)
    with open_archive(archive, limits) as opened:
        opened.extract(folder, lambda name: not any(map(is_ignored, name.split("/"))), check)


def unpacked(folder: Path, shown: str, watch: config.Watch) -> Seen:
    """What was unpacked there, as a drop of its own; `shown` is the archive. Errors: DropError, ModelTomlError."""
    inside = list(folder.iterdir())
    root = inside[0] if len(inside) == 1 and inside[0].is_dir() else folder
    return look_at(root, watch, shown)
