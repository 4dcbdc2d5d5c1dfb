"""What people and status routes are shown of generations. Reads, changes nothing."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gateway.core.names import did_you_mean
from gateway.core.version import State
from gateway.errors import ModelNotFound
from gateway.serving.generation import Generation
from gateway.serving.predict import ModelSpec, ModelStatus, VersionStatus

_ORDER = {
    State.AVAILABLE: 0,
    State.LOADING: 1,
    State.CONVERTED: 2,
    State.CONVERTING: 3,
    State.FOUND: 4,
    State.FAILED: 5,
    State.DRAINING: 6,
    State.RETIRED: 7,
}


def model_status(name: str, generations: Iterable[Generation]) -> ModelStatus:
    """One row a version, newest first: of its generations the one that serves, else the one nearest to it."""
    by_version: dict[int, list[Generation]] = {}
    for generation in generations:
        by_version.setdefault(generation.version, []).append(generation)
    return ModelStatus(name, [version_status(by_version[version]) for version in sorted(by_version, reverse=True)])


def chosen(generations: Sequence[Generation]) -> Generation:
    return min(generations, key=lambda g: (_ORDER[g.state], -g.number))


def version_status(generations: Sequence[Generation]) -> VersionStatus:
    best = chosen(generations)
    newest = max(generations, key=lambda g: g.number)
    failure = best.failure or (newest.failure if newest is not best else None)
    reason, hint, stage = "", "", ""
    if failure is not None:
        reason, hint, stage = failure.error.message, failure.error.hint, failure.stage
        if best.failure is None:
            reason = f"its replacement (generation {newest.number}) failed: {reason}"
    elif not best.settled:
        reason = "its files are still changing"
    elif best.state is State.LOADING and best.stage != "load":
        reason = best.stage  # a pipeline says for whom it waits
    elif best.state is State.CONVERTING:
        reason = best.stage if best.fraction is None else f"{best.stage} {best.fraction:.0%}"
    elif best.artifact is not None and best.state is State.AVAILABLE and best.verdict != "passed":
        reason = best.artifact.verification.reason
    return VersionStatus(best.version, best.state, best.verdict, reason, hint, stage, best.number)


def describe(name: str, version: int, generations: Iterable[Generation]) -> dict[str, Any]:
    """One version in full. Errors: ModelNotFound."""
    mine = [g for g in generations if g.version == version]
    if not mine:
        raise ModelNotFound(f"Could not find version {version} of model {name}")
    best = chosen(mine)
    status = version_status(mine)
    artifact = best.artifact.to_json() if best.artifact else None
    return {
        "model": name,
        "version": version,
        "generation": best.number,
        "state": best.state.value,
        "since": _utc(best.since),
        "verdict": best.verdict,
        "reason": status.reason,
        "hint": status.hint,
        "stage": status.stage or best.stage,
        "fraction": best.fraction,
        "seconds": round(time.time() - best.since, 1),
        "stage_seconds": round(time.time() - best.stage_since, 1),
        "error": {**best.failure.error.to_json(), "at": _utc(best.failure.at)} if best.failure else None,
        "digest": best.digest,
        "artifact": best.artifact.digest if best.artifact else "",
        "kind": best.artifact.kind if best.artifact else "",
        "files": [{"name": f.name, "bytes": f.size} for f in best.seen.files],
        "options": {**best.options.to_json(), "config_pbtxt": best.config_text},
        "config_problem": best.config_problem,
        "signatures": artifact["signatures"] if artifact else [],
        "provenance": artifact["provenance"] if artifact else None,
        "verification": artifact["verification"] if artifact else None,
        "placement": dict(best.placement),
        "in_flight": best.leases,
        "generations": [
            {
                "generation": g.number,
                "state": g.state.value,
                "verdict": g.verdict,
                "present": g.present,
                "reason": g.failure.error.message if g.failure else "",
            }
            for g in mine
        ],
    }


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def why_not(generations: Iterable[Generation], spec: ModelSpec) -> str:
    """Why a request for this model cannot be answered, for the hint of ModelNotFound."""
    status = model_status(spec.name, generations)
    if not status.versions:
        return "No model of that name lies in the repository."
    parts = [
        f"version {v.version} is {v.state.value}" + (f" ({v.reason})" if v.reason else "") for v in status.versions
    ]
    return "; ".join(parts) + "."


def known_names(models: Mapping[str, Sequence[Generation]], name: str) -> str:
    if not models:
        return "The repository holds no model yet."
    return f"The models are: {', '.join(sorted(models))}.{did_you_mean(name, models)}"
