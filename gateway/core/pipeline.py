"""pipeline.toml as data: served models and built-in steps, joined by named tensors.

    missing = "Requires two image input."      # told where an input is missing

    [inputs]
    photo = "image"                             # picture files; or a tensor: "float32[?,3]"

    [parameters]                                # what a request may set; the default says the type
    min_size = 20

    [[step]]
    name = "pixels"
    op = "decode"
    in = { files = "photo" }                    # port of the step = input, or STEP.port

    [[step]]
    name = "net"
    model = "resnet"                            # a served model, its newest version; version = 3 for one
    in = { image = "pixels.images" }

    [outputs]
    class = "net.prob"

An option that says "$min_size" takes the parameter.

Rule 1: pure: whether members are there and shapes fit is found when it is loaded (gateway/pipelines).
Rule 2: every problem is reported together; a cycle is told by the steps that it runs through.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.core.names import did_you_mean, is_model_name
from gateway.core.signature import TensorSpec, parse_spec
from gateway.errors import GatewayError, PipelineTomlError

FILE = "pipeline.toml"
KIND = "pipeline"  # of the artifact
IMAGE = "image"
OPS = (
    "decode",
    "resize",
    "detect-mtcnn",
    "pick-face",
    "crop-box",
    "align-5pt",
    "l2-normalise",
    "cosine",
    "nms",
    "top-k",
)
_TOP = ("missing", "inputs", "parameters", "step", "outputs")
_STEP = ("name", "op", "model", "version", "in", "models")
MAX_STEPS = 100


@dataclass(frozen=True)
class Step:
    """`inputs` are port -> where from ("photo", "pixels.images", "$face"). `options` may hold "$parameter"."""

    name: str
    op: str = ""
    model: str = ""
    version: int | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)  # of steps that run several: role -> model
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sources(self) -> tuple[str, ...]:
        """The steps that it waits for."""
        return tuple(dict.fromkeys(ref.partition(".")[0] for ref in self.inputs.values() if "." in ref))


@dataclass(frozen=True)
class Pipeline:
    """`steps` are in an order in which each comes after what it waits for."""

    inputs: Mapping[str, TensorSpec | None]  # None: picture files
    parameters: Mapping[str, Any]
    steps: tuple[Step, ...]
    outputs: Mapping[str, str]
    missing: str = ""

    @property
    def members(self) -> tuple[tuple[str, int | None], ...]:
        """(model, version or None) of each served model, once."""
        found = [(step.model, step.version) for step in self.steps if step.model]
        found += [(model, None) for step in self.steps for model in step.models.values()]
        return tuple(dict.fromkeys(found))


def parse(text: str, *, where: str = FILE) -> Pipeline:
    """Errors: PipelineTomlError with every problem."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PipelineTomlError([f"not valid TOML: {error}"], where=where) from None
    reader = _Reader(data)
    found = reader.read()
    if found is None:
        raise PipelineTomlError(reader.problems, where=where, hint="docs/pipelines.md has every key, with examples.")
    return found


