"""The reader: dialects, headers, orders of arrays, and every way in which the two files can be wrong."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.errors import ConversionError, CorruptModel, GatewayError
from gateway.formats.darknet.network import Network, read
from tests.formats.darknet.writer import ALEXEYAB, PJREDDIE, Net, header

CONV = {"filters": 4, "size": 3, "stride": 1, "pad": 1, "activation": "leaky", "batch_normalize": 1}
HEAD = {"mask": "0,1", "anchors": "10,14, 23,27", "classes": 1, "num": 2}


def tiny(dialect: str = PJREDDIE) -> Net:
    net = Net(dialect, width=16, height=8, channels=3)
    net.add("convolutional", **CONV)
    net.add("maxpool", size=2, stride=2)
    net.add("convolutional", filters=12, size=1, activation="linear")
    net.add("yolo", **HEAD)
    return net


def network(net: Net, folder: Path, **how: Any) -> Network:
    return read(*net.save(folder, **how))


def test_every_array_is_where_the_writer_put_it(tmp_path: Path) -> None:
    net = tiny()
    found = network(net, tmp_path)
    for layer, written in zip(found.layers, net.layers, strict=True):
        assert layer.output == written.shape
        assert list(layer.weights) == [name for name, _ in written.arrays]
        for name, array in written.arrays:
            np.testing.assert_array_equal(layer.weights[name], array.astype(np.float32), strict=True)
    assert [layer.name for layer in found.layers] == ["convolutional_0", "maxpool_1", "convolutional_2", "yolo_3"]
    assert found.outputs == (3,)


def lstm(dialect: str) -> Net:
    net = Net(dialect, inputs=3)
    net.add("lstm", output=2)
    return net


def gru(dialect: str) -> Net:
    net = Net(dialect, inputs=3)
    net.add("gru", output=2)
    return net


def shortcut(dialect: str, **options: Any) -> Net:
    net = Net(dialect, width=4, height=4, channels=3)
    net.add("convolutional", filters=3, size=1, activation="linear")
    net.add("convolutional", filters=3, size=1, activation="linear")
    net.add("shortcut", from_="-2", activation="linear", **options)
    return net


def grouped(dialect: str) -> Net:
    net = Net(dialect, width=4, height=4, channels=3)
    net.add("convolutional", filters=4, size=1, activation="linear")
    net.add("route", layers="-1", groups=2, group_id=1)
    net.add("convolutional", filters=2, size=1, activation="linear")
    return net


DIALECTS: dict[str, tuple[Net, str, str]] = {
    "route groups: sizes differ, AlexeyAB's fits": (grouped(ALEXEYAB), ALEXEYAB, "and not as pjreddie's"),
    "route groups: sizes differ, pjreddie's fits, which ignores them": (
        grouped(PJREDDIE), PJREDDIE, "and not as AlexeyAB's",
    ),
    "weights of a shortcut are AlexeyAB's": (
        shortcut(ALEXEYAB, weights_type="per_channel", weights_normalization="relu"), ALEXEYAB, "not as pjreddie's",
    ),
    "the same sizes: an option says it": (shortcut(ALEXEYAB, nms_kind="greedynms"), ALEXEYAB, "nms_kind="),
    "the same sizes: the header says it": (shortcut(ALEXEYAB), ALEXEYAB, "header is 0.2.5"),
    "the same sizes, nothing says it": (shortcut(PJREDDIE), PJREDDIE, "both dialects fit"),
    "lstm of AlexeyAB's program": (lstm(ALEXEYAB), ALEXEYAB, "header is 0.2.5"),
    "lstm of pjreddie's program": (lstm(PJREDDIE), PJREDDIE, "both dialects fit"),
    "gru of AlexeyAB's program": (gru(ALEXEYAB), ALEXEYAB, "header is 0.2.5"),
    "gru of pjreddie's program": (gru(PJREDDIE), PJREDDIE, "both dialects fit"),
}  # fmt: skip


@pytest.mark.parametrize(("net", "dialect", "why"), DIALECTS.values(), ids=DIALECTS.keys())
def test_dialect(net: Net, dialect: str, why: str, tmp_path: Path) -> None:
    found = network(net, tmp_path)
    assert found.dialect == dialect
    assert why in found.evidence, found.evidence
    for layer, written in zip(found.layers, net.layers, strict=True):
        for name, array in written.arrays:
            np.testing.assert_array_equal(layer.weights[name], array.astype(np.float32), strict=True)


def test_recurrent_orders_are_those_of_load_weights_upto(tmp_path: Path) -> None:
    """Spelt out byte by byte: the writer's order is not asked."""
    for dialect, version, order in (
        (PJREDDIE, (0, 2, 0), ("wi", "wf", "wo", "wg", "ui", "uf", "uo", "ug")),
        (ALEXEYAB, (0, 2, 5), ("wf", "wi", "wg", "wo", "uf", "ui", "ug", "uo")),
    ):
        (tmp_path / "n.cfg").write_text("[net]\ninputs=1\n[lstm]\noutput=1\n")
        # each gate: one bias, one weight
        body = np.arange(16, dtype="<f4").tobytes()
        (tmp_path / "n.weights").write_bytes(header(version) + body)
        found = read(tmp_path / "n.cfg", tmp_path / "n.weights")
        assert found.dialect == dialect
        assert [float(found.layers[0].weights[f"{gate}.biases"][0]) for gate in order] == list(range(0, 16, 2))


