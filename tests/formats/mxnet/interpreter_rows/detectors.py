"""Boxes, regions, proposals, recurrent layers, images, sampling between pixels, 8-bit integers, created tensors."""

from __future__ import annotations

import numpy as np

from tests.formats.mxnet.harness import Case

F = np.float32
R = np.random.default_rng(7)
GRAPH = "tests.formats.mxnet.interpreter_rows.graphs"


def boxes(count: int, size: float = 1.0, batch: int = 1) -> np.ndarray:
    """(batch, count, 4) corners, many overlapping."""
    start = R.uniform(0, 0.6, (batch, count, 2))
    return (np.concatenate([start, start + R.uniform(0.1, 0.4, (batch, count, 2))], -1) * size).astype(F)


def detections(count: int, batch: int = 2) -> np.ndarray:
    """(batch, count, [class, score, x1, y1, x2, y2])."""
    kind = R.integers(0, 3, (batch, count, 1))
    score = R.permutation(batch * count).reshape(batch, count, 1) / (batch * count)
    return np.concatenate([kind, score, boxes(count, batch=batch)], -1).astype(F)


PRIOR = {"data": (1, 2, 4, 6)}
HEAD = {
    "probability": R.dirichlet(np.ones(4), (2, 12)).transpose(0, 2, 1).astype(F),
    "moves": (R.normal(size=(2, 48)) * 0.5).astype(F),
    "anchors": boxes(12),
}
LOW = np.linspace(0.006, 0.017, 2 * 4 * 12, dtype=F).reshape(2, 4, 12)
ROIS = np.array([[0, 0, 0, 7, 7], [1, 2.5, 1.5, 9.5, 6.5], [0, 4, 4, 3, 3], [1, -3, -2, 20, 15], [0, 6, 1, 6, 1]], F)
IMAGE = {"data": (2, 4, 9, 12)}
BOXES = {
    "priors: one size, one ratio": Case("_contrib_MultiBoxPrior", {}, PRIOR),
    "priors: every size, then the first at other ratios": Case(
        "_contrib_MultiBoxPrior", {"sizes": "(0.5, 0.25, 0.1)", "ratios": "(1, 2, 0.5)"}, PRIOR
    ),
    "priors: the first ratio is not 1": Case(
        "_contrib_MultiBoxPrior", {"sizes": "(0.5, 0.2)", "ratios": "(2, 1)"}, PRIOR
    ),
    "priors: clip": Case("_contrib_MultiBoxPrior", {"sizes": "(0.9,)", "clip": True}, PRIOR),
    "priors: steps and offsets": Case(
        "_contrib_MultiBoxPrior", {"steps": "(0.2, 0.1)", "offsets": "(0.3, 0.6)"}, PRIOR
    ),
    "detection": Case("_contrib_MultiBoxDetection", {}, HEAD),
    "detection: threshold": Case("_contrib_MultiBoxDetection", {"threshold": 0.5}, HEAD),
    "detection: the threshold is 0.01": Case("_contrib_MultiBoxDetection", {}, {**HEAD, "probability": LOW}),
    "detection: force_suppress": Case(
        "_contrib_MultiBoxDetection", {"force_suppress": True, "nms_threshold": 0.3}, HEAD
    ),
    "detection: nms_topk": Case("_contrib_MultiBoxDetection", {"nms_topk": 4, "nms_threshold": 0.3}, HEAD),
    "detection: variances, no clip": Case(
        "_contrib_MultiBoxDetection", {"variances": "(0.2,0.3,0.4,0.5)", "clip": False}, HEAD
    ),
    "detection: no suppression": Case("_contrib_MultiBoxDetection", {"nms_threshold": 0}, HEAD),
    "nms": Case("_contrib_box_nms", {"overlap_thresh": 0.3}, {"data": detections(10)}),
    "nms: by class": Case("_contrib_box_nms", {"overlap_thresh": 0.3, "id_index": 0}, {"data": detections(10)}),
    "nms: all classes together": Case(
        "_contrib_box_nms", {"overlap_thresh": 0.3, "id_index": 0, "force_suppress": True}, {"data": detections(10)}
    ),
    "nms: topk, valid_thresh, background": Case(
        "_contrib_box_nms",
        {"topk": 6, "valid_thresh": 0.2, "id_index": 0, "background_id": 1},
        {"data": detections(10)},
    ),
    "nms: centres in, corners out": Case(
        "_contrib_box_nms",
        {"in_format": "center", "out_format": "corner", "overlap_thresh": 0.3},
        {"data": detections(8)},
    ),
    "nms: corners in, centres out": Case(
        "_contrib_box_nms", {"out_format": "center", "overlap_thresh": 0.3}, {"data": detections(8)}
    ),
    "nms by its long name": Case("_contrib_box_non_maximum_suppression", {}, {"data": detections(6)}),
    "iou": Case("_contrib_box_iou", {}, {"a": boxes(4)[0], "b": boxes(3)[0]}),
    "iou: centres": Case("_contrib_box_iou", {"format": "center"}, {"a": boxes(4)[0], "b": boxes(3)[0]}),
    "box decode: centres": Case(
        "_contrib_box_decode", {"std0": 0.1, "std2": 0.2}, {"moves": (2, 5, 4), "anchors": boxes(5)}
    ),
    "box decode: corners, clip": Case(
        "_contrib_box_decode", {"format": "corner", "clip": 0.3}, {"moves": (2, 5, 4), "anchors": boxes(5)}
    ),
    "box encode": Case(
        "_contrib_box_encode",
        {},
        {
            "samples": np.array([[1, 0, -1, 1]], F),
            "matches": np.array([[0, 1, 1, 2]], F),
            "anchors": boxes(4),
            "refs": boxes(3),
            "means": np.array([0.1, 0, 0, 0.2], F),
            "stds": np.array([0.1, 0.1, 0.2, 0.2], F),
        },
    ),
    "roi pooling": Case("ROIPooling", {"pooled_size": (3, 2), "spatial_scale": 1.0}, {**IMAGE, "rois": ROIS}),
    "roi pooling: half a pixel goes away from zero": Case(
        "ROIPooling", {"pooled_size": (2, 2), "spatial_scale": 0.5}, {**IMAGE, "rois": ROIS}
    ),
    "roi pooling: 7 bins of 5 pixels": Case(
        "ROIPooling",
        {"pooled_size": (7, 7), "spatial_scale": 1.0},
        {**IMAGE, "rois": np.array([[0, 1, 1, 5, 5], [1, 0, 0, 10, 8]], F)},
    ),
    "roi align": Case(
        "_contrib_ROIAlign", {"pooled_size": (3, 2), "spatial_scale": 0.5, "sample_ratio": 2}, {**IMAGE, "rois": ROIS}
    ),
    "roi align: as many samples as pixels": Case(
        "_contrib_ROIAlign", {"pooled_size": (2, 2), "spatial_scale": 1.0}, {**IMAGE, "rois": ROIS[:2]}
    ),
    "roi align: over every edge": Case(
        "_contrib_ROIAlign",
        {"pooled_size": (4, 5), "spatial_scale": 1.0, "sample_ratio": 3},
        {**IMAGE, "rois": np.array([[0, -2.5, -2.2, 14.5, 11.4], [1, 7.3, 5.1, 13.2, 10.3]], F)},
    ),
    "roi align: aligned": Case(
        "_contrib_ROIAlign", {"pooled_size": (2, 2), "spatial_scale": 1.0, "aligned": True}, {**IMAGE, "rois": ROIS[:2]}
    ),
    "roi align: channels of its own for each bin": Case(
        "_contrib_ROIAlign",
        {"pooled_size": (2, 2), "spatial_scale": 1.0, "position_sensitive": True, "sample_ratio": 2},
        {**IMAGE, "rois": ROIS[:2]},
    ),
}

