"""Environments for tests: the built one, or a visible skip that says how to get it."""

from __future__ import annotations

import pytest

from gateway.errors import EnvironmentMissing
from gateway.process.environments import Environment, Environments


def environment(name: str) -> Environment:
    """The Environment, or skip with its reason."""
    try:
        return Environments().find(name)
    except EnvironmentMissing as error:
        pytest.skip(error.explain())
