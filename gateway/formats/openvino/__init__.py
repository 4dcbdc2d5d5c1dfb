"""OpenVINO IR: NAME.xml and NAME.bin, converted operator by operator, judged by OpenVINO, or run by it.

    ir.py        the XML as data, without entities; constants out of the .bin
    convert.py   the walk: every layer in order
    ops/         a function a layer
    native.py    OpenVINO itself: the judge, and the runtime of what is not converted

Rule 1: the XML is read by our own reader: a document type or an entity is refused, sizes and places are checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gateway.core.artifact import NATIVE, ONNX
from gateway.core.hints import Hint
from gateway.core.modeltoml import ModelOptions
from gateway.core.signature import Signature
from gateway.formats.base import Conversion, Format, Inspection, Match, Oracle, Source, recognised

NAME = "openvino"


class OpenVino(Format):
    name = NAME
    title = "OpenVINO IR"
    suffixes = (".xml",)
    environment = "base"
    judges = ("openvino", "base")
    targets = (ONNX, NATIVE)
    native = "openvino"
    falls_back = True
    data_only = True
    address_space = False

    def match(self, source: Source) -> Match | None:
        return recognised(self, source)

    def inspect(self, source: Source, match: Match, options: ModelOptions) -> Inspection:
        from gateway.formats.openvino.convert import inspect

        return inspect(source, match)

    def convert(self, source: Source, match: Match, options: ModelOptions, target: str, out: Path) -> Conversion:
        if self.check_target(target) == NATIVE:
            from gateway.formats.openvino.native import read

            return read(source, match, options)
        from gateway.formats.openvino.convert import convert

        return convert(source, match, options, out)

    def oracle(self, source: Source, match: Match, options: ModelOptions, signature: Signature) -> Oracle | None:
        import importlib.util

        if importlib.util.find_spec("openvino") is None:
            return None
        from gateway.formats.openvino.native import Compiled

        return Compiled(source, match, signature)

    def hints(self, source: Source, match: Match, signature: Signature) -> Mapping[str, Hint]:
        from gateway.formats.openvino.convert import rows

        found = rows(source, match)
        return {spec.name: Hint(found[spec.tensor]) for spec in signature.inputs if spec.tensor in found}

    def open_native(self, source: Source, match: Match, signature: Signature) -> Oracle:
        from gateway.formats.openvino.native import Compiled

        return Compiled(source, match, signature)


FORMAT = OpenVino()
