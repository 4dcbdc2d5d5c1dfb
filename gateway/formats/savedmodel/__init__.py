"""TensorFlow's SavedModel: served as it is by TensorFlow, and what ONNX becomes where `target = "savedmodel"`.

    metagraph.py, wire.py   the file as data, read without TensorFlow
    screen.py               what would act on the machine is refused by name
    native.py               signatures, and TensorFlow answering
    hop.py, build/          the second hop: ONNX becomes a SavedModel or a frozen GraphDef

Rule 1: a SavedModel is a program: it is loaded in a sandbox of level L2 at least, screened before, or not at all.
"""

from __future__ import annotations

from pathlib import Path

from gateway.core.artifact import NATIVE
from gateway.core.modeltoml import ModelOptions
from gateway.core.signature import Signature
from gateway.formats.base import Conversion, Format, Inspection, Match, Oracle, Source, recognised

NAME = "tf-savedmodel"


class SavedModel(Format):
    name = NAME
    title = "TensorFlow SavedModel"
    suffixes = (".pb",)
    environment = "base"
    targets = (NATIVE,)
    native = "tensorflow"
    address_space = False

    def match(self, source: Source) -> Match | None:
        return recognised(self, source)

    def inspect(self, source: Source, match: Match, options: ModelOptions) -> Inspection:
        from gateway.formats.savedmodel.native import inspect

        return inspect(source, match, options)

    def convert(self, source: Source, match: Match, options: ModelOptions, target: str, out: Path) -> Conversion:
        from gateway.formats.savedmodel.native import read

        self.check_target(target)
        return read(source, match, options, out)

    def open_native(self, source: Source, match: Match, signature: Signature) -> Oracle:
        from gateway.formats.savedmodel.native import Served

        return Served(source, match, signature)


FORMAT = SavedModel()
