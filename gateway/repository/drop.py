"""Drop: what a person put down, once it has stopped changing, copied by content.

Rule 1: a Drop's files are plain files of ours: no links, no hard links shared with anybody.
Rule 2: `digest` depends on the bytes and relative names of all files (labels and vectors
        included), and on nothing else: not on time, place or machine. model.toml and config.pbtxt are left
        out: what they say is in `options`, and the store's key takes from it what changes the artifact.
Rule 3: the bytes that are hashed are the bytes that are kept; files that changed between the
        scan and the end of the copy make no Drop (DropChanged).
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tempfile
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gateway import config
from gateway.core import modeltoml, tritonconfig
from gateway.core.modeltoml import ModelOptions
from gateway.errors import DropChanged, DropError, JobCancelled
from gateway.formats.base import Source
from gateway.repository import fs, unpack
from gateway.repository.index import Index, Known
from gateway.repository.seen import VECTORS, Seen, look_at, parse_options, triton_text
from gateway.repository.store import Store
from gateway.repository.walk import FileStat

if TYPE_CHECKING:
    from hashlib import _Hash

CHUNK = 4 << 20
MAX_LABELS_BYTES = 16 << 20
_MOVED = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE)


@dataclass(frozen=True)
class Drop:
    """`vectors` is the folder with the owner's input_*.npy and output_*.npy, or None."""

    model: str
    version: int
    digest: str
    source: Source
    options: ModelOptions
    labels: tuple[str, ...] = ()
    vectors: Path | None = None
    bytes: int = 0


def ingest(seen: Seen, store: Store, index: Index, cancel: threading.Event | None = None) -> Drop:
    """Copy what was seen into the store, by content; the copy is pinned until `store.release_drop(digest)`.

    Files that the index knows and whose copy is still there are not copied again.
    Errors: the entry's own problem; DropChanged; DropError; StoreError (disk full); JobCancelled.
    """
    if seen.problem is not None:
        raise seen.problem
    known = index.get(seen.fingerprint)
    if known is not None and (folder := store.find_drop(known.digest)) is not None:
        if all(_size(folder / place(file)) == file.size for file in _kept(seen)):
            return _drop(seen, folder, known)
        store.release_drop(known.digest)
    with store.stage() as folder:
        digest = _copy(seen, folder, cancel)
        said = _owner_says(seen, folder / "owner")
        archive = unpack.parcel(Source(folder / "files", seen.source.files))
        if archive is not None:
            inner = _unpack(seen, archive, folder / unpack.FOLDER, cancel)
            said = said if _has_toml(seen) else _owner_says(inner, _toml_folder(inner))
        known = Known(digest, *said, seen.bytes)
        again = seen.again()
        if again is None or again.fingerprint != seen.fingerprint:
            raise _changed(seen)
        store.step("drop copied")
        folder = store.keep_drop(digest, folder)
    index.record(seen.fingerprint, known)
    store.step("drop indexed")
    return _drop(seen, folder, known)


def _unpack(seen: Seen, archive: Path, folder: Path, cancel: threading.Event | None = None) -> Seen:
    """Unpack what a drop consists of, and look at it. Errors: UnsafeArchive, CorruptArchive, DropError, StoreError."""
    unpack.unpack(archive, folder, seen.watch, cancel)
    with fs.guard("unpacking a drop", folder):
        fs.sync_tree(folder)
    return unpack.unpacked(folder, seen.place.shown, seen.watch)


@dataclass(frozen=True)
class LooseDrop:
    """A model outside any repository, read where it lies: nothing is copied and nothing is watched.

    An archive is unpacked into a temporary folder, which goes when this does.
    """

    source: Source
    options: ModelOptions
    labels: tuple[str, ...]
    vectors: Path | None
    digest: str


