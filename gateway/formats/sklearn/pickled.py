"""Models of LightGBM and XGBoost in a pickle: the library writes its own form, which their readers take.

Rule 1: a Booster answers what its own file would, and its own library's judge judges it.
Rule 2: what the library's class for scikit-learn does by itself is done too: XGBoost's stops behind its best
        iteration, and takes its `missing` for missing.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.modeltoml import ModelOptions
from gateway.core.signature import Signature
from gateway.formats.base import Oracle
from gateway.formats.forest import Answer
from gateway.graph.builder import GraphBuilder
from gateway.graph.ensemble import DOMAINS


def is_booster(model: Any) -> bool:
    return type(model).__name__ == "Booster"


def described(model: Any) -> dict[str, Answer]:
    """The outputs of a Booster; what they are made of is not kept."""
    graph = GraphBuilder("pickled", domains=DOMAINS)
    features = graph.input("features", "float32", (None, int(_of(model).ensemble.features)))
    return answers_of(graph, features, model)


def oracle(model: Any, folder: Path, signature: Signature, options: ModelOptions) -> Oracle:
    """Of a Booster: its file, written into `folder`, is judged as any."""
    if type(model).__module__.startswith("lightgbm"):
        from gateway.formats.lightgbm.oracle import LightGBMOracle

        model.save_model(str(folder / "model.txt"))
        return LightGBMOracle(folder / "model.txt", signature, options)
    from gateway.formats.xgboost.oracle import XGBoostOracle

    model.save_model(folder / "model.ubj")
    return XGBoostOracle(folder / "model.ubj", signature, options)


def _of(model: Any) -> Any:
    return lightgbm(model) if type(model).__module__.startswith("lightgbm") else xgboost(model)


def lightgbm(model: Any) -> Any:
    """formats.lightgbm.model.Model. Errors: ConversionError."""
    from gateway.formats.lightgbm import model as models

    booster = getattr(model, "booster_", model)
    return models.parse(booster.model_to_string(num_iteration=-1), type(model).__name__)


def xgboost(model: Any) -> Any:
    """formats.xgboost.model.Model. Errors: ConversionError."""
    from gateway.formats.xgboost import model as models

    booster = model.get_booster() if hasattr(model, "get_booster") else model
    if booster is not model and getattr(model, "booster", None) != "gblinear":
        first, last = model._get_iteration_range(None)
        booster = booster[first:last] if last else booster
    return models.of_document(json.loads(booster.save_raw("json")), type(model).__name__)


def answers_of(graph: GraphBuilder, features: str, model: Any) -> dict[str, Answer]:
    """Every output that there is, by name."""
    if type(model).__module__.startswith("lightgbm"):
        from gateway.formats.lightgbm import convert as light

        return light.answers_of(graph, features, lightgbm(model), single=True)
    from gateway.formats.xgboost import convert as gradient

    missing = float(getattr(model, "missing", math.nan))
    if not math.isnan(missing):
        same = graph.node("Equal", [features, graph.constant("missing", np.array(missing, np.float32))])
        features = graph.node("Where", [same, graph.constant("nan", np.array(np.nan, np.float32)), features])
    return gradient.answers_of(graph, features, xgboost(model))
