"""The interpreter against MXNet itself, one node at a time: its rows are where MXNet surprises.

The limit is core/compare's for float32: SNR of 90 dB and 1e-4 of the largest number; MXNet computes in float32,
the interpreter in float64, so 24 bits less a few for the sums are what they can share.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import replace

import pytest

from gateway.core.compare import Comparison
from gateway.formats.mxnet.interpreter.registry import TABLE
from gateway.graph.registry import operators
from tests.formats.mxnet import harness, rows
from tests.formats.mxnet.harness import Case, assert_passed, run_table
from tests.formats.mxnet.interpreter_rows import detectors, elementwise, layers, shapes

ROWS: dict[str, Case] = {**layers.ROWS, **elementwise.ROWS, **shapes.ROWS, **detectors.ROWS}


def of_the_operators() -> dict[str, Case]:
    """The converter's rows, which judge us as well; what it refuses is its own affair, what we do not know is ours."""
    found: dict[str, Case] = {}
    table = set(operators(TABLE))
    for module in pkgutil.iter_modules(rows.__path__):
        cases: dict[str, Case] = getattr(importlib.import_module(f"{rows.__name__}.{module.name}"), "CASES", {})
        found |= {
            f"{module.name}: {name}": case
            for name, case in cases.items()
            if not case.refused and case.op in table | {""}
        }
    return found


SHARED = of_the_operators()


NOT_ON_CPUS = {"CuDNNBatchNorm"}  # BatchNorm by another name, in builds for GPUs alone


def other_names() -> dict[str, Case]:
    """MXNet has many names for one operator; each is judged by the first row of a name that shares its function."""
    table = operators(TABLE)
    judged: dict[str, Case] = {}
    for case in [*ROWS.values(), *SHARED.values()]:
        judged.setdefault(case.op, case)
    by_function = {table[name]: case for name, case in reversed(judged.items()) if name in table}
    unjudged = (name for name in sorted(set(table) - NOT_ON_CPUS - set(judged)) if table[name] in by_function)
    return {f"{name} as {by_function[table[name]].op}": replace(by_function[table[name]], op=name) for name in unjudged}


ALIASES = other_names()


@pytest.fixture(scope="module")
def results() -> dict[str, list[Comparison]]:
    return run_table(ROWS | SHARED, by="interpreter")


@pytest.mark.parametrize("name", ROWS)
def test_a_node_answers_as_mxnet_does(results: dict[str, list[Comparison]], name: str) -> None:
    assert_passed(results[name])


@pytest.mark.parametrize("name", SHARED)
def test_the_converters_rows_hold_for_the_interpreter(results: dict[str, list[Comparison]], name: str) -> None:
    assert_passed(results[name])


@pytest.fixture(scope="module")
def alias_results() -> dict[str, list[Comparison]]:
    return run_table(ALIASES, by="interpreter")


@pytest.mark.parametrize("name", ALIASES)
def test_other_names_mean_the_same(alias_results: dict[str, list[Comparison]], name: str) -> None:
    assert_passed(alias_results[name])


@pytest.fixture(scope="module")
def plain_results() -> dict[str, list[Comparison]]:
    """MXNet's plain kernels answer first; run_table finds their answers."""
    arguments = [
        {"folder": str(harness._folder(case)), "op": case.op, "graph": "", "labels": [], "order": [*case.inputs],
         "attrs": {key: str(value) for key, value in case.attrs.items()}}
        for case in layers.PLAIN.values()
    ]  # fmt: skip
    harness.environment("mxnet")
    harness.run_child("tests.formats.mxnet.child:make", {"rows": arguments, "plain": True}, "mxnet")
    return run_table(layers.PLAIN, by="interpreter")


@pytest.mark.parametrize("name", layers.PLAIN)
def test_what_the_fast_path_refuses(plain_results: dict[str, list[Comparison]], name: str) -> None:
    assert_passed(plain_results[name])


NETS = {
    name: Case(
        "", {}, {"data": shape}, graph=f"tests.formats.mxnet.interpreter_rows.graphs:{name}", labels=("softmax_label",)
    )
    for name, shape in {
        "small_cnn": (2, 3, 10, 9),
        "segmentation": (2, 3, 8, 10),
        "detector": (2, 3, 11, 13),
        "lstm_cells": (2, 3),
    }.items()
}


@pytest.fixture(scope="module")
def net_results() -> dict[str, list[Comparison]]:
    return run_table(NETS, by="interpreter")


@pytest.mark.parametrize("name", NETS)
def test_a_small_net_answers_as_mxnet_does(net_results: dict[str, list[Comparison]], name: str) -> None:
    assert_passed(net_results[name])
