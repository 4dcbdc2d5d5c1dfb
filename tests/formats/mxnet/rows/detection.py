"""Rows of detection.py and proposal.py in gateway/formats/mxnet/ops: overlapping boxes, equal scores, empty ones."""

from __future__ import annotations

import numpy as np

from tests.formats.mxnet.harness import Case

RANDOM = np.random.default_rng(11)


def boxes(*shape: int, classes: int = 3, scale: float = 1.0) -> np.ndarray:
    """Rows (class, score, corners) that overlap a good deal."""
    low = RANDOM.uniform(0, 0.6, (*shape, 2))
    size = RANDOM.uniform(0.15, 0.4, (*shape, 2))
    head = [RANDOM.integers(0, classes, (*shape, 1)), RANDOM.uniform(0, 1, (*shape, 1))]
    return np.concatenate([*head, low * scale, (low + size) * scale], -1).astype(np.float32)


MANY = boxes(2, 40)
TIED = boxes(1, 30)
TIED[..., 1] = np.round(TIED[..., 1], 1)
WITH_NEGATIVE = boxes(2, 20)
WITH_NEGATIVE[:, ::3, 0] = -1
WITH_NEGATIVE[:, 1::4, 1] = -0.5
CENTRES = MANY.copy()
CENTRES[..., 2:4] = (MANY[..., 2:4] + MANY[..., 4:6]) / 2
CENTRES[..., 4:6] = MANY[..., 4:6] - MANY[..., 2:4]
EXCHANGED = MANY.copy()
EXCHANGED[:, ::2, [2, 4]] = MANY[:, ::2, [4, 2]]
SOME_BELOW = MANY.copy()
SOME_BELOW[..., 2:] -= 0.3
EVERY = {"id_index": 0, "overlap_thresh": 0.3, "valid_thresh": 0.05}

SCORES = RANDOM.uniform(0, 1, (2, 4, 30)).astype(np.float32)
SCORES /= SCORES.sum(1, keepdims=True)
OFFSETS = (RANDOM.standard_normal((2, 120)) * 0.4).astype(np.float32)
ANCHORS = boxes(1, 30)[..., 2:].copy()
LOUD = {"nms_threshold": 0.3, "threshold": 0.3}

REGIONS = np.array(
    [
        [0, 0, 0, 7, 9],
        [1, 3.5, 2.5, 11.5, 6.5],
        [0, 6, 6, 6, 6],
        [1, 9, 9, 3, 3],
        [0, -4, -3, 30, 40],
        [1, 2.49, 1, 5.51, 9],
    ],
    np.float32,
)
INSIDE = np.array([[0, 0.2, 0.7, 7.3, 9.1], [1, 3.5, 2.5, 11.5, 6.5], [0, 1, 1, 2, 9], [1, -2, -3, 14, 15]], np.float32)
INFO = np.array([[64, 80, 1.0], [56, 72, 1.2]], np.float32)
PROPOSAL = {"rpn_pre_nms_top_n": 60, "rpn_post_nms_top_n": 12, "feature_stride": 16, "scales": "(2, 4)",
            "ratios": "(0.5, 1, 2)", "rpn_min_size": 8}  # fmt: skip
RPN = RANDOM.uniform(0, 1, (2, 12, 4, 5)).astype(np.float32)
MOVES = (RANDOM.standard_normal((2, 24, 4, 5)) * 0.3).astype(np.float32)
WIDE_ANCHORS = ANCHORS * np.float32(1.6) - np.float32(0.3)
TWINS = ANCHORS.copy()
TWINS[:, 1::2] = TWINS[:, ::2]
TWIN_ROWS = MANY.copy()
TWIN_ROWS[:, 1::2, 2:] = TWIN_ROWS[:, ::2, 2:]
TWIN_ROWS[:, 1::2, 0] = TWIN_ROWS[:, ::2, 0]
MORE = np.concatenate([MANY, RANDOM.uniform(0, 1, (2, 40, 3)).astype(np.float32)], -1)
DEFAULT_RPN = RANDOM.uniform(0, 1, (1, 24, 6, 7)).astype(np.float32)
DEFAULT_MOVES = (RANDOM.standard_normal((1, 48, 6, 7)) * 0.3).astype(np.float32)

