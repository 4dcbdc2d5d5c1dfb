"""Darknet: NAME.cfg and NAME.weights, read without Darknet, judged by OpenCV and by our own interpreter.

`match` runs in the gateway and asks the recogniser; small files beside the pair (names of classes, trees) belong to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gateway.core.hints import Hint, pixel_range
from gateway.core.modeltoml import ModelOptions
from gateway.core.signature import Signature
from gateway.formats.base import Conversion, Format, Inspection, Match, Oracle, Source, recognised

BESIDE = (".names", ".list", ".labels", ".tree")


class Darknet(Format):
    name = "darknet"
    title = "Darknet"
    suffixes = (".cfg", ".weights")
    judges = ("opencv", "base")
    data_only = True
    revision = 1

    def match(self, source: Source) -> Match | None:
        found = recognised(self, source)
        if found is None:
            return None
        folder = found.main.rpartition("/")[0]
        mine = [
            n for n in source.files if n.rpartition("/")[0] == folder and n.endswith(BESIDE) and n not in found.used
        ]
        used = (*(found.used or (found.main,)), *mine)
        return Match(found.format, found.version, found.confidence, found.evidence, found.main, used)

    def inspect(self, source: Source, match: Match, options: ModelOptions) -> Inspection:
        from gateway.formats.darknet.convert import inspect

        return inspect(source, match, options)

    def convert(self, source: Source, match: Match, options: ModelOptions, target: str, out: Path) -> Conversion:
        from gateway.formats.darknet.convert import convert

        self.check_target(target)
        return convert(source, match, options, out)

    def oracle(self, source: Source, match: Match, options: ModelOptions, signature: Signature) -> Oracle | None:
        from gateway.formats.darknet.oracle import oracle

        return oracle(source, match, options, signature)

    def exact(self, source: Source, match: Match, options: ModelOptions, signature: Signature) -> Oracle | None:
        from gateway.formats.darknet.oracle import exact

        return exact(source, match, options, signature)

    def hints(self, source: Source, match: Match, signature: Signature) -> Mapping[str, Hint]:
        """Pictures are in 0..1, as Darknet makes all of them, unless the owner's preprocessing says otherwise:
        exponents of boxes overflow far outside."""
        spec = signature.inputs[0]
        if spec.shape is None or len(spec.shape) != 4:
            return {}
        low, high = pixel_range(signature.preprocess) if signature.preprocess is not None else (0.0, 1.0)
        return {spec.name: Hint(role="pixels", low=low, high=high)}

    def traps(self, operator: str) -> tuple[str, ...]:
        from gateway.formats.darknet.traps import traps

        return traps(operator)


FORMAT = Darknet()
