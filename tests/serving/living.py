"""A gateway within the test's own event loop: real files, real conversions, no client."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np

from gateway.app import App
from gateway.config import Settings, Tfserving, Watch
from gateway.errors import GatewayError
from gateway.serving.predict import ModelSpec, PredictCall
from tests.e2e import affine

SOON_S = 40.0


class Living:
    """One gateway on root/repo. `k` is what the model adds: which content answered."""

    def __init__(self, app: App, root: Path) -> None:
        self.app, self.root = app, root
        self.control, self.manager = app.control, app.manager
        self.repo = root / "repo"

    async def k(self, name: str, version: int | None = None, label: str | None = None) -> float:
        with self.manager.lease(ModelSpec(name, version, label)) as lease:
            answer = await lease.predict(PredictCall({"x": np.zeros((1, 2), np.float32)}))
        return float(answer.outputs["y"][0, 0])

    async def until_k(self, name: str, expected: float | None) -> None:
        """Until that content answers; None: until nobody does."""
        end, seen = time.monotonic() + SOON_S, ""
        while time.monotonic() < end:
            try:
                found: float | None = await self.k(name)
                seen = str(found)
            except GatewayError as error:
                found, seen = None, error.explain()
            if found == expected:
                return
            await self.manager.fleet.changed(0.2)
        raise AssertionError(f"{name}: expected {expected}, seen {seen}")

    async def until(self, true: Callable[[], Any]) -> None:
        end = time.monotonic() + SOON_S
        while not true():
            assert time.monotonic() < end, f"not within {SOON_S} s; {self.control.index()}"
            await self.manager.fleet.changed(0.1)

    def soon(self) -> float:
        return time.monotonic() + SOON_S

    def states(self, name: str) -> dict[int, str]:
        return {row.version: row.state.value for row in self.control.index() if row.name == name and row.state}

    def drop(self, path: str, k: float) -> Path:
        """The content k, under the repository's folder or an absolute path."""
        return affine.write(self.repo / path, k)


@contextlib.asynccontextmanager
async def living(root: Path, store: Path, *, repository: bool = True, **settings: Any) -> AsyncIterator[Living]:
    """`store` may be shared: the same content is converted once for all tests."""
    (root / "repo").mkdir(parents=True, exist_ok=True)
    watch = Watch(poll_s=0.1, settle_s=0.1)
    tfserving = Tfserving(**settings.pop("tfserving", {}))
    ports = dict.fromkeys(("grpc_port", "http_port", "admin_port", "metrics_port"), 0)
    chosen = root / "repo" if repository else Path("-")
    app = App(Settings(repository=chosen, store=store, watch=watch, tfserving=tfserving, **ports, **settings))
    await app.start()
    try:
        yield Living(app, root)
    finally:
        await app.stop(1.0)
