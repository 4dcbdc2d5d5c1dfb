"""What torch.save wrote, read without torch and without running any of it: tensors by name, classes, strange names.

Rule 1: nothing is imported or called. Every global is an inert stand-in that remembers its name; a tensor is its type
        and sizes.
Rule 2: bounded: the pickle's bytes, tensors, depth; a byte count in an opcode reserves nothing.
Rule 3: what breaks the rules of a pickle is CorruptModel, with the file and the place.
"""

from __future__ import annotations

import io
import pickle  # noqa: TID251  its opcodes are walked, its names are stand-ins
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.archive import Limits, kind_of, open_archive
from gateway.errors import CorruptModel

EXPANDS = Limits(ratio=100_000)  # weights of zeros pack well
MOST = 64 << 20  # bytes of a pickle
MOST_TENSORS = 100_000
DEEP = 200
MAGIC = 0x1950A86A20F9469CFC6C
Sizes = tuple[int, ...]


@dataclass(frozen=True)
class Pickled:
    """`tensors`: path -> (type, sizes), in order; `globals`: "module.name" of everything that the pickle names.

    `root` is the class of the outermost object, "" for a dictionary; `form` what the file is around the pickle.
    """

    tensors: Mapping[str, tuple[str, Sizes]]
    globals: tuple[str, ...]
    root: str
    form: str


class _Stand:
    """Stands for an object of any class: takes everything, does nothing."""

    named = ""

    def __new__(cls, *_: Any, **__: Any) -> _Stand:
        return object.__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        self.state: Any = None
        self.items: dict[Any, Any] = {}

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items[key] = value

    def append(self, value: Any) -> None:
        self.items[len(self.items)] = value

    def extend(self, values: Any) -> None:
        for value in values:
            self.append(value)

    def add(self, value: Any) -> None:
        self.append(value)


@dataclass(frozen=True)
class _Storage:
    kind: str


@dataclass(frozen=True)
class _Tensor:
    kind: str
    sizes: Sizes


def read(path: Path) -> Pickled:
    """Errors: CorruptModel, UnsafeArchive, CorruptArchive."""
    with path.open("rb") as stream:
        head = stream.read(512)
    if kind_of(head) == "zip":
        with open_archive(path, EXPANDS) as archive:
            name = next((n for n in sorted(archive.names) if n == "data.pkl" or n.endswith("/data.pkl")), "")
            if not name:
                raise CorruptModel(f"{path.name} is a zip without data.pkl, where torch.save keeps its objects.")
            return _walked(io.BytesIO(archive.read(name, MOST)), f"{path.name}, {name}", "zip")
    if kind_of(head) == "tar":
        raise CorruptModel(
            f"{path.name} is a tar of torch.save before 0.2, which is not read here.",
            hint="Load it with an old torch and save it again.",
        )
    with path.open("rb") as stream:
        return _walked(io.BytesIO(stream.read(MOST)), path.name, "before 1.6")


def _walked(stream: io.BytesIO, where: str, form: str) -> Pickled:
    reader = _Reader(stream)
    try:
        found = reader.load()
        if found == MAGIC and form != "zip":  # protocol, system and the object follow, each a pickle of its own
            for _ in range(3):
                reader = _Reader(stream)
                found = reader.load()
        tensors = dict(_tensors(found, where))
    except CorruptModel:
        raise
    except (Exception, RecursionError, MemoryError) as error:
        said = f"{type(error).__name__}: {str(error)[:160]}".rstrip(": ")
        raise CorruptModel(
            f"{where}: the pickle cannot be read near byte {stream.tell()}: {said}.",
            hint="Copy the file again; it may have been cut short or damaged.",
        ) from error
    root = getattr(type(found), "named", "") if isinstance(found, _Stand) else ""
    if root == "collections.OrderedDict":
        root = ""
    return Pickled(tensors, tuple(reader.named), root, form)


def _refuse_claim(self: Any) -> None:
    """BYTEARRAY8 reserves what it claims before a byte of it is read; torch.save never writes it."""
    raise pickle.UnpicklingError("a byte array, which torch.save does not write")


class _Reader(pickle._Unpickler):  # the one in Python: memo and stack grow only as they are used
    dispatch = pickle._Unpickler.dispatch | {ord("\x96"): _refuse_claim}

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream, encoding="utf-8", errors="replace")
        self.named: dict[str, None] = {}

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        self.named[full] = None
        if module == "torch._utils" and name in ("_rebuild_tensor_v2", "_rebuild_tensor"):
            return _tensor
        if module == "torch._utils" and name == "_rebuild_parameter":
            return lambda data=None, *_: data
        if module in ("torch", "torch.cuda", "torch.storage") and name.endswith("Storage"):
            return _Storage(name.removesuffix("Storage").lower() or "untyped")
        if full == "torch.Size":
            return tuple
        return type("Stand", (_Stand,), {"named": full})

    def get_extension(self, code: int) -> None:
        raise pickle.UnpicklingError(f"extension {code}, which torch.save does not write")

    def persistent_load(self, pid: Any) -> Any:
        kind = pid[1] if isinstance(pid, tuple) and len(pid) > 1 else None
        return kind if isinstance(kind, _Storage) else _Storage(getattr(kind, "named", "unknown"))


def _tensor(storage: Any = None, offset: Any = 0, sizes: Any = (), *_: Any) -> _Tensor:
    kind = KINDS.get(storage.kind, storage.kind) if isinstance(storage, _Storage) else "unknown"
    whole = (
        isinstance(sizes, tuple) and len(sizes) <= 64 and all(isinstance(n, int) and 0 <= n < 1 << 48 for n in sizes)
    )
    if not whole:
        raise ValueError(f"a tensor of sizes {str(sizes)[:80]}")
    return _Tensor(kind, sizes)


KINDS = {
    "float": "float32", "double": "float64", "half": "float16", "bfloat16": "bfloat16", "long": "int64", "int": "int32",
    "short": "int16", "char": "int8", "byte": "uint8", "bool": "bool",
}  # fmt: skip


def _tensors(found: Any, where: str) -> Iterator[tuple[str, tuple[str, Sizes]]]:
    """Every tensor below `found` with its path, each object once. Modules are walked as state_dict() names them."""
    waiting, seen, count = [("", found, 0)], set[int](), 0
    while waiting:
        path, item, depth = waiting.pop()
        if isinstance(item, _Tensor):
            count += 1
            if count > MOST_TENSORS:
                raise CorruptModel(f"{where}: more than {MOST_TENSORS} tensors.")
            yield path, (item.kind, item.sizes)
            continue
        inner = _inner(item)
        if not inner or id(item) in seen or depth > DEEP:
            continue
        seen.add(id(item))
        waiting += [(f"{path}.{key}" if path else key, value, depth + 1) for key, value in reversed(inner)]


def _inner(item: Any) -> list[tuple[str, Any]]:
    if isinstance(item, dict):
        return [(str(key)[:200], value) for key, value in item.items()]
    if isinstance(item, (list, tuple)):
        return [(str(place), value) for place, value in enumerate(item)]
    if not isinstance(item, _Stand):
        return []
    state = item.state if isinstance(item.state, dict) else {}
    own = [(key, state[key]) for key in ("_parameters", "_buffers", "_modules") if key in state]
    if own:
        return [pair for _, group in own for pair in _inner(group)]
    return [(str(key)[:200], value) for key, value in (*item.items.items(), *state.items())]
