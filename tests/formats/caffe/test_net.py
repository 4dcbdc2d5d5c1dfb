"""What a Caffe net is read as: phases, in-place layers, versions, inputs; and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.errors import CorruptModel
from gateway.formats.caffe.net import Net, read
from gateway.formats.caffe.wire import Wire
from tests.formats.caffe import writer
from tests.formats.caffe.writer import Writer

W = np.arange(2 * 3 * 3 * 3, dtype=np.float32).reshape(2, 3, 3, 3) / 10
B = np.asarray([1, 2], np.float32)


def convolution(**more: Any) -> Writer:
    param = {"num_output": 2, "kernel_size": 3} | more
    return (
        Writer()
        .input("data", (1, 3, 8, 8))
        .layer("Convolution", "conv", ["data"], ["conv"], convolution_param=param, blobs=[W, B])
        .layer("ReLU", "relu", ["conv"], ["conv"])
    )


def structure(tmp_path: Path, text: str) -> Net:
    (tmp_path / "net.prototxt").write_text(text)
    return read(tmp_path / "net.prototxt", None)


@pytest.mark.parametrize("inputs", ["input_shape", "input_dim"])
@pytest.mark.parametrize("version", ["V0", "V1", "V2"])
def test_every_version_is_one_net(version: str, inputs: str, tmp_path: Path) -> None:
    folder = convolution().save(tmp_path, version, inputs)
    net = read(folder / writer.PROTOTXT, folder / writer.CAFFEMODEL)
    assert net.version == version
    assert [(each.name, each.shape) for each in net.inputs] == [("data", (1, 3, 8, 8))]
    assert [(layer.type, layer.bottoms, layer.tops) for layer in net.layers] == [
        ("Convolution", ("data",), ("conv@conv",)),
        ("ReLU", ("conv@conv",), ("conv",)),
    ]
    assert net.layers[0].param("convolution_param")["num_output"] == [2]
    assert net.layers[0].param("convolution_param")["kernel_size"] == [3]
    np.testing.assert_array_equal(net.layers[0].blobs[0], W, strict=True)
    np.testing.assert_array_equal(net.layers[0].blobs[1], B, strict=True)
    assert net.outputs == ("conv",)


BLOBS = {
    "packed": ({}, (2, 3, 3, 3), np.float32),
    "not packed": ({"packed": False}, (2, 3, 3, 3), np.float32),
    "num, channels, height, width": ({"legacy": True}, (2, 3, 3, 3), np.float32),
    "doubles": ({"double": True}, (2, 3, 3, 3), np.float64),
    "doubles, not packed": ({"double": True, "packed": False}, (2, 3, 3, 3), np.float64),
}


@pytest.mark.parametrize("name", BLOBS)
def test_weights_of_every_form(name: str, tmp_path: Path) -> None:
    how, shape, kind = BLOBS[name]
    folder = convolution().layer("AbsVal", "x", ["conv"], ["x"], blobs=[writer.blob(W, **how)]).save(tmp_path)
    found = read(folder / writer.PROTOTXT, folder / writer.CAFFEMODEL).layers[-1].blobs[0]
    np.testing.assert_array_equal(found, W.astype(kind), strict=True)
    assert found.shape == shape


def test_a_vector_of_old_has_four_sizes(tmp_path: Path) -> None:
    folder = convolution().layer("AbsVal", "x", ["conv"], ["x"], blobs=[writer.blob(B, legacy=True)]).save(tmp_path)
    assert read(folder / writer.PROTOTXT, folder / writer.CAFFEMODEL).layers[-1].blobs[0].shape == (1, 1, 1, 2)


def test_a_caffemodel_alone_is_a_net(tmp_path: Path) -> None:
    folder = convolution().save(tmp_path)
    net = read(None, folder / writer.CAFFEMODEL)
    assert [layer.type for layer in net.layers] == ["Convolution", "ReLU"]
    assert net.inputs[0].shape == (1, 3, 8, 8)
    assert net.layers[0].param("convolution_param")["kernel_size"] == [3]


def test_a_fork_parameter_is_known_by_the_type_of_its_layer(tmp_path: Path) -> None:
    """Its number collides with another fork's: 150 here."""
    layer = writer.message("LayerParameter", {"name": "i", "type": "Interp", "bottom": "data", "top": "i"})
    layer += writer.chunk(150, writer.message("InterpParameter", {"height": 5, "width": 7}))
    net = writer.message("NetParameter", {"name": "x"}) + writer.chunk(100, layer)
    (tmp_path / "x.caffemodel").write_bytes(net)
    found = read(None, tmp_path / "x.caffemodel").layers[0]
    assert found.param("interp_param") == {"height": [5], "width": [7]}


