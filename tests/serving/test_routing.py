"""Which version answers: labels move only to what serves, a default that was set by hand answers or nothing does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from gateway.core.version import State
from gateway.errors import GatewayError, ModelNotFound, UnknownLabel
from gateway.serving.control import Wanted
from gateway.serving.generation import Generation
from gateway.serving.predict import ModelSpec
from gateway.serving.routing import Routing

A, L, F, D = State.AVAILABLE, State.LOADING, State.FAILED, State.DRAINING


def generations(states: dict[int, State]) -> list[Generation]:
    seen: Any = None  # where its files lie: not looked at here
    return [Generation("m", version, 1, seen, state=state) for version, state in states.items()]


@dataclass(frozen=True)
class Case:
    """`steps`: labels wanted, and the states of the versions then. `labels`: where they point in the end."""

    steps: tuple[tuple[dict[str, int], dict[int, State]], ...]
    labels: dict[str, int]
    unavailable: bool = False


LABELS = {
    "to what serves": Case((({"a": 1}, {1: A}),), {"a": 1}),
    "not to what is loading": Case((({"a": 1}, {1: L}),), {}),
    "not to what failed": Case((({"a": 1}, {1: F}),), {}),
    "not to what is not there": Case((({"a": 7}, {1: A}),), {}),
    "once it serves": Case((({"a": 1}, {1: L}), ({"a": 1}, {1: A})), {"a": 1}),
    "stays while the new one loads": Case((({"a": 1}, {1: A}), ({"a": 2}, {1: A, 2: L})), {"a": 1}),
    "stays when the new one fails": Case((({"a": 1}, {1: A}), ({"a": 2}, {1: A, 2: F})), {"a": 1}),
    "moves when the new one serves": Case((({"a": 1}, {1: A}), ({"a": 2}, {1: A, 2: A})), {"a": 2}),
    "goes when it is not wanted": Case((({"a": 1}, {1: A}), ({}, {1: A})), {}),
    "one of two": Case((({"a": 1, "b": 2}, {1: A, 2: L}),), {"a": 1}),
    "allowed: a new one to what does not serve": Case((({"a": 7}, {1: A}),), {"a": 7}, unavailable=True),
    "allowed: an old one stays all the same": Case(
        (({"a": 1}, {1: A}), ({"a": 7}, {1: A})), {"a": 1}, unavailable=True
    ),
}


@pytest.mark.parametrize("case", LABELS.values(), ids=LABELS.keys())
def test_labels(case: Case) -> None:
    routing = Routing()
    for wanted, states in case.steps:
        routing.update(Wanted("m", "reload", labels=wanted), generations(states), unavailable=case.unavailable)
    assert dict(routing.labels("m")) == case.labels


@dataclass(frozen=True)
class Ask:
    spec: ModelSpec
    states: dict[int, State]
    answer: int | type[GatewayError]
    default: int | None = None
    labels: dict[str, int] = field(default_factory=dict)
    says: str = ""


ASKS = {
    "nothing: the newest that serves": Ask(ModelSpec("m"), {1: A, 2: A, 3: L}, 2),
    "a version": Ask(ModelSpec("m", 1), {1: A, 2: A}, 1),
    "a version that does not serve": Ask(
        ModelSpec("m", 2), {1: A, 2: L}, ModelNotFound, says="Servable not found for request: Specific(m, 2)"
    ),
    "a version that drains": Ask(ModelSpec("m", 1), {1: D, 2: A}, ModelNotFound),
    "a label": Ask(ModelSpec("m", None, "a"), {1: A, 2: A}, 1, labels={"a": 1}),
    "an unknown label, with the nearest": Ask(
        ModelSpec("m", None, "stabel"),
        {1: A},
        UnknownLabel,
        labels={"stable": 1},
        says="Unrecognized servable version label: stabel The labels are: stable. Did you mean 'stable'?",
    ),
    "a default": Ask(ModelSpec("m"), {1: A, 2: A}, 1, default=1),
    "a default, and a version": Ask(ModelSpec("m", 2), {1: A, 2: A}, 2, default=1),
    "a default that does not serve: no other number is given out": Ask(
        ModelSpec("m"), {1: L, 2: A}, ModelNotFound, default=1, says="Specific(m, 1)"
    ),
    "another model": Ask(ModelSpec("n"), {}, ModelNotFound, says="Latest(n)"),
}


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS.keys())
def test_who_answers(ask: Ask) -> None:
    routing, there = Routing(), generations(ask.states)
    routing.update(Wanted("m", "reload", labels=ask.labels, default=ask.default), there)
    if isinstance(ask.answer, int):
        assert routing.choose(ask.spec, there).version == ask.answer
        return
    with pytest.raises(ask.answer) as caught:
        routing.choose(ask.spec, there)
    assert ask.says in caught.value.explain()
