"""TorchScript: exported to ONNX by torch's own exporter and judged by torch, or served as it is by torch in a worker.

    load.py      the archive, opened and called; what it takes and gives, flat and named
    inputs.py    shapes of the inputs: said, recorded, or told by the first weights
    convert.py   to ONNX
    native.py    torch itself answering

Rule 1: a script is a program: it is loaded in a sandbox of level L2 at least, on the CPU wherever it was saved.
Rule 2: what forward() keeps in the module is no part of a call: every call begins with what the file holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gateway.core.artifact import NATIVE, ONNX
from gateway.core.hints import Hint
from gateway.core.modeltoml import ModelOptions
from gateway.core.signature import Signature
from gateway.formats.base import Conversion, Format, Inspection, Match, Oracle, Source, recognised

NAME = "torchscript"


class TorchScript(Format):
    name = NAME
    title = "TorchScript"
    suffixes = (".pt", ".pth", ".jit", ".torchscript")
    environment = "torch"
    targets = (ONNX, NATIVE)
    native = "torch"
    falls_back = True
    reads = ("value",)
    address_space = False

    def match(self, source: Source) -> Match | None:
        return recognised(self, source)

    def inspect(self, source: Source, match: Match, options: ModelOptions) -> Inspection:
        from gateway.formats.torchscript.convert import inspect

        return inspect(source, match, options)

    def convert(self, source: Source, match: Match, options: ModelOptions, target: str, out: Path) -> Conversion:
        if self.check_target(target) == NATIVE:
            from gateway.formats.torchscript.native import read

            return read(source, match, options, out)
        from gateway.formats.torchscript.convert import convert

        return convert(source, match, options, out)

    def oracle(self, source: Source, match: Match, options: ModelOptions, signature: Signature) -> Oracle:
        from gateway.formats.torchscript.native import Served

        return Served(source.path(match.main), signature, options)

    def open_native(self, source: Source, match: Match, signature: Signature) -> Oracle:
        from gateway.formats.torchscript.native import Served, fixed

        return Served(source.path(match.main), signature, fixed(source.root))

    def hints(self, source: Source, match: Match, signature: Signature) -> Mapping[str, Hint]:
        from gateway.formats.torchscript.inputs import hints

        return hints(source.path(match.main), signature)


FORMAT = TorchScript()