class _Reader:
    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data
        self.problems: list[str] = []

    def say(self, text: str) -> None:
        self.problems.append(text)

    def read(self) -> Pipeline | None:
        for key in self.data:
            if key not in _TOP:
                self.say(f"no such key {key!r}.{did_you_mean(key, _TOP)}")
        missing = self.data.get("missing", "")
        if not isinstance(missing, str):
            self.say(f"missing is {missing!r}, expected a sentence")
        inputs, parameters = self._inputs(), self._parameters()
        steps = self._steps()
        outputs = self._texts("[outputs]", self.data.get("outputs", {}))
        if not outputs:
            self.say('[outputs] is missing: NAME = "STEP.port" says what it answers with')
        for name in sorted(inputs.keys() & parameters.keys()):
            self.say(f"{name!r} is an input and a parameter")
        self._references(inputs, parameters, steps, outputs)
        ordered = self._ordered(steps)
        if self.problems:
            return None
        return Pipeline(inputs, parameters, ordered, outputs, missing)

    def _inputs(self) -> dict[str, TensorSpec | None]:
        found: dict[str, TensorSpec | None] = {}
        table = self._texts("[inputs]", self.data.get("inputs", {}))
        if not table:
            self.say('[inputs] is missing: NAME = "image", or a tensor such as "float32[?,3]"')
        for name, kind in table.items():
            found[name] = None
            if kind == IMAGE:
                continue
            try:
                found[name] = parse_spec(f"{name}:{kind}")
            except GatewayError as error:
                self.say(f"[inputs] {name}: {error.message}")
        return found

    def _parameters(self) -> dict[str, Any]:
        table = self.data.get("parameters", {})
        if not isinstance(table, dict):
            self.say("[parameters] is no table")
            return {}
        for name, value in table.items():
            items = value if isinstance(value, list) and value else [value]
            kinds = {type(item) for item in items}
            if not kinds <= {str} and not kinds <= {int, float}:
                self.say(f"[parameters] {name} is {value!r}, expected text, a number or a list of numbers")
        return table

    def _texts(self, where: str, table: Any) -> dict[str, str]:
        if not isinstance(table, dict):
            self.say(f"{where} is {type(table).__name__}, expected a table")
            return {}
        for key, value in table.items():
            if not isinstance(value, str) or not value:
                self.say(f"{where} {key} is {value!r}, expected text")
        return {key: value for key, value in table.items() if isinstance(value, str) and value}

    def _steps(self) -> list[Step]:
        tables = self.data.get("step", [])
        if not isinstance(tables, list) or not tables or len(tables) > MAX_STEPS:
            self.say(f"there are no steps, or more than {MAX_STEPS}: each is a table [[step]]")
            return []
        steps = [self._step(number, table) for number, table in enumerate(tables, start=1)]
        names = [step.name for step in steps]
        for name in sorted({n for n in names if names.count(n) > 1}):
            self.say(f"two steps are called {name!r}")
        return steps

    def _step(self, number: int, table: Any) -> Step:
        if not isinstance(table, dict):
            self.say(f"[[step]] {number} is no table")
            return Step(f"step {number}")
        name = table.get("name")
        if not isinstance(name, str) or not name or "." in name or name.startswith("$"):
            self.say(f"[[step]] {number}: name is {name!r}, expected a name without dots")
            name = f"step {number}"
        op, model = table.get("op", ""), table.get("model", "")
        if (not op) == (not model):
            self.say(f"step {name}: expected `op` or `model`, and one of them")
        if op and op not in OPS:
            self.say(f"step {name}: op is {op!r}, expected one of {', '.join(OPS)}.{did_you_mean(str(op), OPS)}")
        version = table.get("version")
        if version is not None and (isinstance(version, bool) or not isinstance(version, int) or not model):
            self.say(f"step {name}: version is {version!r}, expected the number of a version of `model`")
            version = None
        models = self._texts(f"step {name}: models", table.get("models", {}))
        for one in (*models.values(), *([model] if model else ())):
            if not isinstance(one, str) or not is_model_name(one):
                self.say(f"step {name}: {one!r} is not the name of a model")
        options = {key: value for key, value in table.items() if key not in _STEP}
        if model and options:
            self.say(f"step {name}: a model has no options, found {', '.join(options)}")
        return Step(
            name, str(op), str(model), version, self._texts(f"step {name}: in", table.get("in", {})), models, options
        )

    def _references(
        self,
        inputs: Mapping[str, Any],
        parameters: Mapping[str, Any],
        steps: Sequence[Step],
        outputs: Mapping[str, str],
    ) -> None:
        names = [step.name for step in steps]
        wanted = [(f"edge {ref} -> {step.name}.{port}", ref) for step in steps for port, ref in step.inputs.items()]
        wanted += [(f"edge {ref} -> output {name}", ref) for name, ref in outputs.items()]
        for edge, ref in wanted:
            head, dot, _ = ref.partition(".")
            if ref.startswith("$"):
                if ref[1:] not in parameters:
                    self.say(f"{edge}: no parameter is called {ref[1:]!r}.{did_you_mean(ref[1:], parameters)}")
            elif dot and head not in names:
                self.say(f"{edge}: no step is called {head!r}.{did_you_mean(head, names)}")
            elif not dot and ref not in inputs:
                hint = f" Its outputs are {ref}.PORT." if ref in names else did_you_mean(ref, inputs)
                self.say(f"{edge}: no input is called {ref!r}.{hint}")
        for step in steps:
            for key, value in step.options.items():
                if isinstance(value, str) and value.startswith("$") and value[1:] not in parameters:
                    self.say(
                        f"step {step.name}: {key} is {value!r}, and no parameter is called so."
                        f"{did_you_mean(value[1:], parameters)}"
                    )

    def _ordered(self, steps: Sequence[Step]) -> tuple[Step, ...]:
        """In an order to run in, or the cycle as a problem."""
        left, done, ordered = list(steps), set[str](), list[Step]()
        known = {step.name for step in steps}
        while left:
            ready = [step for step in left if all(s in done or s not in known for s in step.sources)]
            if not ready:
                self.say(f"the steps wait for one another: {_cycle(left)}")
                return ()
            ordered += ready
            done |= {step.name for step in ready}
            left = [step for step in left if step.name not in done]
        return tuple(ordered)


def _cycle(steps: Sequence[Step]) -> str:
    """`a -> b -> a` among steps that all wait for one another."""
    by_name = {step.name: step for step in steps}
    path = [steps[0].name]
    while True:
        before = next(source for source in by_name[path[-1]].sources if source in by_name)
        if before in path:
            return " -> ".join(reversed([*path[path.index(before) :], before]))
        path.append(before)
