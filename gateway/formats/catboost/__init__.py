"""CatBoost: .cbm and JSON. Models of numbers become ONNX; categories and texts CatBoost itself answers.

    model.py     the JSON that CatBoost makes of either file -> trees, classes
    convert.py   -> ONNX, or what CatBoost itself serves      oracle.py   CatBoost judges, and serves

Rule 1: data only: CatBoost reads the file, and runs no code of its author.
Rule 2: hashes of categories are CatBoost's: where a model has any, nothing is converted unless the owner insists, and
        then it is refused.
"""

from __future__ import annotations

from pathlib import Path

from gateway.core.artifact import NATIVE, ONNX
from gateway.core.modeltoml import ModelOptions
from gateway.core.probes import Further
from gateway.core.signature import Signature
from gateway.formats.base import Conversion, Format, Inspection, Match, Oracle, Source, recognised


class CatBoost(Format):
    name = "catboost"
    title = "CatBoost"
    suffixes = (".cbm", ".json")
    recognises = ("catboost-json",)
    environment = "trees"
    targets = (ONNX, NATIVE)
    native = "trees"
    falls_back = True
    data_only = True

    def match(self, source: Source) -> Match | None:
        return recognised(self, source)

    def inspect(self, source: Source, match: Match, options: ModelOptions) -> Inspection:
        from gateway.formats.catboost.convert import inspect

        return inspect(source, match, options)

    def convert(self, source: Source, match: Match, options: ModelOptions, target: str, out: Path) -> Conversion:
        from gateway.formats.catboost.convert import convert, native

        if self.check_target(target) == NATIVE:
            return native(source, match, options)
        return convert(source, match, options, out)

    def oracle(self, source: Source, match: Match, options: ModelOptions, signature: Signature) -> Oracle | None:
        from gateway.formats.catboost.oracle import CatBoostOracle

        return CatBoostOracle(source.path(match.main), signature)

    def open_native(self, source: Source, match: Match, signature: Signature) -> Oracle:
        from gateway.formats.catboost.oracle import CatBoostOracle

        return CatBoostOracle(source.path(match.main), signature)

    def further(self, source: Source, match: Match, signature: Signature, seed: int) -> Further:
        from gateway.formats.catboost.convert import further

        return further(source, match, signature, seed)


FORMAT = CatBoost()
