"""One gateway for the tests that only drop models into it; tests that stop one start their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.errors import EnvironmentMissing
from gateway.process.environments import Environments
from tests.e2e.running import Running, gateway


@pytest.fixture(scope="session", autouse=True)
def base_environment() -> None:
    """Conversions need it; `make setup` has built it."""
    try:
        Environments().find("base")
    except EnvironmentMissing as error:
        pytest.skip(error.explain())


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Every test uses model names of its own."""
    with gateway(tmp_path_factory.mktemp("shared")) as running:
        yield running


@pytest.fixture
def repository(shared: Running) -> Path:
    return shared.repository
