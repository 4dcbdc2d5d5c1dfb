"""The hostile corpus is dropped into a gateway that serves: nothing fires, nobody notices, each refusal has a name."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

from tests.archive.forge import Entry, zip_of
from tests.e2e import affine
from tests.e2e.running import Running, gateway, until
from tests.e2e.test_swap import RATE, Load
from tests.hostile.planted import Planted, put
from tests.hostile.samples import SAMPLES

GROWTH = 64 << 20  # bytes that the gateway's own process may gain: it holds reasons, and nothing of the files

PICKLE = r"Python pickle protocol \d .*globals: \w"
TENSORFLOW = "TensorFlow SavedModel|TensorFlow GraphDef|ReadFile|MatchingFiles|WriteFile|PrintV2|SaveV2|PyFunc"
SAID = {
    "pickle": PICKLE, "pickle INST": "no format recognises", "pickle OBJ": "no format recognises",
    "joblib": PICKLE, "joblib packed": "compressed joblib .*os.system",
    "npy": "Python objects, which only a pickle can hold", "npz": "NumPy arrays",
    "torch": r"a PyTorch pickle that names [\w.]+, which no model needs",
    "torch zip, broken CRC": r"data.pkl' unpacks to \d+ bytes with checksum",
    "keras": "Keras|Lambda|module", "keras bomb": "a bomb", "savedmodel": TENSORFLOW, "graphdef": TENSORFLOW,
    "onnx weights: symlink": "is a link to .*outside the repository", "onnx weights: hard link": "is a hard link",
    "onnx weights": "'w' has its data at .*outside of the model's folder",
    "onnx of": r"'w' of shape \[\d.* needs \d+ bytes, the file has 4",
    "zip slip": "leaves the folder", "tar slip": "leaves the folder", "tgz slip": "leaves the folder",
    "zip absolute": "is an absolute path", "tar through a link": "'d' is a link", "tar hard link": "is a hard link",
    "zip bomb": "times as much: a bomb", "tgz bomb": "times as much: a bomb", "zip of overlapping": "a bomb",
    "mar": "model archive", "pmml": "PMML", "openvino": "declares a document type or entities",
    "mxnet array": r"claims shape \[104857600\]", "mxnet 2": "claims 1099511627776 arrays",
    "mxnet symbol": "is no symbol file", "json of": "no format recognises",
    "labels": "expected the name of a file beside the model", "labels: a link": "is a link to .*outside the repository",
    "vectors: a link": "is a link to .*outside the repository",
    "vectors": "Python objects, which only a pickle can hold",
}  # fmt: skip
"""What the reason says, by the beginning of a sample's name; the longest wins."""


def rows(running: Running) -> dict[str, dict[str, Any]]:
    status, answer = running.call("/api/v1/models", port="admin")
    assert status == 200
    return {model["name"]: version for model in answer["models"] for version in model["versions"]}


def stage_all(root: Path) -> dict[str, Planted]:
    """Each sample in a folder of its own, beside the repository."""
    names = {f"h{number:03}": sample for number, sample in enumerate(SAMPLES)}
    return {name: put(sample, root, root / "staged" / name) for name, sample in names.items()}


def test_the_corpus_costs_nobody_anything(tmp_path: Path) -> None:
    repository = tmp_path / "repo"
    affine.write(repository / "affine" / "1" / "model.onnx", 1.0)
    planted = stage_all(tmp_path)
    with gateway(tmp_path, env={f"SECRET_{name}": one.spot.token for name, one in planted.items()}) as running:
        running.wait("affine", 1, "AVAILABLE")
        load = Load(running.addresses["grpc"])
        client = threading.Thread(target=load.run)
        client.start()
        try:
            until(lambda: load.sent > RATE, 30)
            before = running.memory_bytes()
            for name, one in planted.items():  # in one step each, as a careful person moves a folder in
                one.folder.rename(repository / name)
            affine.write(repository / "after.onnx", 2.0)
            honest = zip_of([Entry(b"packed/model.onnx", affine.affine(3.0), 8)])
            (repository / "packed.zip").write_bytes(honest)

            def settled() -> bool:
                found = rows(running)
                return all(found.get(name, {}).get("state") == "FAILED" for name in planted)

            until(settled, 150, lambda: str({n: r for n, r in rows(running).items() if r["state"] != "FAILED"}))
            running.wait("after", 1, "AVAILABLE")
            running.wait("packed", 1, "AVAILABLE")
            assert running.predict("packed", [[2.0, 4.0]]) == (200, {"outputs": [[4.0, 5.0]]})
            after = running.memory_bytes()
        finally:
            load.ended.set()
            client.join(30)
        reasons = {planted[name].sample.name: row["reason"] for name, row in rows(running).items() if name in planted}
        log = running.log
        assert running.stop() == 0
    assert load.failed == []
    assert load.wrong == []
    assert load.sent > RATE * 2
    assert [one.sample.name for one in planted.values() if one.touched] == []
    told = [
        name for one in planted.values() for name, text in [*reasons.items(), ("log", log)] if one.spot.token in text
    ]
    assert told == [], "a secret came out"
    for name, reason in reasons.items():
        print(f"| {name} | {reason} |")
    print(f"{load.sent} requests, {len(planted)} samples, {before >> 20} -> {after >> 20} MiB")
    assert {name: reason for name, reason in reasons.items() if not re.search(said(name), reason)} == {}
    assert after - before < GROWTH


def said(sample: str) -> str:
    return SAID[max((start for start in SAID if sample.startswith(start)), key=len)]
