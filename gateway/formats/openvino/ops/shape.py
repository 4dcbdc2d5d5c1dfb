"""Layers that move elements: shapes, joins, slices, gathers."""

from __future__ import annotations

import numpy as np

from gateway.formats.openvino import NAME
from gateway.formats.openvino.convert import Node
from gateway.graph.emit import Emit
from gateway.graph.registry import op
from gateway.graph.tools import cast, squeeze, transpose, unsqueeze

ENDS = np.iinfo(np.int64)


def whole(graph: Emit, tensor: str) -> str:
    """Shape-like inputs are int64 in ONNX."""
    return cast(graph, tensor, "int64")


@op(NAME, "Reshape")
def reshape(graph: Emit, node: Node) -> str:
    """Reshape; 0 keeps a size where `special_zero` says so."""
    keeps = node.flag("special_zero")
    return graph.node("Reshape", [node.inputs[0], whole(graph, node.inputs[1])], allowzero=0 if keeps else 1)


@op(NAME, "Squeeze")
def squeezed(graph: Emit, node: Node) -> str:
    """Squeeze; without axes every size of one goes."""
    x = node.inputs[0]
    if len(node.inputs) == 1:
        return graph.node("Squeeze", [x])
    axes = [graph.axis(x, int(axis)) for axis in graph.weight(1, "axes").reshape(-1)]
    shape = graph.shape(x) or ()
    return squeeze(graph, x, [axis for axis in axes if shape[axis] in (1, None)])


@op(NAME, "Unsqueeze")
def unsqueezed(graph: Emit, node: Node) -> str:
    """Unsqueeze."""
    return unsqueeze(graph, node.inputs[0], [int(axis) for axis in graph.weight(1, "axes").reshape(-1)])


@op(NAME, "Transpose")
def transposed(graph: Emit, node: Node) -> str:
    """Transpose; an empty order turns all axes around."""
    order = [int(axis) for axis in graph.weight(1, "order").reshape(-1)]
    return transpose(graph, node.inputs[0], order or list(range(graph.rank(node.inputs[0])))[::-1])


@op(NAME, "Concat")
def concat(graph: Emit, node: Node) -> str:
    """Concat."""
    return graph.node("Concat", list(node.inputs), axis=int(node.number("axis")))


@op(NAME, "Split")
def split(graph: Emit, node: Node) -> list[str]:
    """Split into equal parts."""
    axis = graph.axis(node.inputs[0], int(graph.weight(1, "axis").reshape(-1)[0]))
    return graph.nodes("Split", [node.inputs[0]], int(node.number("num_splits")), axis=axis)


@op(NAME, "VariadicSplit")
def variadic_split(graph: Emit, node: Node) -> list[str]:
    """Split into parts of given sizes; one of them may be the rest."""
    x = node.inputs[0]
    axis = graph.axis(x, int(graph.weight(1, "axis").reshape(-1)[0]))
    parts = [int(part) for part in graph.weight(2, "lengths").reshape(-1)]
    if -1 in parts:
        parts[parts.index(-1)] = graph.size(x, axis) - sum(part for part in parts if part >= 0)
    return graph.nodes("Split", [x, graph.ints(*parts)], len(parts), axis=axis)


@op(NAME, "Slice")
def sliced(graph: Emit, node: Node) -> str:
    """Slice."""
    x, start, stop, step, *rest = node.inputs
    if rest:
        axes = whole(graph, rest[0])
    else:
        count = graph.size(start, 0)
        axes = graph.ints(*range(count))
    return graph.node("Slice", [x, whole(graph, start), whole(graph, stop), axes, whole(graph, step)])