CASES = {
    "priors, defaults": Case("_contrib_MultiBoxPrior", inputs={"data": (1, 3, 4, 5)}),
    "priors, sizes and ratios": Case(
        "_contrib_MultiBoxPrior", {"sizes": "(0.3, 0.5, 0.2)", "ratios": "(1, 2, 0.5)"}, {"data": (2, 3, 3, 7)}
    ),
    "priors, a first ratio that is not 1": Case(
        "_contrib_MultiBoxPrior", {"sizes": "(0.3, 0.5)", "ratios": "(2, 3)"}, {"data": (1, 3, 4, 3)}
    ),
    "priors, clipped": Case("_contrib_MultiBoxPrior", {"sizes": "(0.9,)", "clip": True}, {"data": (1, 3, 4, 5)}),
    "priors, steps and offsets are y, x": Case(
        "_contrib_MultiBoxPrior",
        {"sizes": "(0.3,)", "steps": "(0.1, 0.2)", "offsets": "(0.3, 0.6)"},
        {"data": (1, 3, 4, 5)},
    ),
    "priors with a free batch": Case("_contrib_MultiBoxPrior", {"sizes": "(0.3,)"}, {"data": (2, 3, 4, 5)}, free=True),
    "box_nms, defaults": Case("_contrib_box_nms", inputs={"data": MANY}),
    "box_nms within a class": Case("_contrib_box_nms", EVERY, {"data": MANY}),
    "box_nms over all classes": Case("_contrib_box_nms", {**EVERY, "force_suppress": True}, {"data": MANY}),
    "box_nms, the best ten": Case("_contrib_box_nms", {**EVERY, "topk": 10}, {"data": MANY}),
    "box_nms, more than there are": Case("_contrib_box_nms", {**EVERY, "topk": 400}, {"data": MANY}),
    "box_nms, equal scores": Case("_contrib_box_nms", {"overlap_thresh": 0.3}, {"data": TIED}),
    "box_nms, classes and scores below zero": Case(
        "_contrib_box_nms", {**EVERY, "valid_thresh": 0}, {"data": WITH_NEGATIVE}
    ),
    "box_nms, a background class": Case("_contrib_box_nms", {**EVERY, "background_id": 0}, {"data": MANY}),
    "box_nms, centre boxes": Case(
        "_contrib_box_nms", {**EVERY, "in_format": "center", "out_format": "center"}, {"data": CENTRES}
    ),
    "box_nms, centre to corner": Case("_contrib_box_nms", {**EVERY, "in_format": "center"}, {"data": CENTRES}),
    "box_nms, corner to centre, some below 0": Case(
        "_contrib_box_nms", {**EVERY, "out_format": "center"}, {"data": SOME_BELOW}
    ),
    "box_nms, exchanged corners": Case("_contrib_box_nms", EVERY, {"data": EXCHANGED}),
    "box_nms, other columns": Case(
        "_contrib_box_nms",
        {"coord_start": 0, "score_index": 4, "overlap_thresh": 0.3},
        {"data": np.roll(MANY[..., 1:], 4, -1)},
    ),
    "box_nms, two axes": Case("_contrib_box_nms", EVERY, {"data": MANY[0]}),
    "box_nms, four axes": Case("_contrib_box_nms", EVERY, {"data": MANY[None]}),
    "box_nms with a free batch": Case("_contrib_box_nms", {**EVERY, "topk": 20}, {"data": MANY}, free=True),
    "box_nms, nothing is good enough": Case("_contrib_box_nms", {"valid_thresh": 5}, {"data": MANY}, flat=True),
    "_contrib_box_non_maximum_suppression": Case("_contrib_box_non_maximum_suppression", EVERY, {"data": MANY}),
    "box_iou": Case("_contrib_box_iou", inputs={"a": MANY[0, :5, 2:].copy(), "b": MANY[1, :, 2:].copy()}),
    "box_iou, centre, more axes": Case(
        "_contrib_box_iou", {"format": "center"}, {"a": CENTRES[:, :3, 2:].copy(), "b": CENTRES[1, :, 2:].copy()}
    ),
    "box_iou, exchanged corners": Case(
        "_contrib_box_iou", inputs={"a": EXCHANGED[0, :6, 2:].copy(), "b": MANY[1, :, 2:].copy()}
    ),
    "box_decode": Case(
        "_contrib_box_decode",
        {"std0": 0.1, "std1": 0.2, "std2": 0.3, "std3": 0.4, "format": "corner"},
        {"a": (2, 6, 4), "b": MANY[:1, :6, 2:].copy()},
    ),
    "box_decode, centre by default, clipped": Case(
        "_contrib_box_decode", {"clip": 0.2}, {"a": (2, 6, 4), "b": CENTRES[:1, :6, 2:].copy()}, free=False
    ),
    "MultiBoxDetection, defaults": Case("_contrib_MultiBoxDetection", inputs={"p": SCORES, "o": OFFSETS, "a": ANCHORS}),
    "MultiBoxDetection, much suppressed": Case(
        "_contrib_MultiBoxDetection", LOUD, {"p": SCORES, "o": OFFSETS, "a": ANCHORS}
    ),
    "MultiBoxDetection over all classes": Case(
        "_contrib_MultiBoxDetection", {**LOUD, "force_suppress": True}, {"p": SCORES, "o": OFFSETS, "a": ANCHORS}
    ),
    "MultiBoxDetection, the best ten": Case(
        "_contrib_MultiBoxDetection", {**LOUD, "nms_topk": 10}, {"p": SCORES, "o": OFFSETS, "a": ANCHORS}
    ),
    "MultiBoxDetection, unclipped, other variances": Case(
        "_contrib_MultiBoxDetection",
        {"clip": False, "variances": "(0.3, 0.2, 0.1, 0.4)"},
        {"p": SCORES, "o": OFFSETS, "a": ANCHORS},
    ),
    "MultiBoxDetection without suppression": Case(
        "_contrib_MultiBoxDetection", {"nms_threshold": 0, "threshold": 0.3}, {"p": SCORES, "o": OFFSETS, "a": ANCHORS}
    ),
    "MultiBoxDetection with a free batch": Case(
        "_contrib_MultiBoxDetection", LOUD, {"p": SCORES, "o": OFFSETS}, {"a": ANCHORS}, free=True
    ),
    "ROIPooling rounds half away from zero": Case(
        "ROIPooling", {"pooled_size": "(3, 2)", "spatial_scale": 1.0}, {"data": (2, 3, 10, 12), "rois": REGIONS}
    ),
    "ROIPooling, scaled": Case(
        "ROIPooling", {"pooled_size": "(2, 4)", "spatial_scale": 0.5}, {"data": (2, 3, 10, 12), "rois": REGIONS}
    ),
    "ROIAlign": Case(
        "_contrib_ROIAlign", {"pooled_size": "(3, 2)", "spatial_scale": 0.7}, {"data": (2, 3, 10, 12), "rois": INSIDE}
    ),
    "ROIAlign, two samples": Case(
        "_contrib_ROIAlign",
        {"pooled_size": "(3, 2)", "spatial_scale": 1.0, "sample_ratio": 2},
        {"data": (2, 3, 10, 12), "rois": INSIDE},
    ),
    "ROIAlign, aligned": Case(
        "_contrib_ROIAlign",
        {"pooled_size": "(3, 2)", "spatial_scale": 0.5, "aligned": True},
        {"data": (2, 3, 10, 12), "rois": INSIDE},
    ),
    "ROIAlign, position sensitive": Case(
        "_contrib_ROIAlign",
        {"pooled_size": "(2, 2)", "spatial_scale": 1.0, "position_sensitive": True},
        {"data": (2, 8, 10, 12), "rois": INSIDE},
        refused="position_sensitive",
    ),
    "Proposal": Case("_contrib_Proposal", PROPOSAL, {"s": RPN[:1], "d": MOVES[:1], "i": INFO[:1]}),
    "Proposal, scores too": Case(
        "_contrib_Proposal", {**PROPOSAL, "output_score": True}, {"s": RPN[:1], "d": MOVES[:1], "i": INFO[:1]}
    ),
    "Proposal, a smaller picture": Case("_contrib_Proposal", PROPOSAL, {"s": RPN[1:], "d": MOVES[1:], "i": INFO[1:]}),
    "Proposal, fewer stay than are asked for": Case(
        "_contrib_Proposal",
        {**PROPOSAL, "rpn_post_nms_top_n": 50, "threshold": 0.3},
        {"s": RPN[:1], "d": MOVES[:1], "i": INFO[:1]},
    ),
    "Proposal, large ones only": Case(
        "_contrib_Proposal",
        {**PROPOSAL, "rpn_min_size": 40, "output_score": True},
        {"s": RPN[:1], "d": MOVES[:1], "i": INFO[:1]},
    ),
    "Proposal, IoU loss": Case(
        "_contrib_Proposal", {**PROPOSAL, "iou_loss": True}, {"s": RPN[:1], "d": MOVES[:1] * 20, "i": INFO[:1]}
    ),
    "MultiProposal": Case(
        "_contrib_MultiProposal", {**PROPOSAL, "output_score": True}, {"s": RPN, "d": MOVES, "i": INFO}
    ),
    "MultiProposal with a free batch": Case(
        "_contrib_MultiProposal", PROPOSAL, {"s": RPN, "d": MOVES, "i": INFO}, free=True
    ),
    "box_nms, more columns": Case("_contrib_box_nms", {**EVERY, "out_format": "center"}, {"data": MORE}),
    "box_nms, equal boxes at the threshold 1 stay": Case(
        "_contrib_box_nms", {"id_index": 0, "overlap_thresh": 1.0}, {"data": TWIN_ROWS}
    ),
    "box_nms of none": Case("_contrib_box_nms", {"topk": 0}, {"data": MANY}),
    "MultiBoxDetection, clipped by default": Case(
        "_contrib_MultiBoxDetection", inputs={"p": SCORES, "o": OFFSETS, "a": WIDE_ANCHORS}
    ),
    "MultiBoxDetection, equal boxes at the threshold 1 go": Case(
        "_contrib_MultiBoxDetection", {"nms_threshold": 1.0}, {"p": SCORES, "o": OFFSETS * np.float32(0), "a": TWINS}
    ),
    "MultiBoxDetection, another threshold": Case(
        "_contrib_MultiBoxDetection", {"threshold": 0.45}, {"p": SCORES, "o": OFFSETS, "a": ANCHORS}
    ),
    "Proposal, defaults": Case(
        "_contrib_Proposal", inputs={"s": DEFAULT_RPN, "d": DEFAULT_MOVES, "i": np.array([[90, 100, 1.3]], np.float32)}
    ),
    "_npx_multibox_detection": Case("_npx_multibox_detection", LOUD, {"p": SCORES, "o": OFFSETS, "a": ANCHORS}),
}
