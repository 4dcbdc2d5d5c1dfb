"""What is put in the place of skl2onnx's own converters: trees, which it rounds, texts, which it cuts otherwise,
and descent, whose label it takes from probabilities.

Rule 1: texts are cut where Python's `re` cuts them: Unicode letters, digits and `_`; patterns other than the default
        one, analysers of characters and functions of the author are left to scikit-learn itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gateway.core.dtypes import Array
from gateway.errors import ConversionError
from gateway.formats.sklearn import descent, trees
from gateway.graph.ensemble import ML

MICROSOFT = "com.microsoft"
SKL2ONNX_ML = 3  # the newest operator set of ai.onnx.ml that it knows; rewrite.py says which one it is
PATTERNS = {r"(?u)\b\w\w+\b": "{2,}", r"\b\w\w+\b": "{2,}", r"(?u)\b\w+\b": "+", r"\b\w+\b": "+", r"\w+": "+"}
WORD = r"[\p{L}\p{N}_]"


class Container:
    """Nodes of our emitters in a container of skl2onnx."""

    def __init__(self, scope: Any, container: Any) -> None:
        self.scope, self.container = scope, container

    def node(
        self,
        op_type: str,
        inputs: Sequence[str],
        *,
        name: str = "",
        output: str = "",
        domain: str = "",
        **attributes: Any,
    ) -> str:
        made = output or str(self.scope.get_unique_variable_name(name or op_type))
        kept = {key: value for key, value in attributes.items() if value is not None}
        version = {ML: SKL2ONNX_ML, MICROSOFT: 1}.get(domain)
        called = self.scope.get_unique_operator_name(name or op_type)
        self.container.add_node(
            op_type, list(inputs), [made], op_domain=domain, op_version=version, name=called, **kept
        )
        return made

    def constant(self, wish: str, array: Array) -> str:
        from onnx import TensorProto, numpy_helper

        name = str(self.scope.get_unique_variable_name(wish))
        if array.dtype == object:  # skl2onnx loses strings of a tensor
            texts = [str(item).encode() for item in array.reshape(-1).tolist()]
            self.container.add_initializer(name, TensorProto.STRING, list(array.shape), texts)
            return name
        self.container.add_initializer(name, None, None, numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name


def register() -> None:
    """Once a process. Errors: none."""
    from skl2onnx import update_registered_converter
    from skl2onnx.common.shape_calculator import (
        calculate_linear_classifier_output_shapes,
        calculate_linear_regressor_output_shapes,
    )
    from sklearn import ensemble, linear_model, tree
    from sklearn.feature_extraction import text

    for name in trees.KINDS:
        kind = getattr(tree, name, None) or getattr(ensemble, name)
        if name.endswith("Classifier"):
            update_registered_converter(
                kind, f"Gateway{name}", calculate_linear_classifier_output_shapes, _classifier,
                options={"zipmap": [True, False, "columns"], "nocl": [True, False],
                         "output_class_labels": [False, True],
                         "raw_scores": [True, False], "decision_path": [True, False], "decision_leaf": [True, False]},
            )  # fmt: skip
        else:
            update_registered_converter(
                kind, f"Gateway{name}", calculate_linear_regressor_output_shapes, _regressor,
                options={"decision_path": [True, False], "decision_leaf": [True, False]},
            )  # fmt: skip
    update_registered_converter(
        linear_model.SGDClassifier, "GatewaySGDClassifier", calculate_linear_classifier_output_shapes, _descent,
        options={"zipmap": [True, False, "columns"], "nocl": [True, False], "output_class_labels": [False, True],
                 "raw_scores": [True, False]},
    )  # fmt: skip
    for name in ("CountVectorizer", "TfidfVectorizer"):
        update_registered_converter(getattr(text, name), f"Gateway{name}", _text_shape, _text)


def _classifier(scope: Any, operator: Any, container: Any) -> None:
    graph, model = Container(scope, container), operator.raw_operator
    shares, place = trees.answer(graph, operator.inputs[0].full_name, model, trees.ensemble(model), single=False)
    _shown(graph, trees.label(graph, place, trees.classes_of(model)), operator.outputs[0])
    graph.node("Cast", [shares], output=operator.outputs[1].full_name, to=_kind(operator.outputs[1]))


def _descent(scope: Any, operator: Any, container: Any) -> None:
    graph, model = Container(scope, container), operator.raw_operator
    found = descent.scores(graph, operator.inputs[0].full_name, model)
    _shown(graph, descent.label(graph, found, model), operator.outputs[0])
    if not hasattr(model, "predict_proba") or container.get_options(model, {"raw_scores": False})["raw_scores"]:
        second = descent.pair(graph, found) if len(model.classes_) == 2 else found
    else:
        second = descent.shares(graph, found, model)
    graph.node("Cast", [second], output=operator.outputs[1].full_name, to=_kind(operator.outputs[1]))


def _regressor(scope: Any, operator: Any, container: Any) -> None:
    graph, model = Container(scope, container), operator.raw_operator
    found, _ = trees.answer(graph, operator.inputs[0].full_name, model, trees.ensemble(model), single=False)
    graph.node("Cast", [found], output=operator.outputs[0].full_name, to=_kind(operator.outputs[0]))


def _shown(graph: Container, tensor: str, variable: Any) -> None:
    graph.node("Identity", [tensor], output=variable.full_name)


def _kind(variable: Any) -> int:
    """ONNX's number of the type that skl2onnx has planned."""
    return 11 if type(variable.type).__name__.startswith("Double") else 1