def read_loose(path: Path, watch: config.Watch | None = None) -> LooseDrop:
    """A model's file or folder as the command line names it, with the digest it would have as a Drop.

    Errors: DropError (nothing there, no model files, unsafe or too large), ModelTomlError, DropChanged.
    """
    seen = look_at(path, watch)
    digest = hashlib.sha256()
    for file in _kept(seen):
        digest.update(_header(file))
        with _opened(seen, file) as descriptor:
            for chunk in _chunks(seen, file, descriptor):
                digest.update(chunk)
    archive, folder, inner = unpack.parcel(seen.source), None, seen
    if archive is not None:
        folder = Path(tempfile.mkdtemp(prefix="model-gateway-"))
        try:
            inner = _unpack(seen, archive, folder / unpack.FOLDER)
        except BaseException:
            fs.remove_tree(folder)
            raise
    options, labels = _owner_says(owner := seen if _has_toml(seen) else inner, _toml_folder(owner))
    vectors = inner.root / "test" if _has_vectors(inner) else None
    loose = LooseDrop(inner.source, options, labels, vectors, digest.hexdigest())
    if folder is not None:
        weakref.finalize(loose, fs.remove_tree, folder)
    return loose


def _has_toml(seen: Seen) -> bool:
    return any(file.owner and file.name == modeltoml.FILE for file in seen.files)


def _toml_folder(seen: Seen) -> Path:
    """Where model.toml lies, and the labels with it."""
    return next((path.parent for path in seen.place.tomls if path.exists()), seen.root)


def place(file: FileStat) -> str:
    """Where a file stands in the copy: the model below files/, what is the owner's below owner/."""
    return f"{'owner' if file.owner else 'files'}/{file.name}"


def _drop(seen: Seen, folder: Path, known: Known) -> Drop:
    source = Source(folder / "files", seen.source.files)
    vectors = folder / "owner" / "test" if _has_vectors(seen) else None
    if (folder / unpack.FOLDER).is_dir():
        inner = unpack.unpacked(folder / unpack.FOLDER, seen.place.shown, seen.watch)
        source, vectors = inner.source, inner.root / "test" if _has_vectors(inner) else None
    return Drop(
        model=seen.model,
        version=seen.version,
        digest=known.digest,
        source=source,
        options=known.options,
        labels=known.labels,
        vectors=vectors,
        bytes=known.bytes,
    )


def _has_vectors(seen: Seen) -> bool:
    return any(file.owner and VECTORS.fullmatch(file.name) for file in seen.files)


def _header(file: FileStat) -> bytes:
    return f"{place(file)}\0{file.size}\0".encode()


def _changed(seen: Seen) -> DropChanged:
    return DropChanged(
        f"{seen.place.shown} changed while it was copied; nothing was taken.",
        hint="It is taken when it has held still again.",
    )


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return -1


def _kept(seen: Seen) -> list[FileStat]:
    """The files that the copy holds: all but model.toml and config.pbtxt."""
    said = (modeltoml.FILE, tritonconfig.FILE)
    return [file for file in seen.files if file.name not in said or not file.owner]


def _copy(seen: Seen, folder: Path, cancel: threading.Event | None) -> str:
    """The digest of what was written below `folder`."""
    digest = hashlib.sha256()
    for file in _kept(seen):
        target = folder / place(file)
        with fs.guard("copying a drop", target):
            fs.make_folder(target.parent)
        with _opened(seen, file) as source:
            digest.update(_header(file))
            _copy_file(seen, file, source, target, digest, cancel)
    return digest.hexdigest()