def test_the_stored_splits_are_gone(tmp_path: Path) -> None:
    net = (
        Writer()
        .layer("AbsVal", "a", ["data"], ["a"])
        .layer("Split", "s", ["a"], ["a_0", "a_1"])
        .layer("ReLU", "r", ["a_0"], ["r"])
        .layer("TanH", "t", ["a_1"], ["t"])
    )
    (tmp_path / "x.caffemodel").write_bytes(net.caffemodel())
    found = read(None, tmp_path / "x.caffemodel")
    assert [layer.bottoms for layer in found.layers] == [("data",), ("a",), ("a",)]
    assert found.outputs == ("r", "t")


def test_in_place_layers_make_new_tensors(tmp_path: Path) -> None:
    """A reader between two in-place layers reads what was there then."""
    net = (
        Writer()
        .input("data", (1, 2))
        .layer("AbsVal", "a", ["data"], ["x"])
        .layer("ReLU", "r", ["x"], ["x"])
        .layer("TanH", "t", ["x"], ["t"])
        .layer("Sigmoid", "s", ["x"], ["x"])
    )
    found = structure(tmp_path, net.prototxt())
    assert [(layer.bottoms, layer.tops) for layer in found.layers] == [
        (("data",), ("x@a",)), (("x@a",), ("x@r",)), (("x@r",), ("t",)), (("x@r",), ("x",)),
    ]  # fmt: skip
    assert found.outputs == ("t", "x")


RULES: dict[str, tuple[str, bool]] = {
    "no rule": ("", True),
    "include TEST": ("include { phase: TEST }", True),
    "include TRAIN": ("include { phase: TRAIN }", False),
    "exclude TRAIN": ("exclude { phase: TRAIN }", True),
    "exclude TEST": ("exclude { phase: TEST }", False),
    "one of two rules is enough": ("include { phase: TRAIN } include { phase: TEST }", True),
    "a level that is not reached": ("include { min_level: 4 }", False),
    "a level that is reached": ("include { min_level: 3 max_level: 3 }", True),
    "a level that is passed": ("include { max_level: 2 }", False),
    "a stage that is on": ('include { stage: "deploy" }', True),
    "a stage that is off": ('include { stage: "other" }', False),
    "one of two stages is off": ('include { stage: "deploy" stage: "other" }', False),
    "a stage that must not be on": ('include { not_stage: "deploy" }', False),
    "a stage that must not be on is off": ('include { not_stage: "other" }', True),
}


@pytest.mark.parametrize("name", RULES)
def test_rules(name: str, tmp_path: Path) -> None:
    rule, kept = RULES[name]
    text = (
        'state { level: 3 stage: "deploy" } input: "data" input_shape { dim: 1 dim: 2 }\n'
        'layer { name: "a" type: "AbsVal" bottom: "data" top: "a" }\n'
        f'layer {{ name: "b" type: "ReLU" bottom: "a" top: "b" {rule} }}'
    )
    assert (len(structure(tmp_path, text).layers) == 2) is kept


def test_a_training_net_becomes_what_inference_needs(tmp_path: Path) -> None:
    text = (
        'layer { name: "d" type: "Data" top: "data" top: "label" include { phase: TRAIN } }\n'
        'layer { name: "d" type: "Data" top: "data" top: "label" include { phase: TEST }\n'
        "  transform_param { crop_size: 7 } }\n"
        'layer { name: "slice" type: "Slice" bottom: "label" top: "l0" top: "l1" }\n'
        'layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" }\n'
        'layer { name: "acc" type: "Accuracy" bottom: "ip" bottom: "l0" top: "acc" }\n'
        'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "l0" top: "loss" }\n'
        'layer { name: "l2" type: "EuclideanLoss" bottom: "ip" bottom: "l1" top: "l2" }\n'
    )
    net = structure(tmp_path, text)
    assert [(each.name, each.shape) for each in net.inputs] == [("data", (None, None, 7, 7))]
    assert [(layer.name, layer.type, layer.tops) for layer in net.layers] == [
        ("ip", "InnerProduct", ("ip",)), ("loss", "Softmax", ("prob",)),
    ]  # fmt: skip
    assert net.outputs == ("prob",)
    assert net.left_out == ("acc (Accuracy)", "l2 (EuclideanLoss)", "slice (Slice)")


