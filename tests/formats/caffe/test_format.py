"""What a folder of Caffe is taken for, what its signature says, and that damaged files end in errors of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.core.modeltoml import ModelOptions, TensorOption
from gateway.errors import AmbiguousFormat
from gateway.formats.caffe import FORMAT, files_of
from tests.formats.caffe import writer
from tests.formats.caffe.child import source_of
from tests.formats.caffe.table import run_child
from tests.formats.caffe.writer import Writer

W = np.arange(2 * 3 * 3 * 3, dtype=np.float32).reshape(2, 3, 3, 3) / 10
B = np.asarray([1, 2], np.float32)
FC = np.arange(3 * 32, dtype=np.float32).reshape(3, 32) / 50 - 1


def small(shape: tuple[int, ...] = (10, 3, 6, 6)) -> Writer:
    return body(Writer("small").input("data", shape))


def body(net: Writer) -> Writer:
    net.layer(
        "Convolution", "conv", ["data"], ["conv"], convolution_param={"num_output": 2, "kernel_size": 3}, blobs=[W, B]
    )
    net.layer("ReLU", "relu", ["conv"], ["conv"])
    net.layer("InnerProduct", "ip", ["conv"], ["ip"], inner_product_param={"num_output": 3}, blobs=[FC, np.zeros(3)])
    return net


def deploy() -> Writer:
    return small().layer("Softmax", "prob", ["ip"], ["prob"])


TRAIN = (
    'layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }\n'
    "  transform_param { crop_size: 6 mirror: true } }\n"
    'layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST }\n'
    "  transform_param { crop_size: 6 mean_value: 104 mean_value: 117 mean_value: 123 scale: 0.5 } }\n"
)
LOSS = (
    'layer { name: "acc" type: "Accuracy" bottom: "ip" bottom: "label" top: "acc" }\n'
    'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }\n'
)


def train_val() -> str:
    return TRAIN + body(Writer("small")).prototxt() + LOSS


def mean(*sizes: int) -> bytes:
    count = int(np.prod(sizes))
    return writer.blob(np.arange(count, dtype=np.float32).reshape(sizes), legacy=True)


Files = Mapping[str, bytes | str | Callable[[], bytes | str]]


def lay(folder: Path, files: Files) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        data = content() if callable(content) else content
        (folder / name).write_bytes(data.encode() if isinstance(data, str) else data)
    return folder


PROTOTXT, MODEL = lambda: deploy().prototxt(), lambda: deploy().caffemodel()
MATCHES: dict[str, tuple[Files, tuple[str, str, tuple[str, ...]]]] = {
    "a pair": ({"deploy.prototxt": PROTOTXT, "x.caffemodel": MODEL}, ("deploy.prototxt", "x.caffemodel", ())),
    "a caffemodel alone": ({"x.caffemodel": MODEL}, ("", "x.caffemodel", ())),
    "a prototxt alone": ({"deploy.prototxt": PROTOTXT}, ("deploy.prototxt", "", ())),
    "names without meaning": ({"a.txt": PROTOTXT, "b.bin": MODEL}, ("a.txt", "b.bin", ())),
    "deploy, train_val and solver": (
        {"deploy.prototxt": PROTOTXT, "train_val.prototxt": train_val, "x.caffemodel": MODEL,
         "solver.prototxt": 'net: "train_val.prototxt"\nbase_lr: 0.1\nmax_iter: 10\n'},
        ("deploy.prototxt", "x.caffemodel", ()),
    ),
    "a mean file": (
        {"deploy.prototxt": PROTOTXT, "x.caffemodel": MODEL, "mean.binaryproto": lambda: mean(1, 3, 8, 8)},
        ("deploy.prototxt", "x.caffemodel", ("mean.binaryproto",)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MATCHES)
def test_match(name: str, tmp_path: Path) -> None:
    files, expected = MATCHES[name]
    match = FORMAT.match(source_of(lay(tmp_path, files)))
    assert match is not None
    found = files_of(match)
    assert (found.structure, found.weights, found.means) == expected
    assert set(match.used) == set(files)


AMBIGUOUS: dict[str, tuple[Files, str]] = {
    "two caffemodels": (
        {"deploy.prototxt": PROTOTXT, "a.caffemodel": MODEL, "b.caffemodel": MODEL}, "2 files of weights",
    ),
    "two deploy nets": (
        {"a.prototxt": PROTOTXT, "b.prototxt": PROTOTXT, "x.caffemodel": MODEL}, "2 of them declare inputs",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_ambiguous(name: str, tmp_path: Path) -> None:
    files, said = AMBIGUOUS[name]
    with pytest.raises(AmbiguousFormat, match=said):
        FORMAT.match(source_of(lay(tmp_path, files)))


@dataclass(frozen=True)
class Case:
    """`inputs` and `outputs` as "name[shape]"; `facts`, `warnings`, `said`: words that stand in them."""

    files: Files
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    said: str = ""
    options: ModelOptions = field(default_factory=ModelOptions)
    preprocess: Mapping[str, Any] | None = None


def wrong(change: Callable[[Writer], Any]) -> Callable[[], str]:
    def make() -> str:
        net = deploy()
        change(net)
        return net.prototxt()

    return make


def convolution(**fields: Any) -> Callable[[Writer], None]:
    return lambda net: net.layers[0].update(fields)


MEANS = "mean_value: 104 mean_value: 117 mean_value: 123"
SHAPE = {"shape": {"dim": [6, 5]}}
BGR = {"colour": "bgr", "layout": "nchw"}
CASES: dict[str, Case] = {
    "a pair: the batch is free, whatever the file says": Case(
        {"d.prototxt": PROTOTXT, "x.caffemodel": MODEL}, ("data[None, 3, 6, 6]",), ("prob[None, 3]",),
        ("Caffe V2",), preprocess={},
    ),
    "a caffemodel alone": Case({"x.caffemodel": MODEL}, ("data[None, 3, 6, 6]",), ("prob[None, 3]",)),
    "V1": Case(
        {"d.prototxt": lambda: deploy().prototxt("V1", "input_dim"), "x.caffemodel": lambda: deploy().caffemodel("V1")},
        ("data[None, 3, 6, 6]",), ("prob[None, 3]",), ("Caffe V1",),
    ),
    "V0": Case(
        {"d.prototxt": lambda: deploy().prototxt("V0", "input_dim"), "x.caffemodel": lambda: deploy().caffemodel("V0")},
        ("data[None, 3, 6, 6]",), ("prob[None, 3]",), ("Caffe V0",),
    ),
    "a train_val net: TEST, without labels, and its preprocessing": Case(
        {"t.prototxt": train_val, "x.caffemodel": MODEL}, ("data[None, 3, 6, 6]",), ("prob[None, 3]",),
        ("3 channels from the weights", "acc (Accuracy)", "prob of loss (SoftmaxWithLoss)"),
        preprocess=BGR | {"mean": [52.0, 58.5, 61.5], "scale": 0.5, "crop": [6, 6]},
    ),
    "a mean picture": Case(
        {"d.prototxt": PROTOTXT, "x.caffemodel": MODEL, "m.binaryproto": lambda: mean(1, 3, 8, 8)},
        facts=("m.binaryproto, 8 x 8",),
        preprocess=BGR | {"mean": [31.5, 95.5, 159.5], "scale": 1.0, "resize": [8, 8], "crop": [6, 6]},
    ),
    "a mean file that is not here": Case(
        {"t.prototxt": lambda: train_val().replace(MEANS, 'mean_file: "/d/m.binaryproto"'), "x.caffemodel": MODEL},
        warnings=("names the mean file m.binaryproto, which is not here",), preprocess={},
    ),
    "another blob as output, by another name": Case(
        {"d.prototxt": PROTOTXT, "x.caffemodel": MODEL}, outputs=("feature[None, 2, 4, 4]",),
        options=ModelOptions(outputs=(TensorOption("feature", "conv"),)),
    ),
    "what an in-place layer overwrites": Case(
        {"d.prototxt": PROTOTXT, "x.caffemodel": MODEL}, outputs=("before[None, 2, 4, 4]",),
        options=ModelOptions(outputs=(TensorOption("before", "conv@conv"),)),
    ),
    "a layer that counts on the batch": Case(
        {"d.prototxt": wrong(lambda net: net.layer("Reshape", "r", ["prob"], ["r"], reshape_param=SHAPE)),
         "x.caffemodel": MODEL},
        ("data[10, 3, 6, 6]",), ("r[6, 5]",), ("layer 'r' (Reshape)",),
    ),
    "the owner's shape": Case(
        {"d.prototxt": PROTOTXT, "x.caffemodel": MODEL}, ("data[2, 3, 6, 6]",),
        options=ModelOptions(inputs=(TensorOption("data", shape=(2, 3, 6, 6)),)),
    ),
    "unused weights are told": Case(
        {"d.prototxt": PROTOTXT,
         "x.caffemodel": lambda: deploy().layer("AbsVal", "extra", ["prob"], ["e"], blobs=[B]).caffemodel()},
        facts=("unused extra",),
    ),
    "a deploy prototxt without weights": Case(
        {"d.prototxt": PROTOTXT}, said="d.prototxt needs the weights of 2 layers (conv, ip), and no .caffemodel lies"
    ),
    "weights of another model": Case(
        {"d.prototxt": wrong(lambda net: net.layers[2].update(name="ip2")), "x.caffemodel": MODEL},
        said="x.caffemodel has no weights of 1 layers of d.prototxt: ip2",
    ),
    "layers that nobody knows, all of them": Case(
        {"d.prototxt": wrong(lambda net: net.layer("Foo", "f", ["ip"], ["f"]).layer("Bar", "b", ["f"], ["g"])
                             .layer("Foo", "f2", ["g"], ["h"])), "x.caffemodel": MODEL},
        said="no converter for Bar (x1), Foo (x2)",
    ),
    "fields that nobody knows": Case(
        {"d.prototxt": wrong(convolution(convolution_param={"num_output": 2, "kernel_size": 3, "padding_mode": 3})),
         "x.caffemodel": MODEL},
        said="1 layers have fields that are not known: 'conv' (Convolution): convolution_param.padding_mode",
    ),
    "sizes that nothing says": Case(
        {"t.prototxt": lambda: train_val().replace("crop_size: 6", ""), "x.caffemodel": MODEL},
        said="does not say the shape of its input 'data'",
    ),
    "an input that there is not": Case(
        {"d.prototxt": PROTOTXT, "x.caffemodel": MODEL}, said="has no input 'dat'",
        options=ModelOptions(inputs=(TensorOption("dat", shape=(2, 3, 6, 6)),)),
    ),
    "an output that there is not": Case(
        {"d.prototxt": PROTOTXT, "x.caffemodel": MODEL}, said="has no blob 'probb'",
        options=ModelOptions(outputs=(TensorOption("p", "probb"),)),
    ),
    "a picture of absurd size": Case(
        {"d.prototxt": lambda: small((1, 3, 60000, 60000)).prototxt(), "x.caffemodel": MODEL},
        said="over 2147483648 elements a row",
    ),
    "a kernel of absurd size": Case(
        {"d.prototxt": wrong(convolution(convolution_param={"num_output": 2, "kernel_size": 1 << 40})),
         "x.caffemodel": MODEL},
        said="kernel_size is [1099511627776, 1099511627776], expected 1 or more",
    ),
    "a pyramid of absurd height": Case(
        {"d.prototxt": wrong(lambda net: net.layer("SPP", "s", ["conv"], ["s"], spp_param={"pyramid_height": 60000})),
         "x.caffemodel": MODEL},
        said="does not fit an input",
    ),
    "a mean of other channels": Case(
        {"d.prototxt": PROTOTXT, "x.caffemodel": MODEL, "m.binaryproto": lambda: mean(1, 1, 8, 8)},
        said="m.binaryproto is a mean of the shape [1, 8, 8]; the input has 3 channels",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("drops")
    rows = [
        {"name": name, "folder": str(lay(root / str(number), case.files)), "options": case.options.to_json()}
        for number, (name, case) in enumerate(CASES.items())
    ]
    found: dict[str, Any] = run_child("signatures", {"rows": rows}, "base").value
    return found


@pytest.mark.parametrize("name", CASES)
def test_conversion(name: str, results: dict[str, Any]) -> None:
    case, found = CASES[name], results[name]
    if case.said:
        assert case.said in found.get("message", found)
        assert found["error"] in ("ConversionError", "CorruptModel", "UnsupportedOps", "NeedsInputShape")
        return
    assert "error" not in found, found
    assert not case.inputs or tuple(found["inputs"]) == case.inputs
    assert not case.outputs or tuple(found["outputs"]) == case.outputs
    for words in case.facts:
        assert words in found["facts"]
    for words in case.warnings:
        assert words in found["warnings"]
    if case.preprocess is not None:
        record = found["preprocess"] or {}
        assert {key: record.get(key) for key in case.preprocess} == dict(case.preprocess)
        assert bool(record) == bool(case.preprocess)


def test_damage_ends_in_errors_of_ours(tmp_path: Path) -> None:
    """64 cuts and 200 flipped bits of each file; nothing else than an error of ours, or a model."""
    net = Writer("small").input("data", (1, 3, 6, 6))
    param = {"num_output": 2, "kernel_size": 3, "pad": 1}
    net.layer("Convolution", "conv", ["data"], ["conv"], convolution_param=param, blobs=[W, B])
    folder = net.save(tmp_path / "whole")
    found = run_child("damage", {"folder": str(folder)}, "base").value
    assert len(found["endings"]) == 2 * (64 + 200)
    known = {"converted", "CorruptModel", "ConversionError", "UnsupportedOps", "NeedsInputShape", "not recognised"}
    assert {name: said for name, said in found["endings"].items() if said not in known} == {}
    assert set(found["endings"].values()) >= {"converted", "CorruptModel", "ConversionError"}
    assert found["slowest"] < 20
