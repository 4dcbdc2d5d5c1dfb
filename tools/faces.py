"""Face recognition end to end, for a person to look at: `make faces`.

Fetches nets and photos into .cache/faces, which git ignores, serves them, compares the photos pairwise by the call that
multi-model-server's ArcFace archive had, and draws boxes, points and the similarity of every face to every other.
"""

from __future__ import annotations

import base64
import itertools
import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests import facenets  # noqa: E402

CACHE = ROOT / ".cache" / "faces"
WAIT_S = 600.0
WIDE, CELL = 360, 64


def main() -> int:
    photos = facenets.photos()
    facenets.drop_all(CACHE / "repo")
    with (CACHE / "log.jsonl").open("w") as log:
        ports = [f"--{name}-port=0" for name in ("grpc", "http", "admin", "metrics")]
        command = [
            sys.executable,
            "-m",
            "gateway",
            "serve",
            str(CACHE / "repo"),
            "--store",
            str(CACHE / "store"),
            *ports,
        ]
        served = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            assert served.stdout is not None
            line = served.stdout.readline()
            if not line:
                print(f"the gateway did not start; see {CACHE / 'log.jsonl'}", file=sys.stderr)
                return 1
            return show(json.loads(line), photos)
        finally:
            served.terminate()
            served.wait(30)


def show(addresses: dict[str, str], photos: dict[str, Path]) -> int:
    if not wait(addresses["admin"]):
        return 1
    url = f"http://{addresses['http']}"
    print("\nphotos compared by POST /predictions/arcface:")
    for one, two in itertools.combinations([name for name in photos if name != "t1"], 2):
        found = compare(url, photos[one], photos[two])
        print(f"  {one:7} {two:7} Similarity {found['Similarity']:6.3f}  Distance {found['Distance']:.3f}")
    faces = {name: embed(url, path) for name, path in photos.items()}
    names = [f"{name} {at + 1}" for name, found in faces.items() for at in range(len(found["boxes"]))]
    unit = np.concatenate([np.asarray(found["embedding"]) for found in faces.values()])
    draw(photos, faces, names, unit @ unit.T).save(CACHE / "faces.png")
    print(f"\n{len(names)} faces drawn, with the similarity of each to each: {CACHE / 'faces.png'}")
    return 0


def wait(admin: str) -> bool:
    """Until arcface serves; says what it waits for."""
    end, said = time.monotonic() + WAIT_S, ""
    while time.monotonic() < end:
        models = json.loads(urllib.request.urlopen(f"http://{admin}/api/v1/models", timeout=30).read())["models"]
        states = {model["name"]: model["versions"][0] for model in models}
        line = ", ".join(f"{name} {version['state']}" for name, version in sorted(states.items()))
        if line != said:
            print(line, flush=True)
            said = line
        failed = {name: v["reason"] for name, v in states.items() if v["state"] == "FAILED"}
        if failed:
            print(json.dumps(failed, indent=1), file=sys.stderr)
            return False
        if states.get("arcface", {}).get("state") == "AVAILABLE":
            return True
        time.sleep(0.5)
    print(f"not within {WAIT_S:.0f} s: {said}", file=sys.stderr)
    return False


def compare(url: str, one: Path, two: Path) -> dict[str, float]:
    """curl -X POST URL/predictions/arcface -F img1=@ONE -F img2=@TWO"""
    head = b'--x\r\nContent-Disposition: form-data; name="%s"; filename="a.jpg"\r\n\r\n'
    body = b"".join((head % name) + path.read_bytes() + b"\r\n" for name, path in ((b"img1", one), (b"img2", two)))
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    request = urllib.request.Request(f"{url}/predictions/arcface", body + b"--x--\r\n", kind)
    return dict(json.loads(urllib.request.urlopen(request, timeout=120).read()))


def embed(url: str, path: Path) -> dict[str, Any]:
    text = {"b64": base64.b64encode(path.read_bytes()).decode()}
    request = urllib.request.Request(
        f"{url}/v1/models/face-embed:predict", json.dumps({"inputs": {"photo": [text]}}).encode()
    )
    return dict(json.loads(urllib.request.urlopen(request, timeout=120).read())["outputs"])


def draw(photos: dict[str, Path], faces: dict[str, dict[str, Any]], names: list[str], similar: Any) -> Image.Image:
    """The photos in a row above, the matrix below."""
    shown = [marked(name, photos[name], faces[name]) for name in photos]
    down = max(one.height for one in shown) + 24
    side = CELL * (len(names) + 1)
    sheet = Image.new("RGB", (max((WIDE + 8) * len(shown), side), down + side), "white")
    for at, one in enumerate(shown):
        sheet.paste(one, ((WIDE + 8) * at, 0))
    pencil = ImageDraw.Draw(sheet)
    crops = [Image.fromarray(np.asarray(face, np.uint8)) for found in faces.values() for face in found["faces"]]
    for at, crop in enumerate(crops):
        small = crop.resize((CELL, CELL))
        sheet.paste(small, (0, down + CELL * (at + 1)))
        sheet.paste(small, (CELL * (at + 1), down))
    for row, column in itertools.product(range(len(names)), repeat=2):
        value = float(similar[row, column])
        left, upper = CELL * (column + 1), down + CELL * (row + 1)
        green = int(255 * (1 - max(0.0, value)))
        pencil.rectangle((left, upper, left + CELL - 2, upper + CELL - 2), (green, 255, green))
        pencil.text((left + 14, upper + 24), f"{value:5.2f}", "black")
    return sheet


def marked(name: str, path: Path, found: dict[str, Any]) -> Image.Image:
    photo = Image.open(path).convert("RGB")
    pencil = ImageDraw.Draw(photo)
    line = max(1, photo.width // 300)
    for at, (box, points) in enumerate(zip(found["boxes"], found["landmarks"])):
        pencil.rectangle(tuple(box), outline=(0, 200, 0), width=line)
        for x, y in points:
            pencil.ellipse((x - line * 2, y - line * 2, x + line * 2, y + line * 2), fill=(255, 60, 0))
        pencil.text((box[0], max(0, box[1] - 14)), f"{name} {at + 1}  {found['scores'][at]:.3f}", (0, 200, 0))
    return photo.resize((WIDE, round(photo.height * WIDE / photo.width)))


if __name__ == "__main__":
    sys.exit(main())
