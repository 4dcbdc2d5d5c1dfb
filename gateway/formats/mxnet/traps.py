"""What is known to go wrong with MXNet's operators: sentences by operator, shown where a node diverges."""

from __future__ import annotations

_BATCH_NORM = (
    "eps is 1e-3 unless the file says otherwise; fix_gamma is True by default and then the stored gamma is not used; "
    "moving mean and variance are auxiliary states"
)
_POOLING = (
    "pooling_convention 'full' rounds up and does not clip the last window; an average counts padding (but not the "
    "overhang) unless count_include_pad is False; global_pool ignores kernel, stride and pad"
)
_DECONVOLUTION = (
    "no_bias is True by default; the weight is (in, out / groups, ...); with target_shape, pad and adj are ignored and "
    "follow from it"
)
_SOFTMAX_OUTPUT = (
    "multi_output takes axis 1, preserve_shape the last axis, neither flattens all but the batch into one axis"
)
_RESHAPE = "codes 0, -1, -2, -3, -4 and reverse; legacy target_shape and keep_highest"
_SCALAR = "_rminus_scalar is c - x and _rdiv_scalar is c / x; names have older spellings"
_LEAKY = (
    "act_type is leaky with slope 0.25 by default; prelu's gamma stands on axis 1; rrelu takes the mean of its bounds "
    "at inference; gelu is the one with erf"
)
_L2 = "eps (1e-10) stands inside the root; instance sums all but the batch, channel axis 1, spatial the places"
_RNN = (
    "one flat vector: weights of all layers and directions first, then all biases; gates are i, f, c, o (LSTM) and "
    "r, z, n (GRU, the reset after the product); data are (time, batch, channels)"
)
_UP = (
    "nearest scales every input to the first one's height times scale; bilinear is a deconvolution with the given "
    "weight, not a resize"
)
_CROP = "offset (y, x) or center_crop; with two inputs the second gives height and width"
_INDEX = "indices out of range are clipped by default, and float indices are truncated"
_ARG = "the answer is float32, not an integer; without axis the whole array is one"
_ROI = "box ends are inclusive and rounded half away from zero; an empty bin is 0"

TRAPS: dict[str, tuple[str, ...]] = {
    "BatchNorm": (_BATCH_NORM,),
    "BatchNorm_v1": (_BATCH_NORM,),
    "_contrib_SyncBatchNorm": (_BATCH_NORM,),
    "Pooling": (_POOLING,),
    "Pooling_v1": (_POOLING,),
    "Convolution": ("no_bias is False by default; with layout NHWC the weight is (out, kh, kw, in)",),
    "Deconvolution": (_DECONVOLUTION,),
    "UpSampling": (_UP,),
    "LeakyReLU": (_LEAKY,),
    "L2Normalization": (_L2,),
    "LRN": ("alpha is divided by nsize; knorm is 2 by default",),
    "FullyConnected": ("flatten is True by default: all axes but the first become one",),
    "Reshape": (_RESHAPE,),
    "reshape": (_RESHAPE,),
    "SoftmaxOutput": (_SOFTMAX_OUTPUT,),
    "Softmax": (_SOFTMAX_OUTPUT,),
    "SoftmaxActivation": ("mode instance takes the last axis, whatever its text says; channel takes axis 1",),
    "softmax": ("temperature divides first; length, when used, masks the axis",),
    "LogisticRegressionOutput": ("the answer is the sigmoid of the input",),
    "ROIPooling": (_ROI,),
    "_contrib_ROIAlign": ("sample_ratio -1 is adaptive: it grows with the box",),
    "Concat": ("the axis is called dim and is 1 by default",),
    "SliceChannel": ("the axis is 1 by default; squeeze_axis drops it",),
    "Crop": (_CROP,),
    "Pad": ("pad_width is (before, after) for each axis, the batch's first",),
    "pad": ("pad_width is (before, after) for each axis, the batch's first",),
    "slice_like": ("axes () means all",),
    "RNN": (_RNN,),
    "Embedding": (_INDEX,),
    "take": (_INDEX,),
    "pick": (_INDEX,),
    "argmax": (_ARG,),
    "argmin": (_ARG,),
    "Dropout": ("mode 'always' stays random at inference; anything else is the identity",),
    "InstanceNorm": ("eps is 1e-3 by default, and the variance is the one over all elements",),
    "LayerNorm": ("axis is -1 and eps 1e-5 by default",),
    "GroupNorm": ("gamma and beta have one value a group",),
    "_minus_scalar": (_SCALAR,),
    "_rminus_scalar": (_SCALAR,),
    "_div_scalar": (_SCALAR,),
    "_rdiv_scalar": (_SCALAR,),
    "_mod_scalar": ("the remainder has the divisor's sign",),
    "_mod": ("the remainder has the divisor's sign",),
    "round": ("half is rounded away from zero, not to even",),
    "slice": ("begin and end may be None, and steps negative",),
    "SequenceReverse": ("the time axis is 0, and only the first sequence_length steps turn round",),
    "BilinearSampler": ("the grid is in -1..1 with corners aligned; outside is zero",),
    "_contrib_BilinearResize2D": ("corners are aligned by default",),
}


def traps(operator: str) -> tuple[str, ...]:
    """Sentences on an operator; none for one that has no known trap."""
    return TRAPS.get(operator, ())
