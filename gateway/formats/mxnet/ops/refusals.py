"""Operators that MXNet has and that are not converted, each with its reason.

Rule 1: what differs from one call to the next cannot be compared with anything, so it is refused;
        an operator that is random in training only is none of these (Dropout is the identity).
Rule 2: "not yet" is no reason that stands here: an operator nobody wrote is simply not known.
"""

from __future__ import annotations

from gateway.graph.registry import refused

PROGRAM = "holds a program, not an operator"
refused("mxnet", "_foreach", "_while_loop", "_cond", reason=PROGRAM)
refused(
    "mxnet", "Custom", "_Native", "_NDArray", "_CustomFunction", "_npi_Custom",
    reason="runs code of its author, which the model's files do not hold",
)  # fmt: skip

DISTRIBUTIONS = (
    "exponential",
    "gamma",
    "generalized_negative_binomial",
    "negative_binomial",
    "normal",
    "poisson",
    "uniform",
)
RANDOM = "draws new numbers at every call, so no conversion of it can be proven"
refused("mxnet", *(f"_random_{name}" for name in (*DISTRIBUTIONS, "randint")), reason=RANDOM)
refused("mxnet", *(f"random_{name}" for name in (*DISTRIBUTIONS, "randint")), reason=RANDOM)
refused("mxnet", *(f"_random_{name}_like" for name in DISTRIBUTIONS), reason=RANDOM)
refused("mxnet", *(f"_sample_{name}" for name in (*DISTRIBUTIONS, "multinomial", "unique_zipfian")), reason=RANDOM)
refused("mxnet", *(f"sample_{name}" for name in (*DISTRIBUTIONS, "multinomial")), reason=RANDOM)
refused("mxnet", "normal", "uniform", "_shuffle", "shuffle", "_npi_shuffle", reason=RANDOM)
refused(
    "mxnet",
    *(f"_npi_{name}" for name in ("bernoulli", "choice", "exponential", "gamma", "gumbel", "logistic", "multinomial",
                                  "normal", "normal_n", "pareto", "random_randint", "rayleigh", "uniform", "uniform_n",
                                  "weibull")),
    reason=RANDOM,
)  # fmt: skip
refused(
    "mxnet",
    *(f"_image_random_{name}" for name in ("brightness", "color_jitter", "contrast", "flip_left_right",
                                           "flip_top_bottom", "hue", "lighting", "saturation")),
    reason=RANDOM,
)  # fmt: skip

TRAINING = "is of training: it makes targets or losses from labels, which a served model has not"
refused(
    "mxnet", "_contrib_MultiBoxTarget", "_npx_multibox_target", "_contrib_bipartite_matching", "_contrib_box_encode",
    "CTCLoss", "ctc_loss", "_contrib_CTCLoss", "_contrib_ctc_loss", "softmax_cross_entropy",
    reason=TRAINING,
)  # fmt: skip
refused(
    "mxnet", "sgd_update", "sgd_mom_update", "adam_update", "rmsprop_update", "ftrl_update", "all_finite",
    "multi_all_finite", "multi_sum_sq", "multi_lars", "reset_arrays",
    reason="is of an optimiser",
)  # fmt: skip

QUANTISED = (
    "is of a graph that MXNet quantised for its own int8 kernels, whose results differ from CPU to CPU; "
    "convert the float model it was made from"
)
refused(
    "mxnet",
    *(f"_contrib_quantized_{name}" for name in ("act", "batch_norm", "concat", "conv", "elemwise_add", "elemwise_mul",
                                                "embedding", "flatten", "fully_connected", "pooling", "rnn",
                                                "ring_buffer")),
    "_contrib_quantize", "_contrib_quantize_asym", "_contrib_quantize_v2", "_contrib_dequantize", "_contrib_requantize",
    "_contrib_calibrate_entropy",
    reason=QUANTISED,
)  # fmt: skip
refused(
    "mxnet", "_sg_mkldnn_conv", "_sg_mkldnn_fully_connected", "_sg_mkldnn_selfatt_qk", "_sg_mkldnn_selfatt_valatt",
    reason="is a subgraph fused for MXNet's own CPU kernels; save the model before optimize_for or get_backend_symbol",
)  # fmt: skip
refused("mxnet", "ring_buffer", reason="keeps a state between calls; MXNet 1.9 has no such operator")
refused(
    "mxnet", "_contrib_boolean_mask", "_npi_boolean_mask", "_npi_nonzero", "_npx_nonzero", "_npi_unique",
    reason="has a result whose shape depends on its values, which MXNet's symbols cannot say either",
)  # fmt: skip
refused(
    "mxnet",
    "cast_storage",
    "_sparse_retain",
    "_contrib_getnnz",
    reason="is of sparse arrays; their weights are not read",
)
refused(
    "mxnet", "_contrib_DeformablePSROIPooling", "_contrib_PSROIPooling",
    reason="exists on GPUs only in MXNet 1.9, and the judge has none",
)  # fmt: skip