HEADERS: dict[str, tuple[tuple[int, int, int], int]] = {
    "0.1.0 has 32 bits of seen": ((0, 1, 0), 4),
    "0.2.0 has 64 bits of seen": ((0, 2, 0), 8),
    "0.2.5 has 64 bits of seen": ((0, 2, 5), 8),
    "1.0.0 has 64 bits of seen": ((1, 0, 0), 8),
    "0.2.0 written where size_t has 32 bits": ((0, 2, 0), 4),
}


@pytest.mark.parametrize(("version", "seen"), HEADERS.values(), ids=HEADERS.keys())
def test_header(version: tuple[int, int, int], seen: int, tmp_path: Path) -> None:
    net = tiny()
    found = network(net, tmp_path, version=version, seen=seen)
    np.testing.assert_array_equal(
        found.layers[2].weights["weights"], dict(net.layers[2].arrays)["weights"], strict=True
    )


def test_matrices_of_old_files_are_turned(tmp_path: Path) -> None:
    net = Net(inputs=3)
    net.add("connected", {"weights": np.arange(6).reshape(2, 3)}, output=2, activation="linear")
    found = network(net, tmp_path, version=(0, 1001, 0), seen=4)
    np.testing.assert_array_equal(found.layers[0].weights["weights"], [[0, 2, 4], [1, 3, 5]])


def test_flipped_filters_are_turned(tmp_path: Path) -> None:
    net = Net(width=2, height=2, channels=3)
    net.add("convolutional", {"weights": np.arange(6).reshape(2, 3, 1, 1)}, filters=2, size=1, flipped=1)
    found = network(net, tmp_path)
    np.testing.assert_array_equal(found.layers[0].weights["weights"].reshape(2, 3), [[0, 2, 4], [1, 3, 5]])


def test_scales_that_are_not_loaded_are_one(tmp_path: Path) -> None:
    net = Net(width=2, height=2, channels=1)
    net.add("convolutional", filters=2, size=1, batch_normalize=1, dontloadscales=1)
    arrays = network(net, tmp_path).layers[0].weights
    assert arrays["scales"].tolist() == [1, 1]
    assert arrays["rolling_variance"].tolist() == [0, 0]


