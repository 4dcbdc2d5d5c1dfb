"""What moves, joins, cuts and sums: axes are those of tensors with channels last.

Rule 1: Flatten and Reshape read in the order height, width, channels: weights behind them were turned by the parser.
Rule 2: an axis, border or shape that MMdnn's parsers write in two ways is settled by `_output_shapes`, or refused.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from gateway.formats.mmdnn.node import FORMAT_NAME, Node
from gateway.graph.registry import op
from gateway.graph.tools import bounded, cast, part, squeeze, transpose, unsqueeze

if TYPE_CHECKING:
    from gateway.graph.emit import Emit


@op(FORMAT_NAME, "Flatten")
def flatten(graph: Emit, node: Node) -> str:
    """Everything of a row as one vector, channels last."""
    x = node.one()
    shape = graph.shape(x) or ()
    if len(shape) > 2 and set(shape[1:-1]) == {1} and x in node.layout.twins:
        x = node.layout.twins[x]
    return graph.node("Flatten", [x], axis=1)


@op(FORMAT_NAME, "Concat")
def concat(graph: Emit, node: Node) -> str:
    """Along `axis`, which has to be there; 3 of a vector is its last axis, as Caffe's and Keras' parsers write it."""
    inputs = node.tensors(1, 4096)
    if len(inputs) == 1:
        return inputs[0]
    rank, axis = graph.rank(inputs[0]), node.int("axis")
    if rank == 2 and axis == 3:
        graph.warn("axis is 3 of tensors with 2 dimensions: the last one is taken")
        axis = 1
    axis = graph.axis(inputs[0], axis)
    twins = [node.layout.twins.get(x) for x in inputs]
    if all(twin is not None and twin != x for twin, x in zip(twins, inputs, strict=True)):
        place = axis if axis == 0 else axis % (rank - 1) + 1
        return node.last(graph, graph.node("Concat", [twin for twin in twins if twin], axis=place))
    return graph.node("Concat", list(inputs), axis=axis)


@op(FORMAT_NAME, "Reshape")
def reshape(graph: Emit, node: Node) -> str:
    """To `shape`, the batch in front; or to the sizes that a second input holds."""
    inputs = node.tensors(1, 2)
    if len(inputs) == 2 and not node.has("shape"):
        return graph.node("Reshape", [inputs[0], cast(graph, inputs[1], "int64")])
    have, wanted, said = graph.shape(inputs[0]) or (), list(node.ints("shape")), node.said()
    row = None if None in have[1:] else math.prod(size or 0 for size in have[1:])
    if said is not None and None not in said[1:] and list(said[1:]) != wanted[1:] and -1 not in wanted[1:]:
        if [*said[1:]] == wanted:  # PyTorch's parser leaves out the batch
            wanted = [-1, *wanted]
        else:
            raise node.error(
                f"shape is {wanted}, and _output_shapes say {[each or -1 for each in said]}",
                "MMdnn's Caffe and MXNet parsers write channels first here: convert the model that it was made from.",
            )
    if row is not None and -1 not in wanted[1:] and math.prod(wanted[1:]) == row:
        wanted[0] = 0
    elif row is not None and wanted[0] == -1 and row % max(1, math.prod(wanted[1:])):
        raise node.error(f"shape is {wanted}, and a row of its input has {row} numbers")
    elif wanted[0] == -1 and -1 in wanted[1:]:
        wanted[0] = 0
    if wanted.count(-1) > 1 or any(size < -1 or (size == 0 and place) for place, size in enumerate(wanted)):
        raise node.error(f"shape is {list(node.ints('shape'))}")
    return graph.node("Reshape", [inputs[0], graph.ints(*wanted)])


@op(FORMAT_NAME, "Transpose")
def turned(graph: Emit, node: Node) -> str:
    """By `perm`, or a constant second input."""
    x = node.tensors(1, 2)[0]
    stored = graph.value(node.inputs[1]) if len(node.inputs) == 2 else None
    perm = node.ints("perm") if stored is None else tuple(int(each) for each in stored.reshape(-1)[:64])
    if sorted(perm) != list(range(graph.rank(x))):
        raise node.error(f"perm is {list(perm)}, and its input has {graph.rank(x)} dimensions")
    return transpose(graph, x, perm)


@op(FORMAT_NAME, "Squeeze")
def squeezed(graph: Emit, node: Node) -> str:
    """Without `axes`; without any named every size of 1 behind the batch goes."""
    x = node.one()
    axes = sorted({graph.axis(x, axis) for axis in node.ints("axes", ())})
    if not axes:
        axes = [axis for axis, size in enumerate(graph.shape(x) or ()) if size == 1 and axis]
        graph.warn(f"names no axes: {axes} have the size 1, and go")
    return squeeze(graph, x, axes)


@op(FORMAT_NAME, "Unsqueeze", "expand_dims")
def unsqueezed(graph: Emit, node: Node) -> str:
    """An axis of size 1 at `axes` (MXNet: axis)."""
    x = node.one()
    axes = node.ints("axes") if node.has("axes") else (node.int("axis"),)
    rank = graph.rank(x) + len(axes)
    if not all(-rank <= axis < rank for axis in axes):
        raise node.error(f"axes are {list(axes)}, and its output has {rank} dimensions")
    return unsqueeze(graph, x, [axis % rank for axis in axes])


@op(FORMAT_NAME, "Pad")
def pad(graph: Emit, node: Node) -> str:
    """pads of all axes, beginnings first; constant, reflect, and edge."""
    x = node.one()
    rank, pads, mode = graph.rank(x), node.ints("pads"), node.text("mode", "constant").lower()
    if len(pads) != 2 * rank or not all(-(1 << 16) < each < 1 << 16 for each in pads):
        raise node.error(f"pads are {list(pads)}, expected {2 * rank} numbers")
    if any((pads[0], pads[rank])):
        raise node.error(f"pads are {list(pads)}, which pads the batch")
    if mode == "symmetric" and set(pads) <= {0, 1}:
        mode = "edge"
    if mode not in ("constant", "reflect", "edge"):
        raise node.error(f"mode is {mode[:40]}, expected constant, reflect or edge (symmetric: of one)")
    inputs = [x, graph.ints(*pads)]
    if mode == "constant":
        inputs.append(graph.scalar(node.float("constant_values", 0.0), x))
    return graph.node("Pad", inputs, mode=mode)


def _borders(node: Node, height: int, width: int) -> set[tuple[int, int, int, int]]:
    """What `border` may mean, as (top, left, height, width) of what stays: each reading that fits the file's shape."""
    border, said = node.sizes("border", 0), node.said()
    if len(border) != 4:
        raise node.error(f"border is {list(border)}, expected 4 numbers")
    a, b, c, d = border
    wanted = None if said is None or len(said) != 4 else (said[1], said[2])
    if len(node.inputs) == 2:  # Caffe's: offsets, and a second input that has the size
        if wanted is None or None in wanted:
            raise node.error("is Caffe's crop, and the size to crop to is not said (_output_shapes)")
        return {(a, b, wanted[0] or 0, wanted[1] or 0)}
    readings = {(b, a, height - b - d, width - a - c), (a, c, height - a - b, width - c - d)}
    return {each for each in readings if wanted is None or wanted == each[2:]}


