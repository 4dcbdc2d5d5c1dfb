"""A module of Torch7 with its parameters, read with their kinds; what converter and interpreter both stand on.

Rule 1: classes of nn, cudnn, cunn, inn and nngraph of one name are one module: `kind` has no package.
Rule 2: a parameter that is missing or of another kind is an error with the module's place; defaults of old files stand
        in the function, where they can be seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from gateway.core.dtypes import Array
from gateway.errors import ConversionError, CorruptModel
from gateway.formats.torch7 import t7
from gateway.formats.torch7.t7 import Function, Table, Thing

PACKAGES = ("nn", "cudnn", "cunn", "inn", "nngraph", "ccn2")
LARGEST = 1 << 16  # a kernel, stride, pad or factor
MAX_MODULES = 20_000
HOLDERS = ("model", "net", "network", "modules")
"""Names under which a checkpoint keeps its network."""

Int: TypeAlias = int
Float: TypeAlias = float
Bool: TypeAlias = bool


@dataclass(frozen=True)
class Module:
    """`path` are places as Lua counts: "2.1" is the first module in the second. `notes` are t7.read's, of the root."""

    thing: Thing
    path: str
    file: str
    notes: frozenset[str] = frozenset()

    @property
    def kind(self) -> str:
        package, _, name = self.thing.kind.rpartition(".")
        return name if package in PACKAGES else self.thing.kind

    @property
    def name(self) -> str:
        return f"{self.kind}_{self.path}" if self.path else self.kind

    @property
    def where(self) -> str:
        place = f" {self.path if len(self.path) < 60 else self.path[:40] + '...'}" if self.path else ""
        return f"{self.file}: module{place} ({self.thing.kind}) at offset {self.thing.at}"

    @property
    def fields(self) -> Table:
        found = self.thing.fields
        assert isinstance(found, Table)
        return found

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {
            str(key): value
            for key, value in self.fields.pairs.items()
            if isinstance(value, (bool, int, float, str)) and isinstance(key, str)
        }

    def error(self, what: str, hint: str = "") -> ConversionError:
        return ConversionError(f"{self.where}: {what}.", hint=hint)

    # Parameters. Errors of each: ConversionError.

    def has(self, name: str) -> Bool:
        return self.fields.get(name) is not None

    def int(self, name: str, default: Int | None = None) -> Int:
        found = self.fields.get(name, default)
        if isinstance(found, bool) or not isinstance(found, int):
            raise self.error(f"{name} is {_shown(found)}, expected a whole number")
        return found

    def size(self, name: str, default: Int | None = None, least: Int = 1) -> Int:
        found = self.int(name, default)
        if not least <= found <= LARGEST:
            raise self.error(f"{name} is {found}, expected {least} to {LARGEST}")
        return found

    def pair(self, name: str, default: Int | None = None, least: Int = 1) -> tuple[Int, Int]:
        """(height, width) of nameH and nameW."""
        return self.size(f"{name}H", default, least), self.size(f"{name}W", default, least)

    def float(self, name: str, default: Float | None = None) -> Float:
        found = self.fields.get(name, default)
        if isinstance(found, bool) or not isinstance(found, (int, float)):
            raise self.error(f"{name} is {_shown(found)}, expected a number")
        return float(found)

    def bool(self, name: str, default: Bool = False) -> Bool:
        found = self.fields.get(name, default)
        if not isinstance(found, bool):
            raise self.error(f"{name} is {_shown(found)}, expected true or false")
        return found

    def ints(self, name: str) -> tuple[Int, ...]:
        """A LongStorage or a table of numbers."""
        found = self.fields.get(name)
        if isinstance(found, np.ndarray):
            return tuple(int(each) for each in found.reshape(-1)[:64])
        items = found.items() if isinstance(found, Table) else None
        if items is None or not all(type(each) is int for each in items):
            raise self.error(f"{name} is {_shown(found)}, expected whole numbers")
        return tuple(items)

    def tensor(self, name: str, shape: Sequence[Int] | None = None) -> Array:
        """As float32, of that shape whatever the file's is; the count has to fit."""
        found = self.fields.get(name)
        if not isinstance(found, np.ndarray) or not found.size:
            raise self.error(f"has no {name}", "Was it saved before it was trained, or with its weights stripped?")
        if shape is not None and found.size != int(np.prod(shape)):
            raise self.error(f"its {name} has the shape {list(found.shape)}, expected {list(shape)}")
        with np.errstate(over="ignore"):
            made = np.ascontiguousarray(found, np.float32)
        return made if shape is None else made.reshape(tuple(shape))

    def stored(self, name: str) -> Bool:
        found = self.fields.get(name)
        return isinstance(found, np.ndarray) and found.size > 0

    def children(self) -> list[Module]:
        """The modules inside. Errors: ConversionError for a function where one should be."""
        found = self.fields.get("modules")
        items = found.items() if isinstance(found, Table) else []
        if not items:
            raise self.error("holds no modules")
        return [self.child(each, str(place)) for place, each in enumerate(items, 1)]

    def child(self, value: Any, place: str) -> Module:
        path = f"{self.path}.{place}" if self.path else place
        if path.count(".") > 200:
            raise CorruptModel(f"{self.where}: modules are nested deeper than 200, or hold themselves.")
        if isinstance(value, Function):
            raise self.error(f"module {place} is a function of Lua, which is not run")
        if not isinstance(value, Thing):
            raise self.error(f"module {place} is {_shown(value)}, expected a module")
        return Module(value, path, self.file)


