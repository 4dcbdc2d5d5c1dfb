"""PyTorch without a graph: pickled modules, state dicts, safetensors, with the Python file of their class beside them.

    pickled.py   what torch.save wrote, read without running it
    safe.py      safetensors
    listing.py   what either holds, told to a person
    screen.py    what is refused before torch is started
    module.py    the class, with its weights, called
    convert.py   exported, or served as it is

Rule 1: code of a model's author runs only where its owner says `trusted = true` and names the file, in a sandbox of
        level L2 at least. A pickle without all of that is read by our own reader alone, which runs nothing.
Rule 2: the module itself judges what was exported.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from gateway.core.artifact import NATIVE, ONNX
from gateway.core.modeltoml import ModelOptions, TensorOption
from gateway.core.signature import Signature
from gateway.formats.base import Conversion, Format, Inspection, Match, Oracle, Source, recognised

NAME = "torch-module"
CLASS_FILE = "class.json"
MOST_FILES = 256  # of Python


class TorchModule(Format):
    name = NAME
    title = "PyTorch weights with a class file"
    suffixes = (".pt", ".pth", ".bin", ".ckpt", ".safetensors", ".pkl")
    recognises = ("torch-state-dict", "safetensors")
    environment = "torch"
    inspects = "base"
    screens = True
    targets = (ONNX, NATIVE)
    native = "torch"
    falls_back = True
    reads = ("class", "value")
    address_space = False

    def match(self, source: Source) -> Match | None:
        found = recognised(self, source)
        if found is None:
            return None
        code = tuple(name for name in source.files if name.endswith(".py"))[:MOST_FILES]
        return replace(found, used=tuple(dict.fromkeys((found.main, *found.used, *code))))

    def screen(self, source: Source, match: Match, options: ModelOptions) -> None:
        from gateway.formats.torchmodule.screen import screen

        screen(source, match, options)

    def inspect(self, source: Source, match: Match, options: ModelOptions) -> Inspection:
        from gateway.formats.torchmodule.inspect import inspect

        return inspect(source, match, options)

    def convert(self, source: Source, match: Match, options: ModelOptions, target: str, out: Path) -> Conversion:
        from gateway.formats.torchmodule.convert import convert

        return convert(source, match, options, self.check_target(target), out)

    def oracle(self, source: Source, match: Match, options: ModelOptions, signature: Signature) -> Oracle:
        from gateway.formats.torchmodule.convert import Served

        return Served(source, match, options, signature)

    def open_native(self, source: Source, match: Match, signature: Signature) -> Oracle:
        from gateway.formats.torchmodule.convert import Served

        told = json.loads(source.path(CLASS_FILE).read_text())
        numbers = tuple(TensorOption(name, value=value) for name, value in told["numbers"].items())
        options = ModelOptions(trusted=True, class_=str(told["class"]), inputs=numbers)
        return Served(source, match, options, signature)


FORMAT = TorchModule()