@op(FORMAT_NAME, "Crop")
def crop(graph: Emit, node: Node) -> str:
    """border: left, top, right, bottom by ops.pbtxt; top, bottom, left, right by Keras' parser; offsets by Caffe's."""
    x = node.tensors(1, 2)[0]
    if graph.rank(x) != 4:
        raise node.error(f"its input has {graph.rank(x)} dimensions, expected 4")
    height, width = graph.size(x, 1), graph.size(x, 2)
    found = _borders(node, height, width)
    if len(found) != 1:
        why = "means two things that both fit" if found else "fits neither way"
        raise node.error(f"border {list(node.ints('border'))} of {height} x {width} {why}; _output_shapes do not tell")
    top, left, high, wide = found.pop()
    if high < 1 or wide < 1 or top + high > height or left + wide > width:
        raise node.error(f"border {list(node.ints('border'))} leaves {high} x {wide} of {height} x {width}")
    return part(graph, part(graph, x, 1, top, top + high), 2, left, left + wide)


@op(FORMAT_NAME, "UpSampling2D")
def upsampling(graph: Emit, node: Node) -> str:
    """Each row and column `scales` times; nearest only: what bilinear means is each framework's own."""
    x, scales = node.one(), node.sizes("scales")
    kind = node.text("interpolation_type", "nearest") or "nearest"
    if kind != "nearest":
        raise node.error(f"interpolation_type is {kind[:40]}; MMdnn's frameworks place its corners differently")
    if graph.rank(x) != 4 or len(scales) not in (1, 2):
        raise node.error(f"scales are {list(scales)} of a tensor with {graph.rank(x)} dimensions, expected 2 of 4")
    high, wide = scales * 2 if len(scales) == 1 else scales
    height, width = graph.size(x, 1), graph.size(x, 2)
    bounded(node, "its size", height * width * high * wide)
    factors = graph.constant("scales", np.asarray([1, 1, high, wide], np.float32))
    made = graph.node(
        "Resize", [node.first(graph, x), "", factors], mode="nearest", nearest_mode="floor",
        coordinate_transformation_mode="asymmetric",
    )  # fmt: skip
    return node.last(graph, made)


