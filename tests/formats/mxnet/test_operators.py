"""Every row of rows/: our graph against MXNet's answer; every operator that other importers know is known here."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

import pytest

from gateway.core.compare import Comparison
from gateway.errors import UnsupportedOps
from gateway.formats.mxnet.emit import load_operators
from gateway.graph.registry import operators, refusals, refuse_unknown
from tests.environments import environment
from tests.formats.mxnet import rows
from tests.formats.mxnet.harness import Case, array, assert_passed, run_child, run_table

load_operators()
TABLES: dict[str, dict[str, Case]] = {
    info.name: importlib.import_module(f"{rows.__name__}.{info.name}").CASES
    for info in pkgutil.iter_modules(rows.__path__)
}
ROWS = {f"{table}: {name}": case for table, cases in TABLES.items() for name, case in cases.items()}
NAMES = (Path(__file__).parent / "tvm_names.txt").read_text().splitlines()
LISTED = [name for name in NAMES if name and not name.startswith("#")]
CONTROL_FLOW = ("_foreach", "_while_loop", "_cond", "Custom")


@pytest.fixture(scope="module")
def results() -> dict[str, list[Comparison]]:
    return run_table(ROWS)


@pytest.mark.parametrize("name", ROWS)
def test_a_row_answers_as_mxnet_does(results: dict[str, list[Comparison]], name: str) -> None:
    assert_passed(results[name])


def test_every_operator_that_has_a_function_says_what_it_is() -> None:
    assert [name for name, function in operators("mxnet").items() if not function.__doc__] == []


@pytest.mark.parametrize("name", LISTED)
def test_a_listed_operator_has_a_function_or_a_reason(name: str) -> None:
    assert (name in operators("mxnet")) != (name in refusals("mxnet"))


def test_every_listed_operator_with_a_function_has_a_row() -> None:
    judged = {case.op for case in ROWS.values() if not case.refused}
    assert [name for name in LISTED if name in operators("mxnet") and name not in judged] == []


@pytest.mark.parametrize("name", refusals("mxnet"))
def test_a_refusal_says_its_reason(name: str) -> None:
    with pytest.raises(UnsupportedOps) as caught:
        refuse_unknown("mxnet", [name])
    assert name in caught.value.message
    assert refusals("mxnet")[name] in caught.value.hint


def test_at_least_215_operators_have_rows() -> None:
    assert len({case.op for case in ROWS.values() if not case.refused}) >= 215


def test_spoilt_parameters_and_missing_inputs_are_errors_of_ours() -> None:
    environment("base")
    rows_: dict[str, dict[str, object]] = {}
    for case in ROWS.values():
        if case.graph or case.op not in operators("mxnet"):
            continue
        given = [
            (name, value, weight)
            for weight, part in ((0, case.inputs), (1, case.weights))
            for name, value in part.items()
        ]
        arrays = [(name, array(name, value), weight) for name, value, weight in given]
        inputs = [[name, found.dtype.name, list(found.shape), weight] for name, found, weight in arrays]
        attrs = {key: str(value) for key, value in case.attrs.items()}
        rows_.setdefault(f"{case.op} {sorted(attrs)}", {"op": case.op, "attrs": attrs, "inputs": inputs})
    found = run_child("tests.formats.mxnet.spoilt:run", {"rows": list(rows_.values())}, "base").value
    assert found["tried"] > 3000
    assert found["crashes"] == []
