"""What lies at one place of a repository: its files, the owner's among them, and what is wrong with them.

Rule 1: the only files read here are model.toml and config.pbtxt, for the name of the labels file that belongs
        to the drop, and for what is wrong with them.
Rule 2: sizes and counts are checked before anything is opened: a 10 GB file costs one `stat`.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from gateway import config
from gateway.core import modeltoml, tritonconfig
from gateway.errors import DropError, DropTooLarge, GatewayError, ModelTomlError, TritonConfigError, UnsafeDrop
from gateway.formats.base import Source
from gateway.repository.layout import Place, companions
from gateway.repository.walk import FileStat, Walk, names_in, printable

VECTORS = re.compile(r"test/(input|output)_[^/]*\.npy")
MAX_TOML_BYTES = 1 << 20


@dataclass(frozen=True)
class Seen:
    """One version as it lies in the repository now.

    `root` is the folder of the files, `files` all of them (the owner's included), sorted by name.
    `problem` says why it cannot be taken; a scan only says so when it has held for `settle_s`.
    `fingerprint` is a hash over names, sizes, times and inodes: equal only for the same files,
    untouched. An entry that is not settled is to be left as it is: it says "still here".
    """

    model: str
    version: int
    root: Path
    files: tuple[FileStat, ...]
    settled: bool
    problem: GatewayError | None
    fingerprint: str
    place: Place = field(repr=False)
    watch: config.Watch = field(repr=False)

    @property
    def bytes(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def source(self) -> Source:
        """The model's files where they lie, for a cheap look; a conversion reads the Drop's copy."""
        return Source(self.root, tuple(file.name for file in self.files if not file.owner))

    def again(self) -> Seen | None:
        """The same place, looked at now; None when no model lies there any more."""
        look = examine(self.place, self.watch)
        return look.seen if look else None


@dataclass(frozen=True)
class Look:
    """`quiet` changes as long as anything there changes, temporary files of a transfer included."""

    seen: Seen
    quiet: str
    gone: bool = False  # files vanished while we looked


def examine(place: Place, watch: config.Watch) -> Look | None:
    """What lies at a place now; None when there are no model files (a folder that waits for them)."""
    if place.problem is not None:
        return _look(place, watch, (), place.problem, ())
    walk = Walk(place.boundary, place.shown, watch, hard_links=place.named)
    try:
        if place.file:
            walk.file(str(place.folder / place.file), place.file, place.shown)
            for name in place.companions:
                walk.file(str(place.folder / name), name, f"{place.shown}: {printable(name)}")
        else:
            walk.folder(str(place.folder))
    except FileNotFoundError:
        walk.gone = True
    except OSError as error:
        problem = DropError(f"{place.shown} cannot be read: {error.strerror}.")
        return _look(place, watch, (), problem, ())
    files = _sort_out(place, walk)
    if walk.gone and not files:
        return None
    if not walk.problems() and all(file.owner for file in files):
        return None
    problem_ = _problem(place, walk, files)
    return _look(place, watch, files, problem_, walk.moving, gone=walk.gone)


def _look(
    place: Place,
    watch: config.Watch,
    files: tuple[FileStat, ...],
    problem: GatewayError | None,
    moving: Iterable[str],
    gone: bool = False,
) -> Look:
    lines = [f"{f.owner} {f.name} {f.size} {f.mtime_ns} {f.ctime_ns} {f.inode}" for f in files]
    if problem is not None:
        lines.append(problem.message)
    fingerprint = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    seen = Seen(place.model, place.version, place.folder, files, False, problem, fingerprint, place, watch)
    return Look(seen, "\n".join((fingerprint, *moving)), gone)


def _problem(place: Place, walk: Walk, files: tuple[FileStat, ...]) -> GatewayError | None:
    total, watch = sum(file.size for file in files), walk.watch
    if walk.too_many or len(files) > watch.max_drop_files:
        return DropTooLarge(
            f"{place.shown} has more than {watch.max_drop_files} files; nothing was copied.",
            hint="Drop the model only, or raise watch.max_drop_files.",
        )
    if total > watch.max_drop_bytes:
        return DropTooLarge(
            f"{place.shown} has {total} bytes, more than the limit of {watch.max_drop_bytes}; nothing was copied.",
            hint="Raise watch.max_drop_bytes (MODEL_GATEWAY_WATCH__MAX_DROP_BYTES) if this is meant.",
        )
    found = walk.problems()
    if not found:
        return None
    if len(found) == 1:
        return found[0]
    texts = [error.message for error in found[:5]] + ([f"and {len(found) - 5} more."] if len(found) > 5 else [])
    kind = UnsafeDrop if any(isinstance(error, UnsafeDrop) for error in found) else DropError
    return kind(" ".join(texts), hint=found[0].hint)


def _sort_out(place: Place, walk: Walk) -> tuple[FileStat, ...]:
    """Tell the model's files from the owner's (model.toml, config.pbtxt, labels, vectors), wherever those lie."""
    toml = next((path for path in place.tomls if os.path.lexists(path)), None)
    labels = "" if toml is None else _take_toml(place, toml, walk)
    if place.triton is not None and os.path.lexists(place.triton):
        _take_triton(place, place.triton, walk, with_labels=not labels)
    elsewhere = {f.path for f in walk.files if f.owner}
    files: dict[tuple[bool, str], FileStat] = {}
    for file in walk.files:
        if not file.owner and (file.path in elsewhere or file.name in (modeltoml.FILE, tritonconfig.FILE)):
            continue
        if VECTORS.fullmatch(file.name) and not place.file:
            file = replace(file, owner=True)
        files[file.owner, file.name] = file
    return tuple(files[key] for key in sorted(files))


def _take_toml(place: Place, toml: Path, walk: Walk) -> str:
    """model.toml and the labels file that it names; the latter's name."""
    shown = place.shown_toml(toml)
    walk.file(str(toml), modeltoml.FILE, shown, owner=True)
    found = next((f for f in walk.files if f.owner and f.name == modeltoml.FILE), None)
    labels = ""
    if found is not None:
        try:
            labels = read_options(found, shown).labels
        except GatewayError as error:
            walk.unsafe.append(error)
        except FileNotFoundError:
            walk.gone = True
    if labels:
        _take_labels(toml.parent / labels, labels, shown, walk)
    return labels


def _take_triton(place: Place, path: Path, walk: Walk, *, with_labels: bool) -> None:
    """config.pbtxt, and the labels file that it names where model.toml names none."""
    shown = place.shown_toml(path)
    walk.file(str(path), tritonconfig.FILE, shown, owner=True)
    found = next((f for f in walk.files if f.owner and f.name == tritonconfig.FILE), None)
    if found is None:
        return
    try:
        # In a repository a model is named for its folder; a folder of the command line may be called anything.
        loose = place.boundary == str(place.folder)
        labels = read_triton(found, shown, "" if loose else place.model).labels[1]
    except GatewayError as error:
        walk.unsafe.append(error)
        return
    except FileNotFoundError:
        walk.gone = True
        return
    if labels and with_labels:
        _take_labels(path.parent / labels, labels, shown, walk)


def _take_labels(path: Path, name: str, shown: str, walk: Walk) -> None:
    if os.path.lexists(path):
        walk.file(str(path), name, f"{shown}: labels", owner=True)
    else:
        walk.unsafe.append(DropError(f"{shown} names the labels '{name}', which do not lie beside it."))


def read_triton(file: FileStat, shown: str, model: str) -> tritonconfig.TritonConfig:
    """config.pbtxt as facts; read again only when the file changes. Errors: TritonConfigError, OSError."""
    return _read_triton(str(file.path), shown, model, file.size, file.mtime_ns, file.ctime_ns, file.inode)


@functools.lru_cache(maxsize=1024)
def _read_triton(path: str, shown: str, model: str, size: int, *unchanged: int) -> tritonconfig.TritonConfig:
    if size > MAX_TOML_BYTES:
        raise TritonConfigError([f"{size} bytes, expected at most {MAX_TOML_BYTES}"], where=shown)
    return tritonconfig.parse(triton_text(Path(path).read_bytes(), shown), where=shown, model=model)


def triton_text(data: bytes, shown: str) -> str:
    """Errors: TritonConfigError that names the file."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TritonConfigError([f"not UTF-8 text: byte {error.start}"], where=shown) from None


def read_options(file: FileStat, shown: str) -> modeltoml.ModelOptions:
    """model.toml as options; read again only when the file changes. Errors: ModelTomlError, OSError."""
    return _read_options(str(file.path), shown, file.size, file.mtime_ns, file.ctime_ns, file.inode)


@functools.lru_cache(maxsize=1024)
def _read_options(path: str, shown: str, size: int, *unchanged: int) -> modeltoml.ModelOptions:
    if size > MAX_TOML_BYTES:
        raise ModelTomlError([f"{size} bytes, expected at most {MAX_TOML_BYTES}"], where=shown)
    return parse_options(Path(path).read_bytes(), shown)


def parse_options(data: bytes, shown: str) -> modeltoml.ModelOptions:
    """Errors: ModelTomlError that names the file."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ModelTomlError(
            [f"not UTF-8 text: byte {error.start} is 0x{data[error.start]:02x}"], where=shown
        ) from None
    return modeltoml.parse(text, where=shown)


