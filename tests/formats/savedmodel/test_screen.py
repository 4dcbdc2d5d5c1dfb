"""What a SavedModel would do to the machine is refused by name; what every SavedModel holds is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.errors import ConversionError, CorruptModel
from gateway.formats.savedmodel import metagraph, screen
from tests.hostile import graphs
from tests.hostile.graphs import message, node, number


def saved(*parts: bytes) -> bytes:
    """A SavedModel of one MetaGraph."""
    return number(1, 1) + message(2, *parts)


def graph(*nodes: bytes, functions: tuple[bytes, ...] = ()) -> bytes:
    return message(2, *nodes, *([message(2, *functions)] if functions else []))


def function(name: str, *nodes: bytes) -> bytes:
    """Nodes of a function's body have field 3."""
    return message(1, message(1, message(1, name)), *[b"\x1a" + body[1:] for body in nodes])


def answers(tensor: str) -> bytes:
    """A signature with that output."""
    info = message(1, tensor) + number(2, 7)
    return message(5, message(1, "serving_default"), message(2, message(2, message(1, "o"), message(2, info))))


def calls(attribute: str, name: str) -> bytes:
    """An attribute that names a function."""
    return message(5, message(1, attribute), message(2, message(10, message(1, name))))


def holds(key: str, name: str, inner: str) -> bytes:
    """An attribute that names a function which is given another one."""
    given = message(2, message(1, "g"), message(2, message(10, message(1, inner))))
    return message(5, message(1, key), message(2, message(10, message(1, name), given)))


def nested(depth: int) -> bytes:
    """The entry of an attribute: a function that is given a function, that is given a function ..."""
    given = message(2, nested(depth - 1)) if depth else b""
    return message(1, "f") + message(2, message(10, message(1, "g"), given))


SAVER = message(3, message(1, "f:0"), message(2, "save:0"), message(3, "restore"))
OUT = node("out", "Identity", ("x",))
BAD = node("bad", "WriteFile", ("x", "x"))


@dataclass(frozen=True)
class Case:
    data: bytes
    says: tuple[str, ...] = ()


CASES = {
    "an operator that an output reads": Case(saved(graph(BAD, node("out", "Identity", ("bad",))), answers("out:0")),
                                             ("WriteFile ('bad') writes files",)),
    "one that an output waits for": Case(saved(graph(BAD, node("out", "Identity", ("x", "^bad"))), answers("out:0")),
                                         ("WriteFile",)),
    "in two halves of one graph": Case(
        number(1, 1) + message(2, graph(node("out", "Identity", ("bad",))), graph(BAD), answers("out:0")),
        ("WriteFile",),
    ),
    "when it is loaded": Case(
        saved(graph(OUT, BAD), answers("out:0"),
              message(4, message(1, "saved_model_main_op"), message(2, message(1, message(1, "bad"))))),
        ("WriteFile",),
    ),
    "when variables are restored": Case(
        saved(graph(OUT, BAD, node("restore", "NoOp", ("^bad",))), SAVER, answers("out:0")), ("WriteFile",)
    ),
    "in a function that is called": Case(
        saved(graph(node("out", "PartitionedCall", ("x",), calls("f", "g")), functions=(function("g", BAD),)),
              answers("out:0")),
        ("WriteFile",),
    ),
    "in a function that nothing calls by name": Case(
        saved(graph(OUT, functions=(function("g", BAD),)), answers("out:0")), ("WriteFile",)
    ),
    "in a function that the saver calls too": Case(
        saved(graph(node("save", "PartitionedCall", ("x",), calls("f", "g")),
                    node("out", "If", ("x",), holds("then", "h", "g")),
                    functions=(function("g", BAD), function("h", OUT))), SAVER, answers("out:0")),
        ("WriteFile",),
    ),
    "in a function that an object calls, and the saver": Case(
        saved(graph(OUT, node("save", "PartitionedCall", ("x",), calls("f", "g")), functions=(function("g", BAD),)),
              SAVER, answers("out:0"), message(7, message(2, message(1, "g")))),
        ("WriteFile",),
    ),
    "files are read only to restore": Case(
        saved(graph(node("out", "RestoreV2", ("x",))), answers("out:0")), ("RestoreV2 ('out') reads files",)
    ),
    "everything at once, by name": Case(
        saved(graph(*[node(op.lower(), op) for op in ("ReadFile", "PyFunc", "DataServiceDataset", "Abort")],
                    node("out", "Pack", ("readfile", "pyfunc", "dataservicedataset", "abort"))), answers("out:0")),
        ("ReadFile ('readfile') reads files", "PyFunc ('pyfunc') calls Python", "DataServiceDataset", "Abort"),
    ),
    "an asset elsewhere": Case(
        saved(graph(OUT), answers("out:0"), message(6, message(1, message(1, "a:0")), message(2, "../../etc/passwd"))),
        ("'../../etc/passwd' lies outside of assets/",),
    ),
    "a table of a file that is no asset": Case(
        saved(graph(node("name", "Const"), node("out", "InitializeTableFromTextFileV2", ("t", "name"))),
              answers("out:0")),
        ("InitializeTableFromTextFileV2 ('out') reads files, and none of the assets",),
    ),
    "the saver's half never runs": Case(
        saved(graph(OUT, node("save", "SaveV2", ("x",)), node("restore", "RestoreV2", ("x",))), SAVER, answers("out:0"))
    ),
    "a table of an asset": Case(
        saved(graph(node("a", "Const"), node("out", "InitializeTableFromTextFileV2", ("t", "a"))), answers("out:0"),
              message(6, message(1, message(1, "a:0")), message(2, "words.txt")))
    ),
}  # fmt: skip


def read(data: bytes, folder: Path) -> metagraph.MetaGraph:
    (folder / "saved_model.pb").write_bytes(data)
    return metagraph.choose(metagraph.read(folder / "saved_model.pb"), ("serve",))


@pytest.mark.parametrize("name", CASES)
def test_what_is_refused(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    said = "; ".join(screen.problems(read(case.data, tmp_path)))
    if not case.says:
        assert said == ""
    assert [part for part in case.says if part not in said] == []
    if case.says:
        with pytest.raises(ConversionError, match="would act on the machine"):
            screen.refuse(read(case.data, tmp_path))


HOSTILE: dict[str, Callable[[], bytes]] = {
    "ReadFile": lambda: graphs.read_file("/etc/passwd"),
    "MatchingFiles": lambda: graphs.matching_files("/*"),
    "WriteFile": lambda: graphs.write_file("/tmp/x"),
    "PrintV2": lambda: graphs.print_file("/tmp/x"),
    "SaveV2": lambda: graphs.save_checkpoint("/tmp/x"),
    "PyFunc": lambda: graphs.python_function("pyfunc_0"),
}


@pytest.mark.parametrize("operator", HOSTILE)
def test_the_hostile_corpus_is_refused_by_name(operator: str, tmp_path: Path) -> None:
    meta = read(graphs.saved_model(HOSTILE[operator]()), tmp_path)
    assert [said for said in screen.problems(meta) if said.startswith(operator)]


BROKEN = {
    "no protobuf": b"\xff" * 40,
    "cut short": graphs.saved_model(graphs.read_file("/etc/passwd"))[:-9],
    "functions without end": saved(graph(node("out", "If", ("x",), message(5, nested(20)))), answers("out:0")),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_said_so(name: str, tmp_path: Path) -> None:
    with pytest.raises(CorruptModel):
        screen.problems(read(BROKEN[name], tmp_path))
