"""Graphs for TensorBoard: the same nodes as the source, read by a real TensorBoard; other kinds are refused by name."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from gateway import api
from gateway.errors import ConversionError
from gateway.formats.savedmodel.wire import field
from gateway.formats.tensorboard import Node, graph_def, masked, slim
from tests import models
from tests.environments import environment
from tests.formats.wire_format import message, number

ROOT = Path(__file__).parents[3]
SYMBOL = ROOT / "model_repo" / "digits" / "1" / "digits-symbol.json"
CLIENT = ROOT / "tests" / "protocols" / "clients" / "tensorboard_client.py"


def tensorflow_graph() -> bytes:
    """x -> y = x + k, as TensorFlow's serialisation has it; every node with an attribute, the graph with versions."""

    def node(name: str, op: str, *inputs: str) -> bytes:
        attr = message(5, message(1, "T") + message(2, number(6, 1)))
        return message(1, message(1, name) + message(2, op) + b"".join(message(3, i) for i in inputs) + attr)

    nodes = node("x", "Placeholder") + node("scope/k", "Const") + node("scope/y", "AddV2", "x", "scope/k")
    return nodes + message(4, number(1, 1882))


def write_all(folder: Path) -> dict[str, tuple[Path, list[str]]]:
    """Sources by name, with the names of the nodes that are in them."""
    graph = tensorflow_graph()
    meta = message(1, message(4, "serve") + message(5, "2.21.0")) + message(2, graph)
    (folder / "saved").mkdir(parents=True)
    (folder / "saved" / "saved_model.pb").write_bytes(number(1, 1) + message(2, meta))
    (folder / "model.ckpt.meta").write_bytes(meta)
    (folder / "frozen.pb").write_bytes(graph)
    nodes = ["scope/k", "scope/y", "x"]
    symbol = [node["name"] for node in json.loads(SYMBOL.read_text())["nodes"]]
    return {
        "SavedModel": (folder / "saved", nodes),
        "meta": (folder / "model.ckpt.meta", nodes),
        "frozen": (folder / "frozen.pb", nodes),
        "symbol": (SYMBOL, sorted(symbol)),
        "ONNX": (models.model("half_plus_two"), []),
    }


@pytest.mark.slow  # five Jobs and TensorBoard's server
@pytest.mark.environment("client-tensorboard")
def test_tensorboard_shows_the_nodes_of_the_source(tmp_path: Path) -> None:
    python = environment("client-tensorboard").python
    counts = {}
    for run, (source, _) in write_all(tmp_path / "sources").items():
        file, counts[run] = api.tensorboard(source, tmp_path / "log" / run)
        assert file.parent == tmp_path / "log" / run
    done = subprocess.run([python, CLIENT, tmp_path / "log"], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert {run: len(nodes) for run, nodes in found.items()} == counts
    expected = {run: nodes for run, (_, nodes) in write_all(tmp_path / "again").items() if nodes}
    assert {run: found[run] for run in expected} == expected
    assert {"x", "y"} & set(found["ONNX"]) == {"x"}, "an input is a node; an output is what a node gives"


def test_a_kind_without_a_graph_is_refused_by_name(tmp_path: Path) -> None:
    models.base_python()
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }")
    with pytest.raises(ConversionError, match="no graph is written of "):
        api.tensorboard(tmp_path / "a.npy", tmp_path / "log")


def test_two_of_one_name_and_names_that_tensorboard_would_read_as_more() -> None:
    graph = graph_def([Node("/a:0", "X"), Node("a_0", "Y", ["/a:0"]), Node("", "Z", ["a_0"])])
    names = [b"a_0", b"a_0_2", b"Z"]
    assert graph == b"".join(
        field(1, field(1, name) + field(2, op) + b"".join(field(3, i) for i in inputs))
        for name, op, inputs in zip(names, (b"X", b"Y", b"Z"), ([], [b"a_0"], [b"a_0_2"]))
    )


def test_large_constants_lose_their_numbers_and_nothing_else() -> None:
    small, large = message(1, "k") + message(2, "Const"), message(1, "w") + message(2, "Const") + message(5, "n" * 9000)
    other = message(1, "f") + message(2, "Foo") + message(5, "n" * 9000)
    graph = message(1, small) + message(1, large) + message(1, other) + message(2, "library") + message(4, "versions")
    cut = message(1, "w") + message(2, "Const")
    assert slim(graph) == message(1, small) + message(1, cut) + message(1, other) + message(2, "library") + message(
        4, "versions"
    )


@pytest.mark.parametrize(("data", "crc"), [(b"", 0), (b"123456789", 0xE3069283)])
def test_checksum(data: bytes, crc: int) -> None:
    """CRC-32C as its inventors print it, turned by 15 bits, and a282ead8 added."""
    assert masked(data) == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
