"""Which step to take next for one model: a pure function over a snapshot.

The manager asks again after each step, so a decision needs no memory and is idempotent.

Rule 1: a new version that fails or is still loading never costs the old one.
Rule 2: Versions says which are wanted: the newest N that have not failed, all, or those named; a
        version whose files are gone is not. Nothing that serves is drained before every wanted one
        serves, nor for versions that are named and not there.
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


@dataclass(frozen=True)
class Versions:
    """Which versions of a model its owner wants: the newest `latest`, `all`, or the `specific` ones.

    `pinned` are wanted besides, whatever the rest says: a default that was set by hand.
    """

    latest: int = 1
    all: bool = False
    specific: tuple[int, ...] = ()
    pinned: tuple[int, ...] = ()

    def choose(self, numbers: Sequence[int]) -> tuple[int, ...]:
        """Those of `numbers`, which are newest first, that are wanted."""
        if self.all:
            return tuple(numbers)
        chosen = [n for n in numbers if n in self.specific] if self.specific else list(numbers[: self.latest])
        return tuple(n for n in numbers if n in chosen or n in self.pinned)

    def may(self, number: int) -> bool:
        """Whether it may serve for want of a better one."""
        others = self.all or (not self.specific and self.latest > 0)
        return others or number in self.specific or number in self.pinned


NEWEST = Versions()

_UNSERVED = (State.FOUND, State.CONVERTED, State.CONVERTING, State.LOADING, State.FAILED)


def wanted(candidates: Sequence[Candidate], versions: Versions = NEWEST) -> tuple[Candidate, ...]:
    """What is to serve of what can still come to serve, newest first.

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
    return tuple(chosen[version] for version in versions.choose(sorted(chosen, reverse=True)))


def _stands_in(candidate: Candidate, candidates: Sequence[Candidate]) -> bool:
    """It has served, other content of its version took its place, and that does not serve yet."""
    replacements = [c for c in candidates if c.version == candidate.version and c.present]
    able = candidate.state in (State.CONVERTED, State.LOADING, State.AVAILABLE)
    waited_for = bool(replacements) and all(c.state is not State.AVAILABLE for c in replacements)
    return able and candidate.served and not candidate.present and waited_for


def next_step(candidates: Sequence[Candidate], versions: Versions = NEWEST) -> Step | None:
    """The one step to take now, or None when there is nothing to do but wait."""
    target = wanted(candidates, versions)
    for candidate in target:
        if candidate.state is State.FOUND:
            return _step(candidate, Action.CONVERT)
        if candidate.state in (State.CONVERTED, State.RETIRED):
            return _step(candidate, Action.LOAD)
    if not any(c.state in (State.AVAILABLE, State.LOADING) for c in candidates):
        proven = [c for c in candidates if c.state in (State.CONVERTED, State.RETIRED) and versions.may(c.version)]
        proven = [c for c in proven if c.present or _stands_in(c, candidates)]
        if proven:
            return _step(max(proven, key=lambda c: c.age), Action.LOAD)
    spare = _spare(candidates, target, versions)
    if spare:
        return _step(min(spare, key=lambda c: c.age), Action.DRAIN)
    gone = [c for c in candidates if not c.present and c.state in _UNSERVED and not _stands_in(c, candidates)]
    if gone:
        return _step(min(gone, key=lambda c: c.age), Action.FORGET)
    return None


def _spare(candidates: Sequence[Candidate], target: Sequence[Candidate], versions: Versions) -> list[Candidate]:
    """What serves and may go: nothing before everything wanted serves."""
    if any(c.state is not State.AVAILABLE for c in target):
        return []
    spare = [c for c in candidates if c.state is State.AVAILABLE and c not in target]
    if not target and versions.specific:  # all that is named has failed or is not there: what lies there serves on
        kept = {c.version: c for c in sorted(spare, key=lambda c: c.age) if c.present or _stands_in(c, candidates)}
        return [c for c in spare if c is not kept.get(c.version)]
    return spare


def _step(candidate: Candidate, action: Action) -> Step:
    return Step(candidate.version, candidate.generation, action)