def test_the_first_of_two_equal_keys_counts(tmp_path: Path) -> None:
    (tmp_path / "n.cfg").write_text(
        "[net]\ninputs = 2 \n#inputs=9\n;x\n[ connected ]\noutput=3\noutput=4\nactivation=relu\n"
    )
    (tmp_path / "n.weights").write_bytes(header() + bytes(4 * 9))
    assert read(tmp_path / "n.cfg", tmp_path / "n.weights").layers[0].output == (3, 1, 1)


def cut(by: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:-by]


NET = "[net]\nwidth=8\nheight=8\nchannels=3\n"
WRONG_FILES: dict[str, tuple[Callable[[bytes], bytes], type[GatewayError], str]] = {
    "cut within the last layer": (cut(8), CorruptModel, r"within layer 2 \(net.cfg, line \d+ \(\[convol"),
    "cut by what `seen` might lack": (cut(4), CorruptModel, "ends within layer 2"),
    "cut within a number": (cut(1), CorruptModel, "ends within layer 2"),
    "a partial backbone": (
        lambda data: data[: 20 + 4 * (4 * 4 + 108)],
        ConversionError,
        "ends before layer 2 .*holds the first 2 of the 4 layers.*conv.74",
    ),
    "four bytes too many": (lambda data: data + b"1234", CorruptModel, "holds 4 bytes more than the 4 layers"),
    "another network's": (lambda data: data + data, CorruptModel, "bytes more than the 4 layers .* end at offset"),
    "nothing in it": (lambda data: b"", CorruptModel, "has 0 bytes"),
    "no file of weights": (lambda data: b"\xff" * len(data), CorruptModel, "header says version -1.-1.-1"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "error", "said"), WRONG_FILES.values(), ids=WRONG_FILES.keys())
def test_wrong_weights(change: Callable[[bytes], bytes], error: type[GatewayError], said: str, tmp_path: Path) -> None:
    cfg, weights = tiny().save(tmp_path)
    weights.write_bytes(change(weights.read_bytes()))
    with pytest.raises(error, match=said) as caught:
        read(cfg, weights)
    assert type(caught.value) is error


WRONG_CFGS: dict[str, tuple[str, str]] = {
    "empty": ("", "the first section is nothing"),
    "no [net]": ("[convolutional]\nfilters=1\n", r"the first section is \[convolutional\]"),
    "an option before any section": ("filters=1\n[net]\n", "stands before any section"),
    "no layers": (NET, "no layer behind it"),
    "a section that nobody knows": (NET + "[convolutionl]\nfilters=1\n", r"not know: \[convolutionl\].*convolutional"),
    "no size of the input": ("[net]\nbatch=1\n[softmax]\n", "neither height, width and channels nor inputs"),
    "an absurd number": (NET + "[convolutional]\nfilters=99999999999\n", "filters=99999999999 is beyond"),
    "absurd sizes": (NET + "[upsample]\nstride=99999\n", "layer 0: gives 3x799992x799992 values"),
    "an absurd input": ("[net]\nwidth=99999\nheight=99999\nchannels=3\n[softmax]\n", "is not taken"),
    "no filters": (NET + "[convolutional]\nfilters=0\n", "filters=0, expected 1"),
    "a stride of 0": (NET + "[convolutional]\nfilters=1\nstride=0\n", "its stride is"),
    "a window that does not fit": (NET + "[convolutional]\nfilters=1\nsize=11\n", "a window of 11 does not fit into 8"),
    "groups that do not divide": (NET + "[convolutional]\nfilters=4\ngroups=2\n", "groups=2 divides neither"),
    "a route into the future": (NET + "[route]\nlayers=5\n", "reads layer 5, and 0 layers stand before it"),
    "a route before the start": (NET + "[softmax]\n[route]\nlayers=-3\n", "reads layer -3"),
    "a route without layers": (NET + "[softmax]\n[route]\n", "has no layers="),
    "a route of different sizes": (
        NET + "[softmax]\n[maxpool]\nsize=2\nstride=2\n[route]\nlayers=-1,-2\n", "different heights",
    ),
    "channels that are no head": (NET + "[yolo]\nmask=0\nnum=1\nclasses=3\n", "takes 8 channels, and reads 3"),
    "too few anchors": (NET + "[yolo]\nmask=0\nnum=2\nclasses=-2\nanchors=1,2,3\n", "has 3 numbers in anchors="),
    "a mask beyond the anchors": (NET + "[yolo]\nmask=7\nnum=2\nanchors=1,2,3,4\n", "mask=7 names an anchor"),
    "a detector of another size": (NET + "[detection]\nside=2\n", "takes 12 values .* reads 192"),
    "both dialects' sections": (
        NET + "[deconvolutional]\nfilters=1\n[sam]\nfrom=0\n", "no Darknet knows all of its sections",
    ),
    "single bits": (NET + "[convolutional]\nfilters=1\nxnor=1\n", "xnor=1: it computes in single bits"),
    "weights that are not loaded": (NET + "[convolutional]\nfilters=1\ndontload=1\n", "dontload=1: its weights"),
    "a memory of other calls": (NET + "[history]\n", r"\[history\]: it remembers"),
    "sizes of Darknet that disagree": (
        NET + "[convolutional]\nfilters=1\nsize=3\ndilation=2\n[empty]\n", "Darknet's own sizes disagree",
    ),
    "too much text": ("[net]\n" + "#" * (5 << 20), "bytes; a cfg has at most"),
    "a bomb of sections": (NET + "[softmax]\n" * 5000, "over 4096 sections"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "said"), WRONG_CFGS.values(), ids=WRONG_CFGS.keys())
