"""Which step to take next for one model: a pure function over a snapshot.

The manager asks again after each step, so a decision needs no memory and is idempotent.

Rule 1: a new version that fails or is still loading never costs the old one.
Rule 2: the newest `serve` versions that have not failed are wanted; a version whose files are
        gone is not. Nothing that serves is drained before every wanted one serves.
Rule 3: while the wanted one is not ready and nothing serves, an older one that is already
        proven is loaded: after a restart the answer does not wait for a conversion.
Rule 4: content that has served stands in for the content that replaced it until that serves,
        across a restart too: a broken replacement never costs a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from gateway.core.version import State


class Action(Enum):
    CONVERT = "CONVERT"
    LOAD = "LOAD"
    DRAIN = "DRAIN"
    FORGET = "FORGET"


@dataclass(frozen=True)
class Candidate:
    """One generation of one version, as the policy sees it.

    `present` is False once its files are gone or other content took its place. `served` is True
    once it has served, in this life of the gateway or an earlier one.
    """

    version: int
    generation: int
    state: State
    present: bool = True
    served: bool = False

    @property
    def age(self) -> tuple[int, int]:
        return (self.version, self.generation)


@dataclass(frozen=True)
class Step:
    version: int
    generation: int
    action: Action


_UNSERVED = (State.FOUND, State.CONVERTED, State.CONVERTING, State.LOADING, State.FAILED)


def wanted(candidates: Sequence[Candidate], serve: int) -> tuple[Candidate, ...]:
    """The newest `serve` versions that can still come to serve, newest first.

    Of one version the newest generation that has not failed counts; an older one, whose files
    have been replaced, counts only if it can stand in.
    """
    chosen: dict[int, Candidate] = {}
    for candidate in sorted(candidates, key=lambda c: c.age, reverse=True):
        if candidate.version in chosen or candidate.state is State.FAILED:
            continue
        # A draining one that is there will be loaded again: nothing else may drain meanwhile.
        if candidate.present or _stands_in(candidate, candidates):
            chosen[candidate.version] = candidate
    return tuple(chosen[version] for version in sorted(chosen, reverse=True)[:serve])


def _stands_in(candidate: Candidate, candidates: Sequence[Candidate]) -> bool:
    """It has served, other content of its version took its place, and that does not serve yet."""
    replacements = [c for c in candidates if c.version == candidate.version and c.present]
    able = candidate.state in (State.CONVERTED, State.LOADING, State.AVAILABLE)
    waited_for = bool(replacements) and all(c.state is not State.AVAILABLE for c in replacements)
    return able and candidate.served and not candidate.present and waited_for


def next_step(candidates: Sequence[Candidate], *, serve: int = 1) -> Step | None:
    """The one step to take now, or None when there is nothing to do but wait."""
    target = wanted(candidates, serve)
    for candidate in target:
        if candidate.state is State.FOUND:
            return _step(candidate, Action.CONVERT)
        if candidate.state in (State.CONVERTED, State.RETIRED):
            return _step(candidate, Action.LOAD)
    if not any(c.state in (State.AVAILABLE, State.LOADING) for c in candidates):
        proven = [c for c in candidates if c.state in (State.CONVERTED, State.RETIRED)]
        proven = [c for c in proven if c.present or _stands_in(c, candidates)]
        if proven:
            return _step(max(proven, key=lambda c: c.age), Action.LOAD)
    all_serve = all(c.state is State.AVAILABLE for c in target)
    if all_serve:
        spare = [c for c in candidates if c.state is State.AVAILABLE and c not in target]
        if spare:
            return _step(min(spare, key=lambda c: c.age), Action.DRAIN)
    gone = [c for c in candidates if not c.present and c.state in _UNSERVED and not _stands_in(c, candidates)]
    if gone:
        return _step(min(gone, key=lambda c: c.age), Action.FORGET)
    return None


def _step(candidate: Candidate, action: Action) -> Step:
    return Step(candidate.version, candidate.generation, action)
