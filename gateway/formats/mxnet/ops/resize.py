"""Operators that sample a picture anew: bilinear resize, adaptive pooling, grids, samplers, correlation.

Rule 1: heights and widths are numbers here: what is sampled where is settled when the graph is made.
Rule 2: a sample outside the picture is 0 in the samplers, the edge in a resize.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gateway.core.dtypes import Array, numpy_dtype
from gateway.graph.registry import op
from gateway.graph.tools import like, part, refuse, reshape, sizes, static, statics, vector

if TYPE_CHECKING:
    from gateway.formats.mxnet.emit import Node
    from gateway.graph.emit import Emit


LONGEST = 1 << 14  # pixels of a side


def _resized(node: Node, height: int, width: int, other: tuple[int, int] | None) -> tuple[int, int]:
    """The size asked for, by mode (bilinear_resize-inl.h)."""
    attrs = node.attrs
    mode = attrs.str("mode", "size")
    scales = [attrs.optional_float(f"scale_{side}") for side in ("height", "width")]
    if any(scale is not None and not 0 < scale < LONGEST for scale in scales):
        raise refuse(node, f"its scales are {scales}; supported are positive ones.")
    if mode == "size":
        if scales[0] is not None:
            return int(np.float32(scales[0]) * height), int(np.float32(scales[1] or 1.0) * width)
        return attrs.int("height", 1), attrs.int("width", 1)
    if mode == "odd_scale" and None not in scales:
        made = [
            int(np.float32(size) * np.float32(scale))
            if size % 2 == 0
            else int(np.float32(size - 1) * np.float32(scale)) + 1
            for size, scale in zip((height, width), scales, strict=True)
        ]
        return made[0], made[1]
    if mode == "like" and other is not None:
        return other
    change = {"to_even_down": (1, -1), "to_even_up": (1, 1), "to_odd_down": (0, -1), "to_odd_up": (0, 1)}.get(mode)
    if change is None:
        raise refuse(node, f"mode is {mode!r}; supported are size, odd_scale, like, to_even_down, to_even_up, "
                           "to_odd_down, to_odd_up.")  # fmt: skip
    rest, step = change
    return height + step * (height % 2 == rest), width + step * (width % 2 == rest)


@op("mxnet", "_contrib_BilinearResize2D")
def bilinear_resize(graph: Emit, node: Node) -> str:
    """(N, C, H, W) to another H and W.

    Attrs  height=1 width=1, or scale_height scale_width; mode=size (and others: see _resized); align_corners=True
    """
    x = node.inputs[0]
    height, width = statics(graph, node, x, (2, 3))
    like_ = statics(graph, node, node.inputs[1], (2, 3)) if len(node.inputs) > 1 else None
    made = _resized(node, height, width, (like_[0], like_[1]) if like_ else None)
    if min(made) < 1 or max(made) > LONGEST:
        raise refuse(node, f"its result would be {made[0]} x {made[1]}; supported are 1 to {LONGEST}.")
    if made == (height, width):
        return x
    batch, channels = sizes(graph, x)[:2]
    mode = "align_corners" if node.attrs.bool("align_corners", True) else "half_pixel"
    target = vector(graph, [batch, channels, *made])
    return graph.node("Resize", [x, "", "", target], mode="linear", coordinate_transformation_mode=mode)


def _bins(size: int, count: int) -> Array:
    """(count, size): each row the mean over one bin; bins may share their ends."""
    made = np.zeros((count, size))
    for place in range(count):
        start, end = place * size // count, -(-(place + 1) * size // count)
        made[place, start:end] = 1.0 / (end - start)
    return made


@op("mxnet", "_contrib_AdaptiveAvgPooling2D")
def adaptive_pooling(graph: Emit, node: Node) -> str:
    """Means over equal parts of the height and of the width: two matrices.

    Attrs  output_size=(1): one size or two
    """
    x = node.inputs[0]
    wanted = node.attrs.ints("output_size", ()) or (1,)
    rows, cols = wanted if len(wanted) == 2 else (wanted[0], wanted[0])
    if not 0 < min(rows, cols) <= max(rows, cols) <= LONGEST:
        raise refuse(node, f"output_size is {wanted}; supported are 1 to {LONGEST}.")
    if rows == cols == 1:
        return graph.node("GlobalAveragePool", [x])
    height, width = statics(graph, node, x, (2, 3))
    kind = numpy_dtype(graph.dtype(x))
    left = graph.constant("rows", _bins(height, rows).astype(kind))
    right = graph.constant("columns", _bins(width, cols).T.astype(kind))
    return graph.node("MatMul", [left, graph.node("MatMul", [x, right])])


def _base(height: int, width: int) -> Array:
    """(2, height, width): x and y from -1 to 1."""
    y, x = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    steps = [2.0 / (size - 1) if size > 1 else 0.0 for size in (width, height)]
    return np.stack([x * steps[0] - 1.0, y * steps[1] - 1.0])


def _grid(graph: Emit, node: Node, x: str) -> str:
    """(N, 2, H, W): where to sample, -1 to 1, x first."""
    kind = numpy_dtype(graph.dtype(x))
    if (
        node.attrs.choice("transform_type", ("affine", "warp"), "affine" if node.op == "SpatialTransformer" else "")
        == "warp"
    ):
        height, width = statics(graph, node, x, (2, 3))
        if 1 in (height, width):  # MXNet divides by 0 there
            raise refuse(node, f"its flow is {height} x {width}; supported is more than one row or column.")
        pixels = (_base(height, width) + 1.0) * np.array([width - 1, height - 1]).reshape(2, 1, 1) / 2
        size = np.array([max(width - 1, 1), max(height - 1, 1)]).reshape(1, 2, 1, 1) / 2
        moved = graph.node("Add", [x, graph.constant("pixels", pixels[None].astype(kind))])
        scaled = graph.node("Div", [moved, graph.constant("half", size.astype(kind))])
        return graph.node("Sub", [scaled, like(graph, scaled, 1)])
    shape = node.attrs.ints("target_shape", (0, 0))
    if len(shape) != 2 or min(shape) < 1 or max(shape) > LONGEST:
        raise refuse(node, f"target_shape is {shape}; expected two sizes.")
    flat = np.concatenate([_base(*shape).reshape(2, -1), np.ones((1, shape[0] * shape[1]))])
    matrix = reshape(graph, x, [sizes(graph, x)[0], 2, 3])
    points = graph.node("MatMul", [matrix, graph.constant("grid", flat.astype(kind))])
    return reshape(graph, points, [sizes(graph, x)[0], 2, *shape])


def _sampled(graph: Emit, x: str, grid: str) -> str:
    """Bilinear samples, 0 outside: corner by corner, as MXNet has it."""
    last = graph.node("Transpose", [grid], perm=[0, 2, 3, 1])
    return graph.node("GridSample", [x, last], mode="bilinear", padding_mode="zeros", align_corners=1)


@op("mxnet", "GridGenerator")
def grid_generator(graph: Emit, node: Node) -> str:
    """A sampling grid from an affine matrix (N, 6) or a flow (N, 2, H, W).

    Out    (N, 2, H, W), x and y from -1 to 1
    Attrs  transform_type required: affine|warp; target_shape=(0, 0), for affine
    """
    return _grid(graph, node, node.inputs[0])


@op("mxnet", "BilinearSampler")
def bilinear_sampler(graph: Emit, node: Node) -> str:
    """(N, C, H, W) sampled at a grid (N, 2, H', W')."""
    return _sampled(graph, *node.inputs[:2])


@op("mxnet", "SpatialTransformer")
def spatial_transformer(graph: Emit, node: Node) -> str:
    """(N, C, H, W) sampled at the grid of an affine matrix (N, 6).

    Attrs  target_shape=(0, 0) transform_type=affine sampler_type=bilinear
    """
    x, matrix = node.inputs
    if (
        node.attrs.str("sampler_type", "bilinear") != "bilinear"
        or node.attrs.str("transform_type", "affine") != "affine"
    ):
        raise refuse(node, "supported are transform_type affine and sampler_type bilinear.")
    return _sampled(graph, x, _grid(graph, node, matrix))


@op("mxnet", "Correlation")
def correlation(graph: Emit, node: Node) -> str:
    """Mean product (or mean absolute difference) of two feature maps over a window, for each displacement.

    Out    (N, (2*(max_displacement//stride2)+1)^2, H', W')
    Attrs  kernel_size=1 max_displacement=1 stride1=1 stride2=1 pad_size=0 is_multiply=True
    """
    attrs = node.attrs
    kernel, far = attrs.int("kernel_size", 1), attrs.int("max_displacement", 1)
    step, between, pad = attrs.int("stride1", 1), attrs.int("stride2", 1), attrs.int("pad_size", 0)
    height, width = statics(graph, node, node.inputs[0], (2, 3))
    if min(step, between, kernel) < 1 or kernel % 2 == 0 or pad < 0 or not 0 <= far // between <= 32:
        found = f"kernel_size {kernel}, max_displacement {far}, strides {step} and {between}, pad_size {pad}"
        raise refuse(node, f"{found}; supported are odd kernels, strides above 0, up to 65 x 65 displacements.")
    border = far + (kernel - 1) // 2
    rows, cols = (-(-(size + 2 * pad - 2 * border) // step) for size in (height, width))
    if min(rows, cols) < 1:
        raise refuse(node, f"kernel_size {kernel} and max_displacement {far} leave {rows} x {cols} of its input.")
    widths = graph.constant("pads", np.array([0, 0, pad, pad, 0, 0, pad, pad], np.int64))
    # A row more behind, as far as the last window may reach past the end.
    first, second = (graph.node("Pad", [x, widths]) for x in node.inputs) if pad else node.inputs
    reach = [(rows - 1) * step + kernel, (cols - 1) * step + kernel]

    def window(x: str, y_at: int, x_at: int) -> str:
        return part(graph, part(graph, x, 2, y_at, y_at + reach[0]), 3, x_at, x_at + reach[1])

    still, made = window(first, far, far), []
    for y in range(-(far // between), far // between + 1):
        for x in range(-(far // between), far // between + 1):
            other = window(second, far + y * between, far + x * between)
            if attrs.bool("is_multiply", True):
                pairs = graph.node("Mul", [still, other])
            else:
                pairs = graph.node("Abs", [graph.node("Sub", [still, other])])
            mean = graph.node("ReduceMean", [pairs], axes=[1], keepdims=1)
            made.append(graph.node("AveragePool", [mean], kernel_shape=[kernel] * 2, strides=[step] * 2))
    return graph.node("Concat", made, axis=1)


@op("mxnet", "_contrib_DeformableConvolution")
def deformable_convolution(graph: Emit, node: Node) -> str:
    """Convolution whose samples are moved by offsets: a sample for each place of the kernel, then 1 x 1.

    In     (N, C, H, W), offsets (N, 2*groups*kh*kw, H', W') with y first, weight (O, C/num_group, kh, kw), bias (O)
    Attrs  kernel, num_filter required; stride dilate pad num_group=1 num_deformable_group=1 no_bias=False
    """
    attrs = node.attrs
    if len(node.inputs) != 4 - attrs.bool("no_bias", False):
        raise refuse(node, f"has {len(node.inputs)} inputs; expected data, offset, weight, and a bias without no_bias.")
    x, offset, weight = node.inputs[:3]
    kernel = attrs.ints("kernel")
    stride, dilate = attrs.ints("stride", ()) or (1, 1), attrs.ints("dilate", ()) or (1, 1)
    pad, groups = attrs.ints("pad", ()) or (0, 0), attrs.int("num_group", 1)
    parts = attrs.int("num_deformable_group", 1)
    if len(kernel) != 2 or attrs.str("layout", "NCHW") not in ("NCHW", "None"):
        raise refuse(node, f"kernel {kernel}, layout {attrs.str('layout', 'NCHW')}; supported is NCHW with two sizes.")
    batch, channels, height, width = sizes(graph, x)[0], *statics(graph, node, x, (1, 2, 3))
    moves, rows, cols = statics(graph, node, offset, (1, 2, 3))
    kind, count = numpy_dtype(graph.dtype(x)), kernel[0] * kernel[1]
    if parts < 1 or channels % parts or groups < 1 or channels % groups or moves != 2 * parts * count:
        raise refuse(
            node,
            f"{channels} channels in {parts} deformable and {groups} other groups, {moves} offsets for {count} places "
            "of the kernel; expected groups that divide the channels, and two offsets for each group and place.",
        )
    five = reshape(graph, offset, [batch, parts * count, 2, rows, cols])
    samples = []
    for group in range(parts):
        own = part(graph, x, 1, group * channels // parts, (group + 1) * channels // parts) if parts > 1 else x
        for place in range(count):
            at = [
                np.arange(size)[:, None] * stride[n] - pad[n] + (place // kernel[1], place % kernel[1])[n] * dilate[n]
                for n, size in enumerate((rows, cols))
            ]
            base = np.stack([np.broadcast_to(at[0], (rows, cols)), np.broadcast_to(at[1].T, (rows, cols))])[None]
            moved = part(graph, five, 1, group * count + place, group * count + place + 1)
            where = graph.node(
                "Add", [reshape(graph, moved, [batch, 2, rows, cols]), graph.constant("base", base.astype(kind))]
            )
            samples.append(_inside(graph, own, where, height, width))
    # (N, parts*count*(C/parts), ..) with the kernel's place outside the channel: to channel outside the place.
    all_ = graph.node("Concat", [reshape(graph, s, [batch, 1, channels // parts, rows, cols]) for s in samples], axis=1)
    six = reshape(graph, all_, [batch, parts, count, channels // parts, rows, cols])
    flat = reshape(
        graph, graph.node("Transpose", [six], perm=[0, 1, 3, 2, 4, 5]), [batch, channels * count, rows, cols]
    )
    filters = static(graph, node, weight, 0)
    inputs = [flat, reshape(graph, weight, [filters, channels // groups * count, 1, 1])]
    if not attrs.bool("no_bias", False):
        inputs.append(node.inputs[3])
    return graph.node("Conv", inputs, group=groups, kernel_shape=[1, 1])


def _inside(graph: Emit, x: str, where: str, height: int, width: int) -> str:
    """Samples at pixels (N, 2, H', W'), y first: 0 outside [0, size), the edge between the last pixel and `size`."""
    limits = np.array([height, width]).reshape(1, 2, 1, 1).astype(numpy_dtype(graph.dtype(x)))
    low = graph.node("GreaterOrEqual", [where, like(graph, where, 0)])
    high = graph.node("Less", [where, graph.constant("limits", limits)])
    both = graph.node("ReduceMin", [graph.node("Cast", [graph.node("And", [low, high])], to=1)], axes=[1], keepdims=1)
    scaled = graph.node("Div", [where, graph.constant("half", np.maximum(limits - 1, 1) / 2)])
    grid = graph.node("Sub", [scaled, like(graph, scaled, 1)])
    swapped = graph.node("Concat", [part(graph, grid, 1, 1, 2), part(graph, grid, 1, 0, 1)], axis=1)
    last = graph.node("Transpose", [swapped], perm=[0, 2, 3, 1])
    found = graph.node("GridSample", [x, last], mode="bilinear", padding_mode="border", align_corners=1)
    return graph.node("Mul", [found, graph.node("CastLike", [both, found])])
