"""torch itself, answering for a script: the judge of what was converted, and what serves the rest."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from gateway.core.artifact import NATIVE, SOURCE_FOLDER, Fact
from gateway.core.dtypes import Tensors
from gateway.core.modeltoml import ModelOptions, TensorOption
from gateway.core.signature import Signature
from gateway.formats import exported
from gateway.formats.base import Conversion, Match, Oracle, Source
from gateway.formats.torchscript.convert import known_facts, output_specs
from gateway.formats.torchscript.inputs import solve
from gateway.formats.torchscript.load import Script, arrays, tensor

FIXED_FILE = "numbers.json"


def fixed(folder: Path) -> ModelOptions:
    """The numbers that its owner has said once, as they went with an artifact."""
    path = folder / FIXED_FILE
    told = json.loads(path.read_text()) if path.is_file() else {}
    return ModelOptions(inputs=tuple(TensorOption(name, value=value) for name, value in told.items()))


def read(source: Source, match: Match, options: ModelOptions, out: Path) -> Conversion:
    """The signature of the script as torch runs it. Errors: ConversionError."""
    script = Script(source.path(match.main), recorded=True)
    solved = solve(script, options)
    outputs = exported.shown(output_specs(script, solved), options)
    facts = [*known_facts(script, match), *solved.facts]
    if script.state:
        said = f"{', '.join(script.state)}: put back before each call, so that no call sees another's"
        facts.append(Fact("state", said, "forward()"))
    if script.fixed:
        (out / SOURCE_FOLDER).mkdir(exist_ok=True)
        (out / SOURCE_FOLDER / FIXED_FILE).write_text(json.dumps(script.fixed))
    preprocess = options.preprocess.to_json() if options.preprocess else None
    signature = Signature(solved.specs, outputs, preprocess=preprocess)
    versions = {"torch": script.torch.__version__, "numpy": np.__version__}
    return Conversion(NATIVE, (signature,), tuple(facts), versions=versions)


class Served(Oracle):
    """The module, called with named arrays. Errors of the constructor: CorruptModel, ConversionError."""

    def __init__(self, path: Path, signature: Signature, options: ModelOptions) -> None:
        self._script = Script(path)
        self._script.fix(options)
        self._signature = signature
        self.name = f"torch {self._script.torch.__version__} (TorchScript)"
        self._watched = False

    def run(self, inputs: Tensors) -> Tensors:
        """Errors: whatever torch raises for values that the script does not take."""
        torch = self._script.torch
        given = {spec.tensor: tensor(torch, inputs[spec.name]) for spec in self._signature.inputs}
        values = [given[argument.name] for argument in self._script.arguments]
        if not self._watched:
            self._script.watch(values)
            self._watched = True
        found = arrays(torch, self._script.call(values))
        inner = {s.tensor for s in self._signature.inputs}
        renamed = {(f"{name}_out" if name in inner else name): value for name, value in found.items()}
        return {spec.name: renamed[spec.tensor] for spec in self._signature.outputs}
