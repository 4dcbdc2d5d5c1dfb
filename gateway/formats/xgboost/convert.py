"""XGBoost to ONNX: the trees in float64, the objective's answer behind them.

Rule 1: a base margin is data, no part of a model: where [[inputs]] names `base_margin` it is a second input, and
        takes the place of the base score, as in XGBoost.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from gateway.core.artifact import Fact
from gateway.core.modeltoml import ModelOptions
from gateway.core.probes import Further
from gateway.core.signature import Signature, TensorSpec
from gateway.errors import ConversionError
from gateway.formats import forest
from gateway.formats.base import Conversion, Inspection, Match, Source
from gateway.formats.forest import LABEL, LEAVES, MARGINS, PREDICTIONS, PROBABILITIES, Answer
from gateway.formats.xgboost import model as models
from gateway.formats.xgboost.model import EXP, SIGMOID, SOFTMAX, STEP, Model
from gateway.graph import thresholds
from gateway.graph.builder import GraphBuilder
from gateway.graph.ensemble import DOMAINS, columns_of, emit, emit_leaves

LARGEST = 88.7  # XGBoost: e to more than this is not taken
HALF = np.array(0.5, np.float32)
BASE_MARGIN = "base_margin"


def inspect(source: Source, match: Match, options: ModelOptions) -> Inspection:
    model = models.read(source.path(match.main))
    graph = GraphBuilder("xgboost", domains=DOMAINS)
    inputs, answers = _asked(graph, model, options, match.main)
    outputs = tuple(
        TensorSpec(name, answers[own].dtype, answers[own].shape)
        for name, own in forest.chosen(answers, options, match.main)
    )
    counts = {f"{model.booster} tree": len(model.ensemble.trees), model.objective: 1}
    return Inspection(inputs, outputs, {name: n for name, n in counts.items() if n}, tuple(_facts(model)))


def convert(source: Source, match: Match, options: ModelOptions, out: Path) -> Conversion:
    """Errors: CorruptModel, ConversionError."""
    model = models.read(source.path(match.main))
    graph = GraphBuilder("xgboost", domains=DOMAINS)
    inputs, answers = _asked(graph, model, options, match.main)
    outputs = forest.finish(graph, answers, options, match.main, out)
    warnings = []
    if "best_iteration" in model.attributes:
        best = model.attributes["best_iteration"]
        warnings.append(
            f"the file names best_iteration = {best}; all trees answer, as with Booster.predict, where XGBClassifier "
            f"and XGBRegressor would stop behind it: save model[:{best} + 1] to serve those"
        )
    if model.recoded:
        warnings.append("categories were texts in training; they are sent as their numbers, in the file's order")
    return Conversion("onnx", (Signature(inputs, outputs),), tuple(_facts(model)), tuple(warnings))


def further(source: Source, match: Match, signature: Signature, seed: int) -> Further:
    model = models.read(source.path(match.main))
    spec = signature.inputs[0]
    asked = thresholds.further(model.ensemble, spec.name, spec.dtype, seed, missing=True, infinite=False)
    return forest.beside(asked, signature.inputs[1:], seed)


def _facts(model: Model) -> list[Fact]:
    facts = [
        Fact("objective", model.objective, "learner.objective"),
        Fact("booster", f"{model.booster}, {len(model.ensemble.trees)} trees", "learner.gradient_booster"),
        Fact("base score", ", ".join(f"{value:.9g}" for value in model.base[:8]) + " as it is added", "base_score"),
    ]
    if model.names:
        facts.append(Fact("columns", forest.listed(model.names), "learner.feature_names"))
    categorical = [str(place) for place, kind in enumerate(model.kinds) if kind == "c"]
    if categorical:
        facts.append(Fact("categorical columns", forest.listed(categorical), "learner.feature_types"))
    return facts


def _asked(
    graph: GraphBuilder, model: Model, options: ModelOptions, file: str
) -> tuple[tuple[TensorSpec, ...], dict[str, Answer]]:
    wish = next((option for option in options.inputs if option.own_name == BASE_MARGIN), None)
    others = replace(options, inputs=tuple(option for option in options.inputs if option is not wish))
    spec = forest.input_spec(others, model.features, file, ("float32",))
    features = graph.input(spec.name, spec.dtype, spec.shape or (), spec.symbols)
    if wish is None:
        return (spec,), answers_of(graph, features, model)
    shape = (None, model.groups) if model.groups > 1 else (None,)
    if wish.dtype not in ("", "float32") or wish.shape not in (None, shape):
        expected = "[?]" if model.groups == 1 else f"[?, {model.groups}]"
        raise ConversionError(
            f"{file}: {BASE_MARGIN} is asked for as {wish.dtype or 'float32'}{list(wish.shape or shape)}; expected "
            f"float32{expected}.",
            hint="Change [[inputs]] in model.toml or --input.",
        )
    given = TensorSpec(wish.name, "float32", shape, symbols=("batch", "")[: len(shape)])
    margin = graph.input(given.name, given.dtype, shape, given.symbols)
    return (spec, given), answers_of(graph, features, model, margin)


def answers_of(graph: GraphBuilder, features: str, model: Model, margin: str = "") -> dict[str, Answer]:
    """Every output that there is, by name. `margin`: float32 (rows) or (rows, groups), instead of the base score."""
    data = columns_of(graph, features, model.ensemble)
    sums = _linear(graph, features, model) if model.weights is not None else emit(graph, data, model.ensemble)
    base = graph.constant("base_score", model.base[None])
    if margin:
        rows = graph.constant("margin_shape", np.array([-1, model.groups], np.int64))
        base = graph.node("Reshape", [graph.node("Cast", [margin], to=11), rows], name="base_margin_float64")
    margins = graph.node("Add", [sums, base], name="margins_float64")
    many = (None, model.groups) if model.groups > 1 else (None,)
    answers = _of_objective(graph, model, margins, many)
    answers[MARGINS] = Answer(
        lambda: forest.single(graph, margins, model.groups, "margins_float32"), "float32", many, False
    )
    if model.ensemble.trees:
        width = len(model.ensemble.trees)
        answers[LEAVES] = Answer(lambda: emit_leaves(graph, data, model.ensemble), "int64", (None, width), False)
    return answers


def _of_objective(graph: GraphBuilder, model: Model, margins: str, many: tuple[int | None, ...]) -> dict[str, Answer]:
    """By name; in float64 until the last step, which is XGBoost's own dtype."""
    kind = model.answer
    if kind == SOFTMAX:
        shares = graph.node("Cast", [graph.node("Softmax", [margins], axis=1)], name="shares", to=1)
        best = graph.node("ArgMax", [shares], name="best", axis=1, keepdims=0)
        return {
            PROBABILITIES: Answer(lambda: shares, "float32", (None, model.groups)),
            LABEL: Answer(lambda: best, "int64", (None,)),
        }
    if kind == STEP:
        over = graph.node("Greater", [margins, graph.constant("nought", np.array(0, np.float64))])
        step = graph.node("Cast", [over], to=7)
        return {LABEL: Answer(lambda: forest.flat(graph, step, model.groups), "int64", many)}
    if kind == SIGMOID:
        # XGBoost cuts the exponent there: without it the smallest answers would be other ones.
        cut = graph.node("Max", [margins, graph.constant("lowest", np.array(-LARGEST, np.float64))])
        answer = graph.node("Cast", [graph.node("Sigmoid", [cut])], name="share", to=1)
        if not model.classes or model.groups > 1:
            return {PREDICTIONS: Answer(lambda: forest.flat(graph, answer, model.groups), "float32", many)}
        rest = graph.node("Sub", [graph.constant("one", np.array(1, np.float32)), answer], name="rest")
        both = graph.node("Concat", [rest, answer], name="shares", axis=1)
        over = graph.node("Cast", [graph.node("Greater", [answer, graph.constant("half", HALF)])], to=7)
        return {
            PROBABILITIES: Answer(lambda: both, "float32", (None, 2)),
            LABEL: Answer(lambda: forest.flat(graph, over, 1), "int64", (None,)),
        }
    answer = graph.node("Exp", [margins]) if kind == EXP else margins
    return {PREDICTIONS: Answer(lambda: forest.single(graph, answer, model.groups, "answers"), "float32", many)}


def _linear(graph: GraphBuilder, features: str, model: Model) -> str:
    """A weight each; what is missing adds nothing."""
    assert model.weights is not None
    missing = graph.node("IsNaN", [features])
    there = graph.node("Where", [missing, graph.constant("nothing", np.array(0, np.float32)), features])
    wide = graph.node("Cast", [there], to=11)
    product = graph.node("MatMul", [wide, graph.constant("weights", model.weights[:-1])])
    return graph.node("Add", [product, graph.constant("bias", model.weights[-1:])])
