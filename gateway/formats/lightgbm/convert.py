"""LightGBM to ONNX: sums of the trees in float64, the objective's answer behind them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gateway.core.artifact import Fact
from gateway.core.modeltoml import ModelOptions
from gateway.core.probes import Further
from gateway.core.signature import Signature, TensorSpec
from gateway.formats import forest
from gateway.formats.base import Conversion, Inspection, Match, Source
from gateway.formats.forest import LABEL, LEAVES, MARGINS, PREDICTIONS, PROBABILITIES, Answer
from gateway.formats.lightgbm import linear
from gateway.formats.lightgbm import model as models
from gateway.formats.lightgbm.model import EACH, EXP, LOG1P_EXP, SIGMOID, SOFTMAX, SQUARE, Model
from gateway.graph import thresholds
from gateway.graph.builder import GraphBuilder
from gateway.graph.ensemble import DOMAINS, columns_of, emit, emit_leaves


def inspect(source: Source, match: Match, options: ModelOptions) -> Inspection:
    model = models.read(source.path(match.main))
    graph = GraphBuilder("lightgbm", domains=DOMAINS)
    inputs, answers = _answers(graph, model, options, match.main)
    outputs = tuple(
        TensorSpec(name, answers[own].dtype, answers[own].shape)
        for name, own in forest.chosen(answers, options, match.main)
    )
    counts = {"tree": len(model.ensemble.trees), f"objective {model.objective or 'none'}": 1}
    return Inspection((inputs,), outputs, {name: n for name, n in counts.items() if n}, tuple(_facts(model)))


def convert(source: Source, match: Match, options: ModelOptions, out: Path) -> Conversion:
    """Errors: CorruptModel, ConversionError."""
    model = models.read(source.path(match.main))
    graph = GraphBuilder("lightgbm", domains=DOMAINS)
    inputs, answers = _answers(graph, model, options, match.main)
    outputs = forest.finish(graph, answers, options, match.main, out)
    said = "categories were not numbers in training; they are sent as their places in the file's pandas_categorical"
    warnings = (said,) if model.recoded else ()
    return Conversion("onnx", (Signature((inputs,), outputs),), tuple(_facts(model)), warnings)


def further(source: Source, match: Match, signature: Signature, seed: int) -> Further:
    model = models.read(source.path(match.main))
    spec = signature.inputs[0]
    return thresholds.further(model.ensemble, spec.name, spec.dtype, seed, missing=True, infinite=True)


def _facts(model: Model) -> list[Fact]:
    facts = [
        Fact("objective", model.objective or "none: the sums themselves", "objective"),
        Fact("trees", f"{len(model.ensemble.trees)}, {'their mean' if model.average else 'their sum'}", "Tree="),
    ]
    if model.linear:
        facts.append(Fact("leaves", "linear models", "is_linear"))
    if model.names:
        facts.append(Fact("columns", forest.listed(model.names), "feature_names"))
    if model.categories:
        facts.append(Fact("categorical columns", forest.listed([str(n) for n in model.categories]), "decision_type"))
    return facts


def _answers(
    graph: GraphBuilder, model: Model, options: ModelOptions, file: str
) -> tuple[TensorSpec, dict[str, Answer]]:
    spec = forest.input_spec(options, model.ensemble.features, file)
    features = graph.input(spec.name, spec.dtype, spec.shape or (), spec.symbols)
    return spec, answers_of(graph, features, model, single=spec.dtype == "float32")


def answers_of(graph: GraphBuilder, features: str, model: Model, *, single: bool) -> dict[str, Answer]:
    """Every output that there is, by name; `single`: features are float32."""
    data = columns_of(graph, features, model.ensemble, single=single)
    leaves = model.linear
    sums = linear.emit(graph, data, model.ensemble, leaves) if leaves else emit(graph, data, model.ensemble)
    if model.average:
        sums = graph.node("Div", [sums, graph.constant("rounds", np.array(model.average, np.float64))])
    many = (None, model.groups) if model.groups > 1 else (None,)
    answers = _of_objective(graph, model, sums, many)
    answers[MARGINS] = Answer(lambda: forest.single(graph, sums, model.groups, "raw"), "float32", many, False)
    if model.ensemble.trees:
        width = len(model.ensemble.trees)
        answers[LEAVES] = Answer(lambda: emit_leaves(graph, data, model.ensemble), "int64", (None, width), False)
    return answers


def _of_objective(graph: GraphBuilder, model: Model, sums: str, many: tuple[int | None, ...]) -> dict[str, Answer]:
    answer = _converted(graph, model, sums)
    if not model.classes:
        return {PREDICTIONS: Answer(lambda: forest.single(graph, answer, model.groups, "answers"), "float32", many)}
    if model.groups == 1:
        rest = graph.node("Sub", [graph.constant("one", np.array(1, np.float64)), answer], name="rest")
        answer = graph.node("Concat", [rest, answer], name="both", axis=1)
    best = graph.node("ArgMax", [answer], name="best", axis=1, keepdims=0)
    shares = graph.node("Cast", [answer], name="shares", to=1)
    width = max(2, model.groups)
    return {
        PROBABILITIES: Answer(lambda: shares, "float32", (None, width)),
        LABEL: Answer(lambda: best, "int64", (None,)),
    }


def _converted(graph: GraphBuilder, model: Model, sums: str) -> str:
    """The answer of the objective, float64 (rows, groups)."""
    if model.answer in (SIGMOID, EACH):
        factor = graph.constant("sigmoid", np.array(model.sigmoid if model.classes else 1.0, np.float64))
        return graph.node("Sigmoid", [graph.node("Mul", [sums, factor])], name="converted")
    if model.answer == SOFTMAX:
        return graph.node("Softmax", [sums], name="converted", axis=1)
    if model.answer == EXP:
        return graph.node("Exp", [sums], name="converted")
    if model.answer == LOG1P_EXP:
        one = graph.constant("plus", np.array(1, np.float64))
        return graph.node("Log", [graph.node("Add", [one, graph.node("Exp", [sums])])], name="converted")
    if model.answer == SQUARE:
        return graph.node("Mul", [sums, graph.node("Abs", [sums])], name="converted")
    return sums
