"""XGBoost: JSON, UBJSON, and the binary form of its first versions, which XGBoost 3 refuses.

    document.py, ubj.py, binary.py   bytes -> the document that XGBoost writes as JSON
    model.py                         the document -> trees, objective, base score
    convert.py                       -> ONNX            oracle.py   XGBoost itself judges

Rule 1: data only: no code of the model's author runs, and nothing but this reader has to be trusted.
Rule 2: what XGBoost 3 does not read it judges all the same: the document is handed to it as JSON.
"""

from __future__ import annotations

from pathlib import Path

from gateway.core.modeltoml import ModelOptions
from gateway.core.probes import Further
from gateway.core.signature import Signature
from gateway.formats.base import Conversion, Format, Inspection, Match, Oracle, Source, recognised


class XGBoost(Format):
    name = "xgboost"
    title = "XGBoost"
    suffixes = (".json", ".ubj", ".bst", ".model", ".xgb")
    judges = ("trees", "base")
    data_only = True

    def match(self, source: Source) -> Match | None:
        return recognised(self, source)

    def inspect(self, source: Source, match: Match, options: ModelOptions) -> Inspection:
        from gateway.formats.xgboost.convert import inspect

        return inspect(source, match, options)

    def convert(self, source: Source, match: Match, options: ModelOptions, target: str, out: Path) -> Conversion:
        from gateway.formats.xgboost.convert import convert

        self.check_target(target)
        return convert(source, match, options, out)

    def oracle(self, source: Source, match: Match, options: ModelOptions, signature: Signature) -> Oracle | None:
        from gateway.formats.xgboost.oracle import XGBoostOracle

        return XGBoostOracle(source.path(match.main), signature, options)

    def further(self, source: Source, match: Match, signature: Signature, seed: int) -> Further:
        from gateway.formats.xgboost.convert import further

        return further(source, match, signature, seed)


FORMAT = XGBoost()
