"""The IR's files read as data: both forms, every protocol of the pickle, and all that damage can make of them."""

from __future__ import annotations

import pickle  # noqa: TID251 - what is read here as data has to be written
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.errors import ConversionError, CorruptModel, GatewayError, UnsafeArtifact
from gateway.formats.base import Source
from gateway.formats.mmdnn import FORMAT, convert, ir, pickled
from tests.environments import environment
from tests.formats.darknet.harness import run_child
from tests.formats.mmdnn.writer import small
from tests.formats.wire_format import message, number, varint


def read(folder: Path, form: str = "pb") -> ir.Graph:
    return ir.read(folder / f"ir.{form}", folder / "ir.npy")


def test_both_forms_say_the_same(tmp_path: Path) -> None:
    small().save(tmp_path, "pb", "json")
    one, other = read(tmp_path), read(tmp_path, "json")
    assert ir.same(one, other) == ""
    assert [node.op for node in one.nodes] == ["DataInput", "Conv", "LeakyRelu", "Flatten", "FullyConnected"]
    assert one.outputs == ("fullyconnected_4",)
    assert one.nodes[1].attrs["pads"] == [0, 1, 1, 0, 0, 1, 1, 0]
    assert one.nodes[0].attrs["shape"] == ir.Literal((None, 6, 6, 3))
    assert one.nodes[1].shapes() == [(None, 6, 6, 4)]


PROTOCOLS = {f"protocol {protocol}": protocol for protocol in range(6)}


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS.keys())
def test_weights_of_every_protocol(protocol: int, tmp_path: Path) -> None:
    arrays: dict[str, dict[str, Any]] = {
        "a": {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "turned": np.asfortranarray(np.eye(3)[:2])},
        "b": {"one": np.float32(2.5), "big": np.arange(4, dtype=">i4")},
    }
    np.save(tmp_path / "w.npy", arrays)  # type: ignore[arg-type]
    header = (tmp_path / "w.npy").read_bytes()[:128]
    (tmp_path / "w.npy").write_bytes(header + pickle.dumps(arrays, protocol))
    found = pickled.read(tmp_path / "w.npy")
    for layer, named in arrays.items():
        for name, array in named.items():
            expected = np.asarray(array).astype(np.asarray(array).dtype.newbyteorder("="))
            np.testing.assert_array_equal(found[layer][name], expected, strict=True)


def test_weights_as_python_2_has_written_them(tmp_path: Path) -> None:
    """Texts without an encoding; the array's bytes are one of them."""
    raw = np.asarray([1.5, -2.0], "<f4").tobytes()
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I2\ntcnumpy\ndtype\n"
        b"(S'f4'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nU" + bytes([len(raw)]) + raw + b"tb"
    )
    body = b"(dS'conv'\n(dS'weights'\n" + array + b"ss."
    np.save(tmp_path / "w.npy", {})  # type: ignore[arg-type]
    (tmp_path / "w.npy").write_bytes((tmp_path / "w.npy").read_bytes()[:128] + body)
    np.testing.assert_array_equal(
        pickled.read(tmp_path / "w.npy")["conv"]["weights"], np.asarray([1.5, -2], "f4"), strict=True
    )


