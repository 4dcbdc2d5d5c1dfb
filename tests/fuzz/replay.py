"""All inputs of one target, one after the other: in the tests, and as a Job in Environment base."""

from __future__ import annotations

from typing import Any

from tests.fuzz import seeds
from tests.fuzz.targets import TARGETS


def wrong(name: str, inputs: list[tuple[str, bytes]]) -> dict[str, str]:
    """Input -> the exception that came out of the target. A target that takes none of them fuzzes nothing."""
    bad, taken = {}, 0
    for case, data in inputs:
        try:
            taken += TARGETS[name](data)
        except Exception as error:
            bad[case] = f"{type(error).__name__}: {error}"
    if not taken:
        bad["all of them"] = "none was taken: the target is not reached"
    return bad


def replay(job: Any) -> dict[str, Any]:
    """The same as a Job's task."""
    inputs = list(seeds.inputs(job.arguments["target"]))
    return {"inputs": len(inputs), "wrong": wrong(job.arguments["target"], inputs)}
