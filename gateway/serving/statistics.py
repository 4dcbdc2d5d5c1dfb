"""True counts and durations of one version: what Triton's statistics and nv_inference_* are made of.

    success, fail   requests, from arrival to answer or error
    queue           requests, from arrival to the start of the run that answered them
    input, infer, output
                    runs: joining the inputs, the runtime itself, cutting the outputs apart

Rule 1: only what happened is counted: a run that failed counts for the failure of its requests
        and nowhere else. Durations are whole nanoseconds of a monotonic clock.
Rule 2: everything here runs in the event loop; it costs a request a few additions.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from gateway.errors import DeadlineExceeded, ModelRunError, Unavailable

MAX_BATCH_SIZES = 1024
"""Distinct batch sizes that are told apart; clients choose them, and a long life must not grow without bound."""

REASONS = ("OTHER", "BACKEND", "CANCELED", "REJECTED")


@dataclass(slots=True)
class Sum:
    """How often, and how long in all."""

    count: int = 0
    ns: int = 0

    def add(self, count: int, ns: int) -> None:
        self.count += count
        self.ns += ns


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a model that went well. `waited_ns` is the sum over its requests."""

    requests: int
    rows: int
    waited_ns: int
    input_ns: int
    infer_ns: int
    output_ns: int


@dataclass(slots=True)
class OfBatchSize:
    """Runs of one number of rows."""

    input: Sum = field(default_factory=Sum)
    infer: Sum = field(default_factory=Sum)
    output: Sum = field(default_factory=Sum)


@dataclass(slots=True)
class Statistics:
    """Of one version since the gateway started; another content under the same number goes on counting."""

    success: Sum = field(default_factory=Sum)
    queue: Sum = field(default_factory=Sum)
    input: Sum = field(default_factory=Sum)
    infer: Sum = field(default_factory=Sum)
    output: Sum = field(default_factory=Sum)
    failures: dict[str, Sum] = field(default_factory=lambda: {reason: Sum() for reason in REASONS})
    rows: int = 0
    runs: int = 0
    last_ms: int = 0  # of the last run, milliseconds since 1970
    sizes: dict[int, OfBatchSize] = field(default_factory=dict)

    @property
    def fail(self) -> Sum:
        total = Sum()
        for failed in self.failures.values():
            total.add(failed.count, failed.ns)
        return total

    def ran(self, run: Run) -> None:
        """A run of the model that gave answers."""
        self.rows += run.rows
        self.runs += 1
        self.last_ms = time.time_ns() // 1_000_000
        self.queue.add(run.requests, run.waited_ns)
        self.input.add(run.requests, run.input_ns * run.requests)
        self.infer.add(run.requests, run.infer_ns * run.requests)
        self.output.add(run.requests, run.output_ns * run.requests)
        size = self.sizes.get(run.rows)
        if size is None:
            if len(self.sizes) >= MAX_BATCH_SIZES:
                return
            size = self.sizes[run.rows] = OfBatchSize()
        size.input.add(1, run.input_ns)
        size.infer.add(1, run.infer_ns)
        size.output.add(1, run.output_ns)

    def answered(self, ns: int) -> None:
        self.success.add(1, ns)

    def failed(self, error: BaseException, ns: int) -> None:
        self.failures[reason_of(error)].add(1, ns)

    def by_size(self) -> Iterator[tuple[int, OfBatchSize]]:
        yield from sorted(self.sizes.items())


def reason_of(error: BaseException) -> str:
    """Triton's word for why a request failed."""
    if isinstance(error, ModelRunError):
        return "BACKEND"
    if isinstance(error, (Unavailable, DeadlineExceeded)):
        return "REJECTED"
    return "OTHER" if isinstance(error, Exception) else "CANCELED"
