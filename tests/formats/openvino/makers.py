"""Seeded networks, built and saved by OpenVINO itself in Environment `openvino`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

RANDOM = np.random.default_rng(0)


def made(folder: Path, net: str, half: bool = False) -> None:
    """One of NETS as m.xml and m.bin; `half` compresses the weights to float16, as save_model does by itself."""
    import openvino as ov

    global RANDOM
    RANDOM = np.random.default_rng(0)
    inputs, outputs = NETS[net](ov.opset13)
    shown = [made if isinstance(made, ov.Output) else made.output(0) for made in outputs]
    model = ov.Model(shown, inputs, net)
    for node in inputs:
        node.output(0).get_tensor().set_names({node.get_friendly_name()})
    for number, result in enumerate(model.outputs):
        result.get_tensor().set_names({f"out{number}"})
    ov.save_model(model, str(folder / "m.xml"), compress_to_fp16=half)


def weights(*shape: int) -> Any:
    return (RANDOM.standard_normal(shape) * (2.0 / max(1, int(np.prod(shape[1:])))) ** 0.5).astype(np.float32)


def conv(ops: Any, x: Any, before: int, after: int, kernel: int = 3, stride: int = 1) -> Any:
    w = ops.constant(weights(after, before, kernel, kernel))
    pad = [kernel // 2] * 2
    made = ops.convolution(x, w, [stride] * 2, pad, pad, [1, 1])
    return ops.add(made, ops.constant(weights(1, after, 1, 1)))


def cnn(ops: Any) -> Any:
    x = ops.parameter([-1, 3, 64, 64], np.float32, name="image")
    y = ops.relu(conv(ops, x, 3, 16, 7, 2))
    y = ops.max_pool(y, [2, 2], [1, 1], [1, 1], [1, 1], [3, 3], "floor").output(0)
    z = ops.relu(ops.batch_norm_inference(
        conv(ops, y, 16, 16), *(ops.constant(np.abs(weights(16)) + 0.5) for _ in range(4)), 1e-5))  # fmt: skip
    y = ops.add(y, conv(ops, z, 16, 16))
    group = ops.constant(weights(16, 1, 1, 3, 3))
    y = ops.hswish(ops.group_convolution(y, group, [2, 2], [0, 0], [0, 0], [1, 1], "same_upper"))
    y = ops.reduce_mean(y, ops.constant([2, 3]), False)
    return [x], [ops.softmax(ops.matmul(y, ops.constant(weights(10, 16)), False, True), 1)]


def unet(ops: Any) -> Any:
    x = ops.parameter([-1, 3, -1, -1], np.float32, name="x")
    a = ops.relu(conv(ops, x, 3, 8))
    b = ops.relu(conv(ops, a, 8, 16, 3, 2))
    up = ops.convolution_backprop_data(
        b, ops.constant(weights(16, 8, 2, 2)), [2, 2], pads_begin=[0, 0], pads_end=[0, 0]
    )
    return [x], [conv(ops, ops.concat([a, up], 1), 16, 2, 1)]


def resizes(ops: Any) -> Any:
    x = ops.parameter([-1, 2, 9, 8], np.float32, name="x")
    made = []
    for mode, how, by, values in (
        ("linear_onnx", "half_pixel", "sizes", [13, 11]), ("nearest", "asymmetric", "scales", [2.0, 3.0]),
        ("linear_onnx", "align_corners", "sizes", [5, 7]), ("cubic", "half_pixel", "sizes", [12, 12]),
    ):  # fmt: skip
        given = ops.constant(np.array(values, np.int64 if by == "sizes" else np.float32))
        made.append(ops.interpolate(
            x, given, mode, by, pads_begin=[0], pads_end=[0], coordinate_transformation_mode=how, nearest_mode="floor",
            axes=ops.constant([2, 3])))  # fmt: skip
    return [x], made


def lstm(ops: Any) -> Any:
    ids = ops.parameter([-1, 12], np.int64, name="ids")
    e = ops.gather(ops.constant(weights(20, 8)), ids, ops.constant(0))
    batch = ops.gather(ops.shape_of(ids), ops.constant([0]), ops.constant(0))
    zeros = ops.broadcast(ops.constant(np.float32(0)), ops.concat([batch, ops.constant([2, 6])], 0))
    lengths = ops.broadcast(ops.constant(12), batch)
    w, r, b = (ops.constant(weights(*shape)) for shape in ((2, 24, 8), (2, 24, 6), (2, 24)))
    y = ops.lstm_sequence(e, zeros, zeros, lengths, w, r, b, 6, "bidirectional")
    turned = ops.transpose(y.output(0), ops.constant([0, 2, 1, 3]))
    flat = ops.reshape(turned, ops.constant([0, 0, 12]), True)
    return [ids], [ops.matmul(flat, ops.constant(weights(12, 3)), False, False), y.output(1)]


def gru(ops: Any) -> Any:
    x = ops.parameter([-1, 7, 4], np.float32, name="x")
    h = ops.parameter([-1, 1, 5], np.float32, name="h")
    lengths = ops.broadcast(ops.constant(7), ops.gather(ops.shape_of(x), ops.constant([0]), ops.constant(0)))
    w, r, b = (ops.constant(weights(*shape)) for shape in ((1, 15, 4), (1, 15, 5), (1, 20)))
    y = ops.gru_sequence(x, h, lengths, w, r, b, 5, "forward", linear_before_reset=True)
    return [x, h], [y.output(0), y.output(1)]


def encoder(ops: Any) -> Any:
    ids = ops.parameter([-1, -1], np.int64, name="ids")
    h = ops.gather(ops.constant(weights(40, 16)), ids, ops.constant(0))

    def heads(x: Any) -> Any:
        made = ops.matmul(x, ops.constant(weights(16, 16)), False, False)
        return ops.transpose(ops.reshape(made, ops.constant([0, 0, 2, 8]), True), ops.constant([0, 2, 1, 3]))

    q, k, v = heads(h), heads(h), heads(h)
    scores = ops.softmax(ops.multiply(ops.matmul(q, k, False, True), ops.constant(np.float32(8**-0.5))), -1)
    joined = ops.reshape(ops.transpose(ops.matmul(scores, v, False, False), ops.constant([0, 2, 1, 3])),
                         ops.constant([0, 0, 16]), True)  # fmt: skip
    h = ops.mvn(ops.add(h, joined), ops.constant([2]), True, 1e-5, "inside_sqrt")
    h = ops.add(h, ops.gelu(ops.matmul(h, ops.constant(weights(16, 16)), False, False), "erf"))
    return [ids], [
        ops.matmul(h, ops.constant(weights(3, 16)), False, True),
        ops.reduce_mean(h, ops.constant([1]), False),
    ]


def detector(ops: Any) -> Any:
    image = ops.parameter([-1, 3, 32, 32], np.float32, name="image")
    f = ops.swish(conv(ops, ops.swish(conv(ops, image, 3, 16, 3, 2)), 16, 9, 3, 2))
    parts = ops.variadic_split(f, ops.constant(1), ops.constant([4, -1]))
    boxes = ops.transpose(ops.reshape(parts.output(0), ops.constant([0, 4, -1]), True), ops.constant([0, 2, 1]))
    centre = ops.sigmoid(ops.strided_slice(boxes, ops.constant([0, 0, 0]), ops.constant([0, 0, 2]),
                                           ops.constant([1, 1, 1]), [1, 1, 1], [1, 1, 0]))  # fmt: skip
    size = ops.exp(
        ops.clamp(ops.slice(boxes, ops.constant([2]), ops.constant([4]), ops.constant([1]), ops.constant([2])), -4, 4)
    )
    half = ops.divide(size, ops.constant(np.float32(2)))
    scores = ops.sigmoid(ops.reshape(parts.output(1), ops.constant([0, 5, -1]), True))
    return [image], [ops.concat([ops.subtract(centre, half), ops.add(centre, half)], 2), ops.normalize_l2(
        scores, ops.constant([1]), 1e-6, "add")]  # fmt: skip


def quantised(ops: Any) -> Any:
    x = ops.parameter([-1, 3, 16, 16], np.float32, name="x")
    low, high = (ops.constant(np.full((1, 1, 1, 1), value, np.float32)) for value in (-2.0, 1.984375))
    y = ops.fake_quantize(x, low, high, low, high, 256)
    w = ops.constant(weights(8, 3, 3, 3))
    least, most = (ops.constant(np.full((8, 1, 1, 1), value, np.float32)) for value in (-1.27, 1.27))
    y = ops.convolution(y, ops.fake_quantize(w, least, most, least, most, 255), [1, 1], [1, 1], [1, 1], [1, 1])
    return [x], [ops.relu(y)]


def pools(ops: Any) -> Any:
    x = ops.parameter([-1, 2, 9, 8], np.float32, name="x")
    made = [
        ops.avg_pool(x, [2, 2], [1, 1], [1, 1], [3, 3], exclude, "floor") for exclude in (True, False)
    ] + [ops.avg_pool(x, [2, 2], [0, 0], [0, 0], [3, 3], True, "ceil")]  # fmt: skip
    made.append(ops.max_pool(x, [2, 2], [1, 1], [0, 0], [0, 0], [2, 2], "ceil").output(0))
    made.append(ops.max_pool(x, [2, 2], [1, 1], [0, 0], [0, 0], [3, 3], "floor", "same_lower").output(0))
    return [x], made


def shapes(ops: Any) -> Any:
    """Layers that only move elements, one after the other."""
    x = ops.parameter([-1, 4, 6], np.float32, name="x")
    parts = ops.split(x, ops.constant(1), 2)
    y = ops.concat([parts.output(1), parts.output(0)], 1)
    y = ops.pad(y, ops.constant([0, 1, 0]), ops.constant([0, 1, 2]), "reflect")
    y = ops.strided_slice(
        y, ops.constant([0, 5, 1]), ops.constant([0, 0, 7]), ops.constant([1, -1, 2]), [1, 0, 0], [1, 1, 0]
    )
    tall = ops.tile(ops.unsqueeze(y, ops.constant(1)), ops.constant([1, 2, 1, 1]))
    one = ops.strided_slice(
        x, ops.constant([0, 1]), ops.constant([0, 2]), ops.constant([1, 1]), [1, 0], [1, 0], [], [0, 1]
    )
    best = ops.topk(x, ops.constant(2), 2, "max", "value")
    chosen = ops.select(
        ops.greater(x, ops.constant(np.float32(0))), x, ops.squared_difference(x, ops.constant(np.float32(1)))
    )
    return [x], [tall, one, best.output(0), chosen, ops.cum_sum(x, ops.constant(2))]


def lacking(ops: Any) -> Any:
    """A layer that has no function here, and that OpenVINO runs."""
    x = ops.parameter([-1, 4, 6], np.float32, name="x")
    y = ops.reverse_sequence(x, ops.constant(np.array([2], np.int32)), 0, 1)
    return [x], [ops.add(y, ops.constant(np.float32(1)))]


NETS: dict[str, Callable[[Any], Any]] = {
    "cnn": cnn, "unet": unet, "resizes": resizes, "lstm": lstm, "gru": gru, "encoder": encoder, "detector": detector,
    "quantised": quantised, "pools": pools, "shapes": shapes, "lacking": lacking,
}  # fmt: skip