class Calls:
    """A pickle that would call something."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> Any:
        return self.function, self.arguments


HEADER = b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (), }".ljust(127) + b"\n"
PICKLES: dict[str, tuple[bytes, type[GatewayError], str]] = {
    "a pickle that would run a command": (
        pickle.dumps({"a": Calls(eval, "1")}), UnsafeArtifact, "builtins.eval at offset",
    ),
    "an object's state": (b"\x80\x02c__main__\nThing\n)\x81.", UnsafeArtifact, "__main__.Thing"),
    "an extension of the registry": (b"\x80\x02\x82\x01.", UnsafeArtifact, "opcode"),
    "a persistent id": (b"\x80\x02P1\n.", UnsafeArtifact, "opcode"),
    "a type of objects": (pickle.dumps({"a": {"w": np.array([{}, {}])}}, 2), CorruptModel, "expected bytes"),
    "a list of layers": (pickle.dumps([1, 2]), CorruptModel, "expected a dictionary of layers"),
    "a layer that is a number": (pickle.dumps({"a": 1}), CorruptModel, "layer 'a' holds int"),
    "a weight that is a text": (pickle.dumps({"a": {"w": "x"}}), CorruptModel, "no array"),
    "a length far beyond the file": (b"\x80\x02X\xff\xff\xff\x7fab.", CorruptModel, "are left"),
    "a memo that is not there": (b"\x80\x02h\x07.", CorruptModel, "breaks off"),
    "an empty stack": (b"\x80\x02s.", CorruptModel, "empty stack"),
    "marks without end": (b"\x80\x02" + b"(" * 100_000 + b"t.", CorruptModel, "breaks off|empty stack|holds tuple"),
    "a nest of lists": (b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".", CorruptModel, "holds list"),
    "an array of more than it has": (
        pickle.dumps({"a": {"w": np.zeros(4, np.float32)}}, 2).replace(b"K\x04\x85", b"K\x40\x85"),
        CorruptModel, "bytes",
    ),
    "numbers of an array that are complex": (
        pickle.dumps({"a": {"w": np.zeros(2, np.complex64)}}), CorruptModel, "the type c8",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("body", "error", "words"), PICKLES.values(), ids=PICKLES.keys())
def test_a_pickle_is_data_or_refused(body: bytes, error: type[GatewayError], words: str, tmp_path: Path) -> None:
    (tmp_path / "w.npy").write_bytes(HEADER + body)
    with pytest.raises(error, match=words):
        pickled.read(tmp_path / "w.npy")


def plain(array: np.ndarray) -> Callable[[Path], None]:
    return lambda path: np.save(path, array)


HEADERS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "an array of numbers": (plain(np.zeros(3)), "one dictionary"),
    "no .npy at all": (lambda path: path.write_bytes(b"PK\x03\x04" * 8), "no .npy file"),
    "nothing": (lambda path: path.write_bytes(b""), "no .npy file"),
    "a header of code": (
        lambda path: path.write_bytes(HEADER[:10] + b"__import__('os')".ljust(118)), "is not numpy's"
    ),
    "a header longer than the file": (
        lambda path: path.write_bytes(b"\x93NUMPY\x02\x00\xff\xff\xff\x7f" + b" " * 40), "header says",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("write", "words"), HEADERS.values(), ids=HEADERS.keys())
def test_headers(write: Callable[[Path], Any], words: str, tmp_path: Path) -> None:
    write(tmp_path / "w.npy")
    with pytest.raises(CorruptModel, match=words):
        pickled.read(tmp_path / "w.npy")


def node(name: str, op: str, *inputs: str, attr: bytes = b"") -> bytes:
    return message(1, message(1, name), message(2, op), *(message(3, each) for each in inputs), attr)


def valued(name: str, value: bytes) -> bytes:
    return node("a", "Constant", attr=message(4, message(1, name), message(2, value)))


def tensor(size: int, numbers: bytes) -> bytes:
    return message(8, number(1, 10), message(2, message(2, number(1, size))), numbers)


DATA = node("data", "DataInput")
GRAPHS: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "0 bytes"),
    "no nodes": (number(2, 1), "no nodes"),
    "a node without a name": (message(1, message(2, "Relu")), "no name"),
    "a node without an operator": (message(1, message(1, "a")), "no op"),
    "two of one name": (DATA + DATA, "two nodes are called 'data'"),
    "an edge from nowhere": (DATA + node("a", "Relu", "dat"), "reads 'dat', no node of the graph.*data"),
    "a control edge": (DATA + node("a", "Relu", "^data"), "a control edge"),
    "a ring": (DATA + node("a", "Add", "data", "b") + node("b", "Relu", "a") + node("c", "Relu", "b"), "needs itself"),
    "nothing is joined": (DATA + node("a", "Relu"), "none of them is joined"),
    "a field that the IR has not": (DATA + number(9, 1), "field 9 is none of GraphDef at offset"),
    "a length beyond the file": (varint(1 << 3 | 2) + varint(1 << 40), "where 0 bytes are left at offset"),
    "a number without end": (b"\x0a" + b"\xff" * 12, "does not end at offset"),
    "a wrong wire": (number(1, 3), "wire type 0, expected 2"),
    "a name that is no text": (message(1, message(1, b"\xff\xfe")), "no UTF-8"),
    "a list of two kinds": (
        DATA + valued("k", message(1, message(3, b"\x01"), message(6, b"\x01"))), "holds i, type together",
    ),
    "a tensor larger than its numbers": (
        DATA + valued("value", tensor(1 << 40, message(9, b"\0\0\0\0"))), "elements; supported is up to",
    ),
    "one number for a large tensor": (
        DATA + valued("value", tensor(1 << 20, message(9, b"\0\0\0\0"))), "has 1 numbers",
    ),
    "a tensor with too few bytes": (
        DATA + valued("value", tensor(4, message(4, b"\0\0\0\0"))), "has 4 bytes",
    ),
    "JSON cut short": (b'{"node": [', "no JSON"),
    "JSON nested without end": (b'{"node": ' + b"[" * 100_000, "no JSON"),
    "JSON with a field that the IR has not": (b'{"nodes": []}', "has 'nodes'"),
    "JSON with a number that is none": (
        b'{"node": [{"name": "a", "op": "Relu", "attr": {"k": {"i": "x"}}}]}', r"\$\.node\[0\]\.attr\.k\.i is 'x'",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("data", "words"), GRAPHS.values(), ids=GRAPHS.keys())
def test_graphs(data: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "ir.pb").write_bytes(data)
    with pytest.raises(CorruptModel, match=words):
        ir.read(tmp_path / "ir.pb", None)


def damaged(whole: bytes, cuts: int = 64, flips: int = 200) -> dict[str, bytes]:
    dice = random.Random(11)
    made = {f"cut at {size}": whole[:size] for size in np.linspace(0, len(whole) - 1, cuts, dtype=int).tolist()}
    for _ in range(flips):
        at, bit = dice.randrange(len(whole)), dice.randrange(8)
        made[f"byte {at} bit {bit}"] = whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :]
    return made


def refusal(graph: Path, weights: Path) -> str:
    """What an error of ours says; "" for none. Any other error is the test's."""
    try:
        ir.read(graph, weights)
    except (CorruptModel, UnsafeArtifact) as error:
        return error.message
    return ""