RPN = {
    "probability": R.dirichlet(np.ones(2), (6, 5, 7)).transpose(3, 0, 1, 2).reshape(1, 12, 5, 7).astype(F),
    "moves": (R.normal(size=(1, 24, 5, 7)) * 0.2).astype(F),
    "info": np.array([[80, 112, 1.0]], F),
}
RPN_ATTRS = {"scales": "(2, 4)", "ratios": "(0.5, 1, 2)", "rpn_pre_nms_top_n": 100, "rpn_post_nms_top_n": 20}
TWO = {
    name: np.concatenate([value, value[..., ::-1]] if value.ndim == 4 else [value, value])
    for name, value in RPN.items()
}
ANCHORS12 = {
    "probability": R.permutation(24 * 9 * 7).reshape(1, 24, 9, 7).astype(F) / (24 * 9 * 7),
    "moves": (R.normal(size=(1, 48, 9, 7)) * 0.2).astype(F),
    "info": np.array([[144, 112, 1.0]], F),
}
PROPOSALS = {
    "proposal": Case("_contrib_Proposal", RPN_ATTRS, RPN),
    "proposal: sizes, ratios and counts by default": Case("_contrib_Proposal", {}, ANCHORS12),
    "proposal: small ones out, score too": Case(
        "_contrib_Proposal", {**RPN_ATTRS, "rpn_min_size": 40, "output_score": True}, RPN
    ),
    "proposal: iou_loss": Case("_contrib_Proposal", {**RPN_ATTRS, "iou_loss": True}, RPN),
    "proposal: padded image": Case("_contrib_Proposal", RPN_ATTRS, {**RPN, "info": np.array([[60, 90, 1.5]], F)}),
    "proposal: too few, the first ones again": Case(
        "_contrib_Proposal", {**RPN_ATTRS, "threshold": 0.05, "rpn_post_nms_top_n": 60}, RPN
    ),
    "proposals of two images": Case("_contrib_MultiProposal", RPN_ATTRS, TWO),
}


