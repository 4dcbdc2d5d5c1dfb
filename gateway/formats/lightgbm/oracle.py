"""LightGBM itself, in Environment `trees`: the judge of its models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.dtypes import Array, Tensors
from gateway.core.modeltoml import ModelOptions
from gateway.core.signature import Signature
from gateway.errors import ConversionError
from gateway.formats.base import Oracle
from gateway.formats.forest import LABEL, LEAVES, MARGINS, PREDICTIONS, PROBABILITIES, need, own_names


class LightGBMOracle(Oracle):
    """Errors of the constructor: ConversionError in LightGBM's words."""

    def __init__(self, path: Path, signature: Signature, options: ModelOptions) -> None:
        need("lightgbm", "LightGBM")
        import lightgbm

        self._signature, self._own = signature, own_names(signature, options)
        self.name = f"LightGBM {lightgbm.__version__}"
        try:
            self._booster: Any = lightgbm.Booster(model_file=str(path))
        except lightgbm.basic.LightGBMError as error:
            raise ConversionError(f"{self.name} does not read the source: {error}") from error

    def run(self, inputs: Tensors) -> Tensors:
        (features,) = inputs.values()
        return {spec.name: self._answer(self._own[spec.name], features) for spec in self._signature.outputs}

    def _answer(self, name: str, features: Array) -> Array:
        if name == LEAVES:
            found = np.asarray(self._booster.predict(features, pred_leaf=True, num_threads=1), np.int64)
            return found.reshape(len(features), -1)
        found = np.asarray(self._booster.predict(features, raw_score=name == MARGINS, num_threads=1), np.float64)
        if name in (MARGINS, PREDICTIONS):
            return found.astype(np.float32)
        both = found if found.ndim == 2 else np.stack([1.0 - found, found], axis=1)
        if name == PROBABILITIES:
            return both.astype(np.float32)
        assert name == LABEL, name
        return np.asarray(both.argmax(axis=1), np.int64)
