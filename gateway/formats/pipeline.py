"""A pipeline as a drop: a folder with pipeline.toml, and golden vectors in test/.

Nothing is converted: the file is data of the gateway's own (core/pipeline.py), and is checked against its members when
it is loaded.
"""

from __future__ import annotations

from pathlib import Path

from gateway.core import pipeline
from gateway.core.modeltoml import ModelOptions
from gateway.core.signature import TensorSpec
from gateway.errors import ConversionError
from gateway.formats.base import Conversion, Format, Inspection, Match, Source


class Pipeline(Format):
    name = "pipeline"
    title = "Pipeline"
    suffixes = ()
    targets = (pipeline.KIND,)
    data_only = True

    def match(self, source: Source) -> Match | None:
        if pipeline.FILE not in source.files:
            return None
        used = tuple(name for name in source.files if name == pipeline.FILE or name.startswith("test/"))
        return Match(self.name, "", 1.0, f"{pipeline.FILE} is there", pipeline.FILE, used)

    def inspect(self, source: Source, match: Match, options: ModelOptions) -> Inspection:
        found = pipeline.parse(source.path(pipeline.FILE).read_text())
        inputs = [TensorSpec(n, "string", (None,)) if spec is None else spec for n, spec in found.inputs.items()]
        steps = [step.op or f"model {step.model}" for step in found.steps]
        return Inspection(tuple(inputs), (), {name: steps.count(name) for name in steps})

    def convert(self, source: Source, match: Match, options: ModelOptions, target: str, out: Path) -> Conversion:
        raise ConversionError("a pipeline is not converted: it is served as it is, over its members.")


FORMAT = Pipeline()