@op(FORMAT_NAME, "SpaceToDepth")
def space_to_depth(graph: Emit, node: Node) -> str:
    """TensorFlow's: rows of a block, its columns, then channels; Darknet's reorg, which its parser calls so, is not."""
    x, block = node.one(), node.int("blocksize")
    if any(each.op in ("region", "yolo") or each.op == "LeakyRelu" for each in node.graph.nodes) and not node.has(
        "dtype"
    ):
        raise node.error(
            "MMdnn's Darknet parser writes SpaceToDepth for reorg, which is another order",
            "Drop the cfg and weights of Darknet themselves.",
        )
    if graph.rank(x) != 4 or not 1 <= block <= 1 << 10:
        raise node.error(f"blocksize is {block} of a tensor with {graph.rank(x)} dimensions")
    return node.last(graph, graph.node("SpaceToDepth", [node.first(graph, x)], blocksize=block))


def _reduce(op_type: str, *names: str) -> None:
    def function(graph: Emit, node: Node) -> str:
        x = node.one()
        axes = sorted({graph.axis(x, axis) for axis in node.ints("axes")})
        keep = int(node.bool("keepdims", False))
        if op_type == "ReduceSum":
            return graph.node(op_type, [x, graph.ints(*axes)], keepdims=keep)
        return graph.node(op_type, [x], axes=axes, keepdims=keep)

    function.__doc__ = f"{op_type} over `axes`, which have to be there."
    op(FORMAT_NAME, *names)(function)


for _type in ("Mean", "Sum", "Prod", "Min"):
    _reduce(f"Reduce{_type}", f"Reduce{_type}", *(() if _type == "Mean" else (_type,)))
_reduce("ReduceMean", "Mean")
_reduce("ReduceMax", "ReduceMax")


@op(FORMAT_NAME, "Max")
def largest(graph: Emit, node: Node) -> str:
    """The larger of two tensors (Caffe's Eltwise), or over `axes` of one (TensorFlow's)."""
    from gateway.formats.mmdnn.ops.elementwise import larger

    if len(node.inputs) > 1:
        return larger(graph, node)
    x = node.one()
    axes = sorted({graph.axis(x, axis) for axis in node.ints("axes")})
    return graph.node("ReduceMax", [x], axes=axes, keepdims=int(node.bool("keepdims", False)))


