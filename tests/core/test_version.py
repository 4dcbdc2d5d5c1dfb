"""States and events: each pair is in the table, or raises and changes nothing."""

from __future__ import annotations

import itertools

import pytest

from gateway.core.version import TRANSITIONS, Event, State, after
from gateway.errors import IllegalTransition

LIFE = {
    "a drop that is proven, serves and makes room": (
        "CONVERT PROVEN LOAD LOADED DRAIN IDLE",
        "CONVERTING CONVERTED LOADING AVAILABLE DRAINING RETIRED",
    ),
    "what the store has needs no conversion": ("PROVEN LOAD LOADED", "CONVERTED LOADING AVAILABLE"),
    "a rollback loads a retired one again": (
        "PROVEN LOAD LOADED DRAIN IDLE LOAD LOADED",
        "CONVERTED LOADING AVAILABLE DRAINING RETIRED LOADING AVAILABLE",
    ),
    "a dead worker is loaded again": (
        "PROVEN LOAD LOADED LOSE LOADED",
        "CONVERTED LOADING AVAILABLE LOADING AVAILABLE",
    ),
    "a full disk is tried again": ("CONVERT FAIL RETRY CONVERT PROVEN", "CONVERTING FAILED FOUND CONVERTING CONVERTED"),
    "files that vanish while converting": ("CONVERT FORGET", "CONVERTING RETIRED"),
    "a death while draining only ends it": (
        "PROVEN LOAD LOADED DRAIN FAIL",
        "CONVERTED LOADING AVAILABLE DRAINING RETIRED",
    ),
}


@pytest.mark.parametrize(("events", "states"), LIFE.values(), ids=LIFE.keys())
def test_life(events: str, states: str) -> None:
    state = State.FOUND
    for event, expected in zip(events.split(), states.split(), strict=True):
        state = after(state, Event[event])
        assert state is State[expected]


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, Event)), ids=lambda item: item.name)
def test_every_pair_is_in_the_table_or_raises(state: State, event: Event) -> None:
    if event in TRANSITIONS[state]:
        assert after(state, event) is TRANSITIONS[state][event]
    else:
        with pytest.raises(IllegalTransition, match=f"event {event.name} in state {state.name}; it knows: "):
            after(state, event)


def test_serving_is_entered_only_from_loading() -> None:
    """Rule 1: AVAILABLE only after predict() would succeed, so only LOADED leads there."""
    roads = {(s, e) for s, row in TRANSITIONS.items() for e, to in row.items() if to is State.AVAILABLE}
    assert roads == {(State.LOADING, Event.LOADED)}


def test_serving_is_left_only_by_drain_death_or_failure() -> None:
    assert set(TRANSITIONS[State.AVAILABLE]) == {Event.DRAIN, Event.LOSE, Event.FAIL}


@pytest.mark.parametrize("state", State, ids=lambda s: s.name)
def test_every_state_can_be_reached_and_can_end(state: State) -> None:
    reached, edge = {State.FOUND}, [State.FOUND]
    while edge:
        for to in TRANSITIONS[edge.pop()].values():
            if to not in reached:
                reached.add(to)
                edge.append(to)
    assert state in reached
    ends, edge = {state}, [state]
    while edge:
        for to in TRANSITIONS[edge.pop()].values():
            if to not in ends:
                ends.add(to)
                edge.append(to)
    assert State.RETIRED in ends
