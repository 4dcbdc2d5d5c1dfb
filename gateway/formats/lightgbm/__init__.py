"""LightGBM's text files: trees with float64 thresholds, categories, and three ways to be missing.

Rule 1: data only: no code of the model's author runs; LightGBM itself judges, in Environment `trees`.
"""

from __future__ import annotations

from pathlib import Path

from gateway.core.modeltoml import ModelOptions
from gateway.core.probes import Further
from gateway.core.signature import Signature
from gateway.formats.base import Conversion, Format, Inspection, Match, Oracle, Source, recognised


class LightGBM(Format):
    name = "lightgbm"
    title = "LightGBM"
    suffixes = (".txt", ".model", ".lgb")
    judges = ("trees", "base")
    data_only = True
    revision = 2

    def match(self, source: Source) -> Match | None:
        return recognised(self, source)

    def inspect(self, source: Source, match: Match, options: ModelOptions) -> Inspection:
        from gateway.formats.lightgbm.convert import inspect

        return inspect(source, match, options)

    def convert(self, source: Source, match: Match, options: ModelOptions, target: str, out: Path) -> Conversion:
        from gateway.formats.lightgbm.convert import convert

        self.check_target(target)
        return convert(source, match, options, out)

    def oracle(self, source: Source, match: Match, options: ModelOptions, signature: Signature) -> Oracle | None:
        from gateway.formats.lightgbm.oracle import LightGBMOracle

        return LightGBMOracle(source.path(match.main), signature, options)

    def further(self, source: Source, match: Match, signature: Signature, seed: int) -> Further:
        from gateway.formats.lightgbm.convert import further

        return further(source, match, signature, seed)


FORMAT = LightGBM()
