"""The interpreter's functions that move, join and cut; axes are those of tensors with channels last."""

from __future__ import annotations

from typing import Any

import numpy as np

from gateway.formats.mmdnn.interpret_layers import Call, operator


@operator("Flatten")
def _flatten(call: Call) -> Any:
    return call.x.reshape(call.x.shape[0], -1)


@operator("Concat")
def _concat(call: Call) -> Any:
    axis = call.attr("axis")
    return np.concatenate(call.given, 1 if axis == 3 and call.x.ndim == 2 else axis)


@operator("Reshape")
def _reshape(call: Call) -> Any:
    sizes = call.attr("shape")
    if sizes is None:
        return call.x.reshape([int(size) for size in call.given[1]])
    sizes = [size if size is not None else -1 for size in getattr(sizes, "sizes", sizes)]
    said = call.said()
    if said is not None and list(said[1:]) == sizes and len(said) == len(sizes) + 1:
        sizes = [-1, *sizes]
    open_ = -1 in sizes[1:]
    if (open_ and sizes[0] == -1) or (not open_ and int(np.prod(sizes[1:])) * call.x.shape[0] == call.x.size):
        sizes[0] = call.x.shape[0]
    return call.x.reshape(sizes)


@operator("Transpose")
def _transpose(call: Call) -> Any:
    perm = call.given[1].tolist() if len(call.given) > 1 else call.attr("perm")
    return call.x.transpose(perm)


@operator("Squeeze")
def _squeeze(call: Call) -> Any:
    axes = call.attr("axes") or [axis for axis, size in enumerate(call.x.shape) if size == 1 and axis]
    return np.squeeze(call.x, tuple(axes))


@operator("Unsqueeze", "expand_dims")
def _unsqueeze(call: Call) -> Any:
    axes = call.attr("axes")
    return np.expand_dims(call.x, tuple(axes) if axes else call.attr("axis"))


@operator("Pad")
def _pad(call: Call) -> Any:
    numbers, mode = call.attr("pads"), call.attr("mode", "constant").lower()
    ends = list(zip(numbers[: call.x.ndim], numbers[call.x.ndim :]))
    if mode == "constant":
        return np.pad(call.x, ends, constant_values=call.attr("constant_values", 0.0))
    return np.pad(call.x, ends, mode=mode)


@operator("Crop")
def _crop(call: Call) -> Any:
    x, (a, b, c, d), said = call.x, call.attr("border"), call.said()
    height, width = x.shape[1:3]
    if len(call.given) == 2:
        assert said is not None
        return x[:, a : a + (said[1] or 0), b : b + (said[2] or 0)]
    by_word = x[:, b : height - d, a : width - c]
    by_keras = x[:, a : height - b, c : width - d]
    return by_word if said is None or by_word.shape[1:3] == tuple(said[1:3]) else by_keras


@operator("UpSampling2D")
def _upsampling(call: Call) -> Any:
    scales = call.attr("scales")
    high, wide = (scales, scales) if isinstance(scales, int) else (scales * 2)[:2]
    return call.x.repeat(high, 1).repeat(wide, 2)


@operator("SpaceToDepth")
def _space_to_depth(call: Call) -> Any:
    block, (many, height, width, channels) = call.attr("blocksize"), call.x.shape
    parts = [call.x[:, row::block, column::block] for row in range(block) for column in range(block)]
    return np.concatenate(parts, -1).reshape(many, height // block, width // block, channels * block * block)


def _reduced(function: Any) -> Any:
    return lambda call: function(call.x, axis=tuple(call.attr("axes")), keepdims=bool(call.attr("keepdims", False)))


for _names, _function in (
    (("ReduceMean", "Mean"), np.mean), (("ReduceSum", "Sum"), np.sum), (("ReduceProd", "Prod"), np.prod),
    (("ReduceMin", "Min"), np.min), (("ReduceMax",), np.max),
):  # fmt: skip
    operator(*_names)(_reduced(_function))


@operator("Max")
def _max(call: Call) -> Any:
    if len(call.given) > 1:
        return np.maximum.reduce(list(call.given))
    return _reduced(np.max)(call)


@operator("Slice")
def _slice(call: Call) -> Any:
    starts, ends, steps = call.attr("starts"), call.attr("ends"), call.attr("strides")
    cut: list[Any] = []
    for axis, (start, end) in enumerate(zip(starts, ends)):
        bit = 1 << axis
        if call.attr("shrink_axis_mask", 0) & bit:
            cut.append(start)
            continue
        rest = call.attr("end_mask", 0) & bit or (steps is None and end == start - 1)
        first = None if call.attr("begin_mask", 0) & bit else start
        cut.append(slice(first, None if rest else end, steps[axis] if steps else 1))
    return call.x[tuple(cut)]


@operator("Split")
def _split(call: Call) -> Any:
    return np.split(call.x, call.attr("split"), call.attr("axis"))


@operator("Unstack")
def _unstack(call: Call) -> Any:
    axis = call.attr("axis", 0)
    return [call.x.take(place, axis) for place in range(call.x.shape[axis])]


@operator("Pack")
def _pack(call: Call) -> Any:
    return np.stack(call.given, call.attr("axis", 0))


@operator("Shape")
def _shape(call: Call) -> Any:
    return np.asarray(call.x.shape, np.int32)


@operator("Fill")
def _fill(call: Call) -> Any:
    return np.full([int(size) for size in call.x], float(call.attr("value")))


@operator("Embedding", "Gather")
def _embedding(call: Call) -> Any:
    name = "embedding_weights" if call.stored("embedding_weights") else "weights"
    return call.weight(name)[call.x.astype(np.int64)]