def test_silence_is_no_output(tmp_path: Path) -> None:
    net = Writer().input("data", (1, 2)).layer("AbsVal", "a", ["data"], ["a"]).layer("ReLU", "b", ["data"], ["b"])
    assert structure(tmp_path, net.layer("Silence", "s", ["a"], []).prototxt()).outputs == ("b",)


def test_padding_of_v0_is_folded(tmp_path: Path) -> None:
    net = (
        Writer()
        .input("data", (1, 3, 8, 8))
        .layer("padding", "pad1", ["data"], ["pad1"], pad=2)
        .layer("Convolution", "conv", ["pad1"], ["conv"], convolution_param={"num_output": 2, "kernel_size": 3})
    )
    found = structure(tmp_path, net.prototxt("V0", "input_dim"))
    assert [layer.type for layer in found.layers] == ["Convolution"]
    assert found.layers[0].bottoms == ("data",)
    assert found.layers[0].param("convolution_param")["pad"] == [2]


def test_old_data_layers_hand_on_their_transformation(tmp_path: Path) -> None:
    text = (
        'layers { name: "d" type: DATA top: "data" data_param { crop_size: 9 mean_file: "m" scale: 0.5 } }\n'
        'layers { name: "a" type: ABSVAL bottom: "data" top: "a" }'
    )
    net = structure(tmp_path, text)
    assert net.inputs[0].shape == (None, None, 9, 9)
    assert net.inputs[0].transform == {"crop_size": [9], "mean_file": ["m"], "scale": [0.5]}


def test_unused_and_unknown_are_told(tmp_path: Path) -> None:
    folder = convolution().layer("AbsVal", "extra", ["conv"], ["extra"], blobs=[B]).save(tmp_path)
    text = convolution(shiny=3).prototxt().replace("shiny: 3", "shiny { deep: 3 }")
    (folder / writer.PROTOTXT).write_text(text)
    net = read(folder / writer.PROTOTXT, folder / writer.CAFFEMODEL)
    assert net.unused == ("extra",)
    assert net.layers[0].unknown == ("convolution_param.shiny",)


