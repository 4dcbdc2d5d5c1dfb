"""child.make by MXNet's plain kernels, without its fast path (MKLDNN).

The fast path refuses what the operator's text promises: Deconvolution pads by `pad` where `target_shape` should
say how much, and `same` pooling has no primitive.
"""

from __future__ import annotations

import os
from typing import Any

from tests.formats.mxnet import child


def make(job: Any) -> dict[str, Any]:
    os.environ["MXNET_MKLDNN_ENABLED"] = "0"  # read when mxnet is imported, which child does later
    return child.make(job)
