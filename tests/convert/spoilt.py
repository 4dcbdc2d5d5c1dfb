"""Artifacts as a converter that was taken over would leave them; made and read again in Environment base."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.errors import GatewayError
from gateway.formats.recheck import artifact


@dataclass
class _Asked:
    arguments: dict[str, Any]
    out: Path

    def progress(self, stage: str, fraction: float | None = None) -> None:
        """Nobody listens."""


def _load(folder: Path) -> Any:
    import onnx

    return onnx.load(str(folder / "model.onnx"), load_external_data=False)


def _external(folder: Path, location: str) -> None:
    model = _load(folder)
    tensor = model.graph.initializer[0]
    size = len(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = 1
    for key, value in (("location", location), ("offset", "0"), ("length", str(size))):
        tensor.external_data.add(key=key, value=value)
    (folder / "model.onnx").write_bytes(model.SerializeToString())


def _claims(folder: Path) -> None:
    model = _load(folder)
    model.graph.initializer[0].dims[:] = [1 << 40, 1 << 40, 1 << 40]
    (folder / "model.onnx").write_bytes(model.SerializeToString())


def _domain(folder: Path) -> None:
    model = _load(folder)
    model.graph.node[0].domain = "com.hostile"
    model.opset_import.add(domain="com.hostile", version=1)
    (folder / "model.onnx").write_bytes(model.SerializeToString())


def _cycle(folder: Path) -> None:
    model = _load(folder)
    model.graph.node[0].input[0] = model.graph.node[-1].output[0]
    (folder / "model.onnx").write_bytes(model.SerializeToString())


def _cut(folder: Path) -> None:
    whole = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(whole[: len(whole) * 2 // 3])


SPOILS: dict[str, Callable[[Path], object]] = {
    "as it was written": lambda folder: None,
    "no model": lambda folder: (folder / "model.onnx").unlink(),
    "cut": _cut,
    "not ONNX": lambda folder: (folder / "model.onnx").write_bytes(b"\x00\xff" * 100),
    "the model is a link": lambda folder: (folder / "model.onnx").rename(folder / "m") and _link(folder),
    "the model has a second name": lambda folder: (folder / "second").hardlink_to(folder / "model.onnx"),
    "a pipe": lambda folder: __import__("os").mkfifo(folder / "pipe"),
    "data outside, by dots": lambda folder: _external(folder, "../secret"),
    "data outside, absolute": lambda folder: _external(folder, "/etc/passwd"),
    "data that is not there": lambda folder: _external(folder, "nowhere"),
    "more elements than bytes": _claims,
    "an operator of a domain that nobody knows": _domain,
    "an input that the signature names is missing": lambda folder: None,
    "a cycle, which onnx's checker refuses": _cycle,
}


def _link(folder: Path) -> None:
    (folder / "model.onnx").symlink_to("m")


def read_again(job: Any) -> dict[str, Any]:
    """`folder` of a good artifact, `tensors` -> how each spoilt one was answered."""
    found: dict[str, Any] = {}
    for number, (name, spoil) in enumerate(SPOILS.items()):
        folder = job.out / str(number)
        shutil.copytree(job.arguments["folder"], folder, copy_function=shutil.copyfile)
        spoil(folder)
        tensors = job.arguments["tensors"] + (["nobody"] if "signature" in name else [])
        try:
            found[name] = artifact(_Asked({"folder": str(folder), "kind": "onnx", "tensors": tensors}, job.out))
        except GatewayError as error:
            found[name] = error.to_json()
    return found
