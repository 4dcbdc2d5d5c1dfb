"""What may be joined is joined, what may not is not, and nobody's error is anybody else's."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.config import Batch
from gateway.core.artifact import Artifact
from gateway.core.dtypes import Tensors
from gateway.core.signature import Signature, TensorSpec
from gateway.errors import DeadlineExceeded, InvalidTensor, ModelRunError, Overloaded, Unavailable, WorkerDied
from gateway.runtimes.base import Runtime
from gateway.serving.batcher import UNKNOWN_US, Batcher

X = TensorSpec("x", "float32", (None, 2))
Y = TensorSpec("y", "float32", (None, 2))
BATCHED = Signature((X,), (Y,), batched=True)
ALONE = Signature((X,), (Y,), batched=False)


class Doubling(Runtime):
    """y = 2x; counts the rows of each run, and may be told to misbehave."""

    name = "doubling"

    def __init__(self, behave: Callable[[Tensors], Tensors] | None = None, slow_s: float = 0.0) -> None:
        self.runs: list[int] = []
        self.threads: list[int] = []
        self._behave = behave or (lambda inputs: {"y": inputs["x"] * 2})
        self._slow_s = slow_s

    @classmethod
    def accepts(cls, artifact: Artifact) -> bool:
        return True

    @classmethod
    def load(cls, artifact: Artifact, folder: Path, **options: Any) -> Doubling:
        return cls()

    def run(self, signature: str, inputs: Tensors, outputs: Sequence[str] = ()) -> Tensors:
        self.runs.append(int(inputs["x"].shape[0]))
        self.threads.append(threading.get_ident())
        if self._slow_s:
            time.sleep(self._slow_s)
        return self._behave(inputs)

    def placement(self) -> dict[str, str]:
        return {}

    def close(self) -> None:
        pass


def rows(count: int, start: float = 0.0) -> Tensors:
    return {"x": np.arange(start, start + 2 * count, dtype=np.float32).reshape(count, 2)}


@dataclass
class Case:
    requests: list[int]  # rows of each, submitted in one tick
    runs: list[int]  # rows of each run that is expected
    signature: Signature = BATCHED
    max_rows: int = 8
    run_us: float = 1.0  # fast: runs in the loop


CASES = {
    "one request is one run": Case([1], [1]),
    "what arrived in one tick is one run": Case([1, 2, 3], [6]),
    "a run holds at most max_rows": Case([4, 4, 4], [8, 4]),
    "a later small one fills the gap": Case([5, 4, 3], [8, 4]),
    "a request above max_rows runs whole": Case([20], [20]),
    "a model without a proven batch runs each alone": Case([1, 1, 1], [1, 1, 1], ALONE),
    "a slow model joins in its session thread": Case([1, 2], [3], run_us=UNKNOWN_US),
    "an empty batch is a run of no rows": Case([0], [0]),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_joining(case: Case) -> None:
    runtime = Doubling()

    async def main() -> list[Tensors]:
        batcher = Batcher(runtime, Batch(max_rows=case.max_rows), label="m", run_us=case.run_us)
        futures = [
            batcher.submit(case.signature, rows(count, 100.0 * i), (), None) for i, count in enumerate(case.requests)
        ]
        answers = await asyncio.wait_for(asyncio.gather(*futures), 10)
        batcher.close()
        return answers

    answers = asyncio.run(main())
    assert runtime.runs == case.runs
    for i, (count, answer) in enumerate(zip(case.requests, answers, strict=True)):
        np.testing.assert_array_equal(answer["y"], rows(count, 100.0 * i)["x"] * 2, strict=True)


def test_fast_models_run_in_the_loop_and_slow_ones_do_not() -> None:
    fast, slow = Doubling(), Doubling()

    async def main() -> None:
        for runtime, run_us in ((fast, 1.0), (slow, UNKNOWN_US)):
            batcher = Batcher(runtime, Batch(), label="m", run_us=run_us)
            await asyncio.wait_for(batcher.submit(BATCHED, rows(1), (), None), 10)
            batcher.close()

    asyncio.run(main())
    assert fast.threads == [threading.get_ident()]
    assert slow.threads != [threading.get_ident()]


def test_requests_of_other_shape_wait_their_turn() -> None:
    runtime = Doubling()
    free = Signature(
        (TensorSpec("x", "float32", (None, None)),), (TensorSpec("y", "float32", (None, None)),), batched=True
    )

    async def main() -> list[Tensors]:
        batcher = Batcher(runtime, Batch(), label="m", run_us=1.0)
        wide = {"x": np.ones((1, 5), np.float32)}
        futures = [batcher.submit(free, inputs, (), None) for inputs in (rows(1), wide, rows(2))]
        return await asyncio.wait_for(asyncio.gather(*futures), 10)

    answers = asyncio.run(main())
    assert runtime.runs == [3, 1]
    assert [answer["y"].shape for answer in answers] == [(1, 2), (1, 5), (2, 2)]


def test_one_bad_request_does_not_fail_its_neighbours() -> None:
    def no_nines(inputs: Tensors) -> Tensors:
        if (inputs["x"] == 900).any():
            raise InvalidTensor("input 'x' holds 900")
        return {"y": inputs["x"] * 2}

    async def main() -> list[Any]:
        batcher = Batcher(Doubling(no_nines), Batch(), label="m", run_us=1.0)
        futures = [batcher.submit(BATCHED, rows(1, start), (), None) for start in (0.0, 900.0, 4.0)]
        return await asyncio.wait_for(asyncio.gather(*futures, return_exceptions=True), 10)

    good, bad, also_good = asyncio.run(main())
    assert isinstance(bad, InvalidTensor)
    np.testing.assert_array_equal(good["y"], rows(1)["x"] * 2, strict=True)
    np.testing.assert_array_equal(also_good["y"], rows(1, 4.0)["x"] * 2, strict=True)


def test_an_output_that_is_no_batch_is_run_again_alone() -> None:
    """A proof that does not hold for these inputs must cost time, never a wrong row."""
    runtime = Doubling(lambda inputs: {"y": inputs["x"].sum(axis=0, keepdims=True)})

    async def main() -> list[Tensors]:
        batcher = Batcher(runtime, Batch(), label="m", run_us=1.0)
        futures = [batcher.submit(BATCHED, rows(1, start), (), None) for start in (0.0, 10.0)]
        return await asyncio.wait_for(asyncio.gather(*futures), 10)

    first, second = asyncio.run(main())
    assert runtime.runs == [2, 1, 1]
    np.testing.assert_array_equal(first["y"], rows(1)["x"], strict=True)
    np.testing.assert_array_equal(second["y"], rows(1, 10.0)["x"], strict=True)


def test_a_full_queue_refuses_at_once() -> None:
    async def main() -> None:
        batcher = Batcher(Doubling(slow_s=0.2), Batch(max_queue=2), label="model 'm'")
        running = batcher.submit(ALONE, rows(1), (), None)
        await asyncio.sleep(0.05)  # it has left the queue for its thread
        waiting = [batcher.submit(ALONE, rows(1), (), None) for _ in range(2)]
        with pytest.raises(Overloaded, match="model 'm' has 2 requests waiting"):
            batcher.submit(ALONE, rows(1), (), None)
        await asyncio.wait_for(asyncio.gather(running, *waiting), 10)
        batcher.close()

    asyncio.run(main())


def test_a_deadline_ends_the_wait_and_saves_the_run() -> None:
    runtime = Doubling(slow_s=0.3)

    async def main() -> None:
        batcher = Batcher(runtime, Batch(), label="m")
        first = batcher.submit(ALONE, rows(1), (), None)
        await asyncio.sleep(0.05)
        late = batcher.submit(ALONE, rows(2), (), time.monotonic() + 0.05)
        with pytest.raises(DeadlineExceeded):
            await asyncio.wait_for(late, 10)
        await asyncio.wait_for(first, 10)
        with pytest.raises(DeadlineExceeded, match="before the request was queued"):
            batcher.submit(ALONE, rows(3), (), time.monotonic() - 1)
        batcher.close()

    asyncio.run(main())
    assert runtime.runs == [1]


def test_a_client_that_left_is_not_run() -> None:
    runtime = Doubling(slow_s=0.2)

    async def main() -> None:
        batcher = Batcher(runtime, Batch(), label="m")
        first = batcher.submit(ALONE, rows(1), (), None)
        await asyncio.sleep(0.05)
        gone, last = (batcher.submit(ALONE, rows(n), (), None) for n in (2, 3))
        gone.cancel()
        await asyncio.wait_for(asyncio.gather(first, last), 10)
        batcher.close()

    asyncio.run(main())
    assert runtime.runs == [1, 3]


def test_a_dead_worker_is_reported_once_a_run_and_not_run_again() -> None:
    def dies(inputs: Tensors) -> Tensors:
        raise WorkerDied("killed by SIGKILL")

    runtime, lost = Doubling(dies), []

    async def main() -> list[Any]:
        batcher = Batcher(runtime, Batch(), label="m", on_lost=lost.append, run_us=1.0)
        futures = [batcher.submit(BATCHED, rows(1), (), None) for _ in range(3)]
        return await asyncio.wait_for(asyncio.gather(*futures, return_exceptions=True), 10)

    answers = asyncio.run(main())
    assert [type(answer) for answer in answers] == [WorkerDied] * 3
    assert runtime.runs == [3]
    assert len(lost) == 1


def test_a_fault_of_the_runtime_reaches_the_client_as_a_typed_error() -> None:
    def broken(inputs: Tensors) -> Tensors:
        raise ZeroDivisionError

    async def main() -> None:
        batcher = Batcher(Doubling(broken), Batch(), label="m", run_us=1.0)
        with pytest.raises(ModelRunError, match="ZeroDivisionError"):
            await asyncio.wait_for(batcher.submit(BATCHED, rows(1), (), None), 10)

    asyncio.run(main())


def test_closing_fails_what_waits_and_refuses_the_rest() -> None:
    async def main() -> None:
        batcher = Batcher(Doubling(slow_s=0.2), Batch(), label="m")
        running = batcher.submit(ALONE, rows(1), (), None)
        await asyncio.sleep(0.05)
        waiting = batcher.submit(ALONE, rows(1), (), None)
        batcher.close()
        with pytest.raises(Unavailable, match="unloaded"):
            await asyncio.wait_for(waiting, 10)
        with pytest.raises(Unavailable, match="unloaded"):
            batcher.submit(ALONE, rows(1), (), None)
        await asyncio.wait_for(running, 10)  # what runs is let finish

    asyncio.run(main())


def test_a_fault_of_ours_leaves_nobody_waiting() -> None:
    calls: list[int] = []

    def broken_once(rows_run: int, waited_s: float) -> None:
        calls.append(rows_run)
        if len(calls) == 1:
            raise ZeroDivisionError

    async def main() -> None:
        batcher = Batcher(Doubling(), Batch(), label="m", on_batch=broken_once, run_us=1.0)
        with pytest.raises(ModelRunError, match="could not be started"):
            await asyncio.wait_for(batcher.submit(BATCHED, rows(1), (), None), 10)
        answer = await asyncio.wait_for(batcher.submit(BATCHED, rows(1), (), None), 10)
        np.testing.assert_array_equal(answer["y"], rows(1)["x"] * 2, strict=True)

    asyncio.run(main())


def test_a_fault_of_the_runtime_in_a_joined_run_does_not_end_the_session_thread() -> None:
    """The thread must live on: without it every later request of the model would wait for ever."""

    def broken(inputs: Tensors) -> Tensors:
        if inputs["x"].shape[0] > 1:
            raise ZeroDivisionError
        return {"y": inputs["x"] * 2}

    async def main() -> list[Tensors]:
        batcher = Batcher(Doubling(broken), Batch(), label="m")  # not measured yet: runs in its thread
        futures = [batcher.submit(BATCHED, rows(1, start), (), None) for start in (0.0, 10.0)]
        answers = await asyncio.wait_for(asyncio.gather(*futures), 5)
        answers.append(await asyncio.wait_for(batcher.submit(BATCHED, rows(1), (), None), 5))
        batcher.close()
        return answers

    answers = asyncio.run(main())
    np.testing.assert_array_equal(answers[1]["y"], rows(1, 10.0)["x"] * 2, strict=True)
    np.testing.assert_array_equal(answers[2]["y"], rows(1)["x"] * 2, strict=True)
