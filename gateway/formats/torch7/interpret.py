"""Torch7's modules computed in float64, from what nn's Lua and THNN's C do: the second judge.

It shares with the converter what reads the files (t7.py, module.py), and nothing else.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np

from gateway.core.dtypes import Array
from gateway.formats.torch7.interpret_layers import TABLE
from gateway.formats.torch7.module import Module, inside, steps

Value: TypeAlias = "Array | list[Value]"
Seen: TypeAlias = Callable[[Module, Any], None]

_CONTAINERS = ("Sequential", "SpatialLPPooling", "Decorator", "DataParallelTable", "Inception", "NaN", "Profile",
               "Concat", "DepthConcat", "ConcatTable", "ParallelTable", "MapTable", "gModule")  # fmt: skip


def missing(root: Module) -> dict[str, int]:
    """Modules without a function, counted."""
    found: Counter[str] = Counter()
    waiting = [root]
    while waiting:
        module = waiting.pop()
        if module.kind in _CONTAINERS:
            waiting += inside(module)
        elif module.kind not in TABLE and module.kind not in _MOVES:
            found[module.kind] += 1
    return dict(found)


def interpret(root: Module, given: Value, seen: Seen = lambda module, value: None) -> Value:
    """The answer of a network. `seen` is told of every module's. Errors: whatever numpy raises."""
    kind = root.kind
    value: Any = given
    if kind in ("Sequential", "SpatialLPPooling"):
        for child in root.children():
            value = interpret(child, value, seen)
        return value  # type: ignore[no-any-return]
    if kind in ("Decorator", "DataParallelTable", "Inception", "NaN", "Profile"):
        return interpret(root.children()[0], value, seen)
    if kind == "gModule":
        return _nngraph(root, value, seen)
    if kind == "MapTable":
        return [interpret(root.children()[0], each, seen) for each in value]
    if kind == "ParallelTable":
        return [interpret(child, each, seen) for child, each in zip(root.children(), value, strict=True)]
    if kind in ("ConcatTable", "Concat", "DepthConcat"):
        made: Any = [interpret(child, value, seen) for child in root.children()]
        if kind != "ConcatTable":
            made = _side_by_side(root, made)
            seen(root, made)
        return made  # type: ignore[no-any-return]
    if kind in _MOVES:
        return _MOVES[kind](root, value)  # type: ignore[no-any-return]
    found: Value = TABLE[kind](root, value)
    seen(root, found)
    return found


def _side_by_side(module: Module, arrays: list[Array]) -> Array:
    axis = module.int("dimension") - 1
    if module.kind == "DepthConcat":
        largest = np.max([array.shape for array in arrays], 0)
        placed = []
        for array in arrays:
            room = [n if at == axis else most for at, (n, most) in enumerate(zip(array.shape, largest))]
            canvas = np.zeros([int(each) for each in room])
            begin = [math.floor((most - n) / 2) for n, most in zip(array.shape, room)]
            canvas[tuple(slice(int(b), int(b) + n) for b, n in zip(begin, array.shape))] = array
            placed.append(canvas)
        arrays = placed
    return np.concatenate(arrays, axis)


def _nngraph(module: Module, value: Value, seen: Seen) -> Value:
    nodes, first, last = steps(module)
    inbox: dict[int, dict[int, Value]] = {place: {} for place in range(len(nodes))}
    inbox[first] = {1: value}
    for place, node in enumerate(nodes):
        given = [inbox[place][key] for key in sorted(inbox[place])]
        made: Any = given[0] if len(given) == 1 else given
        if place == last:
            return made  # type: ignore[no-any-return]
        if node.select is not None:
            made = made[node.select - 1]
        elif node.module is not None:
            made = interpret(node.module, made, seen)
        for target, key in node.targets:
            inbox[target][key] = made
    raise ValueError("no outnode")


def _flattened(value: Any) -> list[Value]:
    return [value] if isinstance(value, np.ndarray) else [leaf for each in value for leaf in _flattened(each)]


def _select(module: Module, value: Any) -> Value:
    index = module.int("index")
    found: Value = value[index - 1 if index > 0 else index]
    return found


def _narrow(module: Module, value: Any) -> Value:
    first = module.int("offset") - 1
    found: Value = value[first : first + module.int("length", 1)]
    return found


_MOVES: Mapping[str, Callable[[Module, Any], Any]] = {
    "Identity": lambda module, value: value,
    "FlattenTable": lambda module, value: _flattened(value),
    "SelectTable": _select,
    "NarrowTable": _narrow,
}


def walk(root: Module, given: Value) -> Iterator[tuple[str, str, dict[str, Array]]]:
    """(module, its kind, its answers by tensor name), in the order that they are computed."""
    found: list[tuple[str, str, dict[str, Array]]] = []

    def seen(module: Module, value: Any) -> None:
        arrays = _flattened(value)
        names = {module.name if not k else f"{module.name}:{k}": np.asarray(a) for k, a in enumerate(arrays)}
        found.append((module.name, module.kind, names))

    interpret(root, given, seen)
    return iter(found)
