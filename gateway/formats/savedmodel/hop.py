"""The second hop: the ONNX file of a first conversion becomes a SavedModel, or a frozen GraphDef.

Runs in a child of Environment `tensorflow`. Every SignatureDef shows the public names, in public order
of axes; the signature that is returned is the one that clients see.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from gateway.core.artifact import FROZEN, SAVEDMODEL, Fact
from gateway.core.layout import channels_last
from gateway.core.modeltoml import ModelOptions
from gateway.core.preprocess import Preprocess
from gateway.core.signature import Signature, united
from gateway.errors import ConversionError
from gateway.formats.base import Conversion
from gateway.formats.savedmodel import further, warmup

MODEL_FILE = "model.onnx"


class Job(Protocol):
    arguments: dict[str, Any]
    out: Path


def convert(job: Job) -> dict[str, Any]:
    """`folder` (of the ONNX artifact), `conversion`, `options`, `labels`, `target` -> Conversion; files in `out`."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from gateway.formats.savedmodel.build import save

    before = Conversion.from_json(job.arguments["conversion"])
    options = ModelOptions.from_json(job.arguments["options"])
    target = job.arguments["target"]
    last = {option.name for option in (*options.inputs, *options.outputs) if option.layout == "nhwc"}
    shown = united(before.signatures)  # a SavedModel shows all of it under each of its names
    check_layouts(shown, last)
    plain = replace(
        shown,
        method=options.savedmodel.method,
        inputs=tuple(channels_last(spec) if spec.name in last else spec for spec in shown.inputs),
        outputs=tuple(channels_last(spec) if spec.name in last else spec for spec in shown.outputs),
    )
    labels = [str(label) for label in job.arguments["labels"]]
    beside = further.signatures(plain, options, labels) if target == SAVEDMODEL else {}
    wish = save.Wish(
        inputs=[save.Port(spec.name, spec.tensor, spec.name in last) for spec in shown.inputs],
        outputs=[save.Port(spec.name, spec.tensor, spec.name in last) for spec in shown.outputs],
        options=replace(options.savedmodel, frozen=options.savedmodel.frozen or target == FROZEN),
        methods={signature.name: signature.method for signature in beside.values()},
        further=_further(plain, options, beside, labels),
    )
    source = Path(job.arguments["folder"]) / MODEL_FILE
    made = save.freeze(source, job.out, wish) if target == FROZEN else save.save(source, job.out, wish)
    signatures = (*(replace(plain, name=name) for name in options.savedmodel.signatures), *beside.values())
    if target == SAVEDMODEL and options.preprocess is not None:
        extra = job.out / warmup.FOLDER
        extra.mkdir()
        (extra / "preprocess.json").write_text(json.dumps(options.preprocess.to_json(), indent=1), "utf-8")
    facts = (
        *before.facts,
        Fact("transposes left", str(made.transposes), "TensorFlow graph"),
        Fact("variables", str(made.variables), "TensorFlow graph"),
    )
    versions = {**before.versions, **made.versions}
    return Conversion(target, signatures, facts, before.warnings, before.unused, before.quantised, versions).to_json()


def _further(plain: Signature, options: ModelOptions, beside: Mapping[str, Signature], labels: Sequence[str]) -> Any:
    """What build/further.py is told."""
    from gateway.formats.savedmodel.build.further import Further

    how = options.preprocess or Preprocess()
    picture = further.picture_input(plain, how) if "pictures" in beside else None
    return Further(
        {what: signature.name for what, signature in beside.items()},
        picture.name if picture else "",
        how,
        further.picture_size(picture, how) if picture else None,
        options.savedmodel.scores or plain.outputs[0].name,
        labels,
    )


def check_layouts(shown: Signature, last: set[str]) -> None:
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