def _text_shape(operator: Any) -> None:
    from skl2onnx.common.data_types import FloatTensorType

    model = operator.raw_operator
    operator.outputs[0].type = FloatTensorType([None, len(model.vocabulary_)])


def _text(scope: Any, operator: Any, container: Any) -> None:
    graph, model = Container(scope, container), operator.raw_operator
    refuse_texts(model)
    texts = graph.node(
        "Reshape", [operator.inputs[0].full_name, graph.constant("rows", np.array([-1], np.int64))], name="texts"
    )
    if model.lowercase:
        texts = graph.node(
            "StringNormalizer", [texts], name="lower", case_change_action="LOWER", is_case_sensitive=1, locale="C.UTF-8"
        )
    words = graph.node(
        "Tokenizer", [texts], name="words", domain=MICROSOFT, mark=0, mincharnum=1, pad_value="",
        tokenexp=WORD + PATTERNS[model.token_pattern],
    )  # fmt: skip
    counts = _counted(graph, words, model)
    found = _weighted(graph, counts, model)
    graph.node("Cast", [found], output=operator.outputs[0].full_name, to=1)


def refuse_texts(model: Any) -> None:
    """Errors: ConversionError naming what ONNX would do otherwise."""
    high = model.ngram_range[1]
    problems = [
        f"{what} = {value!r}"
        for what, value, known in (
            ("analyzer", model.analyzer, model.analyzer == "word"),
            ("token_pattern", model.token_pattern, model.token_pattern in PATTERNS),
            ("strip_accents", model.strip_accents, model.strip_accents is None),
            ("preprocessor", model.preprocessor, model.preprocessor is None),
            ("tokenizer", model.tokenizer, model.tokenizer is None),
            ("stop_words with ngram_range", model.ngram_range, model.stop_words is None or high == 1),
        )
        if not known
    ]
    if problems:
        raise ConversionError(f"{type(model).__name__} has {', '.join(problems)}, which ONNX has no operator for.")


def _counted(graph: Container, words: str, model: Any) -> str:
    """float32 (rows, vocabulary): how often each stands there."""
    low, high = model.ngram_range
    by_size: dict[int, list[tuple[list[str], int]]] = {size: [] for size in range(1, high + 1)}
    for text, place in model.vocabulary_.items():
        parts = str(text).split(" ")
        if low <= len(parts) <= high:
            by_size[len(parts)].append((parts, int(place)))
    pool: list[str] = []
    starts, places = [], []
    for size in range(1, high + 1):
        starts.append(len(pool))
        for parts, place in by_size[size]:
            pool += parts
            places.append(place)
    return graph.node(
        "TfIdfVectorizer", [words], name="counts", mode="TF", min_gram_length=low, max_gram_length=high,
        max_skip_count=0, ngram_counts=starts, ngram_indexes=places, pool_strings=pool,
    )  # fmt: skip


def _weighted(graph: Container, counts: str, model: Any) -> str:
    """float64, as scikit-learn weighs them."""
    found = graph.node("Cast", [counts], to=11)
    nought, one = graph.constant("nought", np.array(0.0)), graph.constant("one", np.array(1.0))
    if model.binary:
        found = graph.node("Min", [found, one])
    if type(model).__name__ == "CountVectorizer":
        return found
    weights = model._tfidf
    if weights.sublinear_tf:
        there = graph.node("Greater", [found, nought])
        logs = graph.node("Add", [graph.node("Log", [graph.node("Max", [found, one])]), one])
        found = graph.node("Where", [there, logs, nought])
    if weights.use_idf:
        found = graph.node("Mul", [found, graph.constant("idf", np.asarray(weights.idf_, np.float64))])
    if weights.norm is None:
        return found
    axes = graph.constant("axis", np.array([1], np.int64))
    if weights.norm == "l2":
        squares = graph.node("ReduceSum", [graph.node("Mul", [found, found]), axes], keepdims=1)
        size = graph.node("Sqrt", [squares])
    else:
        size = graph.node("ReduceSum", [graph.node("Abs", [found]), axes], keepdims=1)
    empty = graph.node("Equal", [size, nought])
    return graph.node("Div", [found, graph.node("Where", [empty, one, size])])
