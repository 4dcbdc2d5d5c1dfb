"""What a hostile GraphDef or MetaGraphDef would do is said before TensorFlow is imported: there is none in here."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.core.modeltoml import ModelOptions, TensorOption
from gateway.errors import ConversionError, CorruptModel
from gateway.formats.base import Match
from gateway.formats.savedmodel import limits, metagraph, screen
from gateway.formats.tfgraph import model
from tests.formats.in_base import source_of
from tests.formats.wire_format import message, number
from tests.hostile import graphs
from tests.hostile.graphs import attr, kind, node


def placeholder(name: str = "x") -> bytes:
    return node(name, "Placeholder", (), kind("dtype", 1))


def function(name: str, *nodes: bytes) -> bytes:
    return message(1, message(1, message(1, name)), *[b"\x1a" + body[1:] for body in nodes])


def library(*functions: bytes) -> bytes:
    return message(2, *functions)


def calling(name: str, function: str) -> bytes:
    return node(name, "PartitionedCall", ("x",), attr("f", message(10, message(1, function))))


def constant(name: str, *sizes: int, held: bytes = b"") -> bytes:
    shape = message(2, *(message(2, number(1, size & ((1 << 64) - 1))) for size in sizes))
    return node(name, "Const", (), kind("dtype", 1), attr("value", message(8, number(1, 1) + shape + message(4, held))))


def nested(depth: int) -> bytes:
    """Each function calls the next one twice."""
    bodies = [function(f"f{n}", calling("a", f"f{n + 1}"), calling("b", f"f{n + 1}")) for n in range(depth)]
    return library(*bodies, function(f"f{depth}", node("y", "Tanh", ("x",))))


def given(depth: int) -> bytes:
    """An attribute: a function that is given a function, that is given a function ..."""
    inner = message(2, message(1, "k"), message(2, given(depth - 1))) if depth else b""
    return message(10, message(1, "g"), inner)


OUT = node("y", "Tanh", ("x",))
TEXT = 'node { name: "x" op: "Placeholder" attr { key: "dtype" value { type: DT_FLOAT } } }\n'


@dataclass(frozen=True)
class Case:
    data: bytes
    says: str
    file: str = "graph.pb"
    error: type[Exception] = ConversionError
    outputs: tuple[str, ...] = ()


CASES = {
    "an operator that an output reads": Case(
        placeholder() + node("w", "WriteFile", ("x", "x")) + node("y", "Tanh", ("w",)), "WriteFile ('w') writes files"),
    "one that an output waits for": Case(
        placeholder() + node("w", "WriteFile", ("x", "x")) + node("y", "Tanh", ("x", "^w")), "WriteFile"),
    "in a function that nothing calls": Case(
        placeholder() + OUT + library(function("g", node("p", "PyFunc", ("x",)))), "PyFunc ('p') calls Python code"),
    "all of it, where no output can be told": Case(
        node("w", "WriteFile", ("c", "c")) + node("q", "Abort"), "WriteFile ('w') writes files; Abort"),
    "it reads a file and gives it to a client": Case(graphs.read_file("/etc/passwd"), "ReadFile", outputs=("out",)),
    "it lists folders": Case(graphs.matching_files("/*"), "MatchingFiles", outputs=("out",)),
    "a graph as text": Case(
        (TEXT + 'node { name: "w" op: "WriteFile" input: "x" input: "x" } node { name: "y" op: "Tanh" input: "^w" '
         'input: "x" }').encode(), "WriteFile ('w') writes files", "graph.pbtxt"),
    "a graph as text that prints into a file": Case(
        (TEXT + 'node { name: "p" op: "PrintV2" attr { key: "output_stream" value { s: "file:///tmp/x" } } } '
         'node { name: "y" op: "Tanh" input: "x" input: "^p" }').encode(), "PrintV2 ('p') writes files", "graph.pbtxt"),
    "a graph as text that is cut short": Case(TEXT[:-9].encode(), "no whole TensorFlow graph", "g.pbtxt", CorruptModel),
    "a MetaGraph": Case(
        message(2, placeholder() + node("w", "WriteFile", ("x", "x")) + node("y", "Tanh", ("w",))), "WriteFile",
        "m.meta"),
    "a function that calls itself": Case(
        placeholder() + calling("y", "f") + library(function("f", calling("a", "f"))), "function 'f' calls itself"),
    "two functions that call each other": Case(
        placeholder() + calling("y", "f") + library(function("f", calling("a", "g")), function("g", calling("a", "f"))),
        "calls itself"),
    "calls that double thirty times": Case(
        placeholder() + calling("y", "f0") + nested(30), "bodies in place of their calls it has 3221225472 operators"),
    "a constant of a few bytes and a terabyte": Case(
        placeholder() + constant("big", 1 << 20, 1 << 18, held=b"1234") + node("y", "Add", ("x", "big")),
        "constants take 1099511627772 bytes that the file has no values for ('big' alone"),
    "a constant of no size": Case(
        placeholder() + constant("odd", -3) + OUT, "constant 'odd' has the shape [-3]", error=CorruptModel),
    "functions given to functions, deeper than any": Case(
        placeholder() + node("y", "Tanh", ("x",), attr("f", given(40))), "more than 16 deep", error=CorruptModel),
}  # fmt: skip


def prepare(data: bytes, file: str, outputs: tuple[str, ...], folder: Path) -> None:
    (folder / file).write_bytes(data)
    options = ModelOptions(outputs=tuple(TensorOption(name) for name in outputs))
    model.prepare(source_of(folder), Match("tf-graphdef", "", 1.0, "", file, (file,)), options)


@pytest.mark.parametrize("name", CASES)
def test_what_is_refused(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    with pytest.raises(case.error) as caught:
        prepare(case.data, case.file, case.outputs, tmp_path)
    assert case.says in str(caught.value)


def test_there_is_no_tensorflow_in_here(tmp_path: Path) -> None:
    """A graph that is let through needs it, and only then."""
    assert importlib.util.find_spec("tensorflow") is None
    with pytest.raises(ModuleNotFoundError, match="tensorflow"):
        prepare(placeholder() + OUT, "graph.pb", (), tmp_path)


GROWING: dict[str, Callable[[], bytes]] = {
    "a function that calls itself": lambda: message(
        2, calling("y", "f"), library(function("f", calling("a", "f")))),
    "a constant of a terabyte": lambda: message(2, constant("big", 1 << 38)),
}  # fmt: skip


@pytest.mark.parametrize("name", GROWING)
def test_a_savedmodel_is_counted_too(name: str) -> None:
    (meta,) = metagraph.parse(number(1, 1) + message(2, GROWING[name]()))
    with pytest.raises(ConversionError, match="would grow beyond what is loaded here"):
        screen.refuse(meta)


def test_more_operators_than_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(limits, "MOST_NODES", 30)
    with pytest.raises(ConversionError, match="it has 33 operators, and up to 30 are read"):
        prepare(placeholder() + OUT + b"".join(node(f"n{n}", "NoOp") for n in range(31)), "g.pb", (), tmp_path)
