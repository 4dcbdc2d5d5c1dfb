"""The second hop: the ONNX file of a first conversion becomes a SavedModel, or a frozen GraphDef.

Runs in a child of Environment `tensorflow`. Every SignatureDef shows the public names, in public order
of axes; the signature that is returned is the one that clients see.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from gateway.core.artifact import FROZEN, Fact
from gateway.core.layout import channels_last
from gateway.core.modeltoml import ModelOptions
from gateway.core.signature import Signature
from gateway.errors import ConversionError
from gateway.formats.base import Conversion

MODEL_FILE = "model.onnx"


class Job(Protocol):
    arguments: dict[str, Any]
    out: Path


def convert(job: Job) -> dict[str, Any]:
    """`folder` (of the ONNX artifact), `conversion`, `options`, `target` -> Conversion; files are in `out`."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from gateway.formats.savedmodel.build import save

    before = Conversion.from_json(job.arguments["conversion"])
    options = ModelOptions.from_json(job.arguments["options"])
    target = job.arguments["target"]
    last = {option.name for option in (*options.inputs, *options.outputs) if option.layout == "nhwc"}
    shown = before.signatures[0]
    _check_layouts(shown, last)
    wish = save.Wish(
        inputs=[save.Port(spec.name, spec.tensor, spec.name in last) for spec in shown.inputs],
        outputs=[save.Port(spec.name, spec.tensor, spec.name in last) for spec in shown.outputs],
        options=replace(options.savedmodel, frozen=options.savedmodel.frozen or target == FROZEN),
    )
    source = Path(job.arguments["folder"]) / MODEL_FILE
    made = save.freeze(source, job.out, wish) if target == FROZEN else save.save(source, job.out, wish)
    signatures = tuple(
        replace(
            shown,
            name=name,
            method=options.savedmodel.method,
            inputs=tuple(channels_last(spec) if spec.name in last else spec for spec in shown.inputs),
            outputs=tuple(channels_last(spec) if spec.name in last else spec for spec in shown.outputs),
        )
        for name in options.savedmodel.signatures
    )
    facts = (
        *before.facts,
        Fact("transposes left", str(made.transposes), "TensorFlow graph"),
        Fact("variables", str(made.variables), "TensorFlow graph"),
    )
    versions = {**before.versions, **made.versions}
    return Conversion(target, signatures, facts, before.warnings, before.unused, before.quantised, versions).to_json()


def _check_layouts(shown: Signature, last: set[str]) -> None:
    """Errors: ConversionError for channels last of what has no channels."""
    bad = [
        spec
        for spec in (*shown.inputs, *shown.outputs)
        if spec.name in last and (spec.shape is None or len(spec.shape) < 3)
    ]
    if bad:
        raise ConversionError(
            f'layout = "nhwc" is asked for {", ".join(map(str, bad))}; expected tensors of at least three axes.',
            hint="Drop `layout` there.",
        )
