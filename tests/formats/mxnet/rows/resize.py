"""Rows of gateway/formats/mxnet/ops/resize.py: odd and unequal sizes, samples outside the picture."""

from __future__ import annotations

import numpy as np

from tests.formats.mxnet.harness import Case

X = (2, 3, 5, 7)
MATRICES = np.array([[0.9, 0.2, -0.1, -0.3, 1.1, 0.2], [1.3, 0, 0.4, 0.1, 0.7, -0.5]], np.float32)
GRID = np.random.default_rng(3).uniform(-1.4, 1.4, (2, 2, 4, 3)).astype(np.float32)
FLOW = np.random.default_rng(4).uniform(-2, 2, (2, 2, 5, 7)).astype(np.float32)
OFFSETS = np.random.default_rng(5).uniform(-2, 2, (2, 18, 5, 7)).astype(np.float32)
RESIZE = "_contrib_BilinearResize2D"

CASES = {
    "resize up, corners aligned by default": Case(RESIZE, {"height": 9, "width": 16}, {"data": X}),
    "resize down": Case(RESIZE, {"height": 3, "width": 4}, {"data": X}),
    "resize, corners not aligned": Case(RESIZE, {"height": 8, "width": 5, "align_corners": False}, {"data": X}),
    "resize to one pixel": Case(RESIZE, {"height": 1, "width": 1}, {"data": X}),
    "resize to its own size": Case(RESIZE, {"height": 5, "width": 7}, {"data": X}),
    "resize by scales": Case(RESIZE, {"scale_height": 1.5, "scale_width": 2.3}, {"data": X}),
    "resize, odd_scale": Case(RESIZE, {"scale_height": 2, "scale_width": 0.5, "mode": "odd_scale"}, {"data": X}),
    "resize, odd_scale of even sizes": Case(
        RESIZE, {"scale_height": 2, "scale_width": 0.5, "mode": "odd_scale"}, {"data": (1, 2, 4, 6)}
    ),
    "resize like another": Case(RESIZE, {"mode": "like"}, {"data": X, "like": (1, 1, 4, 9)}),
    "resize, to_even_up": Case(RESIZE, {"mode": "to_even_up"}, {"data": X}),
    "resize, to_even_down": Case(RESIZE, {"mode": "to_even_down"}, {"data": X}),
    "resize, to_odd_up": Case(RESIZE, {"mode": "to_odd_up"}, {"data": (1, 2, 4, 6)}),
    "resize, to_odd_down": Case(RESIZE, {"mode": "to_odd_down"}, {"data": (1, 2, 4, 6)}),
    "resize with a free batch": Case(RESIZE, {"height": 9, "width": 16}, {"data": X}, free=True),
    "adaptive pooling to one by default": Case("_contrib_AdaptiveAvgPooling2D", inputs={"data": X}),
    "adaptive pooling, unequal bins": Case("_contrib_AdaptiveAvgPooling2D", {"output_size": "(3, 4)"}, {"data": X}),
    "adaptive pooling, one number": Case("_contrib_AdaptiveAvgPooling2D", {"output_size": 3}, {"data": X}, free=True),
    "adaptive pooling to more": Case("_contrib_AdaptiveAvgPooling2D", {"output_size": "(6, 9)"}, {"data": X}),
    "GridGenerator, affine": Case(
        "GridGenerator", {"transform_type": "affine", "target_shape": "(4, 6)"}, {"data": MATRICES}
    ),
    "GridGenerator, affine, free batch": Case(
        "GridGenerator", {"transform_type": "affine", "target_shape": "(4, 6)"}, {"data": MATRICES}, free=True
    ),
    "GridGenerator, warp": Case("GridGenerator", {"transform_type": "warp"}, {"data": FLOW}),
    "BilinearSampler, outside is 0": Case("BilinearSampler", inputs={"data": X, "grid": GRID}),
    "SpatialTransformer": Case(
        "SpatialTransformer",
        {"target_shape": "(4, 6)", "transform_type": "affine", "sampler_type": "bilinear"},
        {"data": X, "loc": MATRICES},
    ),
    "Correlation, defaults": Case("Correlation", inputs={"a": (2, 3, 6, 7), "b": (2, 3, 6, 7)}),
    "Correlation, padded as FlowNet does": Case(
        "Correlation", {"max_displacement": 4, "stride2": 2, "pad_size": 4}, {"a": (2, 3, 6, 7), "b": (2, 3, 6, 7)}
    ),
    "Correlation, kernel 3, stride 2": Case(
        "Correlation",
        {"kernel_size": 3, "max_displacement": 2, "stride1": 2, "pad_size": 3},
        {"a": (1, 3, 9, 8), "b": (1, 3, 9, 8)},
    ),
    "Correlation of differences": Case(
        "Correlation", {"is_multiply": False, "pad_size": 1}, {"a": (2, 3, 6, 7), "b": (2, 3, 6, 7)}
    ),
    "DeformableConvolution": Case(
        "_contrib_DeformableConvolution",
        {"kernel": "(3, 3)", "num_filter": 4, "pad": "(1, 1)"},
        {"data": X, "offset": OFFSETS},
    ),
    "DeformableConvolution, stride, dilation, no bias": Case(
        "_contrib_DeformableConvolution",
        {"kernel": "(3, 2)", "num_filter": 4, "pad": "(2, 1)", "stride": "(2, 1)", "dilate": "(2, 1)", "no_bias": True},
        {"data": X, "offset": OFFSETS[:, :12, :3, :].repeat(2, 3)[..., :8].copy()},
    ),
    "DeformableConvolution, groups": Case(
        "_contrib_DeformableConvolution",
        {"kernel": "(3, 3)", "num_filter": 4, "pad": "(1, 1)", "num_group": 2, "num_deformable_group": 2},
        {"data": (2, 4, 5, 7), "offset": np.concatenate([OFFSETS, -OFFSETS[:, ::-1]], 1)},
        free=True,
    ),
    "resize, a width of 1 by default": Case(RESIZE, {"height": 4}, {"data": X}),
    "resize to a row": Case(RESIZE, {"height": 1, "width": 9}, {"data": X}),
    "resize, corners not aligned, much larger": Case(
        RESIZE, {"height": 13, "width": 30, "align_corners": False}, {"data": X}
    ),
    "adaptive pooling to one row": Case("_contrib_AdaptiveAvgPooling2D", {"output_size": "(1, 3)"}, {"data": X}),
    "DeformableConvolution, two offset groups, unequal kernel": Case(
        "_contrib_DeformableConvolution",
        {"kernel": "(1, 3)", "num_filter": 3, "pad": "(0, 1)", "num_deformable_group": 3},
        {"data": X, "offset": OFFSETS},
    ),
}
