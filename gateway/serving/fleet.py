"""The fleet: every generation of every model, the threads they are worked on in, and a bell for changes.

Rule 1: everything here is touched in the event loop only; what blocks goes through `call`.
Rule 2: a fault of a task ends in the log or in its model's FAILED, never in the loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from gateway.errors import GatewayError, ModelRunError
from gateway.serving.generation import Generation

log = logging.getLogger("gateway.serving")


class Fleet:
    def __init__(self, conversions: int) -> None:
        """`conversions` run at the same time."""
        self.models: dict[str, list[Generation]] = {}
        self.starting: set[Generation] = set()  # found at the first look and in the store: ready waits for them
        self.converting = ThreadPoolExecutor(conversions, thread_name_prefix="convert")
        self.loading = ThreadPoolExecutor(2, thread_name_prefix="load")
        self.looking = ThreadPoolExecutor(1, thread_name_prefix="scan")
        self._tasks: set[asyncio.Task[None]] = set()
        self._bell = asyncio.Event()

    # -- generations

    def __iter__(self) -> Iterator[Generation]:
        return iter([generation for generations in self.models.values() for generation in generations])

    def of(self, name: str) -> list[Generation]:
        return self.models.get(name, [])

    def add(self, generation: Generation) -> None:
        generation.on_change = self.ring
        self.models.setdefault(generation.model, []).append(generation)
        self.ring()

    def remove(self, generation: Generation) -> None:
        generations = self.models[generation.model]
        generations.remove(generation)
        self.starting.discard(generation)
        if not generations:
            del self.models[generation.model]
        self.ring()

    # -- the bell

    def ring(self) -> None:
        """Something has changed: whoever waits looks again."""
        self._bell.set()
        self._bell = asyncio.Event()

    async def changed(self, seconds: float | None) -> None:
        """Until the next change, or `seconds` have passed."""
        try:
            await asyncio.wait_for(self._bell.wait(), seconds)
        except TimeoutError:
            return

    # -- tasks

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def call(self, pool: ThreadPoolExecutor, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run in a thread. A fault that is no GatewayError becomes one, with its traceback in the log."""
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, function, *arguments)
        except (GatewayError, asyncio.CancelledError):
            raise
        except Exception as error:
            log.exception("a fault of the gateway itself")
            raise ModelRunError(
                f"a fault of the gateway itself: {type(error).__name__}: {error}.",
                hint="Its traceback is in the gateway's log; please report it.",
            ) from error

    async def cancel(self) -> None:
        """End every task."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def shut(self) -> None:
        """End the threads; what waits in them is dropped."""
        for pool in (self.looking, self.converting, self.loading):
            await asyncio.to_thread(pool.shutdown, True, cancel_futures=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a task of the manager failed", exc_info=task.exception())
