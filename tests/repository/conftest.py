from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.repository.store import Store
from tests.repository.trees import Watched


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "store")
    store.open()
    yield store
    store.close()


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    path = tmp_path / "repo"
    path.mkdir()
    return path


@pytest.fixture
def watched(repo: Path, store: Store) -> Watched:
    return Watched(repo, store.index)
