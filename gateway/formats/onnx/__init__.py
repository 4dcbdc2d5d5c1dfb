"""ONNX: recognised by the structure of its protobuf, taken as it is, judged by onnx's own evaluator.

`match` runs in the gateway and uses `scan` alone; the rest runs in Environment `base`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gateway.core.hints import Hint
from gateway.core.modeltoml import ModelOptions
from gateway.core.signature import Signature
from gateway.formats.base import Conversion, Format, Inspection, Match, Oracle, Source
from gateway.formats.onnx.scan import Finding, external_files, scan

NAME = "onnx"
ARTIFACT_FILE = "gateway.json"  # an artifact folder of ours is itself a valid drop


class Onnx(Format):
    name = NAME
    title = "ONNX"
    suffixes = (".onnx",)
    environment = "base"
    targets = ("onnx",)
    data_only = True
    revision = 1

    def match(self, source: Source) -> Match | None:
        found: list[tuple[str, Finding]] = []
        for name in source.files:
            finding = scan(source.path(name))
            if finding is not None:
                found.append((name, finding))
        if not found:
            return None
        main, finding = max(found, key=lambda pair: pair[1].confidence)
        folder = Path(main).parent.as_posix()
        prefix = "" if folder == "." else folder + "/"
        wanted = {prefix + name for name in external_files(source.path(main))} | {prefix + ARTIFACT_FILE}
        used = (main, *(name for name in source.files if name in wanted and name != main))
        return Match(NAME, finding.version, finding.confidence, finding.evidence, main, used)

    def inspect(self, source: Source, match: Match, options: ModelOptions) -> Inspection:
        from gateway.formats.onnx.convert import inspect

        return inspect(source, match, options)

    def convert(self, source: Source, match: Match, options: ModelOptions, target: str, out: Path) -> Conversion:
        from gateway.formats.onnx.convert import convert

        self.check_target(target)
        return convert(source, match, options, out)

    def oracle(self, source: Source, match: Match, options: ModelOptions, signature: Signature) -> Oracle:
        from gateway.formats.onnx.oracle import OnnxOracle

        return OnnxOracle(source.path(match.main), signature)

    def exact(self, source: Source, match: Match, options: ModelOptions, signature: Signature) -> Oracle:
        from gateway.formats.onnx.exact import ExactOnnx

        return ExactOnnx(source.path(match.main), signature)

    def hints(self, source: Source, match: Match, signature: Signature) -> Mapping[str, Hint]:
        from gateway.formats.onnx.hints import hints

        return hints(source.path(match.main), signature)


FORMAT = Onnx()
