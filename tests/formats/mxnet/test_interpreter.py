"""The interpreter against MXNet itself, one node at a time: its rows are where MXNet surprises.

The limit is core/compare's for float32: SNR of 90 dB and 1e-4 of the largest number; MXNet computes in float32,
the interpreter in float64, so 24 bits less a few for the sums are what they can share.
"""

from __future__ import annotations

import pytest

from gateway.core.compare import Comparison
from tests.formats.mxnet.harness import Case, assert_passed, run_table
from tests.formats.mxnet.interpreter_rows import elementwise, layers

ROWS: dict[str, Case] = {**layers.ROWS, **elementwise.ROWS}


@pytest.fixture(scope="module")
def results() -> dict[str, list[Comparison]]:
    return run_table(ROWS, by="interpreter")


@pytest.mark.parametrize("name", ROWS)
def test_a_node_answers_as_mxnet_does(results: dict[str, list[Comparison]], name: str) -> None:
    assert_passed(results[name])
