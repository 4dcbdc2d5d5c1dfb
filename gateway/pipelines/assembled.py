"""A pipeline that serves: what serving/assembling.py asks for, over a Predictor's leases.

    Pipelines.open(folder, name)    pipeline.toml against the members that serve now -> Assembled
    Assembled.hold()                all members leased                              -> Held
    Held.run(inputs)                every step as soon as what it waits for is there -> outputs

Rule 1: `open` says all that is missing or does not fit; it leases what it looks at, and gives it back.
Rule 2: a Held has leased each member once: the numbers of one request are of one content of each.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core import pipeline as toml
from gateway.core.artifact import Verification
from gateway.core.dtypes import Array, Tensors
from gateway.core.pipeline import Pipeline
from gateway.core.pipeline import Step as Described
from gateway.core.signature import Signature
from gateway.errors import DeadlineExceeded, EdgeMismatch, GatewayError, InvalidTensor, MemberMissing, ModelRunError
from gateway.pipelines import vectors
from gateway.pipelines.members import Leased, fixed_rows, independent
from gateway.pipelines.plan import Plan, plan, tensor_of
from gateway.pipelines.ports import Value, Values, merged, plain
from gateway.pipelines.steps import STEPS
from gateway.pipelines.steps.base import in_thread
from gateway.serving.predict import Lease, ModelSpec, Predictor

Ref = tuple[str, int | None]
Identity = tuple[tuple[Ref, int, str], ...]
Observe = Callable[[str, int, str, float], None]
"""(model, version, step, seconds), once a step that went well."""


class Pipelines:
    """Implements serving.assembling.Assembler."""

    def __init__(self, predictor: Predictor, observe: Observe) -> None:
        self._predictor = predictor
        self._observe = observe
        self._members: dict[str, tuple[str, ...]] = {}  # of each pipeline that was opened: to see a ring of them
        self._tried: dict[str, bool] = {}  # by artifact: whether rows of a fixed batch are independent

    async def open(self, folder: Path, model: str, version: int) -> Assembled:
        """Errors: MemberMissing (try again when something has changed), EdgeMismatch, PipelineTomlError."""
        found = toml.parse(await in_thread((folder / toml.FILE).read_text))
        self._members[model] = tuple(name for name, _ in found.members)
        ring = self._ring(model)
        if ring:
            raise EdgeMismatch([f"pipelines wait for one another: {' -> '.join(ring)}"])
        made = Assembled(found, model, version, folder, self._predictor, self._observe)
        with made.hold() as held:
            await self._check_rows(held)
        return made

    def _ring(self, start: str) -> list[str]:
        """The pipelines that a pipeline waits for itself through; [] when it does not."""
        paths = [[start]]
        while paths:
            path = paths.pop()
            for name in self._members.get(path[-1], ()):
                if name == start:
                    return [*path, name]
                if name not in path and len(path) < 32:
                    paths.append([*path, name])
        return []

    async def _check_rows(self, held: Held) -> None:
        """Errors: EdgeMismatch for a model of fixed batch whose rows influence one another, or may."""
        wrong = []
        for (name, _), lease in held.leases.items():
            size = None if lease.whole else fixed_rows(lease.signature)
            if size is None or size == 1:
                continue
            if lease.artifact not in self._tried:
                self._tried[lease.artifact] = await independent(lease)
            if not self._tried[lease.artifact]:
                wrong.append(
                    f"model {name} takes {size} rows at a time, and they were not seen to be independent: "
                    "it cannot be padded and split"
                )
        if wrong:
            raise EdgeMismatch(wrong)


class Assembled:
    """One pipeline over members that served when it was opened. Implements serving.assembling.Assembled."""

    def __init__(
        self, pipeline: Pipeline, model: str, version: int, folder: Path, predictor: Predictor, observe: Observe
    ) -> None:
        self.pipeline, self.model, self.version = pipeline, model, version
        self._folder, self._predictor, self._observe = folder, predictor, observe
        self._plans: dict[Identity, Plan] = {}
        with self.hold() as held:
            self.signature: Signature = held.plan.signature
            self.identity: Identity = held.identity

    def hold(self) -> Held:
        """Errors: MemberMissing with all that do not serve, EdgeMismatch when one was swapped for what does not fit."""
        leases: dict[Ref, Lease] = {}
        missing = []
        with contextlib.ExitStack() as stack:
            for name, version in self.pipeline.members:
                try:
                    leases[name, version] = stack.enter_context(self._predictor.lease(ModelSpec(name, version)))
                except GatewayError as error:
                    which = f"{name} version {version}" if version is not None else name
                    missing.append(f"{which} ({error.explain()})")
            if missing:
                raise MemberMissing(f"pipeline {self.model} waits for {'; '.join(missing)}")
            identity = tuple((ref, lease.version, lease.artifact) for ref, lease in leases.items())
            if identity not in self._plans:
                shown = {ref: (lease.signature, lease.whole) for ref, lease in leases.items()}
                made = plan(self.pipeline, shown, f"pipeline {self.model}")
                self._plans = {identity: made}
            return Held(self, leases, identity, self._plans[identity], stack.pop_all())

    def changed(self) -> bool:
        """A member was swapped or does not serve any more: to be opened again."""
        try:
            with self.hold() as held:
                return held.identity != self.identity
        except GatewayError:
            return True

    async def verify(self) -> Verification:
        """By golden vectors beside pipeline.toml. Errors: DropError for vectors that do not fit."""
        given = await in_thread(vectors.read, self._folder / "test", self.signature)
        if given is None:
            return vectors.NONE
        with self.hold() as held:
            outputs = await held.run(given.inputs, (), None)
        return await in_thread(vectors.judge, given, outputs)

    def observed(self, step: str, seconds: float) -> None:
        self._observe(self.model, self.version, step, seconds)


class Held:
    """All members leased for one request. A context manager, or `release`."""

    def __init__(
        self,
        of: Assembled,
        leases: Mapping[Ref, Lease],
        identity: Identity,
        made: Plan,
        stack: contextlib.ExitStack,
    ) -> None:
        self._of, self.leases, self.identity, self.plan, self._stack = of, leases, identity, made, stack
        self._members = {ref: Leased(lease) for ref, lease in leases.items()}

    def __enter__(self) -> Held:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        self._stack.close()

    async def run(self, inputs: Tensors, outputs: Sequence[str], deadline: float | None) -> Tensors:
        """`inputs` have passed the signature's check. Errors: those of the steps and members, DeadlineExceeded."""
        left = None if deadline is None else deadline - time.monotonic()
        try:
            async with asyncio.timeout(left):
                return await self._run(inputs, outputs, deadline)
        except TimeoutError:
            raise DeadlineExceeded(f"pipeline {self._of.model}: no answer within the deadline.") from None

    async def _run(self, inputs: Tensors, outputs: Sequence[str], deadline: float | None) -> Tensors:
        pipeline = self._of.pipeline
        parameters = {
            name: plain(inputs[name]) if name in inputs else default for name, default in pipeline.parameters.items()
        }
        known: Values = {name: inputs[name] for name in pipeline.inputs}
        known |= {"$" + n: inputs[n] if n in inputs else tensor_of(v) for n, v in pipeline.parameters.items()}
        done: dict[str, asyncio.Task[None]] = {}

        async def one(step: Described) -> None:
            for source in step.sources:
                await done[source]
            started = time.monotonic()
            values = {port: known[ref] for port, ref in step.inputs.items()}
            try:
                made = await self._step(step, values, parameters, deadline)
            except InvalidTensor as error:
                raise _named(error, step) from error
            known.update({f"{step.name}.{port}": value for port, value in made.items()})
            self._of.observed(step.name, time.monotonic() - started)

        try:
            async with asyncio.TaskGroup() as group:
                for step in pipeline.steps:
                    done[step.name] = group.create_task(one(step))
        except BaseExceptionGroup as group_error:
            raise _first(group_error) from None
        wanted = outputs or tuple(pipeline.outputs)
        return {name: _stacked(known[pipeline.outputs[name]], name) for name in wanted}

    async def _step(
        self, step: Described, values: Values, parameters: Mapping[str, Any], deadline: float | None
    ) -> Values:
        if step.model:
            return dict(await self._members[step.model, step.version].run(values, deadline))
        kind = STEPS[step.op]
        defaults = {name: default for name, (default, _) in kind.options.items()}
        options = dict(kind.checked(merged(defaults, step.options, parameters)))
        if "labels" in kind.options:
            options["labels"] = self.plan.labels.get(step.name, ())
        members = {role: self._members[model, None] for role, model in step.models.items()}
        return await kind.run(values, options, members, deadline)


def _named(error: InvalidTensor, step: Described) -> InvalidTensor:
    """A fault of what a client sent names the input that it was sent for."""
    names = [ref for ref in step.inputs.values() if "." not in ref and not ref.startswith("$")]
    if not names:
        return error
    return InvalidTensor(f"{', '.join(names)}: {error.message}", hint=error.hint)


def _first(error: BaseException) -> BaseException:
    """The error that began it: what was cancelled because of it says nothing."""
    while isinstance(error, BaseExceptionGroup):
        inner = [one for one in error.exceptions if not isinstance(one, asyncio.CancelledError)]
        error = (inner or list(error.exceptions))[0]
    return error


def _stacked(value: Value, name: str) -> Array:
    if not isinstance(value, list):
        return value
    if not value:
        return np.empty((0, 0, 0, 3), np.uint8)
    if len({one.shape for one in value}) > 1:
        raise ModelRunError(f"output {name} is pictures of different sizes, which make no tensor.")
    return np.stack(value)
