"""TensorFlow 1's files: a frozen GraphDef, and a checkpoint with its MetaGraph. ONNX by tf2onnx, judged by TensorFlow.

    plain.py   the file as data, screened without TensorFlow
    ends.py    inputs, outputs and constants of a graph, with the evidence for each
    load.py    a graph with its variables frozen, from either file
    model.py   conversion, judge, runtime

Rule 1: a graph is a program: screened, and loaded at sandbox level L2 or not at all.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from gateway.core.artifact import NATIVE, ONNX
from gateway.core.modeltoml import ModelOptions
from gateway.core.signature import Signature
from gateway.formats.base import Conversion, Format, Inspection, Match, Oracle, Source, recognised

NAME = "tf-graphdef"


class TfGraph(Format):
    name = NAME
    title = "TensorFlow 1 graph"
    suffixes = (".pb", ".meta", ".graphdef")
    recognises = ("tf-metagraph",)
    environment = "tensorflow"
    targets = (ONNX, NATIVE)
    native = "tensorflow"
    falls_back = True
    address_space = False

    def match(self, source: Source) -> Match | None:
        from gateway.formats.tfgraph.load import with_checkpoint

        found = recognised(self, source)
        return None if found is None else with_checkpoint(source, found)

    def inspect(self, source: Source, match: Match, options: ModelOptions) -> Inspection:
        from gateway.formats.tfgraph.model import inspect

        return inspect(source, match, options)

    def convert(self, source: Source, match: Match, options: ModelOptions, target: str, out: Path) -> Conversion:
        from gateway.formats.tfgraph.model import convert, prepare

        return convert(prepare(source, match, options), options, self.check_target(target), out)

    def oracle(self, source: Source, match: Match, options: ModelOptions, signature: Signature) -> Oracle:
        from gateway.formats.tfgraph.model import Judge, prepare

        return Judge(partial(prepare, source, match), signature)

    def open_native(self, source: Source, match: Match, signature: Signature) -> Oracle:
        from gateway.formats.tfgraph.model import Judge, prepare

        return Judge(partial(prepare, source, match), signature)


FORMAT = TfGraph()