@op(FORMAT_NAME, "Slice")
def sliced(graph: Emit, node: Node) -> str:
    """starts, ends, strides and TensorFlow's four masks."""
    x, rank = node.one(), graph.rank(node.inputs[0])
    if node.has("axis") or not node.has("starts"):
        raise node.error("has an axis of CNTK's own" if node.has("axis") else "starts where another tensor says")
    starts, ends = node.ints("starts"), node.ints("ends")
    strides = node.ints("strides") if node.has("strides") else (1,) * len(starts)
    if not len(starts) == len(ends) == len(strides) <= rank or 0 in strides:
        raise node.error(f"starts {list(starts)}, ends {list(ends)} and strides {list(strides)} do not fit {rank} axes")
    masks = {name: node.int(f"{name}_mask", 0) for name in ("begin", "end", "shrink_axis", "new_axis", "ellipsis")}
    if masks["new_axis"] or masks["ellipsis"]:
        raise node.error("makes new axes (new_axis_mask, ellipsis_mask), which is not supported")
    said, gone = node.said(), []
    for axis, (start, end, step) in enumerate(zip(starts, ends, strides, strict=True)):
        bit = 1 << axis
        if masks["shrink_axis"] & bit:
            x = part(graph, x, axis, start, start + 1 if start != -1 else None)
            gone.append(axis)
            continue
        low = (0 if step > 0 else -1) if masks["begin"] & bit else start
        high = None if masks["end"] & bit else end
        if not node.has("strides") and end == start - 1:  # TensorFlow's Slice: a size of -1 is the rest
            size = graph.shape(x)
            if said is None or size is None or said[axis] != (size[axis] or 0) - start:
                raise node.error(f"ends {list(ends)} may mean the rest of the axis; _output_shapes do not say so")
            high = None
        x = part(graph, x, axis, low, high, step)
    return squeeze(graph, x, gone)


@op(FORMAT_NAME, "Split")
def split(graph: Emit, node: Node) -> list[str]:
    """`split` equal parts along `axis`."""
    x, count = node.one(), node.int("split")
    axis = graph.axis(x, node.int("axis"))
    size = graph.size(x, axis)
    if not 1 <= count <= 4096 or size % count:
        raise node.error(f"{size} of axis {axis} do not part into {count}")
    parts = graph.constant("split", np.full(count, size // count, np.int64))
    return graph.nodes("Split", [x, parts], count, axis=axis)


@op(FORMAT_NAME, "Unstack")
def unstack(graph: Emit, node: Node) -> list[str]:
    """Every place along `axis` by itself."""
    x = node.one()
    axis = graph.axis(x, node.int("axis", 0))
    count = graph.size(x, axis)
    if not 1 <= count <= 4096 or node.int("num", count) != count:
        raise node.error(f"num is {node.int('num', count)}, and axis {axis} has {count} places")
    parts = graph.constant("split", np.ones(count, np.int64))
    return [squeeze(graph, each, [axis]) for each in graph.nodes("Split", [x, parts], count, axis=axis)]


@op(FORMAT_NAME, "Pack")
def pack(graph: Emit, node: Node) -> str:
    """Tensors side by side along a new `axis`."""
    inputs = node.tensors(1, 4096)
    rank, axis = graph.rank(inputs[0]) + 1, node.int("axis", 0)
    if not -rank <= axis < rank:
        raise node.error(f"axis is {axis} of {rank}")
    kinds = {graph.dtype(x) for x in inputs}
    if len(kinds) > 1:
        inputs = tuple(cast(graph, x, "int64") for x in inputs)
    wide = [unsqueeze(graph, x, [axis % rank]) for x in inputs]
    return graph.node("Concat", wide, axis=axis % rank)


@op(FORMAT_NAME, "Shape")
def shape_of(graph: Emit, node: Node) -> str:
    """The sizes, as int32."""
    return cast(graph, graph.node("Shape", [node.one()]), "int32")


@op(FORMAT_NAME, "Fill")
def fill(graph: Emit, node: Node) -> str:
    """A tensor of one number, of the sizes that its input holds."""
    value = graph.constant("value", np.asarray(node.float("value"), np.float32))
    return graph.node("Expand", [value, cast(graph, node.one(), "int64")])


@op(FORMAT_NAME, "Embedding", "Gather")
def embedding(graph: Emit, node: Node) -> str:
    """A row of the stored table for each index."""
    name = "embedding_weights" if "embedding_weights" in node.weights else "weights"
    if node.int("axis", 0) != 0:
        raise node.error(f"axis is {node.int('axis')}, expected 0")
    table = node.weight(name)
    if table.ndim != 2 or node.int("input_dim", table.shape[0]) != table.shape[0]:
        raise node.error(
            f"its table has the shape {list(table.shape)}, expected {node.parameters.get('input_dim')} rows"
        )
    return graph.node("Gather", [graph.constant("table", table), cast(graph, node.one(), "int64")], axis=0)