def look_at(path: Path, watch: config.Watch | None = None, shown: str = "") -> Seen:
    """One file or folder outside a repository, as the command line names it; taken as it is now.

    `shown` is what errors call it; "" is the path itself.

    Errors: DropError when nothing is there or it holds no files, and every problem of a drop.
    """
    shown = shown or printable(str(path))
    real = Path(os.path.realpath(path))
    try:
        status = os.lstat(real)
    except OSError as error:
        raise DropError(f"{shown} cannot be read: {error.strerror}.", hint="Name a file or a folder.") from None
    name = printable(real.name) or "model"
    if stat.S_ISDIR(status.st_mode):
        place = Place(name, 1, shown, str(real), real, tomls=(real / modeltoml.FILE,))
    else:
        tomls = (real.with_suffix(".toml"), real.parent / modeltoml.FILE)
        beside = companions(real.name, names_in(real.parent))
        place = Place(name, 1, shown, str(real.parent), real.parent, real.name, beside, tomls, named=True)
    look = examine(place, watch or config.Watch())
    if look is None:
        raise DropError(
            f"{shown} holds no files of a model.", hint="An empty folder, README* and hidden files count 0."
        )
    if look.seen.problem is not None:
        raise look.seen.problem
    return replace(look.seen, settled=True)
