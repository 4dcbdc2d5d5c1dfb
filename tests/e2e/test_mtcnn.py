"""Real networks on a real photo: MTCNN's three nets are dropped in and find the face of scikit-image's astronaut."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests import zoo
from tests.e2e.running import Running
from tests.e2e.test_cli import gateway as command

SIDES = {"pnet": 12, "rnet": 24, "onet": 48}
FACE = (165, 60, 285, 180)  # left, top, right, bottom, in pixels
NO_FACES = ((0, 350, 120, 470), (380, 0, 500, 120))  # the shoulder; the flag

TOML = """
[preprocess]
resize = [{side}, {side}]
colour = "rgb"
scale = 0.0078125
mean = [0.99609375]
layout = "nhwc"
"""


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    path = zoo.fetch(
        "scikit-image==0.26.0",
        "skimage/data/astronaut.png",
        "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    )
    return Image.open(path).convert("RGB")


@pytest.fixture(scope="module")
def nets(shared: Running) -> Running:
    """The nets as their package ships them, and beside each how a picture becomes its input."""
    for row in zoo.rows():
        for name, side in SIDES.items():
            if row.name == f"mtcnn {name}":
                shutil.copy(row.fetch(), shared.repository / f"{name}.onnx")
                (shared.repository / f"{name}.toml").write_text(TOML.format(side=side))
    for name in SIDES:
        row = shared.wait(name, 1, "AVAILABLE", 120)
        assert row["verdict"] == "passed", row
    return shared


def tensor(photo: Image.Image, box: tuple[int, int, int, int], side: int) -> Any:
    """A crop as these nets want it: transposed (they were trained on column-major pictures), (x - 127.5) / 128."""
    crop = np.asarray(photo.crop(box).resize((side, side), Image.Resampling.BILINEAR), np.float32)
    return ((crop - 127.5) / 128).transpose(1, 0, 2)[None].tolist()


def face_probability(answer: dict[str, Any]) -> float:
    """The second value of the softmax output, whatever its layer number."""
    name = next(name for name in answer["outputs"] if name.startswith("softmax"))
    return float(np.asarray(answer["outputs"][name]).reshape(-1)[1])


@pytest.mark.parametrize("name", ["rnet", "onet"])
def test_the_face_is_a_face_and_the_rest_is_not(name: str, nets: Running, photo: Image.Image) -> None:
    status, answer = nets.predict(name, tensor(photo, FACE, SIDES[name]))
    assert status == 200
    assert face_probability(answer) > 0.95
    for box in NO_FACES:
        assert face_probability(nets.predict(name, tensor(photo, box, SIDES[name]))[1]) < 0.2


def test_the_first_net_runs_over_the_whole_photo(nets: Running, photo: Image.Image) -> None:
    """Free height and width: at one tenth of its size the face is about 12 pixels, the net's window."""
    scaled = photo.resize((52, 52))
    pixels = ((np.asarray(scaled, np.float32) - 127.5) / 128).transpose(1, 0, 2)[None]
    status, answer = nets.predict("pnet", pixels.tolist())
    assert status == 200
    name = next(name for name in answer["outputs"] if name.startswith("softmax"))
    probability = np.asarray(answer["outputs"][name])[0, :, :, 1].T  # back to rows and columns
    row, column = np.unravel_index(int(probability.argmax()), probability.shape)
    centre = (np.array([column, row]) * 2 + 6) * 512 / 52
    assert probability.max() > 0.8
    left, top, right, bottom = FACE
    assert left < centre[0] < right
    assert top < centre[1] < bottom


def test_the_command_line_reads_the_crop(nets: Running, photo: Image.Image, tmp_path: Path) -> None:
    photo.crop(FACE).transpose(Image.Transpose.TRANSPOSE).save(tmp_path / "face.png")
    done = command("predict", "onet", "--url", nets.http, "--image", tmp_path / "face.png")
    assert done.returncode == 0, done.stderr
    softmax = next(line for line in done.stdout.splitlines() if line.startswith("softmax"))
    assert float(softmax.rstrip("]").split()[-1]) > 0.95, done.stdout
