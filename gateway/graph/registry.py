"""Operators, one function each: `@op("caffe", "PReLU")` puts it here, `converter` finds it.

    @op("darknet", "maxpool")
    def maxpool(graph: GraphBuilder, layer: Layer) -> str: ...

What a function takes beside the GraphBuilder is the format's own affair; the registry keeps
functions by name and never calls them.

Rule 1: two functions for one operator are an error when they are defined, not when they are met.
Rule 2: a graph is asked about as a whole, before anything is emitted: `refuse_unknown` names
        every operator that has no function, with its count.
Rule 3: an operator that is known and cannot be converted says why: `refused("mxnet", "Custom",
        reason="runs its author's Python")` is in the support table too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from gateway.errors import UnsupportedOps

Function = TypeVar("Function", bound=Callable[..., Any])

_REGISTRY: dict[str, dict[str, Callable[..., Any]]] = {}
_REFUSED: dict[str, dict[str, str]] = {}


def op(source_format: str, *names: str) -> Callable[[Function], Function]:
    """Register a function for operators of a format. Errors: TypeError for no name, or a second function for one."""
    if not names:
        raise TypeError(f'@op("{source_format}") names no operator')

    def register(function: Function) -> Function:
        table = _REGISTRY.setdefault(source_format, {})
        for name in names:
            if name in _REFUSED.get(source_format, {}):
                raise TypeError(f"{source_format} {name} is refused, and has a function: {function.__qualname__}")
            if name in table:
                first, second = (f"{f.__module__}.{f.__qualname__}" for f in (table[name], function))
                raise TypeError(f"{source_format} {name} has two functions: {first} and {second}")
        table.update(dict.fromkeys(names, function))
        return function

    return register


def refused(source_format: str, *names: str, reason: str) -> None:
    """Say why operators are known and have no function. Errors: TypeError for no name, or one that has a function."""
    taken = [name for name in names if name in _REGISTRY.get(source_format, {})]
    if not names or taken or not reason:
        raise TypeError(f"refused({source_format!r}): no name, no reason, or a function for {', '.join(taken)}")
    _REFUSED.setdefault(source_format, {}).update(dict.fromkeys(names, reason))


def refusals(source_format: str) -> Mapping[str, str]:
    """Operator -> why it is refused, in order of name."""
    return MappingProxyType(dict(sorted(_REFUSED.get(source_format, {}).items())))


def operators(source_format: str) -> Mapping[str, Callable[..., Any]]:
    """Every operator of a format that has a function, in order of name: the support table."""
    return MappingProxyType(dict(sorted(_REGISTRY.get(source_format, {}).items())))


def summary(source_format: str) -> list[tuple[str, str]]:
    """(operator, first line of its function's docstring), for the table in docs/."""
    return [(name, (f.__doc__ or "").strip().split("\n")[0]) for name, f in operators(source_format).items()]


def refuse_unknown(source_format: str, names: Iterable[str]) -> None:
    """Every operator of a graph, one item a node. Errors: UnsupportedOps with all that have no function, counted."""
    table = _REGISTRY.get(source_format, {})
    unknown = Counter(name for name in names if name not in table)
    if unknown:
        reasons = _REFUSED.get(source_format, {})
        known = [f"{name}: {reasons[name]}." for name in sorted(unknown) if name in reasons]
        raise UnsupportedOps(source_format, unknown, len(table), hint=" ".join(known))


def converter(source_format: str, name: str) -> Callable[..., Any]:
    """The function of one operator. Errors: UnsupportedOps."""
    refuse_unknown(source_format, [name])
    return _REGISTRY[source_format][name]