@op(NAME, "StridedSlice")
def strided_slice(graph: Emit, node: Node) -> str:
    """Slices with masks: axes that are new, that go, or that a mask leaves whole. Bounds are constants."""
    x = node.inputs[0]
    begins, ends = (graph.weight(place, "bounds").reshape(-1).tolist() for place in (1, 2))
    steps = graph.weight(3, "steps").reshape(-1).tolist() if len(node.inputs) > 3 else [1] * len(begins)
    masks = {key: node.ints(f"{key}_mask", "") for key in ("begin", "end", "new_axis", "shrink_axis", "ellipsis")}

    def masked(key: str, place: int) -> bool:
        return place < len(masks[key]) and masks[key][place] == 1

    axis = 0
    added: list[int] = []
    gone: list[int] = []
    cuts: list[tuple[int, int, int, int]] = []
    for place in range(len(begins)):
        if masked("ellipsis", place):
            later = sum(not masked("new_axis", p) for p in range(place + 1, len(begins)))
            axis = graph.rank(x) - later
            continue
        if masked("new_axis", place):
            added.append(axis + len(added) - len(gone))
            continue
        start, stop, step = int(begins[place]), int(ends[place]), int(steps[place])
        if masked("shrink_axis", place):
            stop, step = (start + 1 if start != -1 else ENDS.max), 1
            gone.append(axis)
        else:  # a mask of 1 leaves that side open
            start = start if not masked("begin", place) else (0 if step > 0 else ENDS.max)
            stop = stop if not masked("end", place) else (ENDS.max if step > 0 else ENDS.min)
        cuts.append((start, stop, axis, step))
        axis += 1
    cuts = [cut for cut in cuts if (cut[0], cut[1], cut[3]) != (0, ENDS.max, 1)]
    if cuts:
        starts, stops, axes, strides = (graph.ints(*column) for column in zip(*cuts))
        x = graph.node("Slice", [x, starts, stops, axes, strides])
    if gone and added:
        raise graph.error("adds and drops axes at once")
    return unsqueeze(graph, squeeze(graph, x, gone), added)


@op(NAME, "Gather")
def gather(graph: Emit, node: Node) -> str:
    """Gather along one axis."""
    x, places = node.inputs[:2]
    axis = int(graph.weight(2, "axis").reshape(-1)[0]) if len(node.inputs) > 2 else int(node.number("axis", 0))
    if int(node.number("batch_dims", 0)):
        raise graph.error("gathers with batch_dims, which ONNX's Gather has not")
    return graph.node("Gather", [x, places], axis=graph.axis(x, axis))


@op(NAME, "GatherElements")
def gather_elements(graph: Emit, node: Node) -> str:
    """GatherElements."""
    return graph.node("GatherElements", list(node.inputs), axis=int(node.number("axis")))


@op(NAME, "GatherND")
def gather_nd(graph: Emit, node: Node) -> str:
    """GatherND."""
    given = [node.inputs[0], whole(graph, node.inputs[1])]
    return graph.node("GatherND", given, batch_dims=int(node.number("batch_dims", 0)))


@op(NAME, "ScatterNDUpdate")
def scatter_nd(graph: Emit, node: Node) -> str:
    """ScatterND."""
    return graph.node("ScatterND", [node.inputs[0], whole(graph, node.inputs[1]), node.inputs[2]])


@op(NAME, "ScatterElementsUpdate")
def scatter_elements(graph: Emit, node: Node) -> str:
    """ScatterElements, each place written once."""
    axis = int(graph.weight(3, "axis").reshape(-1)[0])
    if node.text("reduction", "none") != "none":
        raise graph.error("reduces what is written to one place")
    return graph.node("ScatterElements", list(node.inputs[:3]), axis=axis)


@op(NAME, "ShapeOf")
def shape_of(graph: Emit, node: Node) -> str:
    """Shape."""
    return cast(graph, graph.node("Shape", [node.inputs[0]]), node.makes[0] or "int64")


