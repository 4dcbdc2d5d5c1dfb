"""Conversions side by side: as many as there are places and memory, in order, and no waiting for what is gone."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import pytest

from gateway.convert.budget import Budget
from gateway.errors import JobCancelled
from tests.e2e.running import until


@dataclass
class Waiter:
    thread: threading.Thread
    inside: threading.Event
    leave: threading.Event


def enter(budget: Budget, wanted: int) -> Waiter:
    inside, leave = threading.Event(), threading.Event()

    def run() -> None:
        with budget.held(wanted):
            inside.set()
            assert leave.wait(30)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return Waiter(thread, inside, leave)


CASES: dict[str, tuple[int, int, list[int], list[bool]]] = {
    "two that fit": (2, 10, [4, 6], [True, True]),
    "no third place": (2, 10, [1, 1, 1], [True, True, False]),
    "no memory for the second": (2, 10, [6, 5], [True, False]),
    "one that needs more than there is runs alone": (2, 10, [50], [True]),
    "and lets nobody beside it": (2, 10, [50, 1], [True, False]),
    "a small one does not pass the one before it": (3, 10, [6, 5, 1], [True, False, False]),
}


@pytest.mark.parametrize("name", CASES)
def test_who_may_run(name: str) -> None:
    places, total, wanted, expected = CASES[name]
    budget = Budget(places, total)
    waiters = []
    for number, each in enumerate(wanted):
        waiters.append(enter(budget, each))
        if expected[number]:
            assert waiters[-1].inside.wait(30)
        else:
            waiting = expected[: number + 1].count(False)
            until(lambda wanted=waiting: len(budget._line) == wanted, 30)
    assert [waiter.inside.is_set() for waiter in waiters] == expected
    for waiter in waiters:  # each that ends lets the next one in
        waiter.leave.set()
    for waiter in waiters:
        waiter.thread.join(30)
        assert waiter.inside.is_set()


def test_what_has_gone_does_not_wait() -> None:
    budget, cancel = Budget(1, 10), threading.Event()
    first = enter(budget, 1)
    assert first.inside.wait(30)
    cancel.set()
    with pytest.raises(JobCancelled), budget.held(1, cancel):
        raise AssertionError
    first.leave.set()
    first.thread.join(30)
    with budget.held(1):
        pass
