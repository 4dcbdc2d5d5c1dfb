"""CatBoost itself, in Environment `trees`: the judge of its models, and what serves those with categories."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gateway.core.dtypes import Array, Tensors
from gateway.core.signature import Signature
from gateway.formats.base import Oracle
from gateway.formats.catboost import model as models
from gateway.formats.catboost.model import EXP
from gateway.formats.forest import LABEL, LEAVES, MARGINS, PREDICTIONS, PROBABILITIES, need

OWN = (LABEL, LEAVES, MARGINS, PREDICTIONS, PROBABILITIES)


class CatBoostOracle(Oracle):
    """Errors of the constructor: ConversionError."""

    def __init__(self, path: Path, signature: Signature) -> None:
        need("catboost", "CatBoost")
        import catboost

        self._pool = catboost.Pool
        self._model, self._seen = models.load(path), models.read(path)
        self._signature = signature
        self.name = f"CatBoost {catboost.__version__}"

    def run(self, inputs: Tensors) -> Tensors:
        if self._seen.numbers:
            (features,) = inputs.values()
            pool = self._pool(features)
        else:
            pool = self._columns(inputs)
        return {
            spec.name: self._answer(_own(spec.name, spec.tensor), spec.dtype, pool) for spec in self._signature.outputs
        }

    def _columns(self, inputs: Tensors) -> object:
        import pandas

        columns: dict[str, Array] = {}
        categories: list[str] = []
        texts: list[str] = []
        for feature, spec in zip(self._seen.features, self._signature.inputs, strict=True):
            flat = inputs[spec.name].reshape(-1)
            if feature.kind != "float":
                flat = np.array(
                    [i.decode("utf-8", "replace") if isinstance(i, bytes) else str(i) for i in flat], object
                )
                (categories if feature.kind == "categorical" else texts).append(feature.name)
            columns[feature.name] = flat
        frame = pandas.DataFrame(columns)
        return self._pool(frame, cat_features=categories or None, text_features=texts or None)

    def _answer(self, own: str, dtype: str, pool: object) -> Array:
        model = self._model
        if own == LEAVES:
            return np.asarray(model.calc_leaf_indexes(pool, thread_count=1), np.int64)
        kind = {
            PROBABILITIES: "Probability",
            LABEL: "Class",
            MARGINS: "RawFormulaVal",
            PREDICTIONS: "Exponent" if self._seen.answer == EXP else "RawFormulaVal",
        }[own]
        if own == PREDICTIONS and self._seen.answer == models.BINARY:
            return np.asarray(model.predict(pool, prediction_type="Probability", thread_count=1)[:, 1], np.float32)
        found = np.asarray(model.predict(pool, prediction_type=kind, thread_count=1))
        if own != LABEL:
            return found.astype(np.float32)
        flat = found.reshape(-1).tolist()
        if dtype == "string":
            return np.array([str(item) for item in flat], object)
        return np.array([int(float(item)) for item in flat], np.int64)


def _text(item: object) -> str:
    return item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item)


def _own(name: str, tensor: str) -> str:
    """The output's own name: a native signature has it as its tensor."""
    return tensor if tensor in OWN else name
