"""Statistics count what happened, once, and the metrics page says the same numbers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
import pytest

from gateway.config import Batch
from gateway.core.dtypes import Tensors
from gateway.errors import DeadlineExceeded, InvalidTensor, ModelRunError, Overloaded, WorkerDied
from gateway.serving.batcher import UNKNOWN_US, Batcher
from gateway.serving.metrics import Metrics
from gateway.serving.statistics import MAX_BATCH_SIZES, Run, Statistics, reason_of
from tests.serving.test_batcher import ALONE, BATCHED, Doubling


def rows(count: int, first: float = 1.0) -> Tensors:
    return {"x": np.full((count, 2), first, np.float32)}


def no_nines(inputs: Tensors) -> Tensors:
    if (inputs["x"] == 9).any():
        raise InvalidTensor("nine")
    return {"y": inputs["x"] * 2}


async def play(batched: bool, sent: list[Tensors], run_us: float, behave: Callable[[Tensors], Tensors]) -> Statistics:
    found = Statistics()
    batcher = Batcher(Doubling(behave), Batch(max_rows=8), label="m", on_run=found.ran, run_us=run_us)
    signature = BATCHED if batched else ALONE
    await asyncio.gather(*(batcher.submit(signature, one, (), None) for one in sent), return_exceptions=True)
    batcher.close()
    return found


CASES = {  # batched, requests, (runs, rows, requests counted, batch sizes)
    "one request is one run": (True, [rows(3)], (1, 3, 1, {3: 1})),
    "joined requests are one run and each counts": (True, [rows(1), rows(2), rows(3)], (1, 6, 3, {6: 1})),
    "what does not fit is a second run": (True, [rows(5), rows(5)], (2, 10, 2, {5: 2})),
    "without a batch each run is one inference": (False, [rows(3), rows(3)], (2, 2, 2, {1: 2})),
    "a request that fails in a joined run counts no run": (True, [rows(1), rows(2, 9.0)], (1, 1, 1, {1: 1})),
    "nothing that went well, nothing counted": (True, [rows(1, 9.0)], (0, 0, 0, {})),
}


@pytest.mark.parametrize("row", CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("run_us", [1.0, UNKNOWN_US], ids=["in the loop", "in the thread"])
def test_counts(row: tuple[bool, list[Tensors], tuple[int, int, int, dict[int, int]]], run_us: float) -> None:
    batched, sent, (runs, counted, requests, sizes) = row
    found = asyncio.run(play(batched, sent, run_us, no_nines))
    assert (found.runs, found.rows) == (runs, counted)
    assert {total.count for total in (found.queue, found.input, found.infer, found.output)} == {requests}
    assert {size: one.infer.count for size, one in found.by_size()} == sizes
    assert (found.last_ms > 0) == (runs > 0)
    assert sum(one.infer.ns for _, one in found.by_size()) <= found.infer.ns or not runs


def test_durations_are_those_of_the_run() -> None:
    found = Statistics()
    found.ran(Run(requests=2, rows=6, waited_ns=7, input_ns=10, infer_ns=100, output_ns=1))
    found.ran(Run(requests=1, rows=6, waited_ns=1, input_ns=0, infer_ns=50, output_ns=0))
    assert (found.queue.ns, found.input.ns, found.infer.ns, found.output.ns) == (8, 20, 250, 2)
    ((size, one),) = found.by_size()
    assert (size, one.infer.count, one.infer.ns, one.input.ns) == (6, 2, 150, 10)


REASONS = {
    "a wrong tensor": (InvalidTensor("x"), "OTHER"),
    "the model": (ModelRunError("x"), "BACKEND"),
    "its worker": (WorkerDied("x"), "BACKEND"),
    "a full queue": (Overloaded("x"), "REJECTED"),
    "the deadline": (DeadlineExceeded("x"), "REJECTED"),
    "the client went away": (asyncio.CancelledError(), "CANCELED"),
    "a fault of ours": (KeyError("x"), "OTHER"),
}


@pytest.mark.parametrize("row", REASONS.values(), ids=REASONS.keys())
def test_reasons(row: tuple[BaseException, str]) -> None:
    found = Statistics()
    found.failed(row[0], 5)
    assert reason_of(row[0]) == row[1]
    assert (found.fail.count, found.fail.ns, found.failures[row[1]].count) == (1, 5, 1)


def test_batch_sizes_are_bounded() -> None:
    found = Statistics()
    for size in range(MAX_BATCH_SIZES + 5):
        found.ran(Run(1, size, 0, 0, 1, 0))
    assert len(found.sizes) == MAX_BATCH_SIZES
    assert found.runs == MAX_BATCH_SIZES + 5


def test_the_metrics_page_has_tritons_names_and_forgets() -> None:
    metrics = Metrics()
    metrics.watch(list, lambda: {"m": 4})
    for version in (1, 2):
        found = metrics.statistics("m", version)
        found.ran(Run(requests=2, rows=6, waited_ns=9_000, input_ns=1_000, infer_ns=5_000, output_ns=2_000))
        found.answered(20_000)
        found.failed(Overloaded("x"), 1)
    text = metrics.page()[1].decode()
    for line in (
        'nv_inference_request_success{model="m",version="2"} 1',
        'nv_inference_request_failure{model="m",reason="REJECTED",version="2"} 1',
        'nv_inference_request_failure{model="m",reason="BACKEND",version="1"} 0',
        'nv_inference_count{model="m",version="1"} 6',
        'nv_inference_exec_count{model="m",version="1"} 1',
        'nv_inference_request_duration_us{model="m",version="1"} 20',
        'nv_inference_queue_duration_us{model="m",version="1"} 9',
        'nv_inference_compute_input_duration_us{model="m",version="1"} 2',
        'nv_inference_compute_infer_duration_us{model="m",version="1"} 10',
        'nv_inference_compute_output_duration_us{model="m",version="1"} 4',
        'nv_inference_pending_request_count{model="m",version="2"} 4',
        "# TYPE nv_inference_count counter",
    ):
        assert line in text.splitlines()
    metrics.batch_observer("m", 2)
    metrics.forget("m", 2)
    assert 'model="m",version="2"' not in metrics.page()[1].decode()
