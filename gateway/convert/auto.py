"""`target = "auto"`: ONNX in onnxruntime or TensorFlow, whichever answers sooner on this machine.

Rule 1: every candidate is converted and proven like any other model; what fails is no candidate.
Rule 2: what decides is one call as it is served: what runs in a worker pays for the way there and back.
Rule 3: a gain under 5 % is none: the format's own first choice stays.
Rule 4: what clients see never hangs on a clock: an owner who asks for what only a SavedModel has gets one, untimed.
Rule 5: nothing is built for it: a candidate whose Environment is not there is named, and left out.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.convert.plan import RUNS_IN, TENSORFLOW
from gateway.convert.question import Timing
from gateway.core.artifact import AUTO, NATIVE, ONNX, SAVEDMODEL, Artifact, Fact, Verdict
from gateway.core.modeltoml import ModelOptions
from gateway.core.savedmodel import SavedModelOptions
from gateway.errors import EnvironmentBroken, EnvironmentMissing, GatewayError
from gateway.formats.base import Format
from gateway.process import wire

TIMED_S = 2.0  # of calling one candidate
GAIN = 1.05  # what is quicker by less is not preferred
ROUNDS = 20  # of a call's tensors through a socket and back
TRIED = (ONNX, SAVEDMODEL, NATIVE)


def wanted(source: Format, options: ModelOptions) -> str:
    """The target, or AUTO where it is to be found by measuring. Errors: MissingHop."""
    first = source.check_target(options.target)
    if options.target != AUTO:
        return first
    if SAVEDMODEL in source.reached() and NATIVE not in _of_tensorflow(source) and _asks_for_savedmodel(options):
        return SAVEDMODEL
    return AUTO if len(_every(source)) > 1 else first


def candidates(source: Format, built: Callable[[str], object]) -> tuple[list[str], list[str]]:
    """Targets to try, the format's own first choice first, and a sentence for each that is left out.

    `built` raises EnvironmentMissing or EnvironmentBroken.
    """
    found, absent = [], []
    first = source.check_target(AUTO)
    for target in _every(source):
        name = source.environment_of(NATIVE) if target == NATIVE else RUNS_IN[target]
        try:
            if target != first:
                built(name)
        except (EnvironmentMissing, EnvironmentBroken) as error:
            absent.append(f"{target} was not tried: {error.message.rstrip('.')}")
        else:
            found.append(target)
    return found, absent


def _every(source: Format) -> list[str]:
    """ONNX and what TensorFlow runs: of a SavedModel itself, else of the one that is made from its ONNX file."""
    first = source.check_target(AUTO)
    second = _of_tensorflow(source) or tuple(target for target in (SAVEDMODEL,) if target in source.reached())
    others = [target for target in (ONNX, *second) if target in source.reached() and target != first]
    return [first, *others] if first in TRIED else [first]


def _of_tensorflow(source: Format) -> tuple[str, ...]:
    return (NATIVE,) if source.native == TENSORFLOW and NATIVE in source.targets else ()


def _asks_for_savedmodel(options: ModelOptions) -> bool:
    layouts = any(option.layout for option in (*options.inputs, *options.outputs))
    return layouts or options.savedmodel != SavedModelOptions()


@dataclass(frozen=True)
class Tried:
    """One candidate: its artifact, how long a call takes, or why there is none."""

    target: str
    artifact: Artifact | None = None
    timing: Timing | None = None
    error: GatewayError | None = None

    def fit(self, options: ModelOptions) -> bool:
        """Would it be served?"""
        if self.artifact is None:
            return False
        verdict = self.artifact.verification.verdict
        return verdict is Verdict.PASSED or (verdict is not Verdict.FAILED and options.verify != "required")


def choose(tried: Sequence[Tried], options: ModelOptions, absent: Sequence[str]) -> tuple[Tried, Fact]:
    """The quickest that would be served, and the sentence that says so. Errors: the first's, where none was made."""
    fit = [each for each in tried if each.fit(options)]
    costs = {each.target: _cost(each, options, tried) for each in fit}
    timed = {target: cost for target, cost in costs.items() if cost is not None}
    said = [_said(each, costs.get(each.target)) for each in tried] + list(absent)
    if not fit:
        made = [each for each in tried if each.artifact is not None]
        if not made:
            assert tried[0].error is not None
            raise tried[0].error
        return made[0], Fact("target", made[0].target, "; ".join(said))
    chosen = fit[0]
    if chosen.target in timed:
        quickest = min(timed, key=lambda target: timed[target])
        if timed[quickest] * GAIN < timed[chosen.target]:
            chosen = next(each for each in fit if each.target == quickest)
    return chosen, Fact("target", chosen.target, "; ".join(said))


def _cost(each: Tried, options: ModelOptions, tried: Sequence[Tried]) -> float | None:
    """Milliseconds of a call as it is served."""
    if each.timing is None:
        return None
    in_worker = each.target != ONNX or options.isolation == "process"
    files = next(other.timing for other in tried if other.timing is not None)
    return each.timing.ms + (transport_ms(files) if in_worker else 0.0)


def _said(each: Tried, cost: float | None) -> str:
    if each.error is not None:
        return f"{each.target} could not be made: {each.error.message.rstrip('.')}"
    assert each.artifact is not None
    verdict = each.artifact.verification.verdict.value
    if cost is None or each.timing is None:
        return f"{each.target}: {verdict}, not timed"
    way = cost - each.timing.ms
    extra = f", {way:.2f} ms of it the way to a worker" if way else ""
    return f"{each.target}: {verdict}, {cost:.2f} ms a call, lower quartile of {each.timing.calls}{extra}"


def transport_ms(timing: Timing) -> float:
    """The inputs of a call to another thread through a socket and the outputs back: the lower quartile."""
    inputs, outputs = wire.load(timing.inputs), wire.load(timing.outputs)
    here, there = socket.socketpair()

    def answer() -> None:
        for _ in range(ROUNDS):
            wire.recv(there)
            wire.send(there, {}, outputs)

    with here, there:
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        took = []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            wire.send(here, {}, inputs)
            wire.recv(here)
            took.append((time.perf_counter() - started) * 1e3)
        thread.join()
    return sorted(took)[ROUNDS // 4]