INPUT = 'input: "data" input_shape { dim: 1 dim: 2 }\n'
REFUSED: dict[str, tuple[str, str]] = {
    "a bottom that nobody makes": (
        INPUT + 'layer { name: "a" type: "ReLU" bottom: "date" top: "a" }', "layer 'a' reads 'date', which no layer",
    ),
    "a blob made twice": (
        INPUT + 'layer { name: "a" type: "ReLU" bottom: "data" top: "a" }'
        ' layer { name: "b" type: "ReLU" bottom: "data" top: "a" }', "blob 'a' is made twice, the second time by",
    ),
    "two tops of one name": (
        INPUT + 'layer { name: "a" type: "Slice" bottom: "data" top: "a" top: "a" }', "made twice",
    ),
    "both rules": (
        'layer { name: "a" type: "ReLU" include { phase: TEST } exclude { phase: TRAIN } }', "include and exclude",
    ),
    "layer and layers": ('layer { type: "ReLU" } layers { type: RELU }', "both 'layer' and 'layers'"),
    "no type": ('layer { name: "a" }', "layer 'a' has no type"),
    "a number where text is": ("name: 3", "name is '3', expected text in quotes"),
    "text where a number is": (
        'layer { convolution_param { num_output: "3" } }', "num_output is '3', expected a whole",
    ),
    "a fraction where a whole number is": ("input_dim: 1.5", "input_dim is '1.5', expected a whole number"),
    "a name that is no pooling": ("layer { pooling_param { pool: MAXX } }", "expected one of MAX, AVE, STOCHASTIC"),
    "once given twice": ("layer { pooling_param { stride: 1 stride: 2 } }", "stride is given 2 times"),
    "a message where a number is": ("layer { pooling_param { stride { } } }", "a message', expected a whole number"),
    "a number where a message is": ("layer { pooling_param: 3 }", "expected a message in braces"),
    "a field that a net has not": ('nme: "x"', "the fields nme"),
    "too few input_dim": ('input: "data" input_dim: 1', "1 inputs and 1 input_dim, expected four each"),
    "too many shapes": ('input: "a" input_shape { } input_shape { }', "1 inputs and 2 input_shape"),
    "a shape with a zero": (
        'layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 1 dim: 0 } } }', r"the shape \[1, 0\]",
    ),
    "an unknown type of V0": ('layers { layer { name: "a" type: "convv" } }', "of the V0 type 'convv'"),
    "a field that the type has not in V0": (
        'layers { layer { name: "a" type: "relu" stride: 2 } }', r"layer 'a' \(relu\) has the field stride",
    ),
    "padding before no convolution": (
        ('input: "d" layers { bottom: "d" top: "p" layer { name: "p" type: "padding" pad: 1 } }'
        ' layers { bottom: "p" top: "r" layer { name: "r" type: "relu" } }'), "stands before 'r'",
    ),
    "text that ends": ('layer { name: "a', "line 1"),
    "deep text": ("a {" * 60, "at most 32 levels"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, tmp_path: Path) -> None:
    text, said = REFUSED[name]
    with pytest.raises(CorruptModel, match=said) as error:
        structure(tmp_path, text)
    assert error.value.message.startswith("net.prototxt")


def _layer(content: bytes) -> bytes:
    return writer.chunk(100, writer.message("LayerParameter", {"name": "a", "type": "ReLU"}) + content)


def _blob(content: bytes) -> bytes:
    return _layer(writer.chunk(7, content))


SHAPE = writer.chunk(7, writer.chunk(1, b"\x02"))
WIRE: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "x.caffemodel is empty"),
    "a length past the end": (b"\xa2\x06\x7f", "layer says it has 127 bytes, and 0 are left"),
    "a packed length of exabytes": (
        _blob(b"\x2a\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), "data says it has 9223372036854775807 bytes",
    ),
    "a shape of exabytes": (
        _blob(writer.chunk(7, writer.chunk(1, writer.varint(1 << 60)))), "1152921504606846976.* and 0 numbers",
    ),
    "a negative size": (_blob(writer.chunk(7, writer.chunk(1, writer.varint(-1)))), "which no blob has"),
    "many sizes": (_blob(writer.chunk(7, writer.chunk(1, b"\x01" * 40))), "which no blob has"),
    "fewer numbers than the shape": (
        _blob(SHAPE + writer.chunk(5, b"\x00" * 4)), r"blob 0 of layer 'a' at offset \d+ has the shape \[2\] and 1",
    ),
    "half a number": (_blob(writer.chunk(5, b"\x00" * 6)), "6 bytes, which are no numbers of 4"),
    "half a number, not packed": (_blob(b"\x2d\x00\x00"), "goes past the end"),
    "raw data of a type that there is not": (_blob(b"\x50\x07" + writer.chunk(12, b"1234")), "raw data of type 7"),
    "half a raw number": (_blob(b"\x50\x01" + writer.chunk(12, b"123")), "3 bytes of raw data"),
    "field number 0": (_layer(b"\x00\x00"), "no field number 0"),
    "a number without an end": (_layer(b"\x50" + b"\xff" * 11), "has no end"),
    "a wire type that there is not": (_layer(b"\x57"), "wire type"),
    "a group": (_layer(b"\xf3\x07"), "wire type 3"),
    "a name that is no UTF-8": (writer.chunk(1, b"\xff"), "field name is no UTF-8"),
    "a name of megabytes": (writer.chunk(1, b"a" * (2 << 20)), "text of 2097152 bytes"),
    "an enumeration that there is not": (
        _layer(writer.chunk(121, b"\x08\x09")), r"field pool is 9, expected one of \[0, 1, 2\]",
    ),
    "two layers of one name with weights": (
        _blob(SHAPE + writer.chunk(5, b"\x00" * 8)) * 2, "two layers called 'a' with weights",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WIRE)
def test_refused_on_the_wire(name: str, tmp_path: Path) -> None:
    data, said = WIRE[name]
    (tmp_path / "x.caffemodel").write_bytes(data)
    with pytest.raises(CorruptModel, match=said) as error:
        read(None, tmp_path / "x.caffemodel")
    assert error.value.message.startswith("x.caffemodel")


def test_messages_of_two_bytes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.formats.caffe.wire.MAX_FIELDS", 1000)
    (tmp_path / "x.caffemodel").write_bytes(b"\x28\x01" * 2000)
    with pytest.raises(CorruptModel, match="more than 1000 fields"):
        read(None, tmp_path / "x.caffemodel")


def test_half_precision_of_nvcaffe() -> None:
    raw = SHAPE + b"\x50\x02" + writer.chunk(12, np.asarray([1.5, -2], "<f2").tobytes())
    found = Wire(raw, "x").blob(0, len(raw), "it")
    np.testing.assert_array_equal(found, np.asarray([1.5, -2], np.float32), strict=True)
