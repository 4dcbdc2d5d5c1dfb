"""TensorFlow Lite: becomes ONNX by tf2onnx, judged by the TFLite interpreter, which runs what cannot.

    file.py, operators.py   the flatbuffer as data, read without TensorFlow
    signatures.py           names, shapes, rows
    convert.py              ONNX, or why not
    interpreter.py          the judge, and the runtime of what stays TFLite

Rule 1: a flatbuffer carries no code, and no operator that the interpreter brings leaves the process: it is data.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gateway.core.artifact import NATIVE, ONNX
from gateway.core.modeltoml import ModelOptions
from gateway.core.signature import Signature
from gateway.formats.base import Conversion, Format, Inspection, Match, Oracle, Source, recognised

if TYPE_CHECKING:
    from gateway.formats.tflite.signatures import Bound

NAME = "tflite"


class Tflite(Format):
    name = NAME
    title = "TensorFlow Lite"
    suffixes = (".tflite", ".lite", ".tfl")
    environment = "tensorflow"
    inspects = "base"
    targets = (ONNX, NATIVE)
    native = "tensorflow"
    falls_back = True
    data_only = True
    address_space = False

    def match(self, source: Source) -> Match | None:
        return recognised(self, source)

    def inspect(self, source: Source, match: Match, options: ModelOptions) -> Inspection:
        from gateway.formats.tflite.convert import inspect

        return inspect(source, match, options)

    def convert(self, source: Source, match: Match, options: ModelOptions, target: str, out: Path) -> Conversion:
        from gateway.formats.tflite.convert import convert

        return convert(source, match, options, self.check_target(target), out)

    def oracle(self, source: Source, match: Match, options: ModelOptions, signature: Signature) -> Oracle:
        from gateway.formats.tflite.interpreter import Interpreter

        return Interpreter(source.path(match.main), self._bound(source, match, signature), signature, delegates=False)

    def open_native(self, source: Source, match: Match, signature: Signature) -> Oracle:
        from gateway.formats.tflite.interpreter import Interpreter, threads

        found = self._bound(source, match, signature)
        path = source.path(match.main)
        return Interpreter(path, found, signature, delegates=True, threads=threads())

    def _bound(self, source: Source, match: Match, signature: Signature) -> Bound:
        from gateway.formats.tflite.convert import refuse
        from gateway.formats.tflite.file import read
        from gateway.formats.tflite.signatures import bound

        model = read(source.path(match.main))
        refuse(model)
        return next(each for each in bound(model) if each.signature.name == signature.name)


FORMAT = Tflite()
