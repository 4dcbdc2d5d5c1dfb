"""Containers: who is given what. Values are tensors, or lists of values: Torch's tables.

Rule 1: a module that stands in two places is computed in both; how often altogether is bounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from gateway.errors import ConversionError
from gateway.formats.torch7.module import MAX_MODULES, Module, inside, steps
from gateway.formats.torch7.node import FORMAT_NAME, Node
from gateway.graph.emit import Emit
from gateway.graph.registry import converter

Value: TypeAlias = "str | list[Value]"

CHAINS = ("Sequential", "SpatialLPPooling")
WRAPPERS = ("Decorator", "DataParallelTable", "Inception", "NaN", "Profile")
TABLES = ("Identity", "FlattenTable", "SelectTable", "NarrowTable")
BRANCHES = ("Concat", "DepthConcat", "ConcatTable", "ParallelTable", "Parallel", "MapTable")
CONTAINERS = (*CHAINS, *WRAPPERS, *BRANCHES, "gModule")


def leaves(root: Module) -> Iterator[Module]:
    """Every module that computes something itself. Errors: ConversionError for more than MAX_MODULES."""
    waiting, count = [root], 0
    while waiting:
        module = waiting.pop()
        count += 1
        if count > MAX_MODULES:
            raise root.error(f"holds more than {MAX_MODULES} modules, or itself")
        if module.kind in CONTAINERS:
            waiting += reversed(inside(module))
        elif module.kind not in TABLES:
            yield module


def forward(graph: Emit, module: Module, value: Value) -> Value:
    """What a module makes of a value. Errors: ConversionError."""
    kind = module.kind
    if kind in CHAINS:
        for child in module.children():
            value = forward(graph, child, value)
        return value
    if kind in WRAPPERS:
        return forward(graph, module.children()[0], value)
    if kind in TABLES:
        return _moved(module, value)
    if kind == "gModule":
        return _graph(graph, module, value)
    if kind in BRANCHES:
        return _branches(graph, module, value)
    node = Node(module, tuple([value] if isinstance(value, str) else _flat(module, value)))
    names = [module.name]
    if kind == "SplitTable":
        names += [f"{module.name}:{place}" for place in range(1, 4096)]
    made = graph.call(node, converter(FORMAT_NAME, kind), names)
    return list(made) if kind == "SplitTable" else made[0]


def _flat(module: Module, value: Value) -> list[str]:
    """Errors: ConversionError for a table in a table."""
    found = [each for each in value if isinstance(each, str)]
    if len(found) != len(value):
        raise module.error("is given a table of tables")
    return found


def _listed(module: Module, value: Value) -> list[Value]:
    if isinstance(value, str):
        raise module.error("is given one tensor, expected a table")
    return value


def _moved(module: Module, value: Value) -> Value:
    """Tables that are passed on. Errors: ConversionError."""
    if module.kind == "Identity":
        return value
    items = _listed(module, value)
    if module.kind == "FlattenTable":
        flat: list[Value] = []
        waiting = list(items)
        while waiting:
            first = waiting.pop(0)
            if isinstance(first, str):
                flat.append(first)
            else:
                waiting = [*first, *waiting]
        return flat
    if module.kind == "SelectTable":
        index = module.int("index")
        at = index - 1 if index > 0 else index + len(items)
        if not 0 <= at < len(items):
            raise module.error(f"index {index} of a table of {len(items)}")
        return items[at]
    begin, count = module.int("offset"), module.int("length", 1)
    if not 1 <= begin <= begin + count - 1 <= len(items):
        raise module.error(f"offset {begin} and length {count} of a table of {len(items)}")
    return items[begin - 1 : begin - 1 + count]


def _branches(graph: Emit, module: Module, value: Value) -> Value:
    children = module.children()
    if module.kind == "MapTable":
        return [forward(graph, children[0], each) for each in _listed(module, value)]
    if module.kind == "ParallelTable":
        items = _listed(module, value)
        if len(items) != len(children):
            raise module.error(f"is given a table of {len(items)}, and holds {len(children)} modules")
        return [forward(graph, child, each) for child, each in zip(children, items, strict=True)]
    if module.kind == "Parallel":
        raise module.error("Parallel cuts the batch or channels apart, which is not supported")
    made = [forward(graph, child, value) for child in children]
    if module.kind == "ConcatTable":
        return made
    tensors = _flat(module, made)
    node = Node(module, tuple(tensors))
    axis = node.axis(graph, tensors[0], module.int("dimension"))
    if module.kind == "DepthConcat":
        tensors = _centred(graph, node, axis)
    return graph.call(node, lambda g, n: g.node("Concat", tensors, axis=axis), [module.name])[0]


def _centred(graph: Emit, node: Node, axis: int) -> list[str]:
    """Pictures of several sizes in the middle of the largest, zeros around."""
    graph.current = node
    shapes = [[graph.size(x, at) if at else 0 for at in range(graph.rank(x))] for x in node.inputs]
    largest = [max(column) for column in zip(*shapes, strict=True)]
    made = []
    for x, shape in zip(node.inputs, shapes, strict=True):
        gaps = [0 if at == axis else most - size for at, (size, most) in enumerate(zip(shape, largest, strict=True))]
        ends = [*(gap // 2 for gap in gaps), *(gap - gap // 2 for gap in gaps)]
        made.append(graph.node("Pad", [x, graph.ints(*ends), graph.scalar(0.0, x)]) if any(gaps) else x)
    return made


def _graph(graph: Emit, module: Module, value: Value) -> Value:
    """nngraph: every node once, in order; what it makes goes to its children."""
    nodes, first, last = steps(module)
    waiting: list[dict[int, Value]] = [{} for _ in nodes]
    waiting[first][1] = value
    for place, step in enumerate(nodes):
        given = [waiting[place][index] for index in sorted(waiting[place])]
        if place == last:
            return given[0] if len(given) == 1 else given
        if not given:
            raise module.error(f"node {place + 1} of its graph is given nothing")
        made: Value = given[0] if len(given) == 1 else given
        if step.select is not None:
            items = _listed(module, made)
            if not isinstance(step.select, int) or not 1 <= step.select <= len(items):
                raise module.error(f"node {place + 1} takes {step.select} of {len(items)}")
            made = items[step.select - 1]
        elif step.module is not None:
            made = forward(graph, step.module, made)
        for target, index in step.targets:
            waiting[target][index] = made
    raise ConversionError(f"{module.where}: its outnode is not among its nodes.")
