"""What Emit knows of sizes that are read at run time, and weights that do not fit into a protobuf."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.formats.mxnet.write import Graph, params
from tests.jobs import in_base

SIZES = {  # the shape, then the first letters of the names of free sizes
    "a shape given back": "[?,3,?,8]bw",
    "batch and the rest": "[?,?]b",
    "two free sizes": "[?,?,24]wb",
    "a size picked": "[?,?,24]w",
    "a size cut out": "[?,?,24]b",
    "arithmetic": "[40]",
    "arithmetic with a free size": "[?]",
    "expanded": "[?,8]b",
    "expanded to more dimensions": "[2,?,3,?,8]bw",
    "zeros copied by Reshape": "[?,3,?,4,2]bw",
}


@pytest.fixture(scope="module")
def sizes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    found: dict[str, Any] = in_base(
        "tests.formats.mxnet.in_base:sizes", {}, tmp_path_factory.mktemp("sizes") / "job"
    ).value
    return found


@pytest.mark.parametrize(("name", "shape"), SIZES.items(), ids=SIZES)
def test_sizes(name: str, shape: str, sizes: dict[str, Any]) -> None:
    assert sizes[name] == shape


def test_every_size_is_tested(sizes: dict[str, Any]) -> None:
    assert set(sizes) == set(SIZES)


def test_large_weights_lie_beside_the_model(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    graph = Graph()
    inputs = [graph.variable(name) for name in ("data", "f_weight", "f_bias")]
    graph.save(folder / "m-symbol.json", graph.node("FullyConnected", "f", inputs, num_hidden=5))
    weight = np.random.default_rng(0).standard_normal((5, 300)).astype(np.float32)
    bias = np.arange(5, dtype=np.float32)
    params(folder / "m-0000.params", {"arg:f_weight": weight, "arg:f_bias": bias})
    found = in_base("tests.formats.mxnet.in_base:large", {"folder": str(folder)}, tmp_path / "job").value
    assert found["files"] == ["model.onnx", "model.onnx.data"]
    assert found["outside"] == ["f_weight"]  # the bias is too small for a page
    assert "external data" in found["facts"]
    data = np.linspace(-1, 1, 600, dtype=np.float32).reshape(2, 300)
    np.testing.assert_allclose(found["answer"], data @ weight.T + bias, rtol=1e-4, atol=1e-4)