@op(NAME, "Broadcast")
def broadcast(graph: Emit, node: Node) -> str:
    """Expand; an explicit mapping puts the axes first where they belong."""
    x, target = node.inputs[0], whole(graph, node.inputs[1])
    if node.text("mode", "numpy").lower() == "explicit":
        places = [int(axis) for axis in graph.weight(2, "axes mapping").reshape(-1)]
        x = unsqueeze(graph, x, [axis for axis in range(graph.size(target, 0)) if axis not in places])
    return graph.node("Expand", [x, target])


@op(NAME, "Range")
def ranged(graph: Emit, node: Node) -> str:
    """Range."""
    kind = node.makes[0] or graph.dtype(node.inputs[0])
    given = [graph.node("Reshape", [cast(graph, tensor, kind), graph.ints()]) for tensor in node.inputs]
    return graph.node("Range", given)


@op(NAME, "Tile")
def tile(graph: Emit, node: Node) -> str:
    """Tile."""
    x, repeats = node.inputs[0], whole(graph, node.inputs[1])
    more = graph.size(repeats, 0) - graph.rank(x)
    if more > 0:
        x = unsqueeze(graph, x, list(range(more)))
    elif more < 0:
        repeats = graph.node("Concat", [graph.ints(*[1] * -more), repeats], axis=0)
    return graph.node("Tile", [x, repeats])


@op(NAME, "Pad")
def pad(graph: Emit, node: Node) -> str:
    """Pad: constant, edge, reflect."""
    mode = node.text("pad_mode", "constant")
    if mode not in ("constant", "edge", "reflect"):
        raise graph.error(f"pads by {mode!r}; supported are constant, edge, reflect")
    sides = graph.node("Concat", [whole(graph, node.inputs[1]), whole(graph, node.inputs[2])], axis=0)
    given = [node.inputs[0], sides]
    if len(node.inputs) > 3 and mode == "constant":
        given.append(cast(graph, node.inputs[3], graph.dtype(node.inputs[0])))
    return graph.node("Pad", given, mode=mode)


@op(NAME, "OneHot")
def one_hot(graph: Emit, node: Node) -> str:
    """OneHot."""
    places, depth, on, off = node.inputs
    values = graph.node("Concat", [graph.node("Reshape", [v, graph.ints(1)]) for v in (off, on)], axis=0)
    return graph.node("OneHot", [places, depth, values], axis=int(node.number("axis", -1)))


@op(NAME, "NonZero")
def non_zero(graph: Emit, node: Node) -> str:
    """NonZero."""
    return cast(graph, graph.node("NonZero", [node.inputs[0]]), node.makes[0] or "int64")


@op(NAME, "ShuffleChannels")
def shuffle_channels(graph: Emit, node: Node) -> str:
    """An axis as groups, turned, and joined again."""
    x, axis = node.inputs[0], graph.axis(node.inputs[0], int(node.number("axis", 1)))
    groups, size = int(node.number("group", 1)), graph.size(node.inputs[0], axis)
    head, tail = [0] * axis, [0] * (graph.rank(x) - axis - 1)
    shape = graph.node("Shape", [x])
    middle = graph.ints(groups, size // groups)
    parts = [graph.node("Slice", [shape, graph.ints(0), graph.ints(axis), graph.ints(0)])] if head else []
    end = [graph.node("Slice", [shape, graph.ints(axis + 1), graph.ints(ENDS.max), graph.ints(0)])] if tail else []
    wide = graph.node("Reshape", [x, graph.node("Concat", [*parts, middle, *end], axis=0)])
    wide = graph.know(wide, graph.dtype(x), _widened(graph, x, axis, groups, size))
    order = list(range(graph.rank(wide)))
    order[axis], order[axis + 1] = axis + 1, axis
    return graph.node("Reshape", [transpose(graph, wide, order), shape])


def _widened(graph: Emit, x: str, axis: int, groups: int, size: int) -> tuple[int | None, ...]:
    shape = list(graph.shape(x) or ())
    return (*shape[:axis], groups, size // groups, *shape[axis + 1 :])
