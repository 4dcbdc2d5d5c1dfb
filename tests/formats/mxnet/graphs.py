"""Whole symbols for rows that one node cannot be; each function runs in MXNet's own Environment."""

from __future__ import annotations

from typing import Any


def rrelu(**attrs: Any) -> Any:
    """The first output of rrelu: the second exists in training only."""
    import mxnet as mx  # noqa: TID251  this is MXNet's own Environment

    return mx.sym.identity(mx.sym.LeakyReLU(mx.sym.Variable("data"), act_type="rrelu", **attrs)[0], name="op")
