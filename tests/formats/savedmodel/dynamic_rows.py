"""The rows of dynamic_cases.py: graphs in ONNX's text form, and the sizes at which each is run.

`w` and its like are drawn at random in the sizes that are given, or are what (dtype, numbers) says.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

IMAGES = ({"N": 1, "H": 8, "W": 6}, {"N": 2, "H": 7, "W": 11}, {"N": 3, "H": 12, "W": 5})
ROWS = ({"N": 1, "T": 4}, {"N": 3, "T": 7})


@dataclass(frozen=True)
class Case:
    """`weights`: name -> sizes (float32), or an array as (dtype, list). `rtol` of the largest reference element."""

    graph: str
    sizes: tuple[dict[str, int], ...] = IMAGES
    weights: dict[str, Any] = field(default_factory=dict)
    opset: int = 21
    rtol: float = 2e-6
    steps: int = 0  # by which integers may differ
    feeds: dict[str, Any] = field(default_factory=dict)  # inputs that are not drawn: name -> (dtype, list)
    transposes: int | None = None  # how many may be left
    stored: int | None = None  # bytes that variables and constants may have
    always: bool = False  # in `make test` whichever rows are


X = "(float[N,3,H,W] x) => (float[] y)"
W3 = {"w": (4, 3, 3, 3)}


def conv(attributes: str, weights: dict[str, Any] | None = None, x: str = X, **more: Any) -> Case:
    return Case(f"{x} {{ y = Conv<{attributes}>(x, w) }}", weights=weights or W3, **more)


def i64(*numbers: int) -> Any:
    return ("int64", list(numbers))


def after_conv(nodes: str, transposes: int | None = None, **more: Any) -> Case:
    """Operators that a tensor with channels last enters."""
    weights = W3 | more.pop("weights", {})
    return Case(f"{X} {{ c = Conv(x, w) {nodes} }}", weights=weights, transposes=transposes, **more)


def pool(op: str, attributes: str, x: str = X, **more: Any) -> Case:
    return Case(f"{x} {{ y = {op}<{attributes}>(x) }}", **more)


def resize(attributes: str, scales: list[float], x: str = X, **more: Any) -> Case:
    return Case(f"{x} {{ y = Resize<{attributes}>(x, , s) }}", weights={"s": ("float32", scales)}, **more)


def whole(kind: str, *sizes: int, low: int = -127, high: int = 127) -> Any:
    """Integers between two bounds, in no order that a wrong axis would keep."""
    import numpy as np

    numbers = (np.arange(math.prod(sizes)) * 73) % (high - low + 1) + low
    return (kind, numbers.reshape(sizes))


SAME_U, SAME_L = 'auto_pad="SAME_UPPER"', 'auto_pad="SAME_LOWER"'
K3, K2 = "kernel_shape=[3,3]", "kernel_shape=[2,2]"
LONG = ({"N": 2, "W": 9}, {"N": 1, "W": 14})
VOLUME = ({"N": 1, "D": 5, "H": 6, "W": 7}, {"N": 2, "D": 7, "H": 5, "W": 6})
SEQUENCE = "(float[N,T,6] x) => (float[] y)"
TOKENS = "(float[N,T,6] x) => (float[] y, float[] z)"

CASES = {
    # -- convolutions
    "conv, SAME_UPPER": conv(SAME_U),
    "conv, SAME_LOWER with strides": conv(SAME_L + ", strides=[2,2]"),
    "conv, SAME_UPPER with uneven strides": conv(SAME_U + ", strides=[2,1]"),
    "conv, uneven pads and strides": conv("pads=[0,1,2,1], strides=[2,1]"),
    "conv, dilation": conv("dilations=[2,2], pads=[2,2,2,2]"),
    "conv, dilation and strides": conv("dilations=[2,2], pads=[2,2,2,2], strides=[2,2]"),
    "conv, two groups, bias, relu": Case(
        "(float[N,4,H,W] x) => (float[] y) { c = Conv<group=2, pads=[1,1,1,1]>(x, w, b) y = Relu(c) }",
        weights={"w": (6, 2, 3, 3), "b": (6,)},
    ),
    "conv, a group a channel, bias, relu": Case(
        "(float[N,4,H,W] x) => (float[] y) { c = Conv<group=4, pads=[1,1,1,1], strides=[2,2]>(x, w, b) y = Relu(c) }",
        weights={"w": (8, 1, 3, 3), "b": (8,)},
    ),
    "conv, a group a channel, dilation": conv(
        "group=4, dilations=[2,2], pads=[2,2,2,2]", {"w": (4, 1, 3, 3)}, "(float[N,4,H,W] x) => (float[] y)"
    ),
    "conv, a group a channel, uneven strides": conv(
        "group=4, strides=[2,1], pads=[1,1,1,1]", {"w": (4, 1, 3, 3)}, "(float[N,4,H,W] x) => (float[] y)"
    ),
    "conv of one axis, groups": conv(
        "group=2, pads=[1,1], strides=[2]", {"w": (6, 2, 3)}, "(float[N,4,W] x) => (float[] y)", sizes=LONG
    ),
    "conv of one axis, a group a channel": conv(
        "group=4, pads=[2,0], dilations=[1]", {"w": (4, 1, 3)}, "(float[N,4,W] x) => (float[] y)", sizes=LONG
    ),
    "conv of one axis, SAME_LOWER": conv(
        SAME_L + ", strides=[2]", {"w": (5, 4, 4)}, "(float[N,4,W] x) => (float[] y)", sizes=LONG
    ),
    "conv of three axes": conv(
        SAME_U + ", strides=[2,1,2]", {"w": (4, 2, 3, 3, 3)}, "(float[N,2,D,H,W] x) => (float[] y)", sizes=VOLUME
    ),
    "conv of three axes, groups": conv(
        "group=2, pads=[1,1,1,1,1,1]", {"w": (4, 1, 3, 3, 3)}, "(float[N,2,D,H,W] x) => (float[] y)", sizes=VOLUME
    ),
    "conv, weights that are computed": Case(
        f"{X} {{ v = Mul(w, k) c = ReduceMax(x) u = Mul(v, c) y = Conv<pads=[1,1,1,1]>(x, u) }}",
        weights=W3 | {"k": (1,)},
    ),
    "conv and batch norm": Case(
        f"{X} {{ c = Conv(x, w, b) y = BatchNormalization<epsilon=0.01>(c, s, o, m, v) }}",
        weights=W3 | {"b": (4,), "s": (4,), "o": (4,), "m": (4,), "v": ("float32", [0.5, 1.5, 0.1, 2.0])},
    ),
    "conv whose answer two read, and batch norm": Case(
        f"{X} {{ c = Conv(x, w) n = BatchNormalization(c, s, o, m, v) y = Add(c, n) }}",
        weights=W3 | {"s": (4,), "o": (4,), "m": (4,), "v": ("float32", [0.5, 1.5, 0.1, 2.0])},
    ),
    "two convs with one weight, one batch norm": Case(
        f"{X} {{ c = Conv(x, w) d = Conv<strides=[2,2]>(x, w) n = BatchNormalization(c, s, o, m, v) "
        "e = ReduceMean(d) y = Add(n, e) }",
        weights=W3 | {"s": (4,), "o": (4,), "m": (4,), "v": ("float32", [0.5, 1.5, 0.1, 2.0])},
    ),
    "batch norm, then conv with pads": Case(
        f"{X} {{ n = BatchNormalization(x, s, o, m, v) y = Conv<pads=[1,1,1,1]>(n, w) }}",
        weights=W3 | {"s": (3,), "o": (3,), "m": (3,), "v": ("float32", [0.5, 1.5, 0.1])},
    ),
    "batch norm of rows": Case(
        "(float[N,6] x) => (float[] y) { y = BatchNormalization(x, s, o, m, v) }",
        ROWS,
        {"s": (6,), "o": (6,), "m": (6,), "v": ("float32", [0.5, 1.5, 0.1, 2.0, 1.0, 3.0])},
    ),
    # -- transposed convolutions
    "transposed conv, strides": Case(
        f"{X} {{ y = ConvTranspose<strides=[2,2]>(x, w, b) }}", weights={"w": (3, 4, 2, 2), "b": (4,)}
    ),
    "transposed conv, pads and output padding": Case(
        f"{X} {{ y = ConvTranspose<strides=[2,3], pads=[1,0,1,2], output_padding=[1,2]>(x, w, b) }}",
        weights={"w": (3, 4, 3, 3), "b": (4,)},
    ),
    "transposed conv, SAME_UPPER": Case(
        f"{X} {{ y = ConvTranspose<strides=[2,2], {SAME_U}>(x, w) }}", weights={"w": (3, 4, 3, 3)}
    ),
    "transposed conv, groups": Case(
        "(float[N,4,H,W] x) => (float[] y) { y = ConvTranspose<strides=[2,1], group=2>(x, w) }",
        weights={"w": (4, 3, 3, 3)},
    ),
    "transposed conv, dilation": Case(
        f"{X} {{ y = ConvTranspose<strides=[2,2], dilations=[2,2], pads=[1,1,1,1]>(x, w) }}",
        weights={"w": (3, 4, 3, 3)},
    ),
    "transposed conv of one axis": Case(
        "(float[N,3,W] x) => (float[] y) { y = ConvTranspose<strides=[3], pads=[1,1]>(x, w) }",
        LONG,
        {"w": (3, 4, 5)},
    ),
    # -- pooling
    "max pool, SAME_UPPER": pool("MaxPool", f"{K3}, {SAME_U}, strides=[2,2]"),
    "max pool, SAME_LOWER": pool("MaxPool", f"{K2}, {SAME_L}"),
    "max pool, ceil": pool("MaxPool", f"{K3}, strides=[2,2], ceil_mode=1"),
    "max pool, ceil and pads": pool("MaxPool", f"{K2}, strides=[3,2], pads=[1,1,0,1], ceil_mode=1"),
    "max pool, dilation": pool("MaxPool", f"{K2}, dilations=[2,2]"),
    "max pool, strides over the kernel": pool("MaxPool", f"{K2}, strides=[3,3]"),
    "max pool with places": Case(
        "(float[N,3,H,W] x) => (float[] y, int64[] z)"
        f"{{ y, z = MaxPool<{K3}, strides=[2,2], pads=[1,1,1,1], ceil_mode=1>(x) }}"
    ),
    "max pool of one axis, ceil": pool(
        "MaxPool", "kernel_shape=[3], strides=[2], ceil_mode=1", "(float[N,4,W] x) => (float[] y)", sizes=LONG
    ),
    "max pool of three axes, ceil": pool(
        "MaxPool",
        "kernel_shape=[2,2,2], strides=[2,2,2], ceil_mode=1",
        "(float[N,2,D,H,W] x) => (float[] y)",
        sizes=VOLUME,
    ),
    "max pool of int8": pool("MaxPool", f"{K3}, strides=[2,2], pads=[1,1,1,1]", "(int8[N,3,H,W] x) => (int8[] y)"),
    "average pool, SAME_UPPER": pool("AveragePool", f"{K3}, {SAME_U}, strides=[2,2]"),
    "average pool, SAME_LOWER with the pads": pool("AveragePool", f"{K2}, {SAME_L}, count_include_pad=1"),
    "average pool, ceil": pool("AveragePool", f"{K3}, strides=[2,2], ceil_mode=1"),
    "average pool, ceil and pads": pool("AveragePool", f"{K3}, strides=[2,2], pads=[1,1,1,1], ceil_mode=1"),
    "average pool, ceil with the pads": pool(
        "AveragePool", f"{K3}, strides=[2,2], pads=[1,1,1,1], ceil_mode=1, count_include_pad=1"
    ),
    "average pool of one axis": pool(
        "AveragePool", "kernel_shape=[4], strides=[2], pads=[1,1]", "(float[N,4,W] x) => (float[] y)", sizes=LONG
    ),
    "global pools": after_conv("a = GlobalAveragePool(c) b = GlobalMaxPool(c) y = Sub(a, b)", 1),
    "lp pool": pool("LpPool", f"{K3}, strides=[2,2], p=2"),
    "lrn": Case("(float[N,6,H,W] x) => (float[] y) { y = LRN<size=3, alpha=0.1>(x) }"),
    # -- resize
    "resize, nearest twice": resize('mode="nearest", coordinate_transformation_mode="asymmetric"', [1, 1, 2, 2]),
    "resize, nearest with floor twice": resize(
        'mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"', [1, 1, 2, 2]
    ),
    "resize, nearest by half pixels": resize('mode="nearest"', [1, 1, 1.5, 0.6]),
    "resize, linear twice": resize('mode="linear"', [1, 1, 2, 2], rtol=1e-5),
    "resize, linear by a fraction": resize('mode="linear"', [1, 1, 1.7, 0.8], rtol=1e-5),
    "resize, linear, corners aligned": resize(
        'mode="linear", coordinate_transformation_mode="align_corners"', [1, 1, 2, 3], rtol=1e-5
    ),
    "resize, linear asymmetric": resize(
        'mode="linear", coordinate_transformation_mode="asymmetric"', [1, 1, 2, 2], rtol=1e-5
    ),
    "resize, linear, pytorch's half pixels": resize(
        'mode="linear", coordinate_transformation_mode="pytorch_half_pixel"', [1, 1, 2, 0.5], rtol=1e-5
    ),
    "resize, cubic": resize('mode="cubic"', [1, 1, 2, 1.5], rtol=1e-5),
    "resize to the size of another": Case(
        "(float[N,3,H,W] x, float[N,3,A,B] z) => (float[] y)"
        '{ s = Shape(z) y = Resize<mode="linear", coordinate_transformation_mode="align_corners">(x, , , s) }',
        ({"N": 1, "H": 4, "W": 5, "A": 7, "B": 9}, {"N": 2, "H": 8, "W": 3, "A": 5, "B": 6}),
        rtol=1e-5,
    ),
    "resize of bytes, linear": resize('mode="linear"', [1, 1, 2, 2], "(uint8[N,3,H,W] x) => (uint8[] y)"),
    "upsample": Case(
        f'{X} {{ y = Upsample<mode="nearest">(x, s) }}', weights={"s": ("float32", [1, 1, 2, 3])}, opset=9
    ),
    # -- channels last enters everything
    "channels last: reshape": after_conv("y = Reshape(c, t)", weights={"t": i64(0, -1)}),
    "channels last: reshape with a free factor": after_conv("y = Reshape(c, t)", weights={"t": i64(0, 2, 2, -1)}),
    "channels last: flatten at 0": after_conv("y = Flatten<axis=0>(c)"),
    "channels last: flatten at 2": after_conv("y = Flatten<axis=2>(c)"),
    "channels last: flatten at -1": after_conv("y = Flatten<axis=-1>(c)"),
    "channels last: softmax over channels": after_conv("d = Softmax<axis=1>(c) y = GlobalMaxPool(d)", 1),
    "channels last: argmax over channels": Case(
        f"{X.replace('float[] y', 'int64[] y')} {{ c = Conv(x, w) y = ArgMax<axis=1, keepdims=0>(c) }}",
        weights=W3,
        transposes=1,
    ),
    "channels last: argmax over channels, kept, last": Case(
        f"{X.replace('float[] y', 'int64[] y')} {{ c = Conv(x, w) y = ArgMin<axis=-3, select_last_index=1>(c) }}",
        weights=W3,
    ),
    "channels last: mean of channels": after_conv("y = ReduceMean<keepdims=0>(c, a)", weights={"a": i64(1)}),
    "channels last: sum of rows, dropped": after_conv("y = ReduceSum<keepdims=0>(c, a)", 2, weights={"a": i64(-2)}),
    "channels last: concat, split": after_conv(
        "d = Concat<axis=1>(c, c) e, f = Split<axis=1, num_outputs=2>(d) g = Sub(e, f) y = GlobalMaxPool(g)", 1
    ),
    "channels last: concat with one that is not": after_conv(
        "s = Slice(x, a, b, d) e = Slice(s, a, b, g) y = Concat<axis=1>(c, e)",
        weights={"a": i64(1), "b": i64(-1), "d": i64(2), "g": i64(3)},
    ),
    "channels last: add of a row vector": after_conv(
        "d = ReduceMean(c, a) e = Squeeze(d) y = Add(c, r)", weights={"a": i64(0, 2), "r": (4, 1, 1)}
    ),
    "channels last: multiply with free sizes of lower rank": after_conv(
        "s = ReduceMax<keepdims=0>(c, a) y = Mul(c, s)", weights={"a": i64(0)}
    ),
    "channels last: where": after_conv("d = Relu(c) e = Greater(c, k) y = Where(e, c, d)", weights={"k": (1,)}),
    "channels last: pad, constant": after_conv(
        "d = Pad(c, p, v) y = MaxPool<kernel_shape=[1,1]>(d)",
        2,
        weights={"p": i64(0, 1, 2, 1, 0, 0, 0, 3), "v": (1,)},
    ),
    "channels last: pad, reflect": after_conv(
        'd = Pad<mode="reflect">(c, p) y = MaxPool<kernel_shape=[1,1]>(d)',
        2,
        weights={"p": i64(0, 0, 2, 1, 0, 0, 1, 2)},
    ),
    "channels last: pad, edge, cutting": after_conv(
        'd = Pad<mode="edge">(c, p) y = MaxPool<kernel_shape=[1,1]>(d)', 2, weights={"p": i64(0, 0, 2, -1, 0, 0, -1, 2)}
    ),
    "channels last: slices": after_conv(
        "y = Slice(c, a, b, d, e)", weights={"a": i64(-1, 1), "b": i64(-99, -1), "d": i64(2, 3), "e": i64(-2, 1)}
    ),
    "channels last: gather of channels": after_conv(
        "d = Gather<axis=1>(c, i) y = GlobalMaxPool(d)", 1, weights={"i": i64(3, 0, -1)}
    ),
    "channels last: gather of one row": after_conv("y = Gather<axis=2>(c, i)", weights={"i": ("int64", -1)}),
    "channels last: transpose back to channels second": after_conv(
        "t = Transpose<perm=[0,2,3,1]>(c) u = Relu(t) v = Transpose<perm=[0,3,1,2]>(u) "
        "y = MaxPool<kernel_shape=[1,1]>(v)",
        2,
    ),
    "channels last: tokens for attention": after_conv(
        "r = Reshape(c, t) u = Transpose<perm=[0,2,1]>(r) y = MatMul(u, m)", weights={"t": i64(0, 4, -1), "m": (4, 5)}
    ),
    "channels last: matmul": after_conv("t = Transpose<perm=[0,1,3,2]>(c) y = MatMul(c, t)", rtol=1e-5),
    "channels last: instance norm": after_conv(
        "y = InstanceNormalization(c, s, o)", 2, weights={"s": (4,), "o": (4,)}, rtol=1e-5
    ),
    "channels last: group norm": after_conv(
        "y = GroupNormalization<num_groups=2>(c, s, o)", 2, weights={"s": (4,), "o": (4,)}, rtol=1e-5
    ),
    "channels last: layer norm": after_conv(
        "t = Transpose<perm=[0,2,3,1]>(c) n = LayerNormalization(t, s, o) v = Transpose<perm=[0,3,1,2]>(n) "
        "y = GlobalMaxPool(v)",
        1,
        weights={"s": (4,), "o": (4,)},
        rtol=1e-5,
    ),
    "channels last: depth to space, DCR": after_conv("y = DepthToSpace<blocksize=2>(c)", 2),
    "channels last: depth to space, CRD": after_conv('y = DepthToSpace<blocksize=2, mode="CRD">(c)', 2),
    "channels last: space to depth": Case(
        f"{X} {{ c = Conv<pads=[1,1,1,1]>(x, w) y = SpaceToDepth<blocksize=2>(c) }}",
        ({"N": 1, "H": 8, "W": 6}, {"N": 2, "H": 4, "W": 10}),
        W3,
        transposes=2,
    ),
    "channels last: expand and tile": after_conv(
        "d = Expand(c, t) y = Tile(d, r)", weights={"t": i64(1, 4, 1, 1), "r": i64(1, 2, 1, 2)}
    ),
    "channels last: cumulative sum": after_conv("y = CumSum(c, a)", weights={"a": i64(1)}, rtol=1e-5),
    "channels last: top k of channels": after_conv("y, z = TopK<axis=1>(c, k)", weights={"k": i64(2)}),
    "channels last: unsqueeze and squeeze": after_conv(
        "d = Unsqueeze(c, a) e = Relu(d) y = Squeeze(e, a)", weights={"a": i64(2)}
    ),
    "channels last: prelu": after_conv("d = PRelu(c, s) y = GlobalMaxPool(d)", 1, weights={"s": (4, 1, 1)}),
    "channels last: quantised and back": after_conv(
        "q = QuantizeLinear(c, s, z) d = DequantizeLinear(q, s, z) y = GlobalMaxPool(d)",
        1,
        weights={"s": ("float32", 0.05), "z": ("uint8", 128)},
    ),
    "channels last: quantised by channel": after_conv(
        "q = QuantizeLinear<axis=1>(c, s, z) d = DequantizeLinear<axis=1>(q, s, z) y = GlobalMaxPool(d)",
        1,
        weights={"s": ("float32", [0.05, 0.1, 0.02, 0.03]), "z": ("int8", [0, 1, 2, 3])},
    ),
    "channels last: into a branch": after_conv(
        "m = ReduceMax<keepdims=0>(c) g = Greater(m, k) "
        "y = If<then_branch = t () => (float[] a) { a = Flatten(c) }, "
        "else_branch = e () => (float[] b) { d = Relu(c) b = Flatten(d) }>(g) v = Flatten(c) w2 = Add(v, y)",
        weights={"k": ("float32", 1.0)},
    ),
    "channels last: into a loop": after_conv(
        "y = Loop<body = b (int64 i, bool p, float[] s) => (bool q, float[] t) "
        "{ q = Identity(p) f = Flatten(c) g = ReduceMean<keepdims=0>(f) t = Add(s, g) }>(n, , k)",
        weights={"n": ("int64", 3), "k": ("float32", 1.0)},
    ),
    # -- shapes that are computed
    "reshape by computed sizes": Case(
        f"{SEQUENCE} {{ s = Shape<start=0, end=2>(x) t = Concat<axis=0>(s, u) y = Reshape(x, t) }}",
        ROWS,
        {"u": i64(2, 3)},
    ),
    "reshape, 0 and -1": Case(f"{SEQUENCE} {{ y = Reshape(x, t) }}", ROWS, {"t": i64(0, -1, 2, 3)}),
    "reshape, two zeros": Case(f"{SEQUENCE} {{ y = Reshape(x, t) }}", ROWS, {"t": i64(0, 0, 3, 2)}),
    "reshape of nothing": Case(
        "(float[N,T,4] x) => (float[] y) { y = Reshape(x, t) }", ({"N": 0, "T": 3}, {"N": 2, "T": 3}), {"t": i64(-1, 4)}
    ),
    "reshape of nothing, copied": Case(
        "(float[N,T,4] x) => (float[] y) { y = Reshape(x, t) }",
        ({"N": 2, "T": 0}, {"N": 2, "T": 3}),
        {"t": i64(0, 0, 2, 2)},
    ),
    "quantised conv": Case(
        "(uint8[N,3,H,W] x) => (float[] y) { a = QLinearConv<pads=[1,1,1,1]>(x, xs, xz, w, ws, wz, ys, yz, b) "
        "p = MaxPool<kernel_shape=[2,2]>(a) c = QLinearConv<strides=[2,2]>(p, ys, yz, v, ws, wz, ys, yz, b) "
        "y = DequantizeLinear(c, ys, yz) }",
        weights={
            "xs": ("float32", 0.02),
            "xz": ("uint8", 120),
            "w": (
                "int8",
                [
                    [[[(5 * o + 7 * i + 3 * h + w) % 19 - 9 for w in range(3)] for h in range(3)] for i in range(3)]
                    for o in range(3)
                ],
            ),
            "v": (
                "int8",
                [
                    [[[(3 * o + 5 * i + 2 * h + w) % 17 - 8 for w in range(2)] for h in range(2)] for i in range(3)]
                    for o in range(3)
                ],
            ),
            "ws": ("float32", [0.01, 0.02, 0.03]),
            "wz": ("int8", [0, 0, 0]),
            "ys": ("float32", 0.05),
            "yz": ("uint8", 128),
            "b": ("int32", [10, -20, 30]),
        },
        transposes=2,
    ),
    "flatten of nothing": Case(
        "(float[N,T,4] x) => (float[] y) { y = Flatten<axis=1>(x) }", ({"N": 2, "T": 0}, {"N": 0, "T": 3})
    ),
    "squeeze and unsqueeze": Case(
        f"{SEQUENCE} {{ a = Unsqueeze(x, u) b = Relu(a) c = Squeeze(b, u) y = Unsqueeze(c, v) }}",
        ROWS,
        {"u": i64(-1), "v": i64(0, 2)},
    ),
    "slice, negative bounds": Case(
        f"{SEQUENCE} {{ y = Slice(x, a, b, d) }}", ROWS, {"a": i64(-3), "b": i64(-1), "d": i64(1)}
    ),
    "slice, reversed": Case(
        f"{SEQUENCE} {{ y = Slice(x, a, b, d, e) }}",
        ROWS,
        {"a": i64(-1), "b": i64(-(1 << 63)), "d": i64(1), "e": i64(-1)},
    ),
    "slice, bounds beyond": Case(
        f"{SEQUENCE} {{ y = Slice(x, a, b, d, e) }}",
        ROWS,
        {"a": i64(-50, 1), "b": i64(5, 50), "d": i64(1, 2), "e": i64(2, 3)},
    ),
    "slice, nothing left": Case(
        f"{SEQUENCE} {{ y = Slice(x, a, b, d) }}", ROWS, {"a": i64(3), "b": i64(-5), "d": i64(1)}
    ),
    "slice, computed end": Case(
        f"{SEQUENCE} {{ s = Shape<start=1, end=2>(x) h = Div(s, k) y = Slice(x, z, h, o) }}",
        ROWS,
        {"k": i64(2), "z": i64(0), "o": i64(1)},
    ),
    "split in equal parts of a free size": Case(
        f"{TOKENS} {{ y, z = Split<axis=1, num_outputs=2>(x) }}", ({"N": 1, "T": 4}, {"N": 2, "T": 7})
    ),
    "split by sizes": Case(f"{TOKENS} {{ y, z = Split<axis=-1>(x, s) }}", ROWS, {"s": i64(2, 4)}),
    "gather, negative": Case(f"{SEQUENCE} {{ y = Gather<axis=1>(x, i) }}", ROWS, {"i": i64(-1, 0, -3)}),
    "gather by computed places": Case(
        "(float[N,T,6] x, int64[N,K] i) => (float[] y) { e = Unsqueeze(i, a) f = Expand(e, t) "
        "y = GatherElements<axis=1>(x, f) }",
        ({"N": 2, "T": 4, "K": 2}, {"N": 1, "T": 6, "K": 5}),
        {"a": i64(-1), "t": i64(1, 1, 6)},
        feeds={"i": ("int64", -3, 3)},
    ),
    "scatter into free sizes": Case(
        "(float[N,T] x, float[N,K] u, int64[N,K] i) => (float[] y) { y = ScatterElements<axis=1>(x, i, u) }",
        ({"N": 2, "T": 4, "K": 1}, {"N": 1, "T": 6, "K": 1}),
        feeds={"i": ("int64", -3, 3)},
    ),
    "expand to computed sizes": Case(
        f"{SEQUENCE} {{ s = Shape(x) m = ReduceMean(x, a) y = Expand(m, s) }}", ROWS, {"a": i64(1)}
    ),
    "range of a free size": Case(
        "(float[N,T,6] x) => (int64[] y) { s = Shape(x) t = Gather(s, o) y = Range(z, t, o) }",
        ROWS,
        {"o": ("int64", 1), "z": ("int64", 0)},
    ),
    "constant of a free shape, non-zero": Case(
        "(float[N,T,6] x) => (int64[] y) { s = Shape(x) c = ConstantOfShape<value = int64[1] {3}>(s) y = NonZero(c) }",
        ROWS,
    ),
    "position embedding": Case(
        f"{SEQUENCE} {{ s = Shape<start=1, end=2>(x) e = Slice(w, z, s) y = Add(x, e) }}",
        ROWS,
        {"w": (9, 6), "z": i64(0)},
    ),
    "causal mask": Case(
        "(float[N,T,T] x) => (float[] y) { l = Trilu<upper=0>(x) b = Cast<to=9>(l) y = Where(b, x, k) }",
        ({"N": 1, "T": 4}, {"N": 2, "T": 5}),
        {"k": ("float32", -1e9)},
    ),
    "matmul of three axes with two": Case(f"{SEQUENCE} {{ y = MatMul(x, w) }}", ROWS, {"w": (6, 5)}),
    "matmul with a vector": Case(f"{SEQUENCE} {{ y = MatMul(x, w) }}", ROWS, {"w": (6,)}),
    "flatten, then gemm": after_conv(
        "a = GlobalAveragePool(c) f = Flatten(a) y = Gemm<transB=1>(f, m, b)", 1, weights={"m": (5, 4), "b": (5,)}
    ),
    "flatten of a picture, then gemm": Case(
        "(float[N,3,6,5] x) => (float[] y) { c = Conv(x, w) f = Flatten(c) y = Gemm<transB=1, alpha=0.5>(f, m, b) }",
        ({"N": 1}, {"N": 3}),
        W3 | {"m": (5, 48), "b": (5,)},
        transposes=1,
    ),
    "reshape of a picture, then matmul": Case(
        "(float[N,3,6,5] x) => (float[] y) { c = Conv(x, w) f = Reshape(c, t) y = MatMul(f, m) }",
        ({"N": 1}, {"N": 3}),
        W3 | {"m": (48, 5), "t": i64(0, -1)},
        transposes=1,
    ),
    "flatten of a picture that two read": Case(
        "(float[N,3,6,5] x) => (float[] y, float[] z) { c = Conv(x, w) z = Flatten(c) y = Gemm(z, m) }",
        ({"N": 1}, {"N": 3}),
        W3 | {"m": (48, 5)},
    ),
    "softmax of opset 11 over all that follow": Case(
        "(float[N,T,6] x) => (float[] y) { y = Softmax<axis=1>(x) }", ROWS, opset=11
    ),
    "layer norm": Case(f"{SEQUENCE} {{ y = LayerNormalization(x, s, o) }}", ROWS, {"s": (6,), "o": (6,)}, rtol=1e-5),
    "lstm of free length": Case(
        "(float[T,N,6] x) => (float[] y, float[] h, float[] c)"
        '{ y, h, c = LSTM<hidden_size=4, direction="bidirectional">(x, w, r, b) }',
        ROWS,
        {"w": (2, 16, 6), "r": (2, 16, 4), "b": (2, 32)},
        rtol=1e-5,
    ),
    "lstm backwards from a state": Case(
        "(float[T,N,6] x, float[1,N,4] i, float[1,N,4] j) => (float[] y, float[] h, float[] c)"
        '{ y, h, c = LSTM<hidden_size=4, direction="reverse">(x, w, r, , , i, j) }',
        ROWS,
        {"w": (1, 16, 6), "r": (1, 16, 4)},
        rtol=1e-5,
    ),
    "lstm with lengths, and another activation": Case(
        "(float[T,N,6] x, int32[N] n) => (float[] y, float[] h, float[] c)"
        '{ y, h, c = LSTM<hidden_size=4, activations=["Sigmoid","Tanh","Relu"]>(x, w, r, b, n) }',
        ROWS,
        {"w": (1, 16, 6), "r": (1, 16, 4), "b": (1, 32)},
        rtol=1e-5,
        feeds={"n": ("int32", 1, 5)},
    ),
    "gru with lengths": Case(
        "(float[T,N,6] x, int32[N] n) => (float[] y, float[] h)"
        '{ y, h = GRU<hidden_size=4, direction="reverse", linear_before_reset=1>(x, w, r, b, n) }',
        ROWS,
        {"w": (1, 12, 6), "r": (1, 12, 4), "b": (1, 24)},
        rtol=1e-5,
        feeds={"n": ("int32", 1, 5)},
    ),
    "loop that grows": Case(
        "(float[N,T] x) => (float[] y, float[] z) { y, z = Loop<body = b (int64 i, bool p, float[] s) "
        "=> (bool q, float[] t, float[] o) { q = Identity(p) t = Concat<axis=0>(s, x) o = ReduceSum<keepdims=0>(t) }>"
        "(n, , x) }",
        ROWS,
        {"n": ("int64", 3)},
        rtol=1e-5,
    ),
    "loop of no rounds": Case(
        "(float[N] x, float[K] k) => (float[] y, float[] z) { s = Shape(k) n = Squeeze(s) "
        "y, z = Loop<body = b (int64 i, bool p, float[N] s) => (bool q, float[N] t, float[N] o) "
        "{ q = Identity(p) t = Add(s, x) o = Mul(t, x) }>(n, , x) }",
        ({"N": 3, "K": 2}, {"N": 2, "K": 0}),
    ),
    "scan over free steps": Case(
        "(float[T,N] x, float[N] s) => (float[] y, float[] z) { y, z = Scan<num_scan_inputs=1, body = b (float[N] a, "
        "float[N] e) => (float[N] c, float[N] d) { c = Add(a, e) d = Mul(c, e) }>(s, x) }",
        ROWS,
        rtol=1e-5,
    ),
    # -- regions and spectra
    "regions, half pixels": Case(
        "(float[N,3,H,W] x, float[K,4] r, int64[K] i) => (float[] y)"
        "{ e = Mul(r, k) f = Abs(e) y = RoiAlign<output_height=2, output_width=3, spatial_scale=0.5>(x, f, i) }",
        ({"N": 1, "H": 8, "W": 6, "K": 3}, {"N": 1, "H": 7, "W": 11, "K": 5}),
        {"k": ("float32", [1, 2, 6, 9])},
        rtol=1e-5,
        feeds={"i": ("int64", 0, 1)},
    ),
    "regions, whole pixels, two samples": Case(
        "(float[N,3,H,W] x, float[K,4] r, int64[K] i) => (float[] y)"
        "{ e = Mul(r, k) y = RoiAlign<output_height=2, output_width=2, sampling_ratio=2, coordinate_transformation_mode"
        '="output_half_pixel">(x, e, i) }',
        ({"N": 2, "H": 8, "W": 6, "K": 3}, {"N": 2, "H": 7, "W": 11, "K": 5}),
        {"k": ("float32", [1, 1, 3, 4])},
        rtol=1e-5,
        feeds={"i": ("int64", 0, 2)},
    ),
    "regions, the greatest": Case(
        "(float[N,3,H,W] x, float[K,4] r, int64[K] i) => (float[] y)"
        '{ e = Abs(x) f = Abs(r) g = Mul(f, k) y = RoiAlign<mode="max", output_height=2, sampling_ratio=2>(e, g, i) }',
        ({"N": 2, "H": 8, "W": 6, "K": 3}, {"N": 2, "H": 7, "W": 11, "K": 5}),
        {"k": ("float32", [1, 1, 3, 4])},
        rtol=1e-5,
        feeds={"i": ("int64", 0, 2)},
    ),
    "fourier, one side": Case(
        "(float[N,T,1] x) => (float[] y) { y = DFT<axis=1, onesided=1>(x) }", ROWS, opset=17, rtol=1e-5
    ),
    "fourier, back, cut": Case(
        "(float[N,T,2] x) => (float[] y) { y = DFT<axis=1, inverse=1>(x, l) }",
        ROWS,
        {"l": ("int64", 4)},
        opset=17,
        rtol=1e-5,
    ),
    "fourier, windows": Case(
        "(float[N,T,1] x) => (float[] y) { y = STFT(x, s, w) }",
        ({"N": 1, "T": 20}, {"N": 2, "T": 33}),
        {"s": ("int64", 3), "w": (8,)},
        opset=17,
        rtol=1e-5,
    ),
    # -- stored weights that stay the whole numbers they are
    "weights of a convolution dequantised for each output": Case(
        f"{X} {{ v = DequantizeLinear<axis=0>(w, s, z) y = Conv<pads=[1,1,1,1]>(x, v) }}",
        weights={"w": whole("int8", 48, 3, 3, 3), "s": (48,), "z": whole("int8", 48, low=-3, high=3)},
        stored=48 * 27 + 48 * 8 + 400,
        transposes=2,  # the client's picture, and his answer
        always=True,
    ),
    "weights of a product dequantised, their axes turned": Case(
        "(float[N,T,16] x) => (float[] y)"
        "{ v = DequantizeLinear<axis=1>(w, s, z) t = Transpose<perm=[1,0]>(v) y = MatMul(x, t) }",
        ROWS,
        {"w": whole("uint8", 96, 16, low=0, high=255), "s": (16,), "z": ("uint8", [128] * 16)},
        stored=96 * 16 + 16 * 8 + 400,
        transposes=0,
        always=True,
    ),
    "weights dequantised by one scale, of 16 bits, without a zero point": Case(
        "(float[N,T,16] x) => (float[] y) { v = DequantizeLinear(w, s) y = MatMul(x, v) }",
        ROWS,
        {"w": whole("int16", 16, 80, low=-999, high=999), "s": ("float32", 0.01)},
        stored=16 * 80 * 2 + 400,
    ),
    "a quantised convolution, zero points of weights": Case(
        "(uint8[N,3,H,W] x) => (uint8[] y) { y = QLinearConv<pads=[1,1,1,1]>(x, s, z, w, t, u, r, v) }",
        weights={
            "s": ("float32", 0.05),
            "z": ("uint8", 3),
            "w": whole("uint8", 48, 3, 3, 3, low=0, high=255),
            "t": ("float32", 0.01),
            "u": ("uint8", 120),
            "r": ("float32", 0.2),
            "v": ("uint8", 99),
        },
        steps=1,
        stored=48 * 27 + 700,
        always=True,
    ),
    # -- sizes that are known in part
    "a shape of known and free sizes, as exporters write it": Case(
        "(float[N,8,3,4] x) => (float[] y) { s = Shape(x) i = Constant<value_int=0>() n = Gather(s, i)"
        "j = Constant<value_int=2>() h = Gather(s, j) a = Unsqueeze(n, o) b = Unsqueeze(h, o)"
        "t = Concat<axis=0>(a, b, k) y = Reshape(x, t) }",
        ({"N": 1}, {"N": 3}),
        {"o": i64(0), "k": i64(8, 4)},
        always=True,
    ),
    "a shape cut in two, one part cast": Case(
        "(float[N,6,5] x) => (float[] y) { s = Shape(x) f = Slice(s, z, o) r = Slice(s, o, e) c = Cast<to=6>(r)"
        "d = Cast<to=7>(c) p = ReduceProd<keepdims=1>(d) t = Concat<axis=0>(f, p) y = Reshape(x, t) }",
        ({"N": 1}, {"N": 4}),
        {"z": i64(0), "o": i64(1), "e": i64(9)},
    ),
    "a shape with a free size in the middle that is said twice": Case(
        "(float[2,T,6] x) => (float[] y) { s = Shape(x) i = Constant<value_int=-2>() n = Gather(s, i)"
        "a = Unsqueeze(n, o) t = Concat<axis=0>(k, a, m) y = Reshape(x, t) }",
        ({"T": 1}, {"T": 5}),
        {"o": i64(0), "k": i64(3, 2), "m": i64(2)},
    ),
    # -- integer types
    "abs, sign and relu of integers": Case(
        "(uint8[N] x, int16[N] v, uint64[N] u) => (uint8[] a, int16[] b, uint64[] c)"
        "{ a = Abs(x) s = Sign(v) r = Abs(v) b = Add(s, r) c = Sign(u) }",
        ({"N": 4}, {"N": 7}),
    ),
    "clip, min and max of integers": Case(
        "(int8[N] x, int64[N] v) => (int8[] a, int64[] b) { a = Clip(x, l, h) b = Max(v, m) }",
        ({"N": 4}, {"N": 7}),
        {"l": ("int8", -3), "h": ("int8", 5), "m": ("int64", [2])},
    ),
    "means and products of int32": Case(
        "(int32[N,T] x) => (int32[] a, int32[] b) { a = ReduceMax(x) b = ReduceSum(x, k) }", ROWS, {"k": i64(1)}
    ),
    "integer division towards zero": Case(
        "(int32[N] x) => (int32[] a, int32[] b) { a = Div(x, k) b = Mod(x, k) }",
        ({"N": 9},),
        {"k": ("int32", [-3])},
    ),
    "power of integers": Case("(int32[N] x) => (int32[] y) { y = Pow(x, k) }", ({"N": 9},), {"k": ("int32", 2)}),
    "where of integers and bool": Case(
        "(int64[N] x) => (int64[] y) { g = Greater(x, k) l = Not(g) y = Where(l, x, k) }",
        ({"N": 9},),
        {"k": ("int64", 0)},
    ),
}
