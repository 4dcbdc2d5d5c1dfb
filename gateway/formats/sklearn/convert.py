"""scikit-learn to ONNX: trees by our own emitter, the rest by skl2onnx; or, where neither can, scikit-learn itself.

Rule 1: labels and probabilities are two tensors.
Rule 2: what can only be served by scikit-learn says why, and is refused where ONNX was asked for.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.artifact import NATIVE, Fact
from gateway.core.hints import Hint
from gateway.core.modeltoml import ModelOptions
from gateway.core.probes import Further
from gateway.core.signature import Signature, TensorSpec
from gateway.errors import ConversionError, CorruptModel
from gateway.formats import forest
from gateway.formats.base import Conversion, Inspection, Match, Source
from gateway.formats.forest import LABEL, LEAVES, PREDICTIONS, PROBABILITIES, SCORES, Answer
from gateway.formats.sklearn import columns, pickled, trees
from gateway.formats.sklearn import inputs as taken
from gateway.formats.sklearn.answers import known, names, other, several
from gateway.formats.sklearn.inputs import Inputs
from gateway.formats.sklearn.load import Loaded
from gateway.formats.sklearn.pipeline import opened
from gateway.graph import thresholds
from gateway.graph.builder import GraphBuilder
from gateway.graph.ensemble import DOMAINS, ML, Ensemble, columns_of, emit, emit_leaves

OPSET = 18


def inspect(source: Source, match: Match, options: ModelOptions) -> Inspection:
    loaded = opened(source, match)
    inputs = taken.find(loaded.model, options, match.main)
    answers = known(loaded.model, inputs, match.main)
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
    except CorruptModel as error:
        raise CorruptModel(f"{match.main}: {error.message}", hint=error.hint or "Copy or save it again.") from None
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
    answers = known(loaded.model, inputs, match.main)
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
        return Further((), "thresholds of trees behind other steps were not probed" if _holds_trees(model) else "")
    missing = not trees.is_trees(model) or trees.takes_missing(model)
    spec = signature.inputs[0]
    if len(signature.inputs) == 1:
        return thresholds.further(direct, spec.name, spec.dtype, seed, missing=missing, infinite=False)
    asked = thresholds.further(direct, spec.name, "float32", seed, missing=missing, infinite=False)
    return columns.apart(asked, signature.inputs, trees.categories(model))


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
        light: Ensemble = pickled.lightgbm(model).ensemble
        return light
    if type(model).__module__.startswith("xgboost"):
        found: Ensemble = pickled.xgboost(model).ensemble
        return found
    return None


def _trees(
    model: Any, direct: Ensemble, inputs: Inputs, options: ModelOptions, file: str, out: Path
) -> tuple[TensorSpec, ...]:
    """Without skl2onnx: what trees answer, with their leaves for who asks."""
    graph = GraphBuilder("sklearn", domains=DOMAINS)
    features = columns.joined(graph, inputs, trees.categories(model) if trees.is_trees(model) else {})
    described = known(model, inputs, file)
    if other(model):
        made = pickled.answers_of(graph, features, model)
        if LABEL in made and hasattr(model, "classes_"):
            place = made[LABEL].make
            made[LABEL] = _as(described[LABEL], lambda: trees.label(graph, place(), trees.classes_of(model)))
        return forest.finish(graph, made, options, file, out)
    data = columns_of(graph, features, direct)
    sums = emit(graph, data, direct)
    makes = _of_outputs(graph, sums, model, len(direct.trees)) if _many(model) else _of_one(graph, sums, model, direct)
    makes[LEAVES] = lambda: emit_leaves(graph, data, direct)
    answers = {name: _as(answer, makes[name]) for name, answer in described.items() if name in makes}
    return forest.finish(graph, answers, options, file, out)


def _many(model: Any) -> bool:
    return hasattr(model, "classes_") and several(model) > 0


def _of_one(graph: GraphBuilder, sums: str, model: Any, direct: Ensemble) -> dict[str, Callable[[], str]]:
    found, best = trees.behind(graph, sums, model, len(direct.trees))
    if type(model).__name__ in trees.ISOLATION:
        return {LABEL: lambda: best, SCORES: lambda: forest.single(graph, found, 1, "scores_float32")}
    return {
        PROBABILITIES: lambda: graph.node("Cast", [found], name="shares", to=1),
        LABEL: lambda: trees.label(graph, best, trees.classes_of(model)),
        PREDICTIONS: lambda: forest.single(graph, found, direct.targets, "answers"),
    }


def _of_outputs(graph: GraphBuilder, sums: str, model: Any, count: int) -> dict[str, Callable[[], str]]:
    """Of a tree or forest that answers several questions at once."""
    shares = trees.of_outputs(graph, sums, model, count)
    makes: dict[str, Callable[[], str]] = {
        f"{PROBABILITIES}_{place}": partial(graph.node, "Cast", [share], name="shares", to=1)
        for place, share in enumerate(shares)
    }
    return makes | {LABEL: lambda: trees.labels(graph, shares, model.classes_)}


def _as(answer: Answer, make: Callable[[], str]) -> Answer:
    return Answer(make, answer.dtype, answer.shape, answer.usual)


def _labels(model: Any, outputs: tuple[TensorSpec, ...]) -> tuple[str, ...]:
    """Names of the classes, where the first output is what they are probabilities of."""
    shape = outputs[0].shape or () if outputs else ()
    return names(model, shape[1] or 0) if len(shape) == 2 and outputs[0].dtype == "float32" else ()


def _by_skl2onnx(model: Any, inputs: Inputs, options: ModelOptions, file: str, out: Path) -> tuple[TensorSpec, ...]:
    """Errors: ConversionError in skl2onnx's words."""
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    from gateway.formats.sklearn.registered import SKL2ONNX_ML, register
    from gateway.formats.sklearn.rewrite import finished

    register()
    if _many(model):
        raise ConversionError(f"{file}: {type(_last(model)).__name__} of {several(model)} outputs is not converted.")
    described = known(model, inputs, file)
    types = {"float32": FloatTensorType, "string": StringTensorType}
    kinds = [
        (own, types[spec.dtype](list(spec.shape or ()))) for own, spec in zip(inputs.own, inputs.specs, strict=True)
    ]
    chosen = forest.chosen(described, options, file)
    if {PROBABILITIES, SCORES} <= {own for _, own in chosen}:
        raise ConversionError(f"{file}: skl2onnx makes either {PROBABILITIES} or {SCORES} of it.")
    last = _last(model)
    settings: dict[Any, Any] = {}
    if type(last).__name__ == "LinearSVC":
        settings[type(last)] = {"raw_scores": False}  # else skl2onnx gives it an option that it refuses
    elif LABEL in described and hasattr(model, "classes_"):
        settings[id(model)] = {"zipmap": False}
        if SCORES in {own for _, own in chosen}:
            settings.setdefault(id(last), {})["raw_scores"] = True
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
    return finished(made, inputs, described, chosen, out)


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


def _holds_trees(model: Any) -> bool:
    """Trees among its steps, or among the estimators that it asks."""
    first = getattr(model, "estimators_", None)
    while isinstance(first, list | tuple | np.ndarray) and len(first):
        first = first[0]
    inside = [step for _, step in getattr(model, "steps", ())] + ([] if first is None else [first])
    return type(model).__name__ in trees.KINDS or any(map(_holds_trees, inside))


def _last(model: Any) -> Any:
    while type(model).__name__ == "Pipeline":
        model = model.steps[-1][1]
    return model


def _versions() -> dict[str, str]:
    import skl2onnx
    import sklearn

    return {"scikit-learn": sklearn.__version__, "skl2onnx": skl2onnx.__version__}
