"""SGDClassifier: skl2onnx takes its label from probabilities, where far scores are all one; here it is the scores'.

Rule 1: scores, shares and the label are those of scikit-learn, in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gateway.errors import ConversionError
from gateway.formats.sklearn import trees
from gateway.graph.ensemble import Nodes


def scores(graph: Nodes, features: str, model: Any) -> str:
    """float64 (rows, 1) of two classes, else (rows, classes)."""
    wide = graph.node("Cast", [features], name="features_float64", to=11)
    slopes = graph.constant("slopes", np.asarray(model.coef_, np.float64).T)
    product = graph.node("MatMul", [wide, slopes])
    return graph.node("Add", [product, graph.constant("intercepts", np.asarray(model.intercept_, np.float64))])


def label(graph: Nodes, found: str, model: Any) -> str:
    """int64 or string (rows)."""
    if len(model.classes_) > 2:
        place = graph.node("ArgMax", [found], axis=1, keepdims=0)
    else:
        over = graph.node("Cast", [graph.node("Greater", [found, graph.constant("nought", np.array(0.0))])], to=7)
        place = graph.node("Reshape", [over, graph.constant("rows", np.array([-1], np.int64))])
    return trees.label(graph, place, trees.classes_of(model))


def shares(graph: Nodes, found: str, model: Any) -> str:
    """float64 (rows, classes). Errors: ConversionError for a loss that has none."""
    one = graph.constant("one", np.array(1.0))
    if model.loss == "log_loss":
        share = graph.node("Sigmoid", [found])
    elif model.loss == "modified_huber":
        low, high = graph.constant("lowest", np.array(-1.0)), graph.constant("highest", np.array(1.0))
        cut = graph.node("Min", [graph.node("Max", [found, low]), high])
        share = graph.node("Div", [graph.node("Add", [cut, one]), graph.constant("two", np.array(2.0))])
    else:
        raise ConversionError(f"SGDClassifier of loss {model.loss!r} has no probabilities.")
    if len(model.classes_) == 2:
        return graph.node("Concat", [graph.node("Sub", [one, share]), share], axis=1)
    axis = graph.constant("axis", np.array([1], np.int64))
    total = graph.node("ReduceSum", [share, axis], keepdims=1)
    if model.loss == "modified_huber":  # where all are 0 they are alike
        empty = graph.node("Equal", [total, graph.constant("nought", np.array(0.0))])
        share = graph.node("Where", [empty, one, share])
        total = graph.node("ReduceSum", [share, axis], keepdims=1)
    return graph.node("Div", [share, total])


def pair(graph: Nodes, found: str) -> str:
    """Scores of two classes as skl2onnx has them, (rows, 2)."""
    return graph.node("Concat", [graph.node("Neg", [found]), found], axis=1)
