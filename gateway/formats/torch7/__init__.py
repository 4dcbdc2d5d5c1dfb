"""Torch7: networks of torch.save (.t7, .net), binary and ascii, read without Lua and without executing anything.

`match` runs in the gateway: the recogniser says what a file is.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gateway.core.hints import Hint
from gateway.core.modeltoml import ModelOptions
from gateway.core.signature import Signature
from gateway.formats.base import Conversion, Format, Inspection, Match, Oracle, Source, recognised


class Torch7(Format):
    name = "torch7"
    title = "Torch7"
    suffixes = (".t7", ".net")
    judges = ("opencv", "base")
    data_only = True

    def match(self, source: Source) -> Match | None:
        return recognised(self, source)

    def inspect(self, source: Source, match: Match, options: ModelOptions) -> Inspection:
        from gateway.formats.torch7.convert import inspect

        return inspect(source, match, options)

    def convert(self, source: Source, match: Match, options: ModelOptions, target: str, out: Path) -> Conversion:
        from gateway.formats.torch7.convert import convert

        self.check_target(target)
        return convert(source, match, options, out)

    def oracle(self, source: Source, match: Match, options: ModelOptions, signature: Signature) -> Oracle | None:
        from gateway.formats.torch7.oracle import oracle

        return oracle(source, match, signature)

    def exact(self, source: Source, match: Match, options: ModelOptions, signature: Signature) -> Oracle | None:
        from gateway.formats.torch7.oracle import InterpreterOracle

        return InterpreterOracle(source, match, signature, rounded=False)

    def hints(self, source: Source, match: Match, signature: Signature) -> Mapping[str, Hint]:
        from gateway.formats.torch7.oracle import hints

        return hints(source, match, signature)

    def traps(self, operator: str) -> tuple[str, ...]:
        from gateway.formats.torch7.traps import traps

        return traps(operator)


FORMAT = Torch7()
