"""A drop as a whole: what is shown, under which names, with which preprocessing and labels, and who judges it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.config import Settings
from gateway.convert.run import Converter, ConvertRequest
from gateway.core.artifact import Artifact
from gateway.core.modeltoml import ModelOptions, TensorOption
from gateway.errors import ConversionError
from gateway.formats.base import Source
from gateway.formats.darknet import FORMAT
from gateway.formats.darknet import convert as converter
from gateway.process.environments import Environments
from tests.environments import environment
from tests.formats.darknet.rows import FIRST, NEW, YOLO, Case, conv, layer, net
from tests.formats.in_base import source_of


def proven(folder: Path, out: Path, options: ModelOptions | None = None) -> Artifact:
    """Through the same door as a dropped model."""
    environment("base"), environment("opencv")
    source = source_of(folder)
    match = FORMAT.match(source)
    assert match is not None
    request = ConvertRequest(source, match, options or ModelOptions(), digest="test")
    return Converter(Environments(), Settings(), out / "scratch").convert(request, out / "made")


def written(case: Callable[[], Any], folder: Path, **beside: str) -> Path:
    case().save(folder)
    for name, text in beside.items():
        (folder / f"net.{name}").write_text(text)
    return folder


DETECTOR = net(conv(16), layer("yolo", **YOLO), size=(3, 8, 12))


def test_heads_and_boxes_are_two_signatures_and_both_are_proven(tmp_path: Path) -> None:
    made = proven(written(DETECTOR, tmp_path / "drop", names="cat\ndog\nbird\n"), tmp_path)
    heads, boxes = made.signatures
    assert [str(spec) for spec in heads.outputs] == ["yolo_1:float32[?,16,8,12]"]
    assert [str(spec) for spec in boxes.outputs] == ["scores:float32[?,192,3]", "boxes:float32[?,192,4]"]
    assert boxes.name == "boxes"
    assert boxes.labels == ("cat", "dog", "bird")
    assert made.verification.verdict.value == "passed", made.verification.reason
    assert made.verification.oracle.startswith("OpenCV 4.14")
    assert {c.output for c in made.verification.comparisons} == {"yolo_1", "scores", "boxes"}

    cfg = tmp_path / "drop" / "net.cfg"
    cfg.write_text(cfg.read_text().replace("37,58", "37,59"))  # the artifact is another's now, in its boxes alone
    source, match, options = read(tmp_path / "drop")
    verified = Converter(Environments(), Settings(), tmp_path / "again").verify(
        source, match, options, tmp_path / "made"
    )
    assert verified.verdict.value == "failed"
    assert {c.output for c in verified.comparisons if not c.passed} == {"boxes"}


def read(folder: Path, options: ModelOptions | None = None) -> tuple[Source, Any, ModelOptions]:
    source = source_of(folder)
    match = FORMAT.match(source)
    assert match is not None
    return source, match, options or ModelOptions()


PREPROCESS: dict[str, tuple[Case, str, tuple[float, ...]]] = {
    "pjreddie's letterboxes": (Case(DETECTOR), "letterbox", (127.5,)),
    "AlexeyAB's stretches": (Case(net(conv(16), layer("yolo", **YOLO), **NEW)), "stretch", (0.0,)),
    "AlexeyAB's letterboxes when the cfg says so": (
        Case(net(conv(16), layer("yolo", **YOLO), letter_box=1, **NEW)),
        "letterbox",
        (127.5,),
    ),
    "AlexeyAB's classifiers cut the middle out": (Case(net(FIRST, layer("avgpool"), **NEW)), "cover", (0.0,)),
}


@pytest.mark.parametrize(("case", "fit", "fill"), PREPROCESS.values(), ids=PREPROCESS.keys())
def test_preprocess(case: Case, fit: str, fill: tuple[float, ...], tmp_path: Path) -> None:
    case.make().save(tmp_path)
    found = converter.preprocess_of(converter.read(*read(tmp_path)))
    assert found is not None
    assert (found.fit, found.fill, found.colour, found.interpolation) == (fit, fill, "rgb", "bilinear-corners")
    assert found.normalise(np.full((2, 2, 3), 255, np.uint8)).max() == pytest.approx(1.0)


def test_no_preprocessing_for_what_is_no_picture(tmp_path: Path) -> None:
    written(net(layer("connected", output=2), inputs=3), tmp_path)
    assert converter.preprocess_of(converter.read(*read(tmp_path))) is None


def test_another_size_of_the_input(tmp_path: Path) -> None:
    written(DETECTOR, tmp_path)
    option = TensorOption("image", "data", "float32", (None, 3, 16, 20))
    found = converter.inspect(*read(tmp_path, ModelOptions(inputs=(option,))))
    assert [str(spec) for spec in found.inputs] == ["image:float32[?,3,16,20]"]
    assert [str(spec) for spec in found.outputs] == ["yolo_1:float32[?,16,16,20]"]
    assert found.operators == {"convolutional": 1, "yolo": 1}


WRONG: dict[str, tuple[ModelOptions, str]] = {
    "another input": (ModelOptions(inputs=(TensorOption("x", "image"),)), "none called 'image'"),
    "another type": (ModelOptions(inputs=(TensorOption("data", "", "uint8"),)), "is float32, not uint8"),
    "a free height": (ModelOptions(inputs=(TensorOption("data", "", "", (None, 3, None, 8)),)), "need to know them"),
    "a fixed batch": (ModelOptions(inputs=(TensorOption("data", "", "", (1, 3, 8, 8)),)), "need to know them"),
    "an output that is not there": (
        ModelOptions(outputs=(TensorOption("yolo_2"),)),
        "no layer called 'yolo_2'.*yolo_1",
    ),
    "other channels": (ModelOptions(inputs=(TensorOption("data", "", "", (None, 4, 8, 8)),)), "net.weights"),
}


@pytest.mark.parametrize(("options", "said"), WRONG.values(), ids=WRONG.keys())
def test_wrong_options(options: ModelOptions, said: str, tmp_path: Path) -> None:
    written(DETECTOR, tmp_path)
    with pytest.raises(ConversionError, match=said):
        converter.inspect(*read(tmp_path, options))


def test_weights_alone_ask_for_their_cfg(tmp_path: Path) -> None:
    cfg, _ = DETECTOR().save(tmp_path)
    cfg.unlink()
    source = source_of(tmp_path)
    match = FORMAT.match(source)
    assert match is not None
    with pytest.raises(ConversionError, match="holds weights only") as caught:
        converter.read(source, match, ModelOptions())
    assert "Add net.cfg" in caught.value.hint


NAMES: dict[str, tuple[str, tuple[str, ...]]] = {
    "as many as classes": ("cat\ndog\n bird \n\n", ("cat", "dog", "bird")),
    "of another network": ("cat\ndog\n", ()),
}


@pytest.mark.parametrize(("text", "labels"), NAMES.values(), ids=NAMES.keys())
def test_labels(text: str, labels: tuple[str, ...], tmp_path: Path) -> None:
    written(DETECTOR, tmp_path, names=text)
    source, match, options = read(tmp_path)
    assert converter._labels(source, match, converter.read(source, match, options))[1] == labels
