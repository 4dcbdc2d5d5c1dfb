"""The policy: a table of single decisions, then whole lives of a model at random.

The simulation plays the manager: it does each step, and between steps lets jobs end or fail, requests
come back, workers die, files come, change and go, and the gateway restart. What must hold is stated
from outside (what works, what lies in the folder), not by asking the policy again.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from gateway.core.policy import NEWEST, Action, Candidate, Step, Versions, next_step
from gateway.core.version import Event, State, after

F, X, C, L, A, D, R, E = (
    State.FOUND,
    State.CONVERTING,
    State.CONVERTED,
    State.LOADING,
    State.AVAILABLE,
    State.DRAINING,
    State.RETIRED,
    State.FAILED,
)


ALL, NAMED, PINNED, NONE = Versions(all=True), Versions(specific=(2, 4)), Versions(pinned=(1,)), Versions(0)


@dataclass(frozen=True)
class Case:
    """`states`: of versions 1, 2 ...; a tuple in one place is the generations of that version, the last present.

    `gone`: versions whose files were deleted. `step`: (version, generation, action) or None.
    `served`: replaced generations have served, which is the rule.
    """

    states: tuple[State | tuple[State, ...], ...]
    step: tuple[int, int, str] | None
    gone: tuple[int, ...] = ()
    versions: Versions = NEWEST
    served: bool = True

    def candidates(self) -> list[Candidate]:
        found = []
        for version, states in enumerate(self.states, start=1):
            generations = states if isinstance(states, tuple) else (states,)
            for number, state in enumerate(generations, start=1):
                present = number == len(generations) and version not in self.gone
                served = state is A or (self.served and number == 1 and len(generations) > 1)
                found.append(Candidate(version, number, state, present, served))
        return found


CASES = {
    "nothing there, nothing to do": Case((), None),
    "a new drop is converted": Case((F,), (1, 1, "CONVERT")),
    "a proven one is loaded": Case((C,), (1, 1, "LOAD")),
    "while it converts there is nothing to do": Case((X,), None),
    "while it loads there is nothing to do": Case((L,), None),
    "what serves is left alone": Case((A,), None),
    "of two new ones the newer first": Case((F, F), (2, 1, "CONVERT")),
    "only the newest is wanted": Case((F, A), None),
    "new one first, old one stays": Case((A, C), (2, 1, "LOAD")),
    "old one stays while the new one converts": Case((A, X), None),
    "old one stays while the new one loads": Case((A, L), None),
    "old one goes once the new one serves": Case((A, A), (1, 1, "DRAIN")),
    "a failed new one never costs the old one": Case((A, E), None),
    "a failed new one brings the older one up": Case((C, E), (1, 1, "LOAD")),
    "a failed new one has the older one converted": Case((F, E), (1, 1, "CONVERT")),
    "all failed: wait": Case((E, E), None),
    "while one drains nothing hurries": Case((D, A), None),
    "a retired one stays retired": Case((R, A), None),
    "the newest vanished: the one before is loaded first": Case((R, A), (1, 1, "LOAD"), gone=(2,)),
    "the newest vanished: it serves until the one before does": Case((L, A), None, gone=(2,)),
    "the newest vanished: then it drains": Case((A, A), (2, 1, "DRAIN"), gone=(2,)),
    "the newest vanished and the one before still drains: it serves on": Case((D, A), None, gone=(2,)),
    "the newest vanished and the one before is broken: deletion is deletion": Case((E, A), (2, 1, "DRAIN"), gone=(2,)),
    "the only one vanished": Case((A,), (1, 1, "DRAIN"), gone=(1,)),
    "vanished while found": Case((F,), (1, 1, "FORGET"), gone=(1,)),
    "vanished while converting": Case((X,), (1, 1, "FORGET"), gone=(1,)),
    "vanished while loading": Case((L,), (1, 1, "FORGET"), gone=(1,)),
    "vanished after it failed": Case((E,), (1, 1, "FORGET"), gone=(1,)),
    "vanished and draining: its leases end it": Case((D,), None, gone=(1,)),
    "vanished and retired: nothing is left to do": Case((R,), None, gone=(1,)),
    "the old one vanished while the new one converts: it serves on": Case((A, X), None, gone=(1,)),
    "replaced: the new content is converted": Case(((A, F),), (1, 2, "CONVERT")),
    "replaced: the old content serves while the new one is proven": Case(((A, X),), None),
    "replaced: the old content serves while the new one loads": Case(((A, L),), None),
    "replaced: the old content goes once the new one serves": Case(((A, A),), (1, 1, "DRAIN")),
    "replaced by something broken: the old content serves on": Case(((A, E),), None),
    "replaced by something broken, its worker just died: it comes back": Case(((L, E),), None),
    "replaced, its worker just died, the new one not proven: it comes back": Case(((L, X),), None),
    "replaced, its worker just died, the new one serves: not needed": Case(((L, A),), (1, 1, "FORGET")),
    "replaced twice: the middle one is forgotten": Case(((A, X, X),), (1, 2, "FORGET")),
    "replaced twice, the last broken: the first serves on": Case(((A, E, E),), (1, 2, "FORGET")),
    "replaced before it ever served: not needed": Case(((L, X),), (1, 1, "FORGET"), served=False),
    "replaced before it ever served, by something broken: not needed": Case(((C, E),), (1, 1, "FORGET"), served=False),
    "after a restart the replaced content answers while the new one is proven": Case(((C, X),), (1, 1, "LOAD")),
    "after a restart the replaced content is let load": Case(((L, X),), None),
    "after a restart the replaced content stands in for a broken one": Case(((C, E),), (1, 1, "LOAD")),
    "after a restart the replaced content is not needed once the new one serves": Case(((C, A),), (1, 1, "FORGET")),
    "replaced by something broken, then deleted": Case(((A, E),), (1, 1, "DRAIN"), gone=(1,)),
    "after a restart the proven old one answers while the new one converts": Case((C, X), (1, 1, "LOAD")),
    "after a restart the conversion starts before the old one is loaded": Case((C, F), (2, 1, "CONVERT")),
    "after a restart only one old one is loaded": Case((C, L, X), None),
    "of the proven old ones the newest": Case((C, C, X), (2, 1, "LOAD")),
    "two wanted, both serve": Case((A, A), None, versions=Versions(2)),
    "two wanted, the third makes room": Case((A, A, A), (1, 1, "DRAIN"), versions=Versions(2)),
    "two wanted, no room is made before both serve": Case((A, A, L), None, versions=Versions(2)),
    "two wanted, the middle one broken": Case((C, E, A), (1, 1, "LOAD"), versions=Versions(2)),
    "all wanted: the newest first": Case((C, C, A), (2, 1, "LOAD"), versions=Versions(all=True)),
    "all wanted, all serve": Case((A, A, A), None, versions=Versions(all=True)),
    "all wanted, one broken: the others serve": Case((A, E, A), None, versions=Versions(all=True)),
    "all wanted, one deleted: it goes": Case((A, A, A), (2, 1, "DRAIN"), gone=(2,), versions=Versions(all=True)),
    "the named one is loaded, not the newest": Case((C, C), (1, 1, "LOAD"), versions=Versions(specific=(1,))),
    "the named one serves: the newest goes": Case((A, A), (2, 1, "DRAIN"), versions=Versions(specific=(1,))),
    "the named one is still loading: the other serves": Case((L, A), None, versions=Versions(specific=(1,))),
    "the named one is broken: the other serves on": Case((E, A), None, versions=Versions(specific=(1,))),
    "the named one is not there: what serves serves on": Case((A, A), None, versions=Versions(specific=(7,))),
    "the named one is not there, what serves was deleted": Case(
        (A, A), (1, 1, "DRAIN"), gone=(1,), versions=Versions(specific=(7,))
    ),
    "the named one is not there, what serves has a broken replacement": Case(
        ((A, E),), None, versions=Versions(specific=(7,))
    ),
    "the named one is not there: no other is begun": Case((F, C), None, versions=Versions(specific=(7,))),
    "two named": Case((C, A, C), (3, 1, "LOAD"), versions=Versions(specific=(1, 3))),
    "a default set by hand stays beside the newest": Case((A, A), None, versions=Versions(pinned=(1,))),
    "a default set by hand is loaded beside the newest": Case((C, A), (1, 1, "LOAD"), versions=Versions(pinned=(1,))),
    "a default set by hand, the ones between go": Case((A, A, A), (2, 1, "DRAIN"), versions=Versions(pinned=(1,))),
    "a default set by hand whose files are gone": Case((A, A), (1, 1, "DRAIN"), (1,), Versions(pinned=(1,))),
    "none wanted": Case((A, C), (1, 1, "DRAIN"), versions=Versions(0)),
    "none wanted: none is begun": Case((F, C), None, versions=Versions(0)),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_next_step(case: Case) -> None:
    expected = None if case.step is None else Step(case.step[0], case.step[1], Action[case.step[2]])
    assert next_step(case.candidates(), case.versions) == expected


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_order_of_the_snapshot_does_not_matter(case: Case) -> None:
    candidates = case.candidates()
    expected = next_step(candidates, case.versions)
    for seed in range(5):
        random.Random(seed).shuffle(candidates)
        assert next_step(candidates, case.versions) == expected


@dataclass(eq=False)
class Life:
    """One generation, with the truth that the policy is not told: what breaks it, and whether it ever served."""

    version: int
    number: int
    breaks: str = ""  # "", "convert" or "load"
    state: State = State.FOUND
    present: bool = True
    proven: bool = False
    served: bool = False

    def advance(self, event: Event) -> None:
        self.state = after(self.state, event)
        self.proven |= self.state is C
        self.served |= self.state is A

    def end_job(self) -> None:
        if self.state is X:
            self.advance(Event.FAIL if self.breaks == "convert" else Event.PROVEN)
        elif self.state is L:
            self.advance(Event.FAIL if self.breaks == "load" else Event.LOADED)
        elif self.state is D:
            self.advance(Event.IDLE)


@dataclass
class World:
    dice: random.Random
    versions: Versions
    policies: tuple[Versions, ...] = ()
    lives: list[Life] = field(default_factory=list)
    trace: list[str] = field(default_factory=list)

    def settle(self) -> None:
        """Do what the policy says until it has nothing to say, with the manager's own bound on it."""
        for _ in range(8 * len(self.lives) + 8):
            step = next_step(
                [Candidate(x.version, x.number, x.state, x.present, x.served) for x in self.lives], self.versions
            )
            if step is None:
                self._check_idle()
                self.lives = [x for x in self.lives if x.present or x.state is not R]
                return
            life = next(x for x in self.lives if (x.version, x.number) == (step.version, step.generation))
            self.trace.append(f"{step.action.name} {life}")
            self._check(life, step.action)
            life.advance(Event[step.action.name])
        raise AssertionError("the policy does not come to an end")

    def _check(self, life: Life, action: Action) -> None:
        others = [x for x in self.lives if x is not life]
        still = [x for x in others if x.state is A]
        hope = [x for x in others if x.present and x.state is not E and self.may(x.version)]
        replaced = not life.present and any(x.version == life.version and x.present for x in others)
        if action is Action.DRAIN:
            if self.versions == NONE:
                return
            if life.present or replaced or hope:
                assert still, "what serves is drained, and nothing else serves while something could"
            assert all(x.state is A for x in self.wanted_in_truth(others)), "drained before every wanted one serves"
        elif action is Action.FORGET:
            assert not life.present, "files that are there are not forgotten"
            assert life.state not in (A, D), "what serves is drained, not forgotten"
            if life.served and life.state is L and replaced:
                assert still, "the worker of the old content died, and its new content does not serve yet"
        elif action is Action.LOAD:
            assert life.present or (replaced and life.served), "loaded although its files are gone"
        else:
            assert life.present, "converted although its files are gone"

    def _check_idle(self) -> None:
        """Nothing is left to do: then nothing that could answer at once lies idle while nobody answers."""
        if not any(x.state in (A, L) for x in self.lives):
            idle = [x for x in self.lives if x.present and x.state in (C, R) and self.may(x.version)]
            assert not idle, "a proven one lies idle"

    def may(self, version: int) -> bool:
        named = self.versions.specific
        return (not named and self.versions != NONE) or version in named or version in self.versions.pinned

    def numbers_in_truth(self, able: set[int]) -> set[int]:
        """Of the versions that can serve those that are wanted, said once more in other words."""
        if self.versions.all:
            return able
        found = able & set(self.versions.pinned)
        if self.versions.specific:
            return found | able & set(self.versions.specific)
        return found | {v for v in able if sum(w > v for w in able) < self.versions.latest}

    def wanted_in_truth(self, lives: list[Life]) -> list[Life]:
        """What is wanted of the versions that are there and have not failed, or serve on for broken new content."""
        broken = {x.version for x in self.lives if x.present and x.state is E}
        able = [x for x in lives if (x.state is A and x.version in broken) or (x.present and x.state is not E)]
        numbers = self.numbers_in_truth({x.version for x in able})
        return [x for x in able if x.version in numbers]

    def happen(self) -> None:
        """One thing from outside."""
        what = self.dice.choices(
            ("job", "drop", "delete", "die", "retry", "restart", "policy"), weights=(12, 4, 1.5, 1.5, 1, 0.3, 0.5)
        )[0]
        one = self.dice.choice(self.lives) if self.lives else None
        self.trace.append(f"{what} {one}")
        if what == "drop":
            version = self.dice.randint(1, 4)
            number = 1 + max((x.number for x in self.lives if x.version == version), default=0)
            for x in self.lives:
                x.present &= x.version != version
            self.lives.append(Life(version, number, self.dice.choice(("", "", "convert", "load"))))
        elif what == "restart":
            self.lives = [self._reborn(x) for x in self.lives if x.present or self._stands_in(x)]
        elif what == "policy":
            self.versions = self.dice.choice(self.policies)
        elif one is None:
            pass
        elif what == "job":
            one.end_job()
        elif what == "delete":
            for x in self.lives:
                x.present &= x.version != one.version
        elif what == "die" and one.state is A:
            one.advance(Event.LOSE)
        elif what == "retry" and one.state is E and one.present:
            one.advance(Event.RETRY)

    def _stands_in(self, life: Life) -> bool:
        """The store remembers what served last, under a number that now has other content."""
        same = [x for x in self.lives if x.version == life.version]
        last = max((x.number for x in same if x.served and not x.present), default=0)
        return life.number == last and any(x.present and not x.served for x in same)

    @staticmethod
    def _reborn(life: Life) -> Life:
        state = C if life.proven else F
        return Life(life.version, life.number, life.breaks, state, life.present, life.proven, life.served)

    def rest(self) -> None:
        """Nothing more from outside: every job ends, every lease comes back."""
        for _ in range(100):
            busy = [x for x in self.lives if x.state in (X, L, D)]
            if not busy:
                return
            self.dice.choice(busy).end_job()
            self.settle()
        raise AssertionError("does not come to rest")

    def check_rest(self) -> None:
        """What is served is the newest that works; broken content leaves the content before it in place."""
        serving = {(x.version, x.number) for x in self.lives if x.state is A}
        able: dict[int, Life] = {}
        for x in sorted(self.lives, key=lambda x: x.number):
            replaced_by_broken = any(y.version == x.version and y.present and y.state is E for y in self.lives)
            if (x.present and not x.breaks) or (not x.present and replaced_by_broken and x.state is A):
                able[x.version] = x
        expected = {(v, able[v].number) for v in self.numbers_in_truth(set(able))}
        if not expected and self.versions.specific:  # what served when the named ones were not there
            assert len({version for version, _ in serving}) == len(serving), "two contents of one version serve"
        else:
            assert serving == expected
        for x in self.lives:  # of what is gone only content that may yet stand in for its replacement is kept
            serves = any(y.version == x.version and y.present and y.state is A for y in self.lives)
            assert x.present or x.state is A or (x.state is C and x.served and not serves), f"{x} lingers"


POLICIES = {
    "the newest": (NEWEST,),
    "the newest two": (Versions(2),),
    "all": (ALL,),
    "named": (NAMED,),
    "a default besides": (PINNED,),
    "changed now and then": (NEWEST, Versions(2), ALL, NAMED, PINNED, NONE),
}


@pytest.mark.parametrize("policies", POLICIES.values(), ids=POLICIES.keys())
def test_lives_at_random(policies: tuple[Versions, ...]) -> None:
    for seed in range(500):
        world = World(random.Random(seed), policies[0], policies)
        try:
            for _ in range(40):
                world.happen()
                world.settle()
            world.rest()
            world.check_rest()
        except AssertionError as error:
            raise AssertionError(
                f"seed {seed}: {error}\n" + "\n".join([*world.trace[-14:], f"{world.versions}", *map(str, world.lives)])
            ) from error
