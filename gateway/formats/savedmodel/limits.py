"""How large a graph may become: what a small file can grow into is counted before TensorFlow sees it.

    operators          as written, and as they are when every call is replaced by the function's body
    functions          none that calls itself, by others either: TensorFlow would not come to an end
    constants          the bytes that their shapes ask for, beyond what the file holds of them

Rule 1: standard library only, and every count is done on what the file says, never by building it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from gateway.errors import ConversionError, CorruptModel
from gateway.formats.savedmodel.metagraph import Node

MOST_NODES = 500_000  # a large real graph has 100,000
MOST_INLINED = 5_000_000
MOST_FILLED = 2 << 30  # bytes of constants that the file only tells the shape of
WIDEST = 16  # bytes of one element, where the dtype is none that is known
SIZES = {1: 4, 2: 8, 3: 4, 4: 1, 5: 2, 6: 1, 7: 8, 8: 8, 9: 8, 10: 1, 14: 2, 17: 2, 18: 16, 19: 2, 22: 4, 23: 8}
"""Bytes of an element by number of DataType; 8 for a text, which is a pointer at least."""


def refuse(nodes: Sequence[Node], functions: Mapping[str, Sequence[Node]]) -> None:
    """Errors: ConversionError with all problems, CorruptModel for a shape that is none."""
    every = [node for body in (nodes, *functions.values()) for node in body]
    problems = [*_counts(every, nodes, functions), *_constants(every)]
    if problems:
        raise ConversionError(
            f"the graph would grow beyond what is loaded here: {'; '.join(problems)}.",
            hint="Export it anew: no exporter of TensorFlow writes such a graph.",
        )


def _counts(every: Sequence[Node], nodes: Sequence[Node], functions: Mapping[str, Sequence[Node]]) -> Iterable[str]:
    if len(every) > MOST_NODES:
        yield f"it has {len(every)} operators, and up to {MOST_NODES} are read"
        return
    calls = {name: _called(body, functions) for name, body in functions.items()}
    order = _ordered(calls)
    if isinstance(order, str):
        yield f"function {order!r} calls itself"
        return
    sizes: dict[str, int] = {}
    for name in order:
        sizes[name] = len(functions[name]) + sum(sizes[called] for called in calls[name])
    whole = len(nodes) + sum(sizes[called] for called in _called(nodes, functions))
    largest = max([whole, *sizes.values()])
    if largest > MOST_INLINED:
        yield f"with its functions' bodies in place of their calls it has {largest} operators (up to {MOST_INLINED})"


def _called(body: Iterable[Node], functions: Mapping[str, Sequence[Node]]) -> list[str]:
    """One entry a call."""
    return [called for node in body for called in node.functions() if called in functions]


def _ordered(calls: Mapping[str, Sequence[str]]) -> list[str] | str:
    """Every function behind those that it calls; or the name of one that calls itself."""
    done: dict[str, None] = {}
    for start in calls:
        inside: set[str] = set()
        waiting = [(start, iter(calls[start]))] if start not in done else []
        inside.update(name for name, _ in waiting)
        while waiting:
            name, left = waiting[-1]
            called = next((each for each in left if each not in done), None)
            if called is None:
                waiting.pop()
                inside.discard(name)
                done[name] = None
            elif called in inside:
                return called
            else:
                inside.add(called)
                waiting.append((called, iter(calls[called])))
    return list(done)


def _constants(every: Iterable[Node]) -> Iterable[str]:
    """Constants of which the file tells a shape and fewer values: TensorFlow repeats the last one."""
    filled: list[tuple[int, str]] = []
    for node in every:
        if node.op != "Const" or "value" not in node.attributes:
            continue
        tensor = node.attributes["value"].message(8)
        sizes = [dim.number(1) for dim in tensor.message(2).messages(2)]
        if any(size < 0 for size in sizes):
            raise CorruptModel(f"constant {node.name!r} has the shape {sizes}.")
        asked = math.prod(sizes) * SIZES.get(tensor.number(1), WIDEST)
        held = sum(len(view) for view in tensor.views(4))
        if asked > held:
            filled.append((asked - held, node.name))
    total = sum(size for size, _ in filled)
    if total > MOST_FILLED:
        size, name = max(filled)
        yield (
            f"constants take {total} bytes that the file has no values for ({name!r} alone {size}; up to {MOST_FILLED})"
        )
