"""CatBoost to ONNX, where all of a model's features are numbers; else what CatBoost itself serves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from gateway.core.artifact import NATIVE, Fact
from gateway.core.modeltoml import ModelOptions
from gateway.core.probes import Further
from gateway.core.signature import Signature, TensorSpec
from gateway.errors import ConversionError
from gateway.formats import forest
from gateway.formats.base import Conversion, Inspection, Match, Source
from gateway.formats.catboost import model as models
from gateway.formats.catboost.model import BINARY, EXP, MULTI, RAW, Model
from gateway.formats.forest import LABEL, LEAVES, MARGINS, PREDICTIONS, PROBABILITIES, Answer
from gateway.graph import thresholds
from gateway.graph.builder import GraphBuilder
from gateway.graph.ensemble import DOMAINS, Ensemble, columns_of, emit, emit_leaves


def inspect(source: Source, match: Match, options: ModelOptions) -> Inspection:
    model = models.read(source.path(match.main))
    answers = _described(model)
    outputs = tuple(
        TensorSpec(name, answers[own].dtype, answers[own].shape)
        for name, own in forest.chosen(answers, options, match.main)
    )
    return Inspection(_inputs(model, options, match.main), outputs, {_trees(model): _count(model)}, _facts(model))


def convert(source: Source, match: Match, options: ModelOptions, out: Path) -> Conversion:
    """Errors: CorruptModel, ConversionError."""
    model = models.read(source.path(match.main))
    if not model.numbers:
        kinds = sorted({feature.kind for feature in model.features} - {"float"})
        said = f"{match.main} has {' and '.join(kinds)} features, whose hashes and statistics only CatBoost has"
        raise ConversionError(f"{said}.", hint='With target = "native" CatBoost itself serves it.')
    trees = models.ensemble(model, match.main)
    graph = GraphBuilder("catboost", domains=DOMAINS)
    inputs = _inputs(model, options, match.main)
    features = graph.input(inputs[0].name, inputs[0].dtype, inputs[0].shape or (), inputs[0].symbols)
    outputs = forest.finish(graph, _answers(graph, features, model, trees), options, match.main, out)
    signature = Signature(inputs, outputs, labels=_labels(model, outputs))
    return Conversion("onnx", (signature,), _facts(model), versions=_versions())


def native(source: Source, match: Match, options: ModelOptions) -> Conversion:
    """The signature alone; the source is the artifact."""
    model = models.read(source.path(match.main))
    answers = _described(model)
    outputs = tuple(
        TensorSpec(
            name, answers[own].dtype, answers[own].shape, tensor=own, symbols=("batch", "")[: len(answers[own].shape)]
        )
        for name, own in forest.chosen(answers, options, match.main)
    )
    signature = Signature(_inputs(model, options, match.main), outputs, labels=_labels(model, outputs))
    return Conversion(NATIVE, (signature,), _facts(model), versions=_versions())


def further(source: Source, match: Match, signature: Signature, seed: int) -> Further:
    model = models.read(source.path(match.main))
    if not model.numbers:
        return Further()
    spec = signature.inputs[0]
    trees = models.ensemble(model, match.main)
    return thresholds.further(trees, spec.name, spec.dtype, seed, missing=True, infinite=True)


def _inputs(model: Model, options: ModelOptions, file: str) -> tuple[TensorSpec, ...]:
    """All numbers: one tensor. Else a column each: categories and texts are strings."""
    if model.numbers:
        return (forest.input_spec(options, len(model.features), file, ("float32",)),)
    if "embedding" in {feature.kind for feature in model.features}:
        raise ConversionError(f"{file} has embeddings among its features, which no input of ours carries.")
    return tuple(
        TensorSpec(feature.name, "float32" if feature.kind == "float" else "string", (None, 1), symbols=("batch", ""))
        for feature in model.features
    )


def _described(model: Model) -> dict[str, Answer]:
    """Outputs that there are."""
    found: dict[str, Answer] = {}
    count = len(model.bias)
    many = (None, count) if count > 1 else (None,)
    if model.classes is not None:
        kind = "string" if model.classes.dtype == object else "int64"
        found[PROBABILITIES] = Answer(_nothing, "float32", (None, len(model.classes)))
        found[LABEL] = Answer(_nothing, kind, (None,))
    else:
        found[PREDICTIONS] = Answer(_nothing, "float32", many)
    found[MARGINS] = Answer(_nothing, "float32", many, False)
    if model.document.get("oblivious_trees"):  # leaves of other trees CatBoost counts in an order that no file tells
        found[LEAVES] = Answer(_nothing, "int64", (None, _count(model)), False)
    return found


def _nothing() -> str:
    raise AssertionError("an output that is only described")


def _answers(graph: GraphBuilder, features: str, model: Model, trees: Ensemble) -> dict[str, Answer]:
    data = columns_of(graph, features, trees)
    scaled = graph.node("Mul", [emit(graph, data, trees), graph.constant("scale", np.array(model.scale))])
    raw = graph.node("Add", [scaled, graph.constant("bias", model.bias[None])], name="raw")
    count = len(model.bias)
    makes: dict[str, Callable[[], str]] = {
        MARGINS: lambda: forest.single(graph, raw, count, "raw_float32"),
        LEAVES: lambda: emit_leaves(graph, data, trees),
        PREDICTIONS: lambda: forest.single(graph, _predicted(graph, model, raw), count, "answers"),
        PROBABILITIES: lambda: graph.node("Cast", [_shares(graph, model, raw)], name="shares", to=1),
        LABEL: lambda: _label(graph, model, raw),
    }
    return {
        name: Answer(makes[name], answer.dtype, answer.shape, answer.usual)
        for name, answer in _described(model).items()
    }


def _predicted(graph: GraphBuilder, model: Model, raw: str) -> str:
    if model.answer == EXP:
        return graph.node("Exp", [raw])
    return graph.node("Sigmoid", [raw]) if model.answer == BINARY else raw


def _shares(graph: GraphBuilder, model: Model, raw: str) -> str:
    if model.answer == MULTI:
        return graph.node("Softmax", [raw], axis=1)
    share = graph.node("Sigmoid", [raw])
    if model.answer != BINARY:
        return share
    rest = graph.node("Sub", [graph.constant("one", np.array(1.0)), share])
    return graph.node("Concat", [rest, share], axis=1)


def _label(graph: GraphBuilder, model: Model, raw: str) -> str:
    assert model.classes is not None
    if model.answer == BINARY:
        over = graph.node("Cast", [graph.node("Greater", [raw, graph.constant("nought", np.array(0.0))])], to=7)
        place = graph.node("Squeeze", [over, graph.constant("last_axis", np.array([1], np.int64))])
    else:
        place = graph.node("ArgMax", [raw], axis=1, keepdims=0)
    return graph.node("Gather", [graph.constant("classes", model.classes), place], name="class", axis=0)


def _trees(model: Model) -> str:
    return "symmetric tree" if "oblivious_trees" in model.document else "tree"


def _count(model: Model) -> int:
    return len(model.document.get("oblivious_trees") or model.document.get("trees") or ())


def _labels(model: Model, outputs: tuple[TensorSpec, ...]) -> tuple[str, ...]:
    if model.classes is None or not outputs or len(outputs[0].shape or ()) != 2:
        return ()
    return tuple(str(name) for name in model.classes.tolist())


def _facts(model: Model) -> tuple[Fact, ...]:
    facts = [
        Fact("loss", model.loss or "unknown", "model_info.params.loss_function"),
        Fact("trees", f"{_count(model)}, {_trees(model)}s", "CatBoost's JSON of the file"),
        Fact("columns", forest.listed([f"{f.name} ({f.kind})" for f in model.features]), "features_info"),
    ]
    if model.answer == RAW and model.loss not in ("RMSE", "MAE", "Quantile"):
        facts.append(Fact("answer", "the sum of the trees, as RawFormulaVal", "loss"))
    return tuple(facts)


def _versions() -> dict[str, str]:
    import catboost

    return {"catboost": catboost.__version__}
