"""Parts that only TensorFlow can try, in one process of it: warm-up requests of others, and files made smaller.

The warm-up requests are as TensorFlow Serving's own messages have written them (make_warmup.py).
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gateway.process.spawn import GATEWAY
from tests.environments import environment

SCRIPT, FILE = (Path(__file__).with_name(name) for name in ("tensorflow_parts.py", "warmup.json"))
X = [[1.0, 0.0], [0.0, 1.0]]
PRODUCT = ["product", {"x": X}]
EXAMPLES, COMMON, ONE = (["examples", rows] for rows in (X, [[2.0, 2.0]] * 2, [[3.0, 3.0]]))
CALLS: dict[str, list[Any]] = {
    "every kind": [PRODUCT, PRODUCT, ["words", ["alpha"]], EXAMPLES, COMMON, ONE, ONE],
    "no such signature": [PRODUCT],
    "a size that does not fit": [["product", {"x": [[1.0, 2.0, 3.0]]}]],
    "cut off": [PRODUCT],
    "one too many": [["words", ["alpha"]]] * 1000,
}
SAID = {
    "every kind": "",
    "no such signature": "record 2 (Predict of signature 'serving_defualt'): there is no such signature; there is "
    "serving_default, words, classify, regress. Did you mean 'serving_default'?",
    "an input that is not there": "record 1 (Predict of signature 'serving_default') gives y, expected x.",
    "a size that does not fit": "record 1 (Predict of signature 'serving_default') fails: ",
    "a session's run": "record 1: it is neither Predict, Classify, Regress nor MultiInference",
    "no message": "record 1: the file ends in the middle of a number, or is no protobuf.",
    "cut off": "assets.extra/tf_serving_warmup_requests is no TFRecord, or is cut off: ",
    "one too many": "assets.extra/tf_serving_warmup_requests has more than 1000 records.",
    "no TFRecord": "assets.extra/tf_serving_warmup_requests is no TFRecord, or is cut off: ",
}


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    command = [str(environment("tensorflow").python), str(SCRIPT), str(GATEWAY), str(FILE)]
    done = subprocess.run(command, timeout=170, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.environment("tensorflow")
@pytest.mark.parametrize("name", SAID)
def test_each_record_is_called_or_refused_by_name(seen: dict[str, Any], name: str) -> None:
    found = seen["replay"][name]
    assert found["calls"] == CALLS.get(name, [])
    assert SAID[name] in found["error"]
    assert bool(found["error"]) == bool(SAID[name])
    assert ("TensorFlow Serving would not serve it either" in found["hint"]) == bool(SAID[name])


@pytest.mark.environment("tensorflow")
def test_a_smaller_file_answers_as_before(seen: dict[str, Any]) -> None:
    before, after = seen["slim"]["before"], seen["slim"]["after"]
    for name in ("y", "loop", "calls"):
        assert after[name] == before[name], name
    assert after["calls"] == [1.0, 2.0], "what moves a variable goes on moving it"
    assert after["y"][0] == [6.0, -12.0]
    assert after["loop"][0] == [64.0, -128.0]
    assert all(number != 0 for draw in after["noise"] for number in draw), "two draws are two draws"
    assert after["size"] < before["size"] * 0.9
    assert after["fingerprint"] != before["fingerprint"], "it is of the file as it lies there"


@pytest.mark.environment("tensorflow")
@pytest.mark.parametrize(
    ("operator", "before", "after"),
    [
        pytest.param("Mul", 4, 2, id="equal nodes are one, in a loop's body as well"),
        pytest.param("RealDiv", 2, 1, id="what an identity hands on is the same"),
        pytest.param("Exp", 1, 0, id="a node that no-one asks for"),
        pytest.param("RandomUniform", 2, 2, id="nodes with a state are never joined"),
        pytest.param("AssignAddVariableOp", 1, 1, id="what only acts stays"),
    ],
)
def test_what_is_left_out(seen: dict[str, Any], operator: str, before: int, after: int) -> None:
    counts = [seen["slim"][when]["operators"].count(operator) for when in ("before", "after")]
    assert counts == [before, after]
    assert "_output_shapes" not in seen["slim"]["after"]["operators"]
