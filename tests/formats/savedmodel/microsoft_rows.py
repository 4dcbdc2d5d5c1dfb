"""More rows of dynamic_cases.py: com.microsoft's operators, as onnxruntime's optimiser and quantiser write them."""

from __future__ import annotations

from typing import Any

from dynamic_rows import ROWS, W3, Case, i64

TWO = ({"N": 1, "T": 4}, {"N": 2, "T": 7})
FOUR = ({"N": 1, "H": 6, "W": 5}, {"N": 2, "H": 7, "W": 9})
SEQUENCE = "(float[N,T,8] x) => (float[] y)"


def scale(number: float) -> Any:
    return ("float32", number)


def byte(number: int, kind: str = "uint8") -> Any:
    return (kind, number)


def ms(graph: str, sizes: Any = TWO, weights: dict[str, Any] | None = None, **more: Any) -> Case:
    return Case(graph.replace("ms.", "com.microsoft."), sizes, weights or {}, **more)


LINEAR = {"s": scale(0.05), "z": byte(3), "t": scale(0.07), "u": byte(120), "r": scale(0.09), "v": byte(99)}
NORM = {"g": (8,), "b": (8,)}

MICROSOFT = {
    "ms FusedMatMul": ms(
        "(float[N,T,8] x, float[N,T,8] z) => (float[] y) { y = ms.FusedMatMul<transB=1, alpha=0.5>(x, z) }"
    ),
    "ms FusedMatMul, the batch turned": ms(
        "(float[T,N,8] x, float[T,N,8] z) => (float[] y)"
        "{ y = ms.FusedMatMul<transBatchA=1, transBatchB=1, transB=1>(x, z) }"
    ),
    "ms FusedConv, relu": ms(
        '(float[N,3,H,W] x) => (float[] y) { y = ms.FusedConv<activation="Relu", pads=[1,1,1,1]>(x, w, b) }',
        FOUR,
        W3 | {"b": (4,)},
    ),
    "ms FusedConv, clip and a sum": ms(
        "(float[N,3,H,W] x) => (float[] y) { c = Conv<pads=[1,1,1,1]>(x, w) y = ms.FusedConv<activation="
        '"Relu", pads=[1,1,1,1]>(x, w, b, c) }',
        FOUR,
        W3 | {"b": (4,)},
    ),
    "ms FusedConv, leaky relu": ms(
        '(float[N,3,H,W] x) => (float[] y) { y = ms.FusedConv<activation="LeakyRelu", activation_params=[0.2]>(x, w) }',
        FOUR,
        W3,
    ),
    "ms FusedGemm": ms(
        '(float[N,8] x) => (float[] y) { y = ms.FusedGemm<activation="Relu", transB=1>(x, w, b) }',
        ROWS,
        {"w": (5, 8), "b": (5,)},
    ),
    "ms Gelu": ms(f"{SEQUENCE} {{ y = ms.Gelu(x) }}"),
    "ms FastGelu": ms(f"{SEQUENCE} {{ y = ms.FastGelu(x, b) }}", TWO, {"b": (8,)}, rtol=1e-5),
    "ms FastGelu without a bias": ms(f"{SEQUENCE} {{ y = ms.FastGelu(x) }}", rtol=1e-5),
    "ms BiasGelu": ms(f"{SEQUENCE} {{ y = ms.BiasGelu(x, b) }}", TWO, {"b": (8,)}),
    "ms QuickGelu": ms(f"{SEQUENCE} {{ y = ms.QuickGelu<alpha=1.5>(x) }}"),
    "ms SkipLayerNormalization": ms(
        "(float[N,T,8] x, float[N,T,8] z) => (float[] y, float[] s)"
        "{ y, , , s = ms.SkipLayerNormalization<epsilon=0.001>(x, z, g, b, c) }",
        TWO,
        NORM | {"c": (8,)},
        rtol=1e-5,
    ),
    "ms SkipSimplifiedLayerNormalization": ms(
        "(float[N,T,8] x, float[N,T,8] z) => (float[] y, float[] s)"
        "{ y, , , s = ms.SkipSimplifiedLayerNormalization<epsilon=0.001>(x, z, g) }",
        TWO,
        NORM,
        rtol=1e-5,
    ),
    "ms EmbedLayerNormalization": ms(
        "(int32[N,T] x, int32[N,T] t, int32[N,T] m) => (float[] y, int32[] k)"
        "{ y, k = ms.EmbedLayerNormalization<epsilon=0.001>(x, t, w, p, s, g, b, m) }",
        TWO,
        NORM | {"w": (30, 8), "p": (9, 8), "s": (2, 8)},
        rtol=1e-5,
        feeds={"x": ("int32", 0, 30), "t": ("int32", 0, 2), "m": ("int32", 1, 2)},
    ),
    "ms Attention": ms(
        f"{SEQUENCE} {{ y = ms.Attention<num_heads=2>(x, w, b) }}", TWO, {"w": (8, 24), "b": (24,)}, rtol=1e-5
    ),
    "ms Attention, one way": ms(
        f"{SEQUENCE} {{ y = ms.Attention<num_heads=2, unidirectional=1>(x, w, b) }}",
        TWO,
        {"w": (8, 24), "b": (24,)},
        rtol=1e-5,
    ),
    "ms Attention, a mask of lengths": ms(
        "(float[N,T,8] x, int32[N] m) => (float[] y) { y = ms.Attention<num_heads=2>(x, w, b, m) }",
        TWO,
        {"w": (8, 24), "b": (24,)},
        rtol=1e-5,
        feeds={"m": ("int32", 1, 5)},
    ),
    "ms Attention, a mask of keys": ms(
        "(float[N,T,8] x, int32[N,T] m) => (float[] y) { y = ms.Attention<num_heads=2>(x, w, b, m) }",
        TWO,
        {"w": (8, 24), "b": (24,)},
        rtol=1e-5,
        feeds={"m": ("int32", 0, 2)},
    ),
    "ms Attention, with what was": ms(
        "(float[N,T,8] x, float[2,N,2,P,4] p) => (float[] y, float[] z)"
        "{ y, z = ms.Attention<num_heads=2, unidirectional=1>(x, w, b, , p) }",
        ({"N": 1, "T": 4, "P": 3}, {"N": 2, "T": 1, "P": 5}),
        {"w": (8, 24), "b": (24,)},
        rtol=1e-5,
    ),
    "ms MultiHeadAttention": ms(
        "(float[N,T,8] x, float[N,K,8] k, float[N,K,8] v) => (float[] y)"
        "{ y = ms.MultiHeadAttention<num_heads=2>(x, k, v, b) }",
        ({"N": 1, "T": 4, "K": 6}, {"N": 2, "T": 7, "K": 3}),
        {"b": (24,)},
        rtol=1e-5,
    ),
    "ms MultiHeadAttention, padding and a bias of scores": ms(
        "(float[N,T,8] x, float[N,K,8] k, float[N,K,8] v, int32[N,K] m, float[N,2,T,K] a) => (float[] y)"
        "{ y = ms.MultiHeadAttention<num_heads=2, scale=0.3>(x, k, v, , m, a) }",
        ({"N": 1, "T": 4, "K": 6}, {"N": 2, "T": 7, "K": 3}),
        rtol=1e-5,
        feeds={"m": ("int32", 0, 2)},
    ),
    "ms MultiHeadAttention, with what was": ms(
        "(float[N,T,8] x, float[N,T,8] k, float[N,T,8] v, float[N,2,P,4] p, float[N,2,P,4] q)"
        "=> (float[] y, float[] z, float[] w) { y, z, w = ms.MultiHeadAttention<num_heads=2, unidirectional=1>"
        "(x, k, v, , , , p, q) }",
        ({"N": 1, "T": 4, "P": 3}, {"N": 2, "T": 1, "P": 5}),
        rtol=1e-5,
    ),
    "ms GroupQueryAttention": ms(
        "(float[N,T,32] x, float[N,T,16] k, float[N,T,16] v, int32[N] l) => (float[] y, float[] z, float[] w)"
        "{ y, z, w = ms.GroupQueryAttention<num_heads=4, kv_num_heads=2>(x, k, v, , , l, t) }",
        ({"N": 1, "T": 5}, {"N": 2, "T": 5}),
        {"t": ("int32", 5)},
        rtol=1e-5,
        feeds={"l": ("int32", 4, 5)},
    ),
    "ms RotaryEmbedding": ms(
        "(float[N,T,8] x, int64[N,T] p) => (float[] y) { y = ms.RotaryEmbedding(x, p, c, s) }",
        TWO,
        {"c": (9, 2), "s": (9, 2)},
        feeds={"p": ("int64", 0, 9)},
    ),
    "ms RotaryEmbedding of four axes, from a place, interleaved": ms(
        "(float[N,2,T,8] x) => (float[] y) { y = ms.RotaryEmbedding<interleaved=1>(x, p, c, s) }",
        TWO,
        {"c": (9, 4), "s": (9, 4), "p": i64(2)},
    ),
    "ms QLinearAdd": ms(
        "(uint8[N,T] x, uint8[N,T] w) => (uint8[] y) { y = ms.QLinearAdd(x, s, z, w, t, u, r, v) }", TWO, LINEAR
    ),
    "ms QLinearMul": ms(
        "(uint8[N,T] x, uint8[T] w) => (uint8[] y) { y = ms.QLinearMul(x, s, z, w, t, u, r, v) }", TWO, LINEAR
    ),
    "ms QLinearSigmoid": ms(
        "(uint8[N,T] x) => (uint8[] y) { y = ms.QLinearSigmoid(x, s, z, q, o) }",
        TWO,
        LINEAR | {"q": scale(1 / 256), "o": byte(0)},
    ),
    "ms QLinearLeakyRelu": ms(
        "(uint8[N,T] x) => (uint8[] y) { y = ms.QLinearLeakyRelu<alpha=0.1>(x, s, z, t, u) }", TWO, LINEAR
    ),
    "ms QLinearGlobalAveragePool": ms(
        "(uint8[N,3,H,W] x) => (uint8[] y) { y = ms.QLinearGlobalAveragePool(x, s, z, t, u) }", FOUR, LINEAR
    ),
    "ms QLinearAveragePool": ms(
        "(uint8[N,3,H,W] x) => (uint8[] y)"
        "{ y = ms.QLinearAveragePool<kernel_shape=[3,3], pads=[1,1,1,1], strides=[2,2]>(x, s, z, t, u) }",
        FOUR,
        LINEAR,
        steps=1,  # a mean in the middle between two steps: its float is rounded before
    ),
    "ms QLinearConcat": ms(
        "(uint8[N,3,H,W] x, uint8[N,2,H,W] w) => (uint8[] y) { y = ms.QLinearConcat<axis=1>(r, v, x, s, z, w, t, u) }",
        FOUR,
        LINEAR,
    ),
    "ms QLinearSoftmax": ms(
        "(uint8[N,T] x) => (uint8[] y) { y = ms.QLinearSoftmax<axis=-1, opset=13>(x, s, z, q, o) }",
        TWO,
        LINEAR | {"q": scale(1 / 256), "o": byte(0)},
    ),
    "ms QLinearWhere": ms(
        "(bool[N,T] c, uint8[N,T] x, uint8[N,T] w) => (uint8[] y) { y = ms.QLinearWhere(c, x, s, z, w, t, u, r, v) }",
        TWO,
        LINEAR,
    ),
    "ms MatMulIntegerToFloat": ms(
        "(uint8[N,T,8] x) => (float[] y) { y = ms.MatMulIntegerToFloat(x, w, s, t, z, u, b) }",
        TWO,
        {
            "w": ("uint8", [[(3 * i + 5 * j) % 200 for j in range(5)] for i in range(8)]),
            "s": scale(0.02),
            "t": ("float32", [0.01, 0.02, 0.03, 0.04, 0.05]),
            "z": byte(7),
            "u": ("uint8", [1, 2, 3, 4, 5]),
            "b": (5,),
        },
    ),
    "ms DynamicQuantizeMatMul": ms(
        "(float[N,T,8] x) => (float[] y) { y = ms.DynamicQuantizeMatMul(x, w, s, z, b) }",
        TWO,
        {
            "w": ("uint8", [[(3 * i + 5 * j) % 200 for j in range(5)] for i in range(8)]),
            "s": scale(0.02),
            "z": byte(120),
            "b": (5,),
        },
        rtol=1e-5,
    ),
    "ms QGemm": ms(
        "(uint8[N,8] x) => (uint8[] y) { y = ms.QGemm<transB=1>(x, s, z, w, t, o, c, r, v) }",
        ROWS,
        LINEAR
        | {
            "w": ("int8", [[(3 * i + 5 * j) % 20 - 9 for j in range(8)] for i in range(5)]),
            "o": byte(0, "int8"),
            "c": ("int32", [1, -2, 3, -4, 5]),
        },
    ),
    "ms QGemm to floats": ms(
        "(uint8[N,8] x) => (float[] y) { y = ms.QGemm<transB=1, alpha=0.5>(x, s, z, w, t, o, c) }",
        ROWS,
        LINEAR
        | {
            "w": ("int8", [[(3 * i + 5 * j) % 20 - 9 for j in range(8)] for i in range(5)]),
            "o": byte(0, "int8"),
            "c": ("int32", [1, -2, 3, -4, 5]),
        },
    ),
}
