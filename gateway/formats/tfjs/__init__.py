"""TensorFlow.js: graph models and layers models, model.json with its weights. ONNX by tf2onnx, judged by TensorFlow.

    weights.py   the weights of the manifest, quantised ones widened
    graph.py     the topology of a graph model as a GraphDef, what only tf.js knows said in TensorFlow's operators
    model.py     conversion, judge, runtime: those of tfgraph and of keras, which this hands the model to

Rule 1: a graph is a program: screened, and loaded at sandbox level L2 or not at all.
Rule 2: files are those that the manifest names and that lie beside model.json; no path or address is followed.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

from gateway.core.artifact import NATIVE, ONNX
from gateway.core.modeltoml import ModelOptions
from gateway.core.signature import Signature
from gateway.formats.base import Conversion, Format, Inspection, Match, Oracle, Source, recognised

NAME = "tfjs"
PATHS = re.compile(rb'"paths"\s*:\s*(\[[^\[\]]{0,65536}\])')
EDGE = 8 << 20  # bytes of model.json that are searched for the manifest, from either end


class TfJs(Format):
    name = NAME
    title = "TensorFlow.js"
    suffixes = ("model.json",)
    recognises = ("tfjs-graph", "tfjs-layers")
    environment = "tensorflow"
    targets = (ONNX, NATIVE)
    native = "tensorflow"
    falls_back = True
    address_space = False

    def match(self, source: Source) -> Match | None:
        found = recognised(self, source)
        if found is None:
            return None
        folder = found.main.rpartition("/")[0]
        beside = [f"{folder}/{name}".lstrip("/") for name in _shards(source.path(found.main))]
        used = dict.fromkeys((found.main, *found.used, *(name for name in beside if name in source.files)))
        return replace(found, used=tuple(used))

    def inspect(self, source: Source, match: Match, options: ModelOptions) -> Inspection:
        from gateway.formats.tfjs.model import inspect

        return inspect(source, match, options)

    def convert(self, source: Source, match: Match, options: ModelOptions, target: str, out: Path) -> Conversion:
        from gateway.formats.tfjs.model import convert

        return convert(source, match, options, self.check_target(target), out)

    def oracle(self, source: Source, match: Match, options: ModelOptions, signature: Signature) -> Oracle:
        from gateway.formats.tfjs.model import judge

        return judge(source, match, signature)

    def open_native(self, source: Source, match: Match, signature: Signature) -> Oracle:
        from gateway.formats.tfjs.model import judge

        return judge(source, match, signature)


def _shards(path: Path) -> list[str]:
    """Names of weight files as far as they stand near either end of model.json."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        text = stream.read(EDGE)
        if size > EDGE:
            stream.seek(max(EDGE, size - EDGE))
            text += b"\n" + stream.read(EDGE)
    names = []
    for found in PATHS.findall(text):
        try:
            names += [name.removeprefix("./") for name in json.loads(found) if isinstance(name, str)]
        except ValueError:
            continue
    return names


FORMAT = TfJs()
