"""XGBoost itself, in Environment `trees`: the judge of its models.

Rule 1: it reads the file by its own road; only the binary form, which it refuses, is handed to it as the document
        that our reader made of it, and the judge's name says so.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.dtypes import Array, Tensors
from gateway.core.modeltoml import ModelOptions
from gateway.core.signature import Signature
from gateway.errors import ConversionError
from gateway.formats.base import Oracle
from gateway.formats.forest import LABEL, LEAVES, MARGINS, PREDICTIONS, PROBABILITIES, need, own_names


class XGBoostOracle(Oracle):
    """Errors of the constructor: ConversionError in XGBoost's words."""

    def __init__(self, path: Path, signature: Signature, options: ModelOptions) -> None:
        need("xgboost", "XGBoost")
        import xgboost

        from gateway.formats.xgboost.model import document

        self._xgb, self._signature = xgboost, signature
        self._own = own_names(signature, options)
        found, old = document(path)
        self.name = f"XGBoost {xgboost.__version__}" + (", given the binary file as JSON" if old else "")
        data = json.dumps(found).encode() if old else path.read_bytes()
        learner = found["learner"]
        self._objective = learner["objective"]["name"]
        try:
            self._booster: Any = xgboost.Booster({"nthread": 1}, model_file=bytearray(data))
        except xgboost.core.XGBoostError as error:
            lines = [line for line in str(error).splitlines() if line.strip()]
            raise ConversionError(f"{self.name} does not read the source: {lines[0] if lines else error}") from error
        self._booster.feature_names = None
        self._kinds = [str(kind) for kind in learner.get("feature_types") or ()] or None

    def run(self, inputs: Tensors) -> Tensors:
        features, *margin = (inputs[spec.name] for spec in self._signature.inputs)
        # Names are left out on both sides; kinds are needed to let numbers of categories in.
        self._booster.feature_types = self._kinds
        data = self._xgb.DMatrix(features, feature_types=self._kinds, enable_categorical=True, nthread=1)
        if margin:
            data.set_base_margin(margin[0])
        return {spec.name: self._answer(self._own[spec.name], data) for spec in self._signature.outputs}

    def _answer(self, name: str, data: Any) -> Array:
        booster = self._booster
        if name == LEAVES:
            leaves = np.asarray(booster.predict(data, pred_leaf=True)).astype(np.int64)
            return leaves.reshape(data.num_row(), -1)
        if name == MARGINS:
            return np.asarray(booster.predict(data, output_margin=True), np.float32)
        answer = np.asarray(booster.predict(data), np.float32)
        if name == PREDICTIONS:
            return answer
        if self._objective == "multi:softmax":  # its answer is the class; shares are of the margins, as softprob has it
            margins = np.asarray(booster.predict(data, output_margin=True), np.float32)
            high = np.exp(margins - margins.max(axis=1, keepdims=True))
            shares = np.asarray(high / high.sum(axis=1, keepdims=True), np.float32)
            return shares if name == PROBABILITIES else np.asarray(answer, np.int64)
        if name == PROBABILITIES:
            return answer if answer.ndim == 2 else np.stack([np.float32(1) - answer, answer], axis=1)
        assert name == LABEL, name
        if answer.ndim == 2:
            return np.asarray(answer.argmax(axis=1), np.int64)
        return np.asarray(answer > 0.5, np.int64)
