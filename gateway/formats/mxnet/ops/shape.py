"""Operators that move elements and change none: slice, split, stack, pad, tile, transpose, squeeze.

Rule 1: a free size stays free: what is cut or repeated never writes down the number it happened to have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gateway.core.dtypes import numpy_dtype
from gateway.graph.registry import op
from gateway.graph.tools import (
    axis_of,
    bounded,
    ints,
    part,
    product,
    refuse,
    reshape,
    run_time,
    sizes,
    squeeze,
    static,
    transpose,
    unsqueeze,
)

if TYPE_CHECKING:
    from gateway.formats.mxnet.emit import Node
    from gateway.graph.emit import Emit


@op("mxnet", "expand_dims", "_npi_expand_dims")
def expand_dims(graph: Emit, node: Node) -> str:
    """A new axis of size 1.

    Attrs  axis required; negative counts from the end of the result
    """
    x = node.inputs[0]
    return unsqueeze(graph, x, [axis_of(node, node.attrs.int("axis"), graph.rank(x) + 1)])


@op("mxnet", "squeeze", "_np_squeeze")
def squeeze_(graph: Emit, node: Node) -> str:
    """Without axes of size 1; a tensor of one element keeps an axis.

    Attrs  axis=None (all of size 1)
    """
    x = node.inputs[0]
    have, named = sizes(graph, x), node.attrs.ints("axis", ())
    if not named and any(not isinstance(size, int) for size in have):
        raise refuse(node, "drops every axis of size 1, and a size is free.", "Give the input's full shape: --input.")
    axes = sorted({axis_of(node, axis, len(have)) for axis in named}) or [n for n, size in enumerate(have) if size == 1]
    if len(axes) == len(have) and node.op == "squeeze":
        axes = axes[1:]
    return squeeze(graph, x, axes)


@op("mxnet", "transpose", "_np_transpose", "_npi_transpose")
def transpose_(graph: Emit, node: Node) -> str:
    """Axes in another order.

    Attrs  axes=() (reversed)
    """
    x = node.inputs[0]
    count = graph.rank(x)
    named = [axis for axis in node.attrs.optional_ints("axes", ()) if axis is not None]
    order = [axis_of(node, axis, count) for axis in named] or list(range(count))[::-1]
    if sorted(order) != list(range(count)):
        raise refuse(node, f"axes {tuple(named)} is no order of {count} axes.")
    return transpose(graph, x, order)


@op("mxnet", "SwapAxis", "swapaxes", "_npi_swapaxes")
def swap_axis(graph: Emit, node: Node) -> str:
    """Two axes exchanged.

    Attrs  dim1=0 dim2=0
    """
    x = node.inputs[0]
    order = list(range(graph.rank(x)))
    first, second = (axis_of(node, node.attrs.int(key, 0), len(order)) for key in ("dim1", "dim2"))
    order[first], order[second] = order[second], order[first]
    return transpose(graph, x, order)


@op("mxnet", "slice", "crop", "_npi_slice", "_npx_slice")
def slice_(graph: Emit, node: Node) -> str:
    """begin:end:step on the leading axes; None is "from the start" and "to the end".

    Attrs  begin, end required; step=()
    """
    x, attrs = node.inputs[0], node.attrs
    begin, end = attrs.optional_ints("begin"), attrs.optional_ints("end")
    steps = [1 if step is None else step for step in attrs.optional_ints("step", ())] or [1] * len(begin)
    if not len(begin) == len(end) == len(steps) <= graph.rank(x) or 0 in steps:
        raise refuse(node, f"begin {begin}, end {end} and step {tuple(steps)} do not fit {graph.rank(x)} axes.")
    far = np.iinfo(np.int64)
    starts = [
        first if first is not None else (0 if step > 0 else far.max) for first, step in zip(begin, steps, strict=True)
    ]
    stops = [
        last if last is not None else (far.max if step > 0 else far.min) for last, step in zip(end, steps, strict=True)
    ]
    return graph.node(
        "Slice", [x, ints(graph, starts), ints(graph, stops), ints(graph, range(len(begin))), ints(graph, steps)]
    )


@op("mxnet", "slice_axis")
def slice_axis(graph: Emit, node: Node) -> str:
    """begin:end on one axis.

    Attrs  axis, begin required; end=None (to the end)
    """
    x, attrs = node.inputs[0], node.attrs
    axis = axis_of(node, attrs.int("axis"), graph.rank(x))
    return part(graph, x, axis, attrs.int("begin"), attrs.optional_int("end"))


@op("mxnet", "slice_like")
def slice_like(graph: Emit, node: Node) -> str:
    """The first input cut to the second's sizes on `axes`.

    Attrs  axes=() (all)
    """
    x, other = node.inputs
    have, model = sizes(graph, x), sizes(graph, other)
    axes = [axis_of(node, axis, len(have)) for axis in node.attrs.ints("axes", ())] or list(range(len(have)))
    if max(axes) >= len(model) or (not node.attrs.ints("axes", ()) and len(model) != len(have)):
        raise refuse(node, f"its inputs have {len(have)} and {len(model)} axes, axes is {tuple(axes)}.")
    # A free size is one both inputs share or one that is cut: the run time knows. A constant end where it is known.
    ends = [run_time(graph, model[axis]) for axis in axes]
    stop = (
        ints(graph, [size for axis in axes if isinstance(size := model[axis], int)])
        if all(isinstance(model[axis], int) for axis in axes)
        else graph.node("Concat", ends, axis=0)
    )
    return graph.node("Slice", [x, ints(graph, [0] * len(axes)), stop, ints(graph, axes)])


@op("mxnet", "SliceChannel", "split")
def slice_channel(graph: Emit, node: Node) -> str | list[str]:
    """Equal parts along an axis.

    Attrs  num_outputs required, axis=1, squeeze_axis=False: parts of size 1 lose the axis
    """
    x, count = node.inputs[0], bounded(node, "num_outputs", node.attrs.int("num_outputs"), 1 << 12)
    axis = axis_of(node, node.attrs.int("axis", 1), graph.rank(x))
    size = static(graph, node, x, axis)
    drop = node.attrs.bool("squeeze_axis", False)
    if count < 1 or size % count or (drop and size != count):
        raise refuse(node, f"axis {axis} has {size} elements, which do not make {count} equal parts{' of 1' * drop}.")
    parts = graph.nodes("Split", [x, ints(graph, [size // count] * count)], count, axis=axis)
    return [squeeze(graph, made, [axis]) for made in parts] if drop else parts


@op("mxnet", "_split_v2")
def split_v2(graph: Emit, node: Node) -> list[str]:
    """Parts along an axis: `sections` nearly equal ones, the longer ones first, or from index to index.

    Attrs  indices=() (where parts begin) axis=1 squeeze_axis=False sections=0
    """
    x, sections = node.inputs[0], node.attrs.int("sections", 0)
    axis = axis_of(node, node.attrs.int("axis", 1), graph.rank(x))
    if bounded(node, "sections", sections, 1 << 12):
        size = static(graph, node, x, axis)
        lengths = [size // sections + (number < size % sections) for number in range(sections)]
        starts = [sum(lengths[:number]) for number in range(sections)]
    else:
        starts = list(node.attrs.ints("indices"))
        if not starts:
            raise refuse(node, "has neither indices nor sections.")
    ends = [*starts[1:], None]
    parts = [part(graph, x, axis, start, end) for start, end in zip(starts, ends, strict=True)]
    return [squeeze(graph, made, [axis]) for made in parts] if node.attrs.bool("squeeze_axis", False) else parts


@op("mxnet", "stack", "_npi_stack")
def stack(graph: Emit, node: Node) -> str:
    """Equal shapes along a new axis.

    Attrs  axis=0
    """
    axis = axis_of(node, node.attrs.int("axis", 0), graph.rank(node.inputs[0]) + 1)
    return graph.node("Concat", [unsqueeze(graph, x, [axis]) for x in node.inputs], axis=axis)


@op("mxnet", "_npi_concatenate")
def numpy_concatenate(graph: Emit, node: Node) -> str:
    """Joined along an axis; axis None joins the flat tensors.

    Attrs  axis=0
    """
    if "axis" in node.attrs and not node.attrs.has("axis"):
        return graph.node("Concat", [graph.node("Reshape", [x, ints(graph, [-1])]) for x in node.inputs], axis=0)
    axis = axis_of(node, node.attrs.int("axis", 0), graph.rank(node.inputs[0]))
    return graph.node("Concat", list(node.inputs), axis=axis)


@op("mxnet", "_npi_pad")
def numpy_pad(graph: Emit, node: Node) -> str:
    """Padded on every axis.

    Attrs  pad_width ((before, after), ...) an axis, mode=constant|edge|reflect, constant_value=0, reflect_type=even
    """
    x, attrs = node.inputs[0], node.attrs
    text = attrs.str("pad_width").translate(str.maketrans("()[],", "     ")).split()
    mode = attrs.choice("mode", ("constant", "edge", "reflect"), "constant")
    if len(text) != 2 * graph.rank(x) or not all(word.isdigit() for word in text):
        raise refuse(node, f"pad_width {attrs.str('pad_width')!r} is not a pair an axis.")
    if attrs.str("reflect_type", "even") != "even":
        raise refuse(node, "reflect_type is not even; supported is even.")
    widths = [int(word) for word in text]
    value = np.asarray(attrs.float("constant_value", 0.0)).astype(numpy_dtype(graph.dtype(x)))
    inputs = [x, ints(graph, widths[::2] + widths[1::2])]
    return graph.node("Pad", [*inputs, graph.constant("value", value)] if mode == "constant" else inputs, mode=mode)


@op("mxnet", "tile", "_npi_tile")
def tile(graph: Emit, node: Node) -> str:
    """The whole repeated on each axis; missing axes are added in front.

    Attrs  reps required
    """
    x, reps = node.inputs[0], list(node.attrs.ints("reps"))
    more = len(reps) - graph.rank(x)
    x = unsqueeze(graph, x, range(more)) if more > 0 else x
    return graph.node("Tile", [x, ints(graph, [1] * -more + reps)])


@op("mxnet", "repeat", "_np_repeat")
def repeat(graph: Emit, node: Node) -> str:
    """Every element repeated next to itself.

    Attrs  repeats required, axis=None (of the flat tensor)
    """
    x, axis, times = node.inputs[0], node.attrs.optional_int("axis"), node.attrs.int("repeats")
    if axis is None:
        x, axis = graph.node("Reshape", [x, ints(graph, [-1])]), 0
    have = sizes(graph, x)
    axis = axis_of(node, axis, len(have))
    wide = graph.node(
        "Tile",
        [unsqueeze(graph, x, [axis + 1]), ints(graph, [1] * (axis + 1) + [times] + [1] * (len(have) - axis - 1))],
    )
    return reshape(graph, wide, [*have[:axis], product([have[axis], times]), *have[axis + 1 :]])


@op("mxnet", "reverse", "flip", "_npi_flip")
def reverse(graph: Emit, node: Node) -> str:
    """Axes back to front.

    Attrs  axis required
    """
    x = node.inputs[0]
    axes = [axis_of(node, axis, graph.rank(x)) for axis in node.attrs.ints("axis")]
    far, count = np.iinfo(np.int64), len(axes)
    return graph.node(
        "Slice",
        [
            x,
            ints(graph, [far.max] * count),
            ints(graph, [far.min] * count),
            ints(graph, axes),
            ints(graph, [-1] * count),
        ],
    )


@op("mxnet", "depth_to_space")
def depth_to_space(graph: Emit, node: Node) -> str:
    """(N, b*b*C, H, W) to (N, C, b*H, b*W): the block index is the slow part of the channel.

    Attrs  block_size required
    """
    return graph.node("DepthToSpace", [node.inputs[0]], blocksize=node.attrs.int("block_size"), mode="DCR")


@op("mxnet", "space_to_depth")
def space_to_depth(graph: Emit, node: Node) -> str:
    """(N, C, b*H, b*W) to (N, b*b*C, H, W), the inverse of depth_to_space.

    Attrs  block_size required
    """
    return graph.node("SpaceToDepth", [node.inputs[0]], blocksize=node.attrs.int("block_size"))


@op("mxnet", "shape_array", "_npx_shape_array")
def shape_array(graph: Emit, node: Node) -> str:
    """The sizes, int64."""
    return graph.node("Shape", [node.inputs[0]])


@op("mxnet", "size_array")
def size_array(graph: Emit, node: Node) -> str:
    """The number of elements, int64 of shape (1,)."""
    return graph.node("Reshape", [graph.node("Size", [node.inputs[0]]), ints(graph, [1])])
