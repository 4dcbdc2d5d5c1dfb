"""From format to target: the hops, each one a Job in the Environment of its format.

Rule 1: what has no road is said before anything runs, with the roads there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.formats.base import Format, all_formats

REVISION = 2
"""Part of the store's key: raise it when conversion or verification in general gives other answers."""


@dataclass(frozen=True)
class Hop:
    """One conversion: `format` becomes `target` in `environment`."""

    format: str
    target: str
    environment: str


def plan(format_name: str, target: str, formats: Mapping[str, Format] | None = None) -> tuple[Hop, ...]:
    """The hops from a format to `target` ("auto" is the format's own first choice). Errors: MissingHop."""
    source = (all_formats() if formats is None else formats)[format_name]
    chosen = source.check_target(target)
    return (Hop(source.name, chosen, source.environment_of(chosen)),)


def converter_name(source: Format) -> str:
    """Which code converts: part of the store's key and of the provenance."""
    return f"gateway {REVISION}, {source.name} {source.revision}"
