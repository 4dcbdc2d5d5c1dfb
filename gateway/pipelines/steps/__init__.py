"""The built-in steps of pipelines, by name.

To add one: a class here, its name in core/pipeline.OPS, a row in docs/pipelines.md.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.core.pipeline import OPS
from gateway.pipelines.steps.base import Step
from gateway.pipelines.steps.mtcnn import Mtcnn
from gateway.pipelines.steps.numbers import Cosine, L2Normalise, Nms, TopK
from gateway.pipelines.steps.photos import Align, CropBox, Decode, PickFace, Resize

STEPS: Mapping[str, Step] = {
    step.name: step
    for step in (Decode(), Resize(), Mtcnn(), PickFace(), CropBox(), Align(), L2Normalise(), Cosine(), Nms(), TopK())
}
assert set(STEPS) == set(OPS), "core/pipeline.OPS lists what is here"
