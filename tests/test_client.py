"""What `gateway predict` says of a detector's answer to a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gateway import client
from gateway.core.preprocess import Preprocess
from gateway.core.signature import Signature, TensorSpec

INPUT = (TensorSpec("data", "float32", (None, 3, 100, 100)),)
PICTURE = Preprocess(fit="letterbox", fill=(127.5,)).to_json()
YOLO = (TensorSpec("scores", "float32", (None, 2, 2)), TensorSpec("boxes", "float32", (None, 2, 4)))
SSD = (TensorSpec("detection_out", "float32", (1, 1, None, 7)),)

SEEN: dict[str, tuple[Signature, dict[str, Any], str]] = {
    "yolo: suppressed, placed in the picture, named": (
        Signature(INPUT, YOLO, "boxes", labels=("cat", "dog"), preprocess=PICTURE),
        {"scores": [[[0.1, 0.9], [0.1, 0.6]]], "boxes": [[[0.5, 0.5, 0.5, 0.2], [0.5, 0.5, 0.5, 0.21]]]},
        "dog  90.0 %   50,40 to 150,80",
    ),
    "yolo: nothing": (
        Signature(INPUT, YOLO, "boxes", preprocess=PICTURE),
        {"scores": [[[0.1, 0.2], [0.1, 0.1]]], "boxes": [[[0.5] * 4] * 2]},
        "nothing scores over 25 %",
    ),
    "ssd": (
        Signature(INPUT, SSD, preprocess=PICTURE),
        {"detection_out": [[[[0, 1, 0.8, 0.25, 0.4, 0.75, 0.6], [0, 1, 0.1, 0, 0, 1, 1]]]]},
        "class 1  80.0 %   50,40 to 150,80",
    ),
    "no detector": (
        Signature(INPUT, (TensorSpec("p", "float32", (None, 2)),), preprocess=PICTURE),
        {"p": [[0.5, 0.5]]},
        "",
    ),
}


@pytest.mark.parametrize(("signature", "outputs", "said"), SEEN.values(), ids=SEEN.keys())
def test_boxes(signature: Signature, outputs: dict[str, Any], said: str, tmp_path: Path) -> None:
    """A picture of 200 by 120, seen at 100 by 60 in the middle of 100 by 100."""
    path = tmp_path / "picture.png"
    Image.new("RGB", (200, 120)).save(path)
    assert client.boxes(signature, outputs, path) == said
