"""What a built-in step is: ports in, ports out, options, and a way to run.

Rule 1: `run` is awaited in the event loop and does its arithmetic by `in_thread`.
Rule 2: options are checked when the pipeline is loaded, and again where a request sets one.
"""

from __future__ import annotations

import asyncio
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol, TypeVar

from gateway.core.dtypes import Tensors
from gateway.core.names import did_you_mean
from gateway.core.signature import Signature
from gateway.errors import InvalidTensor
from gateway.pipelines.ports import Port, Value, Values
from gateway.serving.seeing import threads

T = TypeVar("T")
Check = Callable[[Any], str]
"""What is wrong with an option's value; "" when nothing is."""


class Member(Protocol):
    """A leased model that a step runs (members.py)."""

    name: str
    signature: Signature

    async def run(self, values: Values, deadline: float | None) -> Tensors: ...


class Step(ABC):
    """One kind of step. `options` is name -> (default, check); `roles` name the models that it runs."""

    name: ClassVar[str]
    ins: ClassVar[Mapping[str, Port]]
    options: ClassVar[Mapping[str, tuple[Any, Check]]] = {}
    roles: ClassVar[tuple[str, ...]] = ()
    more: ClassVar[bool] = False  # further ports are taken

    @abstractmethod
    def outs(self, ins: Mapping[str, Port], options: Mapping[str, Any]) -> dict[str, Port]:
        """What it gives for ports that fit `ins`."""

    @abstractmethod
    async def run(
        self, values: Values, options: Mapping[str, Any], members: Mapping[str, Member], deadline: float | None
    ) -> Values:
        """Errors: InvalidTensor, and those of the members."""

    def members_fit(self, signatures: Mapping[str, Signature]) -> list[str]:
        """What is wrong with the models of its roles."""
        return []

    def problems(self, options: Mapping[str, Any]) -> list[str]:
        found = [
            f"no such option {key!r}.{did_you_mean(key, self.options)}" for key in options if key not in self.options
        ]
        for key, (_, check) in self.options.items():
            if key in options and (wrong := check(options[key])):
                found.append(f"{key} is {options[key]!r}, expected {wrong}")
        return found

    def checked(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Errors: InvalidTensor: a request has set what cannot be."""
        problems = self.problems(options)
        if problems:
            raise InvalidTensor("; ".join(problems))
        return options


async def in_thread(function: Callable[..., T], *arguments: Any) -> T:
    return await asyncio.get_running_loop().run_in_executor(threads(), function, *arguments)


def rows_of(values: Mapping[str, Value]) -> int:
    """Rows of all values, which must agree. Errors: InvalidTensor."""
    counts = {name: len(value) for name, value in values.items()}
    if len(set(counts.values())) > 1:
        raise InvalidTensor(f"its inputs have different numbers of rows: {counts}")
    return next(iter(counts.values()))


# -- checks of options


def one_of(*allowed: str) -> Check:
    return lambda value: "" if value in allowed else f"one of {', '.join(allowed)}"


def number(low: float, high: float = math.inf) -> Check:
    def check(value: Any) -> str:
        good = isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high
        return "" if good else f"a number from {low:g} to {high:g}"

    return check


def whole(low: int, high: int) -> Check:
    def check(value: Any) -> str:
        good = isinstance(value, (int, float)) and not isinstance(value, bool) and float(value).is_integer()
        return "" if good and low <= value <= high else f"a whole number from {low} to {high}"

    return check


def text(value: Any) -> str:
    return "" if isinstance(value, str) and value else "text"


def three_thresholds(value: Any) -> str:
    good = isinstance(value, list) and len(value) == 3 and not any(number(0, 1)(item) for item in value)
    return "" if good else "three numbers from 0 to 1"
