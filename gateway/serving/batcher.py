"""Joins the requests of one loaded model into runs: what arrived in one loop tick is one run.

A request costs no thread hop of its own. A model that runs faster than `inline_us` runs in the
event loop; a slower one in its session thread, with one wake-up of the loop a run. While a run
is in the thread, requests queue; the next run takes all that fit.

Rule 1: only requests that agree in signature, outputs, dtypes and all but the first dimension
        are joined, and only where verification has shown the first dimension to be a batch.
Rule 2: an error in a joined run is nobody's until each request has run alone: one bad request
        never fails its neighbours.
Rule 3: nothing waits for ever: the queue is bounded, a request whose deadline has passed or
        whose client is gone is not run.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gateway.config import Batch
from gateway.core.dtypes import Tensors
from gateway.core.signature import Signature
from gateway.errors import DeadlineExceeded, GatewayError, ModelRunError, Overloaded, Unavailable, WorkerDied
from gateway.runtimes.base import Runtime
from gateway.serving.statistics import Run

log = logging.getLogger("gateway.serving")

INLINE_BYTES = 1 << 18  # more input than this never runs in the loop, however fast the model was before
UNKNOWN_US = 1e9  # not measured yet: counts as slow
_Key = tuple[Any, ...]


class _Item:
    """One waiting request."""

    __slots__ = ("deadline", "future", "inputs", "key", "outputs", "rows", "signature", "timer", "waiting_since")

    def __init__(self, signature: Signature, inputs: Tensors, outputs: Sequence[str], deadline: float | None) -> None:
        self.signature = signature
        self.inputs = inputs
        self.outputs = tuple(outputs)
        self.deadline = deadline
        self.rows = 0
        self.key: _Key | None = None
        if signature.batched:
            self.rows = next(iter(inputs.values())).shape[0]
            shapes = tuple((array.dtype, array.shape[1:]) for array in inputs.values())
            self.key = (signature.name, self.outputs, tuple(inputs), shapes)
        self.future: asyncio.Future[Tensors] = asyncio.get_running_loop().create_future()
        self.timer: asyncio.TimerHandle | None = None
        self.waiting_since = time.monotonic()

    def settle(self, answer: Tensors | BaseException) -> None:
        if self.timer is not None:
            self.timer.cancel()
        if self.future.done():
            return
        if isinstance(answer, BaseException):
            self.future.set_exception(answer)
        else:
            self.future.set_result(answer)


class Batcher:
    """Requests of one loaded artifact. Lives in the event loop; `close` from there too."""

    def __init__(
        self,
        runtime: Runtime,
        limits: Batch,
        *,
        label: str,
        on_batch: Callable[[int, float], None] = lambda rows, waited_s: None,
        on_lost: Callable[[WorkerDied], None] = lambda error: None,
        on_run: Callable[[Run], None] = lambda run: None,
        run_us: float = UNKNOWN_US,
    ) -> None:
        """`label` names the model in errors. `on_batch(rows, longest wait)` is called before each run,
        `on_run` after each that went well; both in the event loop."""
        self._runtime = runtime
        self._limits = limits
        self._label = label
        self._on_batch = on_batch
        self._on_lost = on_lost
        self._on_run = on_run
        self._ran: list[Run] = []  # since the last settling; one thread at a time runs and settles
        self._run_us = run_us  # moving average of one run
        self._queue: deque[_Item] = deque()
        self._scheduled = False
        self._in_thread = False
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._work: queue.SimpleQueue[list[_Item] | None] | None = None

    @property
    def waiting(self) -> int:
        return len(self._queue)

    @property
    def run_us(self) -> float:
        return self._run_us

    def submit(
        self, signature: Signature, inputs: Tensors, outputs: Sequence[str], deadline: float | None
    ) -> asyncio.Future[Tensors]:
        """Inputs must have passed `signature.check`. Errors: Overloaded at once; the rest through the future."""
        if self._closed:
            raise Unavailable(f"{self._label} is being unloaded.")
        if len(self._queue) >= self._limits.max_queue:
            raise Overloaded(
                f"{self._label} has {len(self._queue)} requests waiting, its limit.",
                hint="Try again later; the limit is the setting batch.max_queue.",
            )
        item = _Item(signature, inputs, outputs, deadline)
        if deadline is not None:
            left = deadline - item.waiting_since
            if left <= 0:
                raise DeadlineExceeded(f"{self._label}: the deadline passed before the request was queued.")
            item.timer = self._loop.call_later(left, self._expire, item)
        self._queue.append(item)
        self._schedule()
        return item.future

    def close(self, error: GatewayError | None = None) -> None:
        """Fail what still waits, with `error` if there is one; end the session thread.

        The runtime is closed by its owner.
        """
        self._closed = True
        for item in self._queue:
            item.settle(error or Unavailable(f"{self._label} is being unloaded."))
        self._queue.clear()
        if self._work is not None:
            self._work.put(None)
            self._work = None

    def _expire(self, item: _Item) -> None:
        waited = time.monotonic() - item.waiting_since
        item.timer = None
        item.settle(DeadlineExceeded(f"{self._label}: no answer within the deadline ({waited:.3f} s)."))

    def _schedule(self) -> None:
        if not self._scheduled and not self._in_thread and self._queue:
            self._scheduled = True
            self._loop.call_soon(self._tick)

    def _tick(self) -> None:
        self._scheduled = False
        batch = self._take()
        if not batch:
            return
        try:
            self._on_batch(max(1, sum(item.rows for item in batch)), time.monotonic() - batch[0].waiting_since)
            if self._may_run_inline(batch):
                self._settle(batch, self._run(batch))
                self._schedule()
            else:
                self._in_thread = True
                self._session_thread().put(batch)
        except Exception:
            # A fault of ours (no thread to be had, a broken observer) must not leave its requests waiting.
            log.exception("%s: a run could not be started", self._label)
            self._in_thread = False
            self._settle(batch, [ModelRunError(f"{self._label}: a run could not be started.")] * len(batch))
            self._schedule()

    def _take(self) -> list[_Item]:
        """The oldest live request and all that may be joined to it, in order."""
        batch: list[_Item] = []
        rest: list[_Item] = []
        rows = 0
        while self._queue:
            item = self._queue.popleft()
            if item.future.done():  # expired, or its client is gone
                if item.timer is not None:
                    item.timer.cancel()
                continue
            if not batch:
                batch.append(item)
                rows = item.rows
                if item.key is None:
                    break
            elif item.key == batch[0].key and rows + item.rows <= self._limits.max_rows:
                batch.append(item)
                rows += item.rows
            else:
                rest.append(item)
            if rows >= self._limits.max_rows:
                break
        self._queue.extendleft(reversed(rest))
        return batch

    def _may_run_inline(self, batch: list[_Item]) -> bool:
        return (
            self._runtime.in_process
            and self._run_us <= self._limits.inline_us
            and sum(array.nbytes for item in batch for array in item.inputs.values()) <= INLINE_BYTES
        )

    def _run(self, batch: list[_Item]) -> list[Tensors | BaseException]:
        """One answer or error for each item. Runs in the loop or in the session thread."""
        if len(batch) == 1:
            return [self._run_alone(batch[0])]
        try:
            return self._run_joined(batch)
        except WorkerDied as error:
            return [error] * len(batch)
        except Exception as error:  # whatever it was, each request alone gives its own answer or typed error
            if not isinstance(error, (GatewayError, _NotABatch)):
                log.exception("%s: a joined run failed", self._label)
            return [self._run_alone(item) for item in batch]

    def _run_joined(self, batch: list[_Item]) -> list[Tensors | BaseException]:
        """Join along the first dimension, run once, give each request its own rows (views, no copies)."""
        first = batch[0]
        started = time.monotonic_ns()
        joined = {name: np.concatenate([item.inputs[name] for item in batch]) for name in first.inputs}
        ready = time.monotonic_ns()
        outputs = self._runtime.run(first.signature.name, joined, first.outputs)
        done = time.monotonic_ns()
        answers = _cut(outputs, batch)
        self._measured(batch, started, ready, done)
        return answers

    def _run_alone(self, item: _Item) -> Tensors | BaseException:
        started = time.monotonic_ns()
        try:
            answer = self._runtime.run(item.signature.name, item.inputs, item.outputs)
        except GatewayError as error:
            return error
        except Exception as error:  # noqa: BLE001  a fault of the runtime must reach the waiting request
            return ModelRunError(f"{self._label}: the runtime failed with {type(error).__name__}.")
        self._measured([item], started, started, time.monotonic_ns())
        return answer

    def _measured(self, batch: list[_Item], started: int, ready: int, done: int) -> None:
        """A run that went well; the three are of time.monotonic_ns()."""
        rows = sum(item.rows for item in batch) if batch[0].signature.batched else 1
        waited = sum(started - int(item.waiting_since * 1e9) for item in batch)
        ended = time.monotonic_ns() if len(batch) > 1 else done
        self._ran.append(Run(len(batch), rows, max(0, waited), ready - started, done - ready, ended - done))
        took_us = (done - started) / 1e3
        self._run_us = took_us if self._run_us >= UNKNOWN_US else 0.9 * self._run_us + 0.1 * took_us

    def _settle(self, batch: list[_Item], answers: list[Tensors | BaseException]) -> None:
        ran, self._ran = self._ran, []
        for run in ran:
            self._on_run(run)
        for item, answer in zip(batch, answers, strict=True):
            item.settle(answer)
        lost = next((answer for answer in answers if isinstance(answer, WorkerDied)), None)
        if lost is not None:
            self._on_lost(lost)

    def _session_thread(self) -> queue.SimpleQueue[list[_Item] | None]:
        if self._work is None:
            self._work = queue.SimpleQueue()
            threading.Thread(target=self._serve, args=(self._work,), name=f"session {self._label}", daemon=True).start()
        return self._work

    def _serve(self, work: queue.SimpleQueue[list[_Item] | None]) -> None:
        while (batch := work.get()) is not None:
            answers = self._run(batch)
            try:
                self._loop.call_soon_threadsafe(self._done, batch, answers)
            except RuntimeError:  # the loop is closed: the process is going down
                return

    def _done(self, batch: list[_Item], answers: list[Tensors | BaseException]) -> None:
        self._in_thread = False
        self._settle(batch, answers)
        self._schedule()


class _NotABatch(Exception):
    """A joined run gave an output whose first dimension is not the number of rows."""


def _cut(outputs: Tensors, batch: list[_Item]) -> list[Tensors | BaseException]:
    """Each request's own rows of a joined run. Errors: _NotABatch."""
    total = sum(item.rows for item in batch)
    if any(array.ndim == 0 or array.shape[0] != total for array in outputs.values()):
        raise _NotABatch
    answers: list[Tensors | BaseException] = []
    start = 0
    for item in batch:
        stop = start + item.rows
        answers.append({name: array[start:stop] for name, array in outputs.items()})
        start = stop
    return answers
