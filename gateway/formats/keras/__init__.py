"""Keras: .keras and whole .h5 files, of Keras 2 and 3. ONNX by tf2onnx, judged by Keras, which runs what cannot.

    known.py     classes that a config may name
    config.py    the config, walked before Keras sees the file
    model.py     loaded, frozen, asked

Rule 1: loading a Keras file builds objects that it names: sandbox level L2, or not at all.
"""

from __future__ import annotations

from pathlib import Path

from gateway.core.artifact import NATIVE, ONNX
from gateway.core.modeltoml import ModelOptions
from gateway.core.signature import Signature
from gateway.formats.base import Conversion, Format, Inspection, Match, Oracle, Source, recognised

NAME = "keras"


class Keras(Format):
    name = NAME
    title = "Keras"
    suffixes = (".keras", ".h5", ".hdf5")
    recognises = ("keras-h5",)
    environment = "tensorflow"
    targets = (ONNX, NATIVE)
    native = "tensorflow"
    falls_back = True
    address_space = False

    def match(self, source: Source) -> Match | None:
        return recognised(self, source)

    def inspect(self, source: Source, match: Match, options: ModelOptions) -> Inspection:
        from gateway.formats.keras.model import inspect

        return inspect(source, match, options)

    def convert(self, source: Source, match: Match, options: ModelOptions, target: str, out: Path) -> Conversion:
        from gateway.formats.keras.model import convert, load

        return convert(load(source.path(match.main), options), options, self.check_target(target), out)

    def oracle(self, source: Source, match: Match, options: ModelOptions, signature: Signature) -> Oracle:
        from gateway.formats.keras.model import Judge, load

        return Judge(load(source.path(match.main), options), signature)

    def open_native(self, source: Source, match: Match, signature: Signature) -> Oracle:
        from gateway.formats.keras.model import TRUSTED_FILE, Judge, load

        trusted = source.path(TRUSTED_FILE).is_file()
        return Judge(load(source.path(match.main), ModelOptions(trusted=trusted)), signature)


FORMAT = Keras()
