"""`target = "auto"`: who is tried, who wins, and what is said of it. Artifacts and times are given."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from gateway.convert import auto
from gateway.convert.auto import Tried
from gateway.convert.question import Timing
from gateway.core.artifact import AUTO, NATIVE, ONNX, SAVEDMODEL, Artifact, Provenance, Verdict, Verification
from gateway.core.dtypes import Tensors
from gateway.core.modeltoml import ModelOptions, TensorOption
from gateway.core.savedmodel import SavedModelOptions
from gateway.core.signature import Signature, TensorSpec
from gateway.errors import ConversionError, EnvironmentMissing, GatewayError, MissingHop
from gateway.formats.base import Format, all_formats
from gateway.process import wire
from gateway.runtimes.tasks import LEAST_CALLS, MOST_CALLS, timed


class Foreign(type(all_formats()["onnx"])):  # type: ignore[misc]
    """A format that TensorFlow itself runs, and that becomes ONNX too."""

    name = "foreign"
    targets = (NATIVE, ONNX)
    native = "tensorflow"


ONNX_FORMAT, MXNET, FOREIGN = all_formats()["onnx"], all_formats()["mxnet"], Foreign()


def there(name: str) -> None:
    """Every Environment is built."""


def absent(name: str) -> None:
    raise EnvironmentMissing(name, why="it has not been built")


@pytest.mark.parametrize(
    ("source", "options", "target"),
    [
        pytest.param(ONNX_FORMAT, ModelOptions(), ONNX, id="nothing said measures nothing"),
        pytest.param(ONNX_FORMAT, ModelOptions(AUTO), AUTO, id="auto measures"),
        pytest.param(ONNX_FORMAT, ModelOptions(SAVEDMODEL), SAVEDMODEL, id="a target that is said is the target"),
        pytest.param(
            ONNX_FORMAT,
            ModelOptions(AUTO, inputs=(TensorOption("x", layout="nhwc"),)),
            SAVEDMODEL,
            id="channels last for clients hang on no clock",
        ),
        pytest.param(
            MXNET,
            ModelOptions(AUTO, savedmodel=SavedModelOptions(trainable=True)),
            SAVEDMODEL,
            id="what only a SavedModel has is one",
        ),
        pytest.param(FOREIGN, ModelOptions(), NATIVE, id="a SavedModel is served as it is unless auto is said"),
        pytest.param(
            FOREIGN,
            ModelOptions(AUTO, savedmodel=SavedModelOptions(tags=("serve", "gpu"))),
            AUTO,
            id="the tags of a foreign SavedModel say which MetaGraph, and no more",
        ),
    ],
)
def test_wanted(source: Format, options: ModelOptions, target: str) -> None:
    assert auto.wanted(source, options) == target


def test_a_target_without_a_road_is_refused() -> None:
    with pytest.raises(MissingHop):
        auto.wanted(ONNX_FORMAT, ModelOptions(NATIVE))


@pytest.mark.parametrize(
    ("source", "built", "targets", "said"),
    [
        pytest.param(ONNX_FORMAT, there, [ONNX, SAVEDMODEL], [], id="ONNX first"),
        pytest.param(MXNET, there, [ONNX, SAVEDMODEL], [], id="MXNet itself is no candidate"),
        pytest.param(FOREIGN, there, [NATIVE, ONNX], [], id="a SavedModel is not written anew"),
        pytest.param(
            ONNX_FORMAT,
            absent,
            [ONNX],
            ["savedmodel was not tried: Environment 'tensorflow' is missing: it has not been built"],
            id="nothing is built for it",
        ),
    ],
)
def test_candidates(source: Format, built: Callable[[str], object], targets: list[str], said: list[str]) -> None:
    assert auto.candidates(source, built) == (targets, said)


TENSORS: Tensors = {"x": np.zeros((1, 4), np.float32)}


@dataclass(frozen=True)
class Case:
    """`onnx` and `saved`: (verdict or error, milliseconds or None)."""

    onnx: tuple[Verdict | GatewayError, float | None]
    saved: tuple[Verdict | GatewayError, float | None]
    chosen: str
    words: tuple[str, ...] = ()
    options: ModelOptions = field(default_factory=lambda: ModelOptions(AUTO))


PASSED, FAILED, UNVERIFIED = Verdict.PASSED, Verdict.FAILED, Verdict.UNVERIFIED
CASES = {
    "the quicker": Case((PASSED, 900.0), (PASSED, 500.0), SAVEDMODEL, ("onnx: passed, 900.00 ms a call", "savedmodel")),
    "under 5 % is no gain": Case((PASSED, 520.0), (PASSED, 500.0), ONNX),
    "the quicker is the first": Case((PASSED, 1.0), (PASSED, 500.0), ONNX, ("the way to a worker",)),
    "the way to a worker counts": Case((PASSED, 0.001), (PASSED, 0.0001), ONNX),
    "who fails is no candidate": Case((PASSED, 900.0), (FAILED, 1.0), ONNX, ("savedmodel: failed",)),
    "the first one failed": Case((FAILED, 1.0), (PASSED, 900.0), SAVEDMODEL, ("onnx: failed",)),
    "the other cannot be made": Case(
        (PASSED, 9.0),
        (ConversionError("no road for Foo"), None),
        ONNX,
        ("savedmodel could not be made: no road for Foo",),
    ),
    "the first cannot be made": Case((ConversionError("Foo"), None), (PASSED, 9.0), SAVEDMODEL),
    "both failed: the first's report": Case((FAILED, 9.0), (FAILED, 1.0), ONNX),
    "who must be proven is": Case(
        (PASSED, 900.0), (UNVERIFIED, 1.0), ONNX, options=ModelOptions(AUTO, verify="required")
    ),
    "what could not be timed is not preferred": Case((PASSED, None), (PASSED, 1.0), ONNX, ("onnx: passed, not timed",)),
}


def tried(target: str, said: tuple[Verdict | GatewayError, float | None], folder: Path) -> Tried:
    verdict, ms = said
    if isinstance(verdict, GatewayError):
        return Tried(target, error=verdict)
    wire.save(folder / "in", TENSORS)
    spec = (TensorSpec("x", "float32", (None, 4)),)
    provenance = Provenance("onnx", "", "", "", "", "", "")
    artifact = Artifact("key", target, (Signature(spec, spec),), provenance, Verification(verdict))
    return Tried(target, artifact, None if ms is None else Timing(ms, 100, folder / "in", folder / "in"))


@pytest.mark.parametrize("name", CASES)
def test_choice(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    both = [tried(ONNX, case.onnx, tmp_path), tried(SAVEDMODEL, case.saved, tmp_path)]
    found, fact = auto.choose(both, case.options, [])
    assert (found.target, fact.what, fact.value) == (case.chosen, "target", case.chosen)
    assert [word for word in case.words if word not in fact.source] == []


def test_nothing_made_is_the_firsts_error(tmp_path: Path) -> None:
    both = [Tried(target, error=ConversionError(f"no {target}")) for target in (ONNX, SAVEDMODEL)]
    with pytest.raises(ConversionError, match="no onnx"):
        auto.choose(both, ModelOptions(AUTO), [])


def test_who_was_not_tried_is_named(tmp_path: Path) -> None:
    _, fact = auto.choose([tried(ONNX, (PASSED, 1.0), tmp_path)], ModelOptions(AUTO), ["savedmodel was not tried: why"])
    assert fact.source.endswith("; savedmodel was not tried: why")


@pytest.mark.parametrize(
    ("seconds", "least", "most"), [(0.0, LEAST_CALLS, LEAST_CALLS), (60.0, MOST_CALLS, MOST_CALLS)]
)
def test_timing_is_bounded_by_seconds_and_calls(seconds: float, least: int, most: int) -> None:
    found = timed(lambda: time.sleep(0), seconds)
    assert least <= found["calls"] <= most
    assert found["ms"] >= 0
