"""Which of a format's judges sits: the first whose Environment is built.

Rule 1: a better judge that is absent is named in the report, with how to get it.
Rule 2: a source that the judge does not read (it is of another version, say) goes to the next one.
Rule 3: who judged is part of the store's key: when the better one is installed, it judges anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gateway.errors import EnvironmentBroken, EnvironmentMissing
from gateway.formats.base import Format
from gateway.process.environments import Environment


class Finds(Protocol):
    def find(self, name: str) -> Environment: ...
    def ensure(self, name: str, progress: Callable[[str], None] | None = None) -> Environment: ...


@dataclass(frozen=True)
class Judge:
    """`environment` is where the oracle runs; `because` says why not in a better one, "" where it is the best.

    `further` are the Environments of judges behind it, for a source that it does not read.
    """

    environment: str
    because: str = ""
    further: tuple[str, ...] = ()


def choose(
    source: Format, environments: Finds, *, build: bool = False, say: Callable[[str], None] | None = None
) -> Judge:
    """The best judge to be had now; with `build`, better ones are built first. The last is never looked for."""
    every = source.judges or (source.environment,)
    *better, last = every
    reasons = []
    for place, name in enumerate(better):
        try:
            environments.ensure(name, say) if build else environments.find(name)
        except EnvironmentMissing as error:
            reasons.append(f"{error.message.rstrip('.')}; the better judge comes with: gateway doctor --install {name}")
        except EnvironmentBroken as error:
            reasons.append(error.message.rstrip("."))
        else:
            return Judge(name, "; ".join(reasons), every[place + 1 :])
    return Judge(last, "; ".join(reasons))
