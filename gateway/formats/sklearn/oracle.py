"""scikit-learn itself, in Environment `trees`: the judge of its models, and what serves those that cannot be ONNX."""

from __future__ import annotations

import warnings

import numpy as np

from gateway.core.dtypes import Array, Tensors
from gateway.core.modeltoml import ModelOptions
from gateway.core.signature import Signature
from gateway.formats.base import Match, Oracle, Source
from gateway.formats.forest import LABEL, LEAVES, MARGINS, PREDICTIONS, PROBABILITIES, own_names
from gateway.formats.sklearn import inputs as taken
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

    def run(self, inputs: Tensors) -> Tensors:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            x = taken.as_taken(self._inputs, inputs)
            return {spec.name: self._answer(spec.name, spec.tensor, spec.dtype, x) for spec in self._signature.outputs}

    def _answer(self, name: str, tensor: str, dtype: str, x: object) -> Array:
        own = self._own[name]
        own = own if own in (LABEL, PROBABILITIES, PREDICTIONS, MARGINS, LEAVES) else tensor
        model = self._model
        if own == PROBABILITIES:
            return np.asarray(model.predict_proba(x), np.float32)
        if own == LEAVES:
            if type(model).__module__.startswith("lightgbm"):
                return np.asarray(model.predict(x, pred_leaf=True), np.int64)
            found = np.asarray(model.apply(x))
            return found.astype(np.int64).reshape(len(found), -1)
        found = np.asarray(model.predict(x))
        if own == LABEL:
            if dtype == "string":
                return np.array([str(item) for item in found.tolist()], object)
            return found.astype(np.int64)
        return found.astype(np.float32)
