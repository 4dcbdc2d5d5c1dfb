"""Signatures that a SavedModel has beside its plain ones: encoded pictures, and tf.Examples to classify or regress.

Here they are data: what clients see, and what cannot be. build/further.py writes them.

Rule 1: keys are TensorFlow Serving's: `inputs` -> `classes`, `scores`, or `inputs` -> `outputs`; a feature is called as
        the input it fills. `image_bytes` ends as its REST API wants it for base64.
Rule 2: all problems are reported together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gateway.core.dtypes import dtype
from gateway.core.modeltoml import ModelOptions
from gateway.core.preprocess import Preprocess
from gateway.core.signature import Signature, TensorSpec
from gateway.errors import ConversionError

CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"
IMAGE, INPUTS, CLASSES, SCORES, OUTPUTS = "image_bytes", "inputs", "classes", "scores", "outputs"


def signatures(shown: Signature, options: ModelOptions, labels: Sequence[str]) -> dict[str, Signature]:
    """By what they are: "pictures", "classify", "regress". `shown` is the plain one, as clients see it.

    Errors: ConversionError.
    """
    problems: list[str] = []
    asked = options.savedmodel.further
    made: dict[str, Signature] = {}
    if "pictures" in asked:
        made["pictures"] = _pictures(shown, options.preprocess, asked["pictures"], problems)
    if "classify" in asked or "regress" in asked:
        _check_features(shown, problems)
        score = next((spec for spec in shown.outputs if spec.name == (options.savedmodel.scores or spec.name)), None)
        if score is None:
            names = ", ".join(spec.name for spec in shown.outputs)
            problems.append(
                f"there is no output {options.savedmodel.scores!r} for classify and regress; it has {names}"
            )
        else:
            if "classify" in asked:
                made["classify"] = _classify(score, labels, asked["classify"], problems)
            if "regress" in asked:
                made["regress"] = _regress(score, asked["regress"], problems)
    if problems:
        raise ConversionError("; ".join(problems), hint="docs/savedmodel.md says what these signatures need.")
    return made


def picture_input(shown: Signature, preprocess: Preprocess) -> TensorSpec | None:
    return shown.input(preprocess.input) if preprocess.input else shown.inputs[0]


def picture_size(spec: TensorSpec, preprocess: Preprocess) -> tuple[int, int] | None:
    """(height, width) to resize to: what [preprocess] says, else what the input fixes."""
    if preprocess.resize is not None or preprocess.crop is not None:
        return preprocess.resize
    assert spec.shape is not None
    height, width = spec.shape[2:] if preprocess.layout == "nchw" else spec.shape[1:3]
    return None if height is None or width is None else (height, width)


def _pictures(shown: Signature, preprocess: Preprocess | None, key: str, problems: list[str]) -> Signature:
    told = preprocess or Preprocess()
    spec = picture_input(shown, told)
    if preprocess is None:
        problems.append("a signature for pictures needs [preprocess] in model.toml: how a picture becomes the input")
    elif spec is None or spec.shape is None or len(spec.shape) != 4 or spec.shape[0] is not None:
        problems.append(f"a signature for pictures needs an input of [?, ., ., .]; it is {spec or repr(told.input)}")
    elif told.crop is None and picture_size(spec, told) is None:
        problems.append(f"a signature for pictures needs one size; {spec} has none: say `resize` in [preprocess]")
    others = tuple(other for other in shown.inputs if spec is None or other.name != spec.name)
    image = TensorSpec(IMAGE, "string", (None,))
    return replace(shown, name=key, inputs=(image, *others), preprocess=None)


def _check_features(shown: Signature, problems: list[str]) -> None:
    for spec in shown.inputs:
        if spec.shape is None or spec.shape[:1] != (None,) or None in spec.shape[1:] or dtype(spec.dtype).kind == "c":
            problems.append(f"a feature has one size, and input {spec} would need any: classify and regress cannot be")


def _classify(score: TensorSpec, labels: Sequence[str], key: str, problems: list[str]) -> Signature:
    if score.shape is None or len(score.shape) != 2 or dtype(score.dtype).kind != "f":
        problems.append(f"classify shows scores of [?, classes], and output {score} has another form")
    elif labels and score.shape[1] not in (None, len(labels)):
        problems.append(f"there are {len(labels)} labels, and output {score} has {score.shape[1]} classes")
    width = len(labels) or (score.shape[-1] if score.shape else None)
    classes = (TensorSpec(CLASSES, "string", (None, width)),) if labels else ()
    outputs = (*classes, TensorSpec(SCORES, "float32", (None, width)))
    return Signature((TensorSpec(INPUTS, "string", (None,)),), outputs, name=key, method=CLASSIFY)


def _regress(score: TensorSpec, key: str, problems: list[str]) -> Signature:
    if score.shape is None or score.shape[1:] not in ((), (1,)) or dtype(score.dtype).kind != "f":
        problems.append(f"regress shows [?] or [?,1], and output {score} has another form")
    outputs = (TensorSpec(OUTPUTS, "float32", score.shape),)
    return Signature((TensorSpec(INPUTS, "string", (None,)),), outputs, name=key, method=REGRESS)
