"""What is known to go wrong with Torch7's modules: sentences by kind, shown where one diverges."""

from __future__ import annotations

_POOL = "ceil_mode rounds up, and a last window that would start in the padding is dropped"
_BATCH = "dimensions count from 1 and include the batch, unless the module says how many a sample has"
_NORM = "old files keep running_std, which is 1 / sqrt(variance + eps)"

TRAPS: dict[str, tuple[str, ...]] = {
    "SpatialConvolution": ("old files call padW and padH `padding`", "cudnn's may have groups"),
    "SpatialFullConvolution": ("weights are (in, out, height, width); adjW and adjH add to the end",),
    "SpatialMaxPooling": (_POOL,),
    "SpatialAveragePooling": (_POOL, "padding counts unless count_include_pad is false; what hangs over never does"),
    "SpatialBatchNormalization": (_NORM,),
    "BatchNormalization": (_NORM,),
    "Dropout": ("without v2 it multiplies by 1 - p when it does not train",),
    "SpatialDropout": ("it multiplies by 1 - p when it does not train",),
    "SpatialCrossMapLRN": ("alpha is divided by size; cudnn calls k K",),
    "View": ("-1 without numInputDims takes the batch, too",),
    "SoftMax": ("of 3 dimensions it takes the first",),
    "Normalize": ("eps is added under the root",),
    "SpatialUpSamplingBilinear": ("corners stay corners",),
    "Concat": (_BATCH,),
    "JoinTable": (_BATCH,),
    "Narrow": (_BATCH, "a negative length counts from the end"),
    "LookupTable": ("indices count from 1",),
}


def traps(operator: str) -> tuple[str, ...]:
    """Sentences on a module; none for one that has no known trap."""
    return TRAPS.get(operator, ())