@contextmanager
def _opened(seen: Seen, file: FileStat) -> Iterator[int]:
    """A descriptor of the very file that was seen. Errors: DropChanged, at the end too; DropError."""
    try:
        descriptor = os.open(file.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _unreadable(seen, file, error) from None
    try:
        # The scan has made sure where this very file lies; another one under its name is another drop.
        if not _unchanged(file, descriptor, seen.place.named):
            raise _changed(seen)
        yield descriptor
        if not _unchanged(file, descriptor, seen.place.named):
            raise _changed(seen)
    finally:
        os.close(descriptor)


def _unchanged(file: FileStat, descriptor: int, named: bool) -> bool:
    status = os.fstat(descriptor)
    one_name = named or status.st_nlink == 1
    return stat.S_ISREG(status.st_mode) and one_name and file.same_file(status)


def _unreadable(seen: Seen, file: FileStat, error: OSError) -> DropError:
    if error.errno in _MOVED:
        return _changed(seen)
    return DropError(f"{seen.place.shown}: {file.name} cannot be read: {error.strerror}.")


def _copy_file(
    seen: Seen, file: FileStat, source: int, target: Path, digest: _Hash, cancel: threading.Event | None
) -> None:
    with fs.guard("copying a drop", target):
        out = fs.create(target)
    try:
        shares_blocks = fs.clone(source, out)
        done, reader = 0, out if shares_blocks else source
        for chunk in _chunks(seen, file, reader):
            if cancel is not None and cancel.is_set():
                raise JobCancelled(f"{seen.place.shown} changed or disappeared while it was copied.")
            digest.update(chunk)
            done += len(chunk)
            if not shares_blocks:
                with fs.guard("copying a drop", target):
                    fs.write(out, chunk)
        if done != file.size:
            raise _changed(seen)
        with fs.guard("copying a drop", target):
            fs.sync(out)
    finally:
        os.close(out)


def _chunks(seen: Seen, file: FileStat, descriptor: int) -> Iterator[bytes]:
    while True:
        try:
            chunk = os.read(descriptor, CHUNK)
        except OSError as error:
            raise _unreadable(seen, file, error) from None
        if not chunk:
            return
        yield chunk


def _owner_says(seen: Seen, labels_below: Path) -> tuple[ModelOptions, tuple[str, ...]]:
    """Options, and the labels from the folder that holds them. Errors: ModelTomlError, DropError, DropChanged."""
    owner = {file.name: file for file in seen.files if file.owner}
    options, labels = _toml_says(seen, owner, labels_below)
    triton = owner.get(tritonconfig.FILE)
    if triton is None:
        return options, labels
    assert seen.place.triton is not None, "the file came from there"
    shown = seen.place.shown_toml(seen.place.triton)
    with _opened(seen, triton) as descriptor:
        text = triton_text(b"".join(_chunks(seen, triton, descriptor)), shown)
    named = tritonconfig.parse(text, where=shown).labels[1]
    if named and not options.labels:
        if named not in owner:
            raise _changed(seen)
        labels = read_labels(labels_below / named, f"{shown}: labels '{named}'")
    return replace(options, config_pbtxt=text), labels


def _toml_says(seen: Seen, owner: Mapping[str, FileStat], labels_below: Path) -> tuple[ModelOptions, tuple[str, ...]]:
    toml = owner.get(modeltoml.FILE)
    if toml is None:
        return ModelOptions(), ()
    shown = next((seen.place.shown_toml(path) for path in seen.place.tomls if path.exists()), modeltoml.FILE)
    with _opened(seen, toml) as descriptor:
        options = parse_options(b"".join(_chunks(seen, toml, descriptor)), shown)
    if not options.labels:
        return options, ()
    if options.labels not in owner:
        raise _changed(seen)  # the model.toml that named the labels of the scan was another one
    return options, read_labels(labels_below / options.labels, f"{shown}: labels '{options.labels}'")


def read_labels(path: Path, shown: str) -> tuple[str, ...]:
    """One label a line, in the order of the classes. Blank lines count, except at the end. Errors: DropError."""
    size = path.stat().st_size
    if size > MAX_LABELS_BYTES:
        raise DropError(f"{shown} has {size} bytes, expected at most {MAX_LABELS_BYTES}.")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DropError(f"{shown} is not UTF-8 text: byte {error.start}.", hint="Save it as UTF-8.") from None
    return tuple(line.removesuffix("\r") for line in text.rstrip().split("\n")) if text.strip() else ()
