"""OpenVINO IR: the reader and what it refuses; layers converted and judged by OpenVINO."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.errors import ConversionError, CorruptModel, GatewayError
from gateway.formats.base import Match, Source
from gateway.formats.openvino import ir

NET = """<?xml version="1.0"?>
<net name="m" version="11"><layers>
<layer id="0" name="x" type="Parameter" version="opset1"><data shape="?,2" element_type="f32"/>
<output><port id="0" precision="FP32" names="x,alias"><dim>-1</dim><dim>2</dim></port></output></layer>
<layer id="1" name="w" type="Const" version="opset1"><data element_type="f32" shape="2" offset="0" size="8"/>
<output><port id="0" precision="FP32"><dim>2</dim></port></output></layer>
<layer id="2" name="add" type="Add" version="opset1"><data auto_broadcast="numpy"/>
<input><port id="0"/><port id="1"/></input><output><port id="2" precision="FP32" names="y"/></output></layer>
<layer id="3" name="r" type="Result" version="opset1"><input><port id="0"/></input></layer>
</layers><edges>
<edge from-layer="0" from-port="0" to-layer="2" to-port="0"/>
<edge from-layer="1" from-port="0" to-layer="2" to-port="1"/>
<edge from-layer="2" from-port="2" to-layer="3" to-port="0"/>
</edges></net>
"""
W = bytes(8)
Change = Callable[[str], str]


def put(folder: Path, text: str, weights: bytes | None = W) -> tuple[Source, Match]:
    (folder / "m.xml").write_text(text)
    names = ("m.xml",)
    if weights is not None:
        (folder / "m.bin").write_bytes(weights)
        names = ("m.xml", "m.bin")
    return Source(folder, names), Match("openvino", "IR 11", 1.0, "", "m.xml", names)


def test_layers_come_after_what_they_read(tmp_path: Path) -> None:
    head, _, rest = NET.partition('<layer id="2"')
    moved, _, tail = rest.partition("</layer>")
    first = head.replace("<layers>", f'<layers>\n<layer id="2"{moved}</layer>', 1) + tail
    graph = ir.read(*put(tmp_path, first))
    assert [layer.id for layer in graph.layers] == ["0", "1", "2", "3"]
    assert graph.layers[0].names == [("x", "alias")]
    assert ir.free_sizes("?,3,1..64") == (None, 3, None)
    assert ir.free_sizes("...") is None


REFUSED: dict[str, tuple[Change, bytes | None, type[GatewayError], str]] = {
    "an entity": (lambda t: t.replace("<net", "<!DOCTYPE x [<!ENTITY a 'b'>]><net", 1), W, CorruptModel, "entities"),
    "a document type elsewhere": (
        lambda t: t.replace("<net", '<!DOCTYPE net SYSTEM "file:///etc/passwd"><net', 1), W, CorruptModel, "entities"
    ),
    "cut short": (lambda t: t[:600], W, CorruptModel, "is no whole XML"),
    "no layers": (lambda t: "<net/>", W, CorruptModel, "has no layers"),
    "no .bin": (lambda t: t, None, ConversionError, "no .bin lies beside it"),
    "a circle": (
        lambda t: t.replace('from-layer="0" from-port="0"', 'from-layer="2" from-port="2"'), W, CorruptModel,
        "reads itself",
    ),
    "an edge to nowhere": (lambda t: t.replace('from-layer="1"', 'from-layer="9"'), W, CorruptModel, "leads nowhere"),
    "an input without an edge": (
        lambda t: t.replace('<edge from-layer="1" from-port="0" to-layer="2" to-port="1"/>', ""), W, CorruptModel,
        "is fed by nothing",
    ),
    "two layers of one id": (lambda t: t.replace('id="1" name="w"', 'id="0" name="w"'), W, CorruptModel, "one id"),
    "nested deeply": (lambda t: t.replace("<layers>", "<a>" * 40, 1), W, CorruptModel, "nested deeper"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, tmp_path: Path) -> None:
    change, weights, kind, said = REFUSED[name]
    with pytest.raises(kind, match=said):
        ir.read(*put(tmp_path, change(NET), weights))


CONSTANTS: dict[str, tuple[Change, bytes, type[GatewayError], str]] = {
    "beyond the .bin": (lambda t: t.replace('offset="0"', 'offset="4"'), W, CorruptModel, "m.bin has 8 bytes"),
    "a .bin cut short": (lambda t: t, bytes(7), CorruptModel, "m.bin has 7 bytes"),
    "before the .bin": (lambda t: t.replace('offset="0"', 'offset="-4"'), W, CorruptModel, "m.bin has 8 bytes"),
    "a size that is not its shape's": (
        lambda t: t.replace('size="8"', 'size="4"'), W, CorruptModel, "f32.2. is said to lie"
    ),
    "no number": (lambda t: t.replace('offset="0"', 'offset="x"'), W, CorruptModel, "has no place"),
    "a type of four bits": (lambda t: t.replace('"f32" shape="2"', '"u4" shape="2"'), W, ConversionError, "is u4"),
}  # fmt: skip


@pytest.mark.parametrize("name", CONSTANTS)
def test_constants(name: str, tmp_path: Path) -> None:
    change, weights, kind, said = CONSTANTS[name]
    graph = ir.read(*put(tmp_path, change(NET), weights))
    with pytest.raises(kind, match=said):
        ir.constant(graph, graph.of_type("Const")[0])
