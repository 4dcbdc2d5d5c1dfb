"""scikit-learn: estimators and pipelines in pickles, joblib files and skops, texts and tables with names included.

    load.py        the globals of a pickle are checked before anything of them is imported; then it is opened
    inputs.py      what a pipeline takes: features, texts, or columns by name; columns.py   these before trees
    answers.py     what it answers                     oracle.py    scikit-learn itself
    trees.py       trees of every kind, to the same leaf; pickled.py   those of LightGBM and XGBoost
    convert.py     the rest by skl2onnx, but what registered.py puts in its place (descent.py, texts)

Rule 1: a pickle is a program: it is opened in a sandbox of level L2 at least, after its globals were checked.
Rule 2: what cannot be ONNX is served by scikit-learn itself, where the owner has not asked for ONNX; that is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gateway.core.artifact import NATIVE, ONNX
from gateway.core.hints import Hint
from gateway.core.modeltoml import ModelOptions
from gateway.core.probes import Further
from gateway.core.signature import Signature
from gateway.formats.base import Conversion, Format, Inspection, Match, Oracle, Source, recognised
from gateway.recognise import recognise

KINDS = ("sklearn", "skops", "lightgbm-pickle", "xgboost-pickle")


class Sklearn(Format):
    name = "sklearn"
    title = "scikit-learn"
    suffixes = (".joblib", ".pkl", ".pickle", ".sav", ".skops")
    recognises = KINDS[1:]
    environment = "trees"
    targets = (ONNX, NATIVE)
    native = "trees"
    falls_back = True
    revision = 2

    def match(self, source: Source) -> Match | None:
        """One file; or two, a vectorizer and the model behind it, which are opened as one pipeline."""
        found = recognised(self, source)
        files = [name for name in source.files if "/" not in name]
        if found is None or len(files) != 2:
            return found
        kinds = [recognise(source.root, (name,)).best for name in files]
        if all(kind is not None and kind.kind in KINDS for kind in kinds):
            evidence = f"{found.evidence}; and {', '.join(name for name in files if name != found.main)}"
            return Match(found.format, found.version, found.confidence, evidence, found.main, tuple(files))
        return found

    def inspect(self, source: Source, match: Match, options: ModelOptions) -> Inspection:
        from gateway.formats.sklearn.convert import inspect

        return inspect(source, match, options)

    def convert(self, source: Source, match: Match, options: ModelOptions, target: str, out: Path) -> Conversion:
        from gateway.formats.sklearn.convert import convert, native

        if self.check_target(target) == NATIVE:
            return native(source, match, options)
        return convert(source, match, options, out)

    def oracle(self, source: Source, match: Match, options: ModelOptions, signature: Signature) -> Oracle | None:
        from gateway.formats.sklearn.oracle import SklearnOracle

        return SklearnOracle(source, match, signature, options)

    def open_native(self, source: Source, match: Match, signature: Signature) -> Oracle:
        from gateway.formats.sklearn.oracle import SklearnOracle

        return SklearnOracle(source, match, signature, ModelOptions())

    def hints(self, source: Source, match: Match, signature: Signature) -> Mapping[str, Hint]:
        from gateway.formats.sklearn.convert import hints

        return hints(source, match, signature)

    def further(self, source: Source, match: Match, signature: Signature, seed: int) -> Further:
        from gateway.formats.sklearn.convert import further

        return further(source, match, signature, seed)


FORMAT = Sklearn()
