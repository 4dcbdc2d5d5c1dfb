"""A pipeline against the signatures of its members: every edge is checked, and what it answers is known.

Rule 1: all problems are told together, each by its edge: `faces.aligned -> net.data: ...`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gateway.core.names import did_you_mean
from gateway.core.pipeline import Pipeline, Step
from gateway.core.signature import Signature, TensorSpec
from gateway.errors import EdgeMismatch
from gateway.pipelines.ports import FILES, Port, merged, misfit, of_spec
from gateway.pipelines.steps import STEPS

Members = Mapping[tuple[str, int | None], tuple[Signature, bool]]
"""(model, version) -> its signature, and whether it is a pipeline itself."""


@dataclass(frozen=True)
class Plan:
    """`labels` are the class names of what flows into a step's x, by step."""

    signature: Signature
    labels: Mapping[str, tuple[str, ...]]


def plan(pipeline: Pipeline, members: Members, where: str) -> Plan:
    """What the pipeline takes and gives. Errors: EdgeMismatch with every edge that does not fit."""
    found = _Plan(pipeline, members)
    outputs = found.outputs()
    if found.problems:
        raise EdgeMismatch(found.problems, where=where, hint="docs/pipelines.md lists the ports of every step.")
    inputs = [TensorSpec(name, "string", (None,)) if spec is None else spec for name, spec in pipeline.inputs.items()]
    inputs += [_parameter(name, value) for name, value in pipeline.parameters.items()]
    return Plan(Signature(tuple(inputs), outputs, missing=pipeline.missing), found.labels)


def _parameter(name: str, value: Any) -> TensorSpec:
    kind = "string" if isinstance(value, str) or (isinstance(value, list) and isinstance(value[0], str)) else "float32"
    return TensorSpec(name, kind, None, optional=True)


def tensor_of(value: Any) -> Any:
    """A parameter's default as it flows along an edge to a member."""
    items = value if isinstance(value, list) else [value]
    if isinstance(items[0], str):
        made = np.empty(len(items), object)
        made[:] = [item.encode() for item in items]
        return made
    return np.asarray(items, np.float32)


class _Plan:
    def __init__(self, pipeline: Pipeline, members: Members) -> None:
        self.pipeline, self.members = pipeline, members
        self.problems: list[str] = []
        self.labels: dict[str, tuple[str, ...]] = {}
        self.ports: dict[str, Port | None] = {
            name: FILES if spec is None else of_spec(spec) for name, spec in pipeline.inputs.items()
        }
        for name, value in pipeline.parameters.items():
            self.ports["$" + name] = of_spec(_parameter(name, value))
        for step in pipeline.steps:
            made = self._model(step) if step.model else self._built_in(step)
            self.ports |= {f"{step.name}.{port}": found for port, found in made.items()}

    def outputs(self) -> tuple[TensorSpec, ...]:
        made = []
        for name, ref in self.pipeline.outputs.items():
            port = self._from(ref, f"output {name}")
            if port is not None and port.pictures:
                port = Port("uint8", (None, None, None, 3))  # of one size: faces; else the answer is an error
            if port is not None:
                made.append(port.spec(name))
        return tuple(made)

    def _from(self, ref: str, to: str) -> Port | None:
        """None where an earlier problem is the reason that it is not known."""
        if ref in self.ports:
            return self.ports[ref]
        step = ref.partition(".")[0]
        if f"{step}.*" not in self.ports:
            known = [name.partition(".")[2] for name in self.ports if name.startswith(f"{step}.")]
            self.problems.append(
                f"edge {ref} -> {to}: step {step} gives {', '.join(known)}.{did_you_mean(ref.partition('.')[2], known)}"
            )
        return None

    def _given(self, step: Step) -> dict[str, Port]:
        found = {port: self._from(ref, f"{step.name}.{port}") for port, ref in step.inputs.items()}
        return {port: one for port, one in found.items() if one is not None}

    def _edge(self, step: Step, port: str) -> str:
        return f"edge {step.inputs[port]} -> {step.name}.{port}"

    def _built_in(self, step: Step) -> dict[str, Port | None]:
        kind, before = STEPS[step.op], len(self.problems)
        options = merged(
            {name: default for name, (default, _) in kind.options.items()}, step.options, self.pipeline.parameters
        )
        self.problems += [f"step {step.name}: {problem}" for problem in kind.problems(options)]
        given = self._given(step)
        for port in step.inputs:
            if port not in kind.ins and not kind.more:
                self.problems.append(
                    f"{self._edge(step, port)}: {step.op} has no such port.{did_you_mean(port, kind.ins)}"
                )
        for port, wanted in kind.ins.items():
            if port not in step.inputs and not wanted.optional:
                self.problems.append(f"step {step.name}: nothing flows into {port}, which takes {wanted}")
            elif port in given and (wrong := misfit(given[port], wanted)):
                self.problems.append(f"{self._edge(step, port)}: {wrong}")
        self._roles(step)
        if len(self.problems) > before or len(given) < len(step.inputs):
            return {"*": None}
        if "x" in given:
            self.labels[step.name] = given["x"].labels
        return dict(kind.outs(given, options))

    def _roles(self, step: Step) -> None:
        kind = STEPS[step.op]
        for role in kind.roles:
            if role not in step.models:
                self.problems.append(f"step {step.name}: models names no {role}")
        for role in step.models:
            if role not in kind.roles:
                self.problems.append(f"step {step.name}: {step.op} runs no {role!r}.{did_you_mean(role, kind.roles)}")
        signatures = {role: self.members[model, None][0] for role, model in step.models.items() if role in kind.roles}
        self.problems += [f"step {step.name}: {problem}" for problem in kind.members_fit(signatures)]

    def _model(self, step: Step) -> dict[str, Port | None]:
        signature, whole = self.members[step.model, step.version]
        given, names = self._given(step), [spec.name for spec in signature.inputs]
        for port in step.inputs:
            if port not in names:
                self.problems.append(
                    f"{self._edge(step, port)}: model {step.model} has no such input; it has "
                    f"{', '.join(map(str, signature.inputs))}.{did_you_mean(port, names)}"
                )
        for spec in signature.inputs:
            if spec.name in given:
                self._into(step, spec, given[spec.name], signature, whole)
            elif spec.name not in step.inputs and not spec.optional:
                self.problems.append(f"step {step.name}: nothing flows into {spec}, an input of model {step.model}")
        made: dict[str, Port | None] = {}
        for at, spec in enumerate(signature.outputs):
            shape = spec.shape if whole or not spec.shape else (None, *spec.shape[1:])
            made[spec.name] = of_spec(replace(spec, shape=shape), signature.labels if at == 0 else ())
        return made

    def _into(self, step: Step, spec: TensorSpec, given: Port, signature: Signature, whole: bool) -> None:
        edge = self._edge(step, spec.name)
        if given.pictures:
            if spec.name != signature.picture_input or spec.dtype == "string":
                self.problems.append(
                    f"{edge}: pictures cannot be taken as {spec}: "
                    f"the model.toml of {step.model} has no [preprocess] for it"
                )
            return
        shape = spec.shape if whole or not spec.shape else (None, *spec.shape[1:])
        if wrong := misfit(given, of_spec(replace(spec, shape=shape))):
            self.problems.append(f"{edge}: {wrong}")
