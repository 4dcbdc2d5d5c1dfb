"""What OpenCV's dnn takes of a Torch7 network as Torch7 has it, and what not: one sentence a module."""

from __future__ import annotations

from gateway.core.signature import Signature
from gateway.formats.torch7.module import Module, inside
from gateway.formats.torch7.walk import CONTAINERS

TAKES = {
    "SpatialConvolution", "SpatialConvolutionMM", "SpatialDilatedConvolution", "SpatialFullConvolution", "Linear",
    "SpatialMaxPooling", "SpatialAveragePooling", "SpatialBatchNormalization", "BatchNormalization", "ReLU", "Tanh",
    "Sigmoid", "SoftMax", "LogSoftMax", "PReLU", "Dropout", "SpatialDropout", "Identity", "CAddTable", "JoinTable",
    "SpatialZeroPadding", "SpatialReflectionPadding", "SpatialUpSamplingNearest", "SpatialCrossMapLRN", "View",
    "Reshape", "Normalize",
}  # fmt: skip
PLAIN = {"SpatialConvolution", "SpatialDilatedConvolution", "SpatialFullConvolution"}
HOLDS = {"Sequential", "Concat", "ConcatTable"}


def why_not(root: Module, signature: Signature) -> str:
    """Why OpenCV is no judge of a network: "" where it is."""
    if len(signature.inputs) != 1 or len(signature.outputs) != 1:
        return "it has several inputs or outputs"
    if root.notes:
        return f"OpenCV does not read {', '.join(sorted(root.notes))} as Torch7 does"
    waiting, met = [root], set[int]()
    while waiting:
        module = waiting.pop()
        if id(module.thing) in met:
            return f"{module.name}: OpenCV takes a module that stands in two places for two"
        met.add(id(module.thing))
        if module.kind in CONTAINERS:
            if module.kind not in HOLDS:
                return f"OpenCV has no {module.thing.kind}"
            waiting += reversed(inside(module))
        elif why := _why_not(module):
            return f"{module.name}: {why}"
        elif module.kind == "Normalize" and (waiting or len(signature.outputs[0].shape or ()) != 2):
            return f"{module.name}: OpenCV normalises over places, too"
    return ""


def _why_not(module: Module) -> str:
    kind = module.kind
    if kind not in TAKES:
        return f"OpenCV has no {module.thing.kind}"
    rules = (
        (kind == "SpatialAveragePooling" and not module.bool("count_include_pad", True), "reads no count_include_pad"),
        (kind == "SpatialAveragePooling" and not module.bool("divide", True), "reads no divide"),
        (kind == "SpatialAveragePooling" and (module.int("padW", 0) or module.int("padH", 0)), "counts no padding"),
        (kind == "SpatialCrossMapLRN" and not module.has("k"), "reads no K of cudnn"),
        (kind == "Normalize" and module.float("p", 2.0) != 2, "takes another p for 2"),
        (kind == "JoinTable" and module.has("nInputDims"), "reads no nInputDims"),
        (kind == "SpatialZeroPadding" and _cuts(module), "cuts nothing off"),
        (kind == "PReLU" and not module.int("nOutputPlane", 0), "reads one slope for each channel only"),
        (
            kind in PLAIN and module.stored("weight") and module.tensor("weight").ndim == 2,
            "reads flat weights of MM only",
        ),
        (module.has("padding") and not module.has("padW"), "reads no padding of old files"),
        (module.has("groups") and module.int("groups") > 1, "reads no groups"),
    )
    return next((f"OpenCV {why}" for wrong, why in rules if wrong), "")


def _cuts(module: Module) -> bool:
    return any(module.int(f"pad_{side}", 0) < 0 for side in "lrtb")