def rnn(mode: str, **attrs: object) -> Case:
    layers, directions = int(attrs.get("num_layers", 1)), 2 if attrs.get("bidirectional") else 1  # type: ignore[call-overload]
    size, inputs, time, batch = 5, 3, 6, 2
    gates = {"lstm": 4, "gru": 3}.get(mode, 1)
    projection = int(attrs.get("projection_size", 0))  # type: ignore[call-overload]
    hidden, count = projection or size, 0
    for layer in range(layers):
        width = inputs if layer == 0 else hidden * directions
        count += directions * (gates * size * (width + hidden + 2) + projection * size)
    given = {"data": (time, batch, inputs)}
    states = {"state": (layers * directions, batch, hidden)}
    if mode == "lstm":
        states["state_cell"] = (layers * directions, batch, size)
    return Case(
        "RNN", {"mode": mode, "state_size": size, "num_layers": 1, **attrs}, {**given, "parameters": (count,), **states}
    )


RECURRENT = {
    **{f"rnn: {mode}": rnn(mode) for mode in ("lstm", "gru", "rnn_tanh", "rnn_relu")},
    **{f"rnn: {mode}, states out": rnn(mode, state_outputs=True) for mode in ("lstm", "gru", "rnn_tanh", "rnn_relu")},
    **{f"rnn: {mode}, two layers": rnn(mode, num_layers=2) for mode in ("lstm", "gru", "rnn_tanh")},
    **{
        f"rnn: {mode}, both directions": rnn(mode, bidirectional=True, state_outputs=True)
        for mode in ("lstm", "gru", "rnn_tanh")
    },
    "rnn: gru, two layers, both directions": rnn("gru", num_layers=2, bidirectional=True, state_outputs=True),
    "rnn: lstm, two layers, both directions": rnn("lstm", num_layers=2, bidirectional=True, state_outputs=True),
    "rnn: lstm, projection": rnn("lstm", projection_size=4, state_outputs=True),
}

