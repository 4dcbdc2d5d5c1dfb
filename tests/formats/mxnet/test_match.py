"""What is taken for an MXNet model, alone and beside other files, and by the whole detection."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gateway.errors import AmbiguousFormat
from gateway.formats.base import Match, Source
from gateway.formats.mxnet import FORMAT, files_of
from gateway.repository.detect import detect
from tests.formats.mxnet.write import Graph, params_bytes

WEIGHTS = params_bytes({"arg:w": np.zeros(3, np.float32)})


def symbol(version: int = 10901) -> bytes:
    graph = Graph(version=version)
    return json.dumps(graph.json(graph.node("relu", "r", [graph.variable("data")])), indent=2).encode()


SYMBOL = symbol()
TVM = SYMBOL.replace(b'"relu"', b'"tvm_op"')
KERAS = b'{"class_name": "Model", "config": {"nodes": []}}'
BIG = SYMBOL.replace(b'"nodes"', b'"pad": "' + b"x" * (5 << 20) + b'", "nodes"')


def source(folder: Path, files: dict[str, bytes]) -> Source:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return Source(folder, tuple(sorted(files)))


MATCHED = {  # files -> main, weights, signature.json, version, confidence
    "the pair": (
        {"m-symbol.json": SYMBOL, "m-0000.params": WEIGHTS}, ("m-symbol.json", "m-0000.params", ""), "1.9.1", 1.0,
    ),
    "names that do not fit, but one of each": (
        {"net.json": SYMBOL, "weights.bin": WEIGHTS}, ("net.json", "weights.bin", ""), "1.9.1", 1.0,
    ),
    "a model of Model Server": (
        {"m-symbol.json": SYMBOL, "m-0000.params": WEIGHTS, "signature.json": b"{}"},
        ("m-symbol.json", "m-0000.params", "signature.json"), "1.9.1", 1.0,
    ),
    "below a folder": (
        {"a/m-symbol.json": SYMBOL, "a/m.params": WEIGHTS, "a/signature.json": b"{}"},
        ("a/m-symbol.json", "a/m.params", "a/signature.json"), "1.9.1", 1.0,
    ),
    "symbol alone": ({"m-symbol.json": SYMBOL}, ("m-symbol.json", "", ""), "1.9.1", 1.0),
    "weights alone": ({"m-0000.params": WEIGHTS}, ("", "m-0000.params", ""), "", 0.9),
    "of no version": (
        {"m-symbol.json": symbol(0), "m-0000.params": WEIGHTS}, ("m-symbol.json", "m-0000.params", ""),
        "0.8 or older", 1.0,
    ),
    "cut short": ({"m-symbol.json": SYMBOL[:-9]}, ("m-symbol.json", "", ""), "of unknown version", 0.7),
    "cut short, of another name": ({"m.json": SYMBOL[:-9]}, ("m.json", "", ""), "of unknown version", 0.7),
    "large": ({"m-symbol.json": BIG}, ("m-symbol.json", "", ""), "of unknown version", 1.0),
    "weights cut to nothing": (
        {"m-symbol.json": SYMBOL, "m-0000.params": b""}, ("m-symbol.json", "m-0000.params", ""), "1.9.1", 1.0,
    ),
    "weights of another magic": (
        {"m-symbol.json": SYMBOL, "m-0000.params": b"\x13" + WEIGHTS[1:]}, ("m-symbol.json", "m-0000.params", ""),
        "1.9.1", 1.0,
    ),
    "something else beside": (
        {"m-symbol.json": SYMBOL, "m-0000.params": WEIGHTS, "README.md": b"# m", "config.json": b"{}"},
        ("m-symbol.json", "m-0000.params", ""), "1.9.1", 1.0,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("files", "names", "version", "confidence"), MATCHED.values(), ids=MATCHED)
def test_match(
    files: dict[str, bytes], names: tuple[str, str, str], version: str, confidence: float, tmp_path: Path
) -> None:
    match = FORMAT.match(source(tmp_path, files))
    assert match is not None
    assert files_of(match) == names
    assert (match.version, match.confidence) == (version, confidence)
    assert match.evidence
    assert files_of(Match.from_json(match.to_json())) == names
    assert detect(Source(tmp_path, tuple(sorted(files)))).format == "mxnet"


OTHERS = {
    "nothing": {},
    "0 bytes": {"m-symbol.json": b"", "m-0000.params": b""},
    "a graph of TVM": {"m.json": TVM},
    "a large graph of TVM": {"m.json": BIG.replace(b'"relu"', b'"tvm_op"')},
    "Keras": {"m.json": KERAS},
    "a list": {"m.json": b"[1, 2, 3]"},
    "nodes of something else": {"m.json": b'{"nodes": [{"id": 1}], "arg_nodes": [], "heads": []}'},
    "no heads": {"m.json": b'{"nodes": [{"op": "null", "name": "a"}], "arg_nodes": []}'},
    "deep": {"m.json": b'{"nodes":' + b"[" * 100_000},
    "the magic, then no zeros": {"m.params": WEIGHTS[:8] + b"\1" * 40},
    "the magic alone": {"m.params": WEIGHTS[:8]},
}


@pytest.mark.parametrize("files", OTHERS.values(), ids=OTHERS)
def test_no_match(files: dict[str, bytes], tmp_path: Path) -> None:
    assert FORMAT.match(source(tmp_path, files)) is None


AMBIGUOUS = {
    "two epochs": (
        {"m-symbol.json": SYMBOL, "m-0000.params": WEIGHTS, "m-0010.params": WEIGHTS},
        "m-symbol.json has 2 files of weights beside it: m-0000.params, m-0010.params",
    ),
    "one symbol, two files of weights of other names": (
        {"m-symbol.json": SYMBOL, "a.params": WEIGHTS, "b.params": WEIGHTS}, "has 2 files of weights beside it",
    ),
    "two models": (
        {"a-symbol.json": SYMBOL, "a-0000.params": WEIGHTS, "b-symbol.json": SYMBOL, "b-0000.params": WEIGHTS},
        "two models lie in one folder: a-symbol.json",
    ),
    "weights of another model beside": (
        {"m-symbol.json": SYMBOL, "m-0000.params": WEIGHTS, "x-0000.params": WEIGHTS}, "two models lie in one folder",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("files", "words"), AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_ambiguous(files: dict[str, bytes], words: str, tmp_path: Path) -> None:
    with pytest.raises(AmbiguousFormat) as caught:
        detect(source(tmp_path, files))
    assert words in caught.value.message
    assert caught.value.hint


def test_every_cut_of_a_pair_is_recognised_or_not_without_an_error(tmp_path: Path) -> None:
    for size in range(0, len(SYMBOL), 7):
        files = {"m-symbol.json": SYMBOL[:size], "m-0000.params": WEIGHTS[: size % len(WEIGHTS)]}
        found = FORMAT.match(source(tmp_path, files))
        assert found is None or (found.format == "mxnet" and 0 < found.confidence <= 1)