def _shown(value: Any) -> str:
    return (
        "not there"
        if value is None
        else str(value)[:40]
        if isinstance(value, (int, float, str))
        else type(value).__name__
    )


def read(path: Path) -> Module:
    """The network of a file: the object, or what a checkpoint's table keeps under `model`, `net` or alone.

    Errors: CorruptModel; ConversionError for a file without a network.
    """
    root, notes = t7.read(path)
    if isinstance(root, Thing):
        return Module(root, "", path.name, notes)
    if isinstance(root, Table):
        found = [root.get(name) for name in HOLDERS if isinstance(root.get(name), Thing)]
        found = found or [value for value in root.pairs.values() if isinstance(value, Thing)]
        if len(found) == 1:
            return Module(found[0], "", path.name, notes)
        keys = ", ".join(str(key)[:40] for key in list(root.pairs)[:8])
        raise ConversionError(
            f"{path.name} holds a table of {len(root.pairs)} entries ({keys}) and {len(found)} networks, expected one.",
            hint="Save the network itself: torch.save('net.t7', net).",
        )
    raise ConversionError(
        f"{path.name} holds {_shown(root)} and no network.", hint="Save the network: torch.save('net.t7', net)."
    )


@dataclass(frozen=True)
class Step:
    """One node of an nngraph: what it computes, and which inputs of which steps its answer becomes."""

    module: Module | None
    select: Int | None
    targets: tuple[tuple[Int, Int], ...]


def steps(module: Module) -> tuple[list[Step], Int, Int]:
    """(the nodes of a gModule in order, the place of the input's node, that of the output's).

    Errors: ConversionError for a graph that is not nngraph's.
    """
    listed = module.fields.get("forwardnodes")
    nodes = [each for each in listed.items() if isinstance(each, Thing)] if isinstance(listed, Table) else []
    places = {id(_data(module, node)): place for place, node in enumerate(nodes)}
    ends = [module.fields.get(name) for name in ("innode", "outnode")]
    if not nodes or any(not isinstance(end, Thing) or id(_data(module, end)) not in places for end in ends):
        raise module.error("has no forwardnodes with an innode and an outnode")
    made = []
    for place, node in enumerate(nodes):
        data = _data(module, node)
        inner, select = data.get("module"), data.get("selectindex")
        children = node.fields.get("children")
        targets = []
        for child in children.items() if isinstance(children, Table) else []:
            there = _data(module, child)
            index = there.get("mapindex")
            at = index.pairs.get(data) if isinstance(index, Table) else None
            if id(there) not in places or not isinstance(at, int) or not 1 <= at <= 4096 or places[id(there)] <= place:
                raise module.error(f"node {place + 1} of its graph leads where nothing waits for it")
            targets.append((places[id(there)], at))
        made.append(Step(None if inner is None else module.child(inner, str(place + 1)), select, tuple(targets)))
    return made, places[id(_data(module, ends[0]))], places[id(_data(module, ends[1]))]


def _data(module: Module, node: Any) -> Table:
    found = node.fields.get("data") if isinstance(node, Thing) and isinstance(node.fields, Table) else None
    if not isinstance(found, Table):
        raise module.error("has a node without data in its graph")
    return found


def inside(module: Module) -> list[Module]:
    """The modules in a container, whichever it is. Errors: ConversionError."""
    if module.kind == "gModule":
        return [step.module for step in steps(module)[0] if step.module is not None]
    return module.children()