Z = np.arange(12, dtype=F).reshape(1, 3, 2, 2)
IMAGES = {
    "upsampling: nearest": Case("UpSampling", {"scale": 2, "sample_type": "nearest"}, {"data": (1, 2, 3, 4)}),
    "upsampling: several, each to the first's size": Case(
        "UpSampling", {"scale": 2, "sample_type": "nearest"}, {"a": (1, 2, 4, 4), "b": (1, 3, 2, 2)}
    ),
    "upsampling: several added": Case(
        "UpSampling",
        {"scale": 2, "sample_type": "nearest", "multi_input_mode": "sum"},
        {"a": (1, 2, 4, 4), "b": (1, 2, 2, 2)},
    ),
    "upsampling: bilinear is a deconvolution by its weight": Case(
        "UpSampling",
        {"scale": 2, "sample_type": "bilinear", "num_filter": 3},
        {"data": (1, 3, 4, 5)},
        {"weight": (3, 1, 4, 4)},
    ),
    "upsampling: bilinear, scale 4": Case(
        "UpSampling",
        {"scale": 4, "sample_type": "bilinear", "num_filter": 2},
        {"data": (1, 2, 3, 4)},
        {"weight": (2, 1, 8, 8)},
    ),
    "upsampling: bilinear, odd scale": Case(
        "UpSampling",
        {"scale": 3, "sample_type": "bilinear", "num_filter": 2},
        {"data": (1, 2, 4, 5)},
        {"weight": (2, 1, 5, 5)},
    ),
    "resize: corners aligned": Case("_contrib_BilinearResize2D", {"height": 7, "width": 9}, {"data": (1, 2, 4, 5)}),
    "resize: smaller": Case("_contrib_BilinearResize2D", {"height": 3, "width": 2}, {"data": (1, 2, 7, 5)}),
    "resize: centres aligned": Case(
        "_contrib_BilinearResize2D", {"height": 7, "width": 9, "align_corners": False}, {"data": (1, 2, 4, 5)}
    ),
    "resize: to one": Case("_contrib_BilinearResize2D", {"height": 1, "width": 3}, {"data": (1, 2, 4, 5)}),
    "resize: scales": Case(
        "_contrib_BilinearResize2D", {"scale_height": 1.5, "scale_width": 2.2}, {"data": (1, 2, 4, 5)}
    ),
    "resize: like": Case("_contrib_BilinearResize2D", {"mode": "like"}, {"data": (1, 2, 4, 5), "like": (1, 1, 6, 3)}),
    "resize: odd_scale": Case(
        "_contrib_BilinearResize2D", {"mode": "odd_scale", "scale_height": 2, "scale_width": 2}, {"data": (1, 2, 4, 5)}
    ),
    **{
        f"resize: {mode}": Case("_contrib_BilinearResize2D", {"mode": mode}, {"data": (1, 2, 4, 5)})
        for mode in ("to_even_down", "to_even_up", "to_odd_down", "to_odd_up")
    },
    "to_tensor": Case("_image_to_tensor", {}, {"data": R.integers(0, 255, (4, 5, 3)).astype(np.uint8)}),
    "normalize": Case("_image_normalize", {"mean": "(0.5, 0.4, 0.3)", "std": "(0.2, 0.3, 0.4)"}, {"data": (3, 4, 5)}),
    "image crop": Case("_image_crop", {"x": 1, "y": 2, "width": 3, "height": 2}, {"data": (6, 5, 3)}),
    "flip left right": Case("_image_flip_left_right", {}, {"data": (4, 6, 3)}),
    "flip top bottom": Case("_image_flip_top_bottom", {}, {"data": (4, 5, 3)}),
}