def test_wrong_cfg(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "n.cfg").write_text(text)
    with pytest.raises(ConversionError, match=said):
        read(tmp_path / "n.cfg", None)


def test_a_cfg_alone_names_what_is_missing(tmp_path: Path) -> None:
    cfg, _ = tiny().save(tmp_path)
    with pytest.raises(ConversionError, match="no file of weights") as caught:
        read(cfg, None)
    assert "Add net.weights" in caught.value.hint


def test_64_lengths_of_both_files_end_in_typed_errors(tmp_path: Path) -> None:
    """A cfg that ends behind a layer with weights is one, without what came behind it; no other cut is."""
    cfg, weights = tiny().save(tmp_path)
    for path, whole in ((weights, weights.read_bytes()), (cfg, cfg.read_bytes().removesuffix(b"=2\n"))):
        kept = path.read_bytes()
        for number in range(64):
            path.write_bytes(whole[: len(whole) * number // 64])
            try:
                found = read(cfg, weights)
            except ConversionError:
                continue
            assert path == cfg
            assert len(found.layers) == 3
        path.write_bytes(kept)
    read(cfg, weights)


def test_200_flipped_bits_end_in_a_network_or_a_typed_error(tmp_path: Path) -> None:
    cfg, weights = tiny().save(tmp_path)
    random = np.random.default_rng(0)
    refused = 0
    for path, whole in ((weights, weights.read_bytes()), (cfg, cfg.read_bytes())):
        for _ in range(100):
            data = bytearray(whole)
            data[random.integers(len(data))] ^= 1 << int(random.integers(8))
            path.write_bytes(data)
            try:
                read(cfg, weights)
            except ConversionError:
                refused += 1
        path.write_bytes(whole)
    assert refused > 20


def test_sizes_are_checked_before_anything_is_allocated(tmp_path: Path) -> None:
    """A petabyte of weights is claimed, and 20 bytes are there."""
    (tmp_path / "n.cfg").write_text(
        "[net]\ninputs=16777216\n[connected]\noutput=1048576\n[connected]\noutput=1048576\n"
    )
    (tmp_path / "n.weights").write_bytes(struct.pack("<iiiQ", 0, 2, 0, 0))
    with pytest.raises(CorruptModel, match="ends within layer 0"):
        read(tmp_path / "n.cfg", tmp_path / "n.weights")
