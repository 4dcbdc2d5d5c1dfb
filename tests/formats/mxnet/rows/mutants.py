"""Rows that a planted bug was not told apart by: each is here because a mistake survived without it."""

from __future__ import annotations

import numpy as np

from tests.formats.mxnet.harness import Case

X = (2, 4, 5, 6)
BOXES = np.array([[0.1, 0.1, 0.4, 0.5], [0.5, 0.6, 0.9, 0.8], [0.0, 0.0, 0.2, 0.1]], np.float32)
POINTS = np.array([0, 1, 2, 0], np.float32)

CASES: dict[str, Case] = {
    "convolution in one dimension, its layout said, as Gluon does": Case(
        "Convolution", {"num_filter": 3, "kernel": "(3,)", "layout": "NCW"}, {"data": (2, 4, 7)}
    ),
    "convolution in three dimensions, its layout said": Case(
        "Convolution", {"num_filter": 3, "kernel": "(2, 2, 2)", "layout": "NCDHW"}, {"data": (2, 3, 4, 5, 4)}
    ),
    "pooling in one dimension, its layout said": Case(
        "Pooling", {"kernel": "(2,)", "stride": "(2,)", "layout": "NCW"}, {"data": (2, 3, 7)}
    ),
    "a sum over two axes that stay": Case("sum", {"axis": "(1, 2)", "keepdims": True}, {"data": X}),
    "a sum over everything": Case("sum", {}, {"data": (3, 4)}),
    "batch norm along axis 0": Case("BatchNorm", {"fix_gamma": False, "axis": 0}, {"data": (3, 4, 5)}),
    "batch norm along axis 3": Case("BatchNorm", {"fix_gamma": False, "axis": 3}, {"data": X}),
    "dot of three dimensions and one": Case("dot", {}, {"a": (2, 3, 4), "b": (4,)}),
    "dot of three dimensions and two": Case("dot", {}, {"a": (2, 3, 4), "b": (4, 5)}),
    "dot of two and three dimensions, turned": Case("dot", {"transpose_a": True}, {"a": (4, 3), "b": (4, 2, 5)}),
    "dot, both turned, unequal": Case("dot", {"transpose_a": True, "transpose_b": True}, {"a": (4, 3), "b": (5, 4)}),
    "crop in the middle, of odd rests": Case(
        "Crop", {"num_args": 1, "h_w": "(3, 3)", "center_crop": True}, {"data": (2, 3, 7, 8)}
    ),
    "crop at an offset": Case("Crop", {"num_args": 1, "h_w": "(3, 2)", "offset": "(1, 3)"}, {"data": (2, 3, 6, 7)}),
    "arange that repeats": Case("_arange", {"start": 2, "stop": 8, "step": 2, "repeat": 3}),
    "arange by one": Case("_arange", {"start": 2, "stop": 6}),
    "batch_take of held places": Case("batch_take", {}, {"a": (4, 3)}, {"indices": POINTS.astype(np.int32)}),
    "depth to space of unequal sides": Case("depth_to_space", {"block_size": 2}, {"data": (2, 8, 3, 5)}),
    "deformable, rows and columns differ": Case(
        "_contrib_DeformableConvolution",
        {"num_filter": 4, "kernel": "(3, 2)", "num_deformable_group": 2, "no_bias": True},
        {"data": (1, 4, 7, 9)},
        {"offset": (1, 24, 5, 8), "weight": (4, 4, 3, 2)},
    ),
    "deformable without offsets' bias, padded unequally": Case(
        "_contrib_DeformableConvolution",
        {"num_filter": 2, "kernel": "(3, 3)", "pad": "(1, 0)", "stride": "(2, 1)", "num_group": 2, "no_bias": True},
        {"data": (1, 4, 7, 6)},
        {"offset": (1, 18, 4, 4), "weight": (2, 2, 3, 3)},
    ),
    "box_iou of boxes apart": Case(
        "_contrib_box_iou", {"format": "corner"}, {"lhs": BOXES + np.float32(0.1)}, {"rhs": BOXES}
    ),
    "box_iou of centres": Case(
        "_contrib_box_iou", {"format": "center"}, {"lhs": BOXES + np.float32(0.1)}, {"rhs": BOXES}
    ),
    "eye, as many columns as rows": Case("_eye", {"N": 3}),
    "box_iou of boxes with more axes": Case(
        "_contrib_box_iou", {"format": "corner"}, {"lhs": BOXES + np.float32(0.1)}, {"rhs": BOXES.reshape(1, 3, 4)}
    ),
    "gemm, less": Case("_linalg_gemm2", {"alpha": -1.0}, {"a": (3, 4), "b": (4, 2)}),
    "crop without an offset": Case("Crop", {"num_args": 1, "h_w": "(3, 2)"}, {"data": (2, 3, 6, 7)}),
    "softmax to a wider type": Case("softmax", {"dtype": "float64"}, {"data": (3, 4)}),
    "batch norm of a narrow type": Case(
        "BatchNorm",
        {"fix_gamma": False},
        {"data": np.linspace(-2, 3, 24, dtype=np.float16).reshape(2, 3, 4)},
        {"gamma": (3,), "beta": (3,), "moving_mean": (3,), "moving_var": np.asarray([0.5, 1.5, 2.0], np.float32)},
    ),
    "softmax to a narrower type": Case("softmax", {"dtype": "float16"}, {"data": (3, 4)}),
    "deformable, two rows high": Case(
        "_contrib_DeformableConvolution",
        {"num_filter": 2, "kernel": "(1, 2)", "no_bias": True},
        {"data": (1, 3, 2, 6)},
        {"offset": (1, 4, 2, 5), "weight": (2, 3, 1, 2)},
    ),
    "proposals of all there are": Case(
        "_contrib_Proposal",
        {"rpn_pre_nms_top_n": 0, "rpn_post_nms_top_n": 6, "scales": "(2, 4)", "ratios": "(1,)", "rpn_min_size": 8},
        {
            "s": np.linspace(0.9, 0.1, 80, dtype=np.float32).reshape(1, 4, 4, 5),
            "d": np.sin(np.arange(160, dtype=np.float32)).reshape(1, 8, 4, 5) * np.float32(0.3),
            "i": np.array([[60, 75, 1.0]], np.float32),
        },
    ),
    "warp of one row": Case(
        "GridGenerator", {"transform_type": "warp"}, {"flow": (1, 2, 1, 5)}, refused="one row or column"
    ),
}
