"""TensorFlow's SavedModel: becomes ONNX where it can, else TensorFlow runs it; and what ONNX becomes as a SavedModel.

    metagraph.py, wire.py   the file as data, read without TensorFlow
    screen.py               what would act on the machine is refused by name
    native.py               signatures, and TensorFlow answering: runtime, and judge of the ONNX file
    toonnx.py, same.py      ONNX of its signature by tf2onnx; which signatures are one
    hop.py, build/          the second hop: ONNX becomes a SavedModel or a frozen GraphDef

Rule 1: a SavedModel is a program: it is loaded in a sandbox of level L2 at least, screened before, or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gateway.core.artifact import NATIVE, ONNX
from gateway.core.modeltoml import ModelOptions
from gateway.core.signature import Signature
from gateway.formats.base import Conversion, Format, Inspection, Match, Oracle, Source, recognised

NAME = "tf-savedmodel"


class SavedModel(Format):
    name = NAME
    title = "TensorFlow SavedModel"
    suffixes = (".pb",)
    environment = "tensorflow"
    inspects = "base"
    targets = (ONNX, NATIVE)
    native = "tensorflow"
    falls_back = True
    address_space = False

    def match(self, source: Source) -> Match | None:
        return recognised(self, source)

    def inspect(self, source: Source, match: Match, options: ModelOptions) -> Inspection:
        from gateway.formats.savedmodel.native import inspect

        return inspect(source, match, options)

    def convert(self, source: Source, match: Match, options: ModelOptions, target: str, out: Path) -> Conversion:
        if self.check_target(target) == NATIVE:
            from gateway.formats.savedmodel.native import read

            return read(source, match, options, out)
        from gateway.formats.savedmodel.toonnx import convert

        return convert(source, match, options, out)

    def oracle(self, source: Source, match: Match, options: ModelOptions, signature: Signature) -> Oracle:
        from gateway.formats.savedmodel.native import Served

        return Served(source, match, signature, options.savedmodel.tags)

    def open_native(self, source: Source, match: Match, signature: Signature) -> Oracle:
        from gateway.formats.savedmodel.native import Served

        return Served(source, match, signature)

    def warm(self, source: Source, match: Match, models: Mapping[str, Oracle]) -> int:
        from gateway.formats.savedmodel.native import warm

        return warm(source, match, models)


FORMAT = SavedModel()