GRID = R.uniform(-1.3, 1.3, (2, 2, 3, 4)).astype(F)
THETA = np.array([[1, 0.2, 0.1, -0.1, 0.9, 0], [0.5, 0, -0.3, 0.1, 1.4, 0.2]], F)
OFFSET = (R.normal(size=(1, 18, 4, 5)) * 1.5).astype(F)
SAMPLED = {
    "bilinear sampler: zeros outside": Case("BilinearSampler", {}, {"data": (2, 3, 5, 6), "grid": GRID}),
    "grid: affine": Case("GridGenerator", {"transform_type": "affine", "target_shape": (4, 5)}, {"data": THETA}),
    "grid: warp": Case("GridGenerator", {"transform_type": "warp"}, {"data": (2, 2, 4, 5)}),
    "spatial transformer": Case(
        "SpatialTransformer",
        {"transform_type": "affine", "sampler_type": "bilinear", "target_shape": (4, 5)},
        {"data": (2, 3, 6, 7), "theta": THETA},
    ),
    "deformable convolution": Case(
        "_contrib_DeformableConvolution",
        {"kernel": (3, 3), "pad": (1, 1), "num_filter": 3},
        {"data": (1, 4, 4, 5), "offset": OFFSET},
        {"weight": (3, 4, 3, 3), "bias": (3,)},
    ),
    "deformable convolution: groups, stride, dilate": Case(
        "_contrib_DeformableConvolution",
        {
            "kernel": (2, 2),
            "stride": (2, 2),
            "dilate": (2, 1),
            "num_filter": 4,
            "num_group": 2,
            "num_deformable_group": 2,
            "no_bias": True,
        },
        {"data": (2, 4, 8, 9), "offset": (2, 16, 3, 4)},
        {"weight": (4, 2, 2, 2)},
    ),
    "modulated deformable convolution": Case(
        "_contrib_ModulatedDeformableConvolution",
        {"kernel": (3, 3), "pad": (1, 1), "num_filter": 3},
        {"data": (1, 4, 4, 5), "offset": OFFSET, "mask": (1, 9, 4, 5)},
        {"weight": (3, 4, 3, 3), "bias": (3,)},
    ),
    "correlation": Case("Correlation", {"max_displacement": 2, "pad_size": 2}, {"a": (1, 3, 6, 7), "b": (1, 3, 6, 7)}),
    "correlation: kernel, strides, distance": Case(
        "Correlation",
        {"kernel_size": 3, "max_displacement": 2, "stride1": 2, "stride2": 2, "pad_size": 3, "is_multiply": False},
        {"a": (2, 3, 8, 9), "b": (2, 3, 8, 9)},
    ),
}

INT8 = {"data": R.integers(-127, 127, (2, 3, 4, 4)).astype(np.int8)}
SPAN = {"low": np.array([-2.5], F), "high": np.array([3.0], F)}
QUANTISED = {
    "quantize_v2: range given": Case(
        "_contrib_quantize_v2", {"min_calib_range": -1.5, "max_calib_range": 2}, {"data": (2, 5)}
    ),
    "quantize_v2: the data's own range": Case("_contrib_quantize_v2", {}, {"data": (2, 5)}),
    "quantize_v2: uint8": Case(
        "_contrib_quantize_v2",
        {"out_type": "uint8", "min_calib_range": 0, "max_calib_range": 3},
        {"data": np.array([[0, 0.5, 1, 2.2, 3]], F)},
    ),
    "quantize: range from inputs": Case("_contrib_quantize", {"out_type": "int8"}, {"data": (2, 5), **SPAN}),
    "quantize: uint8": Case("_contrib_quantize", {}, {"data": np.array([[0, 0.5, 1, 2.2, 3]], F), **SPAN}),
    "quantized concat: the widest range": Case(
        "_contrib_quantized_concat",
        {"dim": 1, "num_args": 2},
        {
            "a": INT8["data"],
            "b": INT8["data"][:, ::-1].copy(),
            **SPAN,
            "low1": np.array([-1], F),
            "high1": np.array([1.5], F),
        },
    ),
    "dequantize": Case("_contrib_dequantize", {}, {**INT8, **SPAN}),
    "quantized flatten": Case("_contrib_quantized_flatten", {}, {**INT8, **SPAN}),
    "quantized relu": Case("_contrib_quantized_act", {"act_type": "relu"}, {**INT8, **SPAN}),
    "quantized max pooling": Case(
        "_contrib_quantized_pooling", {"kernel": (2, 2), "stride": (2, 2), "pool_type": "max"}, {**INT8, **SPAN}
    ),
}

CREATED = {
    **{
        f"created: {name}": Case("", {"name": name}, {"data": (2, 3)}, graph=f"{GRAPH}:created")
        for name in (
            "_zeros",
            "_ones",
            "_full",
            "_eye",
            "_arange",
            "_arange stop",
            "_arange repeat",
            "_linspace",
        )
    },
    "zeros of an unknown batch for a recurrent cell": Case("", {}, {"data": (2, 3)}, graph=f"{GRAPH}:lstm_cells"),
}

ROWS = {**BOXES, **PROPOSALS, **RECURRENT, **IMAGES, **SAMPLED, **QUANTISED, **CREATED}
