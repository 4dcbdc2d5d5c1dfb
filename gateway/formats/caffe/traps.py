"""What is known to go wrong with Caffe's layers: sentences by layer, shown where a node diverges."""

from __future__ import annotations

TRAPS: dict[str, str] = {
    "Pooling": (
        "sizes are rounded up; with padding a last window that would start in it is dropped, without padding it "
        "stays; an average counts padding, not what hangs over"
    ),
    "BatchNorm": (
        "mean and variance are divided by the third blob (0 means 0); eps is 1e-5; there is no gamma and beta: a "
        "Scale behind it has them; five blobs are NVCaffe's"
    ),
    "BN": "PSPNet's blobs are slope, bias, mean, variance; SegNet's two are scale and shift",
    "Scale": "axis and num_axes are 1 by default, bias_term false; a second bottom is the scale",
    "Bias": "axis and num_axes are 1 by default",
    "Eltwise": "SUM has a coefficient a bottom",
    "InnerProduct": "everything from axis on is one vector; with transpose the weight is (in, out)",
    "Deconvolution": "stride (H - 1) + extent - 2 pad, no output padding; the weight is (in, out / groups, ...)",
    "Crop": "axis is 2 by default; one offset is for every axis; the sizes are the second bottom's",
    "LRN": (
        "alpha is 1 and k is 1 by default; across channels alpha is divided by the window; within a channel the "
        "window is a mean that counts padding, and k is not read"
    ),
    "Power": "(shift + scale x) ** power",
    "Exp": "base ** (shift + scale x); base -1 is e",
    "Log": "the logarithm of shift + scale x; base -1 is e",
    "PReLU": "one slope a channel unless channel_shared",
    "ReLU": "it may have a negative_slope",
    "MVN": "eps is 1e-9 and stands outside the root",
    "Softmax": "the axis is 1 by default, whatever the rank",
    "Flatten": "axis to end_axis, 1 to -1 by default",
    "Reshape": "0 copies, -1 infers; axis and num_axes say which axes are replaced",
    "Slice": "slice_point are places, not sizes; slice_dim is the axis of old",
    "Concat": "concat_dim is the axis of old",
    "ArgMax": "of equal numbers the last; without axis over the whole row; answers are floats",
    "Reduction": "all axes from axis on, 0 by default",
    "Normalize": "across_spatial and channel_shared are true by default; eps stands inside the root",
    "PriorBox": (
        "min_size and max_size are cut to whole numbers; the ratio 1 stands first; flip is true and clip false by"
        " default; offset is 0.5"
    ),
    "DetectionOutput": (
        "rows are by image, label, falling score; nms_param.top_k counts before suppression, keep_top_k after it;"
        " where nothing is found one row of -1 an image"
    ),
    "Interp": "corners lie on corners; zoom_factor makes H + (H - 1)(zoom - 1)",
    "Upsample": "with a second bottom numbers go to where they were largest; pad_out takes one off",
    "ROIPooling": "box ends are inclusive and rounded half away from zero; an empty bin is 0",
    "LSTM": "gates are i, f, o, g; cont 0 forgets the state before the step",
    "SPP": "the kernel is ceil(H / bins), and the padding (rest + 1) / 2",
    "Clip": "max(min, min(x, max))",
}


def traps(operator: str) -> tuple[str, ...]:
    said = TRAPS.get(operator)
    return (said,) if said else ()
