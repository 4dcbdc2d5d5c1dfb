"""scikit-learn itself, in Environment `trees`: the judge of its models, and what serves those that cannot be ONNX."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import numpy as np

from gateway.core.dtypes import Array, Tensors
from gateway.core.modeltoml import ModelOptions
from gateway.core.signature import Signature
from gateway.formats.base import Match, Oracle, Source
from gateway.formats.forest import LABEL, LEAVES, MARGINS, PREDICTIONS, PROBABILITIES, SCORES, own_names
from gateway.formats.sklearn import inputs as taken
from gateway.formats.sklearn import pickled
from gateway.formats.sklearn.pipeline import opened


class SklearnOracle(Oracle):
    """Errors of the constructor: ConversionError."""

    def __init__(self, source: Source, match: Match, signature: Signature, options: ModelOptions) -> None:
        import sklearn

        loaded = opened(source, match)
        self._model, self._signature = loaded.model, signature
        self._inputs = taken.find(self._model, options, match.main)
        if [spec.name for spec in self._inputs.specs] != [spec.name for spec in signature.inputs]:
            # A native artifact carries its names in the signature alone.
            self._inputs = taken.Inputs(signature.inputs, self._inputs.own, self._inputs.frame)
        self._own = own_names(signature, options)
        self.name = f"scikit-learn {sklearn.__version__}"
        for package in ("lightgbm", "xgboost"):
            if type(self._model).__module__.startswith(package):
                self.name = f"{'LightGBM' if package == 'lightgbm' else 'XGBoost'} {__import__(package).__version__}"

        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._booster: Oracle | None = None
        if pickled.is_booster(self._model):
            self._folder = tempfile.TemporaryDirectory()
            self._booster = pickled.oracle(self._model, Path(self._folder.name), signature, options)
            self.name = self._booster.name

    def run(self, inputs: Tensors) -> Tensors:
        if self._booster is not None:
            return self._booster.run(inputs)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            x = taken.as_taken(self._inputs, inputs)
            return {spec.name: self._answer(spec.name, spec.tensor, spec.dtype, x) for spec in self._signature.outputs}

    def _answer(self, name: str, tensor: str, dtype: str, x: object) -> Array:
        own = self._own[name]
        base, _, place = own.partition("_")
        if base not in (LABEL, PROBABILITIES, PREDICTIONS, MARGINS, LEAVES, SCORES):
            own = tensor
            base, _, place = own.partition("_")
        model = self._model
        if base == PROBABILITIES:
            shares = model.predict_proba(x)
            return np.asarray(shares[int(place)] if place else shares, np.float32)
        if own == SCORES:
            return np.asarray(model.decision_function(x), np.float32)
        if own == LEAVES:
            if type(model).__module__.startswith("lightgbm"):
                return np.asarray(model.predict(x, pred_leaf=True), np.int64)
            found = np.asarray(model.apply(x))
            return found.astype(np.int64).reshape(len(found), -1)
        found = np.asarray(model.predict(x))
        if own == LABEL:
            if dtype == "string":
                return np.array([str(item) for item in found.reshape(-1).tolist()], object).reshape(found.shape)
            return found.astype(np.int64)
        return found.astype(np.float32)