@pytest.mark.parametrize("name", ["ir.pb", "ir.json", "ir.npy"])
def test_damage_is_an_error_with_a_place(name: str, tmp_path: Path) -> None:
    small().save(tmp_path, "pb", "json")
    refused = 0
    for how, data in damaged((tmp_path / name).read_bytes()).items():
        (tmp_path / f"damaged-{name}").write_bytes(data)
        graph = tmp_path / ("ir.pb" if name == "ir.npy" else f"damaged-{name}")
        said = refusal(graph, tmp_path / ("damaged-ir.npy" if name == "ir.npy" else "ir.npy"))
        assert not said or f"damaged-{name}" in said, how
        refused += bool(said)
    assert refused > 64


def test_what_is_damaged_and_still_read_ends_in_an_error_of_ours(tmp_path: Path) -> None:
    environment("base")
    small().save(tmp_path / "whole")
    rows = {}
    for number_, (how, data) in enumerate(damaged((tmp_path / "whole" / "ir.pb").read_bytes(), 8, 40).items()):
        folder = small().save(tmp_path / str(number_))
        (folder / "ir.pb").write_bytes(data)
        rows[how] = str(folder)
    endings = run_child(
        "tests.formats.mmdnn.child:damage", {"format": "mmdnn-ir", "rows": rows}, "base", tmp_path
    ).value
    assert not [f"{how}: {ending}" for how, ending in endings.items() if ending.startswith("CRASH")]


def source(folder: Path) -> Source:
    return Source(folder, tuple(sorted(path.name for path in folder.iterdir())))


def test_what_mmtoir_writes_is_one_model(tmp_path: Path) -> None:
    small().save(tmp_path, "pb", "json")
    match = FORMAT.match(source(tmp_path))
    assert match is not None
    assert (match.main, sorted(match.used)) == ("ir.pb", ["ir.json", "ir.npy", "ir.pb"])
    assert "weights in ir.npy; ir.json is the same graph" in match.evidence
    assert convert.read(source(tmp_path), match).outputs == ("fullyconnected_4",)

    other = small()
    other.nodes[2]["attr"]["alpha"] = 0.2
    (tmp_path / "ir.json").write_bytes(other.json())
    with pytest.raises(ConversionError, match="differ in attribute alpha of node 'leakyrelu_2'"):
        convert.read(source(tmp_path), match)


ALONE: dict[str, tuple[str, bool]] = {
    "the graph alone is taken": ("pb", True),
    "as JSON": ("json", True),
    "weights alone are not": ("npy", False),
}


@pytest.mark.parametrize(("form", "mine"), ALONE.values(), ids=ALONE.keys())
def test_match(form: str, mine: bool, tmp_path: Path) -> None:
    small().save(tmp_path / "whole", "pb", "json")
    (tmp_path / f"ir.{form}").write_bytes((tmp_path / "whole" / f"ir.{form}").read_bytes())
    assert (FORMAT.match(Source(tmp_path, (f"ir.{form}",))) is not None) is mine
