"""The life of a version: states, events and transitions, one table.

Changed content under the same number is a new generation with a life of its own: proven and
loaded before the old one drains.

Rule 1: AVAILABLE is entered only after predict() would succeed; DRAINING before the first
        request is refused.
Rule 2: `after` is the only way from one state to another; an event that a state does not know
        raises IllegalTransition and changes nothing.
"""

from __future__ import annotations

from enum import Enum

from gateway.errors import IllegalTransition


class State(Enum):
    FOUND = "FOUND"
    CONVERTING = "CONVERTING"
    CONVERTED = "CONVERTED"
    LOADING = "LOADING"
    AVAILABLE = "AVAILABLE"
    DRAINING = "DRAINING"
    RETIRED = "RETIRED"
    FAILED = "FAILED"


class Event(Enum):
    CONVERT = "CONVERT"  # a Job starts
    PROVEN = "PROVEN"  # the artifact is stored with its Verification
    LOAD = "LOAD"
    LOADED = "LOADED"  # and warm: predict() would succeed
    DRAIN = "DRAIN"
    IDLE = "IDLE"  # the last lease is back
    FAIL = "FAIL"
    LOSE = "LOSE"  # the worker died under it: load again
    RETRY = "RETRY"  # the cause of a failure may be gone (disk full, a missing Environment)
    FORGET = "FORGET"  # its files are gone, or other content took its place


TRANSITIONS: dict[State, dict[Event, State]] = {
    State.FOUND: {
        Event.CONVERT: State.CONVERTING,
        Event.PROVEN: State.CONVERTED,  # the store has it already
        Event.FAIL: State.FAILED,
        Event.FORGET: State.RETIRED,
    },
    State.CONVERTING: {
        Event.PROVEN: State.CONVERTED,
        Event.FAIL: State.FAILED,
        Event.FORGET: State.RETIRED,
    },
    State.CONVERTED: {
        Event.LOAD: State.LOADING,
        Event.FAIL: State.FAILED,
        Event.FORGET: State.RETIRED,
    },
    State.LOADING: {
        Event.LOADED: State.AVAILABLE,
        Event.FAIL: State.FAILED,
        Event.FORGET: State.RETIRED,
    },
    State.AVAILABLE: {
        Event.DRAIN: State.DRAINING,
        Event.LOSE: State.LOADING,
        Event.FAIL: State.FAILED,
    },
    State.DRAINING: {Event.IDLE: State.RETIRED, Event.FAIL: State.RETIRED},
    State.RETIRED: {Event.LOAD: State.LOADING, Event.FORGET: State.RETIRED},
    State.FAILED: {Event.RETRY: State.FOUND, Event.FORGET: State.RETIRED},
}


def after(state: State, event: Event) -> State:
    """The state that follows, or IllegalTransition."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        known = ", ".join(e.name for e in TRANSITIONS[state]) or "none"
        raise IllegalTransition(f"can't handle event {event.name} in state {state.name}; it knows: {known}.") from None
