"""scikit-learn to ONNX: trees by our own emitter, the rest by skl2onnx; or, where neither can, scikit-learn itself.

Rule 1: labels and probabilities are two tensors.
Rule 2: what can only be served by scikit-learn says why, and is refused where ONNX was asked for.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.artifact import NATIVE, Fact
from gateway.core.hints import Hint
from gateway.core.modeltoml import ModelOptions
from gateway.core.probes import Further
from gateway.core.signature import Signature, TensorSpec
from gateway.errors import ConversionError
from gateway.formats import forest
from gateway.formats.base import Conversion, Inspection, Match, Source
from gateway.formats.forest import LABEL, LEAVES, PREDICTIONS, PROBABILITIES, Answer
from gateway.formats.sklearn import inputs as taken
from gateway.formats.sklearn import trees
from gateway.formats.sklearn.inputs import Inputs
from gateway.formats.sklearn.load import Loaded
from gateway.formats.sklearn.pipeline import opened
from gateway.graph import thresholds
from gateway.graph.builder import GraphBuilder
from gateway.graph.ensemble import DOMAINS, ML, Ensemble, columns_of, emit, emit_leaves

OPSET = 18
OTHERS = ("lightgbm", "xgboost")


def inspect(source: Source, match: Match, options: ModelOptions) -> Inspection:
    loaded = opened(source, match)
    inputs = taken.find(loaded.model, options, match.main)
    answers = _known(loaded.model, inputs, match.main)
    outputs = tuple(
        TensorSpec(name, answers[own].dtype, answers[own].shape)
        for name, own in forest.chosen(answers, options, match.main)
    )
    counts: dict[str, int] = {}
    for step in _steps(loaded.model):
        counts[step] = counts.get(step, 0) + 1
    return Inspection(inputs.specs, outputs, counts, tuple(_facts(loaded, match)))


def convert(source: Source, match: Match, options: ModelOptions, out: Path) -> Conversion:
    """Errors: ConversionError, CorruptModel."""
    loaded = opened(source, match)
    inputs = taken.find(loaded.model, options, match.main)
    try:
        if (direct := _direct(loaded.model)) is not None:
            outputs = _trees(loaded.model, direct, inputs, options, match.main, out)
        else:
            outputs = _by_skl2onnx(loaded.model, inputs, options, match.main, out)
    except ConversionError as error:
        raise ConversionError(
            error.message, hint=error.hint or 'With target = "native" scikit-learn itself serves it.'
        ) from None
    labels = _labels(loaded.model, outputs)
    return Conversion(
        "onnx", (Signature(inputs.specs, outputs, labels=labels),), tuple(_facts(loaded, match)), loaded.warnings,
        versions=_versions(),
    )  # fmt: skip


def native(source: Source, match: Match, options: ModelOptions) -> Conversion:
    """The signature alone; the source is the artifact."""
    loaded = opened(source, match)
    inputs = taken.find(loaded.model, options, match.main)
    answers = _known(loaded.model, inputs, match.main)
    outputs = tuple(
        TensorSpec(name, answers[own].dtype, answers[own].shape, tensor=own)
        for name, own in forest.chosen(answers, options, match.main)
    )
    signature = Signature(inputs.specs, outputs, labels=_labels(loaded.model, outputs))
    return Conversion(NATIVE, (signature,), tuple(_facts(loaded, match)), loaded.warnings,
                      versions=_versions())  # fmt: skip


def further(source: Source, match: Match, signature: Signature, seed: int) -> Further:
    model = opened(source, match).model
    direct = _direct(model)
    if direct is None:
        inside = any(name in trees.KINDS for name in _steps(model))
        return Further((), "thresholds of trees behind other steps were not probed" if inside else "")
    missing = not trees.is_trees(model) or trees.takes_missing(model)
    spec = signature.inputs[0]
    return thresholds.further(direct, spec.name, spec.dtype, seed, missing=missing, infinite=False)


def hints(source: Source, match: Match, signature: Signature) -> dict[str, Hint]:
    """Of inputs of strings: the categories that encoders know, texts of the words that vectorizers do."""
    model = opened(source, match).model
    inputs = taken.find(model, ModelOptions(), match.main)
    words = taken.words(model, inputs)
    return {
        spec.name: Hint(role="words", words=words[own])
        for own, spec in zip(inputs.own, signature.inputs, strict=False)
        if words.get(own)
    }


def _direct(model: Any) -> Ensemble | None:
    """The ensemble that reads the features themselves; None for anything else."""
    if trees.is_trees(model):
        return trees.ensemble(model)
    if type(model).__module__.startswith("lightgbm"):
        found: Ensemble = _lightgbm(model).ensemble
        return found
    return None


def _lightgbm(model: Any) -> Any:
    from gateway.formats.lightgbm import model as models

    booster = getattr(model, "booster_", model)
    return models.parse(booster.model_to_string(num_iteration=-1), type(model).__name__)


def _trees(
    model: Any, direct: Ensemble, inputs: Inputs, options: ModelOptions, file: str, out: Path
) -> tuple[TensorSpec, ...]:
    """Without skl2onnx: what trees answer, with their leaves for who asks."""
    graph = GraphBuilder("sklearn", domains=DOMAINS)
    spec = inputs.specs[0]
    features = graph.input(spec.name, spec.dtype, spec.shape or (), spec.symbols)
    known = dict(_known(model, inputs, file))
    if type(model).__module__.startswith("lightgbm"):
        from gateway.formats.lightgbm.convert import answers_of

        made = answers_of(graph, features, _lightgbm(model), single=True)
        if LABEL in made and hasattr(model, "classes_"):
            place = made[LABEL].make
            made[LABEL] = Answer(
                lambda: trees.label(graph, place(), trees.classes_of(model)), known[LABEL].dtype, (None,)
            )
        return forest.finish(graph, made, options, file, out)
    data = columns_of(graph, features, direct)
    found, best = trees.behind(graph, emit(graph, data, direct), model, len(direct.trees))
    answers: dict[str, Answer] = {}
    if PROBABILITIES in known:
        answers[PROBABILITIES] = _as(known[PROBABILITIES], lambda: graph.node("Cast", [found], name="shares", to=1))
    if LABEL in known:
        answers[LABEL] = _as(known[LABEL], lambda: trees.label(graph, best, trees.classes_of(model)))
    if PREDICTIONS in known:
        width = direct.targets
        answers[PREDICTIONS] = _as(known[PREDICTIONS], lambda: forest.single(graph, found, width, "answers"))
    if LEAVES in known:
        answers[LEAVES] = _as(known[LEAVES], lambda: emit_leaves(graph, data, direct))
    return forest.finish(graph, answers, options, file, out)


def _as(answer: Answer, make: Any) -> Answer:
    return Answer(make, answer.dtype, answer.shape, answer.usual)


def _nothing() -> str:
    raise AssertionError("an output that is only described")


def _known(model: Any, inputs: Inputs, file: str) -> Mapping[str, Answer]:
    """Outputs that there are, described."""
    from sklearn.base import is_classifier, is_regressor

    found: dict[str, Answer] = {}
    if is_classifier(model):
        classes = trees.classes_of(model)
        if hasattr(model, "predict_proba"):
            found[PROBABILITIES] = Answer(_nothing, "float32", (None, len(classes)))
        found[LABEL] = Answer(_nothing, "string" if classes.dtype == object else "int64", (None,))
    elif is_regressor(model) or type(model).__module__.startswith(OTHERS):
        width = _width(model, inputs)
        found[PREDICTIONS] = Answer(_nothing, "float32", (None,) if width is None else (None, width))
    else:
        found[LABEL] = Answer(_nothing, "int64", (None,))
    direct = trees.is_trees(model) and type(model).__name__ not in trees.HISTOGRAM
    if direct or type(model).__module__.startswith("lightgbm"):
        found[LEAVES] = Answer(_nothing, "int64", (None, None if not direct else _count(model)), False)
    return found


def _count(model: Any) -> int:
    return len(trees.ensemble(model).trees)


def _width(model: Any, inputs: Inputs) -> int | None:
    """The second size of what it predicts; None for one number a row."""
    if inputs.own != (forest.FEATURES,):
        return None
    shape = inputs.specs[0].shape or ()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = np.asarray(model.predict(np.zeros((1, int(shape[1] or 1)), np.float32)))
        except Exception:  # noqa: BLE001  the judge says it in its own words
            return None
    return None if found.ndim == 1 else int(found.shape[1])


def _labels(model: Any, outputs: tuple[TensorSpec, ...]) -> tuple[str, ...]:
    """Names of the classes, where the first output is what they are probabilities of."""
    if not hasattr(model, "classes_") or not outputs or len(outputs[0].shape or ()) != 2:
        return ()
    return tuple(str(name) for name in np.asarray(model.classes_).tolist())


def _by_skl2onnx(model: Any, inputs: Inputs, options: ModelOptions, file: str, out: Path) -> tuple[TensorSpec, ...]:
    """Errors: ConversionError in skl2onnx's words."""
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    from gateway.formats.sklearn.registered import SKL2ONNX_ML, register
    from gateway.formats.sklearn.rewrite import finished

    register()
    known = _known(model, inputs, file)
    types = {"float32": FloatTensorType, "string": StringTensorType}
    kinds = [
        (own, types[spec.dtype](list(spec.shape or ()))) for own, spec in zip(inputs.own, inputs.specs, strict=True)
    ]
    last = _last(model)
    settings: dict[Any, Any] = {}
    if type(last).__name__ == "LinearSVC":
        settings[type(last)] = {"raw_scores": False}  # else skl2onnx gives it an option that it refuses
    elif LABEL in known and hasattr(model, "predict_proba"):
        settings[id(model)] = {"zipmap": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            made = convert_sklearn(
                model, "sklearn", kinds, target_opset={"": OPSET, ML: SKL2ONNX_ML}, options=settings or None
            )
        except ConversionError:
            raise
        except Exception as error:  # noqa: BLE001  whatever a converter says
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise ConversionError(
                f"{file}: skl2onnx does not convert it: {type(error).__name__}: {(lines or [''])[0][:200].rstrip('.')}."
            ) from None
    chosen = forest.chosen(known, options, file)
    return finished(made, inputs, known, chosen, out)


def _facts(loaded: Loaded, match: Match) -> list[Fact]:
    facts = [Fact("steps", forest.listed(_steps(loaded.model)), match.main)]
    if loaded.version:
        facts.append(Fact("saved by", f"scikit-learn {loaded.version}", "_sklearn_version"))
    names = getattr(loaded.model, "feature_names_in_", None)
    if names is not None:
        facts.append(Fact("columns", forest.listed([str(name) for name in names]), "feature_names_in_"))
    return facts


def _steps(model: Any) -> list[str]:
    """Names of the estimators inside, outermost first."""
    inside = [step for _, step in getattr(model, "steps", ())]
    inside += [step for _, step, _ in getattr(model, "transformers_", ()) if not isinstance(step, str)]
    inside += [step for _, step in getattr(model, "transformer_list", ())]
    return [type(model).__name__, *(name for step in inside for name in _steps(step))]


def _last(model: Any) -> Any:
    while type(model).__name__ == "Pipeline":
        model = model.steps[-1][1]
    return model


def _versions() -> dict[str, str]:
    import skl2onnx
    import sklearn

    return {"scikit-learn": sklearn.__version__, "skl2onnx": skl2onnx.__version__}
