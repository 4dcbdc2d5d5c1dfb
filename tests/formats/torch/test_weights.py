"""Weights without a graph, before torch is started: what each file is told to be, each refusal, and damage."""

from __future__ import annotations

import random
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.core.modeltoml import ModelOptions
from gateway.errors import ConversionError, CorruptModel, GatewayError
from gateway.formats.base import Source, all_formats
from gateway.formats.torchmodule import listing, pickled, safe
from gateway.formats.torchmodule.screen import screen
from tests.formats.torch.weights import safetensors
from tests.hostile.pickles import Call, Name, Persistent, pickle, torch_legacy, torch_zip

NET = "class Net: ...\n"
LEAVE = ModelOptions(trusted=True, class_="net.py:Net")


def tensor(*sizes: int, key: str = "0") -> Call:
    """What torch.save writes of a float32 tensor."""
    storage = Persistent(("storage", Name("torch", "FloatStorage"), key, "cpu", 8))
    empty = Call("collections", "OrderedDict")
    return Call("torch._utils", "_rebuild_tensor_v2", storage, 0, sizes, (1,) * len(sizes), False, empty)


STATE = {f"layer{n}.{m}.weight": tensor(4, n + 1) for n in range(12) for m in range(5)} | {"fc.bias": tensor(4)}
SAFE = safetensors(
    {"a.weight": ("F32", [2, 3], bytes(24)), "a.bias": ("F32", [2], bytes(8)), "n": ("I64", [], bytes(8))}
)
MODULE = pickle(Call("__main__", "Net", Call("models.blocks", "Block")), 2)


def drop(folder: Path, name: str, data: bytes, files: Mapping[str, str]) -> Source:
    (folder / name).write_bytes(data)
    for other, text in files.items():
        (folder / other).write_text(text)
    return Source(folder, tuple(sorted((name, *files))))


GROUPED = (
    r"weights of PyTorch and no graph \(61 tensors, 1564 numbers: layer0\.\* \(5: layer0\.0\.weight float32\[4,1\].*"
    "and 3 more groups.*does not say `trusted = true`.*names no `class`"
)
SCREENED: dict[str, tuple[str, bytes, Mapping[str, str], ModelOptions, str]] = {
    "neither leave nor class": (
        "m.pt", torch_zip(pickle(STATE, 2)), {}, ModelOptions(),
        GROUPED,
    ),
    "a class and no leave": (
        "m.pt", torch_zip(pickle(STATE, 2)), {"net.py": NET}, ModelOptions(class_="net.py:Net"),
        r"does not say `trusted = true`: no code of a model's author runs without it\.$",
    ),
    "leave and no class": (
        "m.pt", torch_zip(pickle(STATE, 2)), {"net.py": NET}, ModelOptions(trusted=True),
        r"run them\. model.toml names no `class`: the file holds no code, and nothing is guessed\.$",
    ),
    "a class file that is not there": (
        "m.pt", torch_zip(pickle(STATE, 2)), {"nets.py": NET}, LEAVE,
        r"`class` names net.py, which does not lie beside it; there is nets.py\. Did you mean 'nets.py'\?",
    ),
    "a module, by its class": (
        "m.pt", torch_zip(MODULE), {}, ModelOptions(), r"module in a pickle \(class __main__\.Net; no tensor\)",
    ),
    "safetensors are weights": (
        "m.safetensors", SAFE, {}, ModelOptions(), r"3 tensors, 9 numbers: a\.\* \(2: a\.weight float32\[2,3\], a\.bi",
    ),
    "a call of the system, trusted or not": (
        "m.pt", torch_zip(pickle({"w": tensor(2), "x": Call("os", "system", "true")}, 2)), {"net.py": NET}, LEAVE,
        r"is a PyTorch pickle that names os\.system, which no model needs: it is not opened, whoever trusts it",
    ),
    "builtins.eval in a module": (
        "m.pt", torch_zip(pickle([Call("__main__", "Net"), Call("builtins", "eval", "1")], 4)), {"net.py": NET}, LEAVE,
        r"names builtins\.eval",
    ),
    "a helper of torch's that runs programs": (
        "m.pth", torch_legacy(pickle(Call("torch.utils.collect_env", "run", "true"), 2)), {"net.py": NET}, LEAVE,
        r"names torch\.utils\.collect_env\.run",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SCREENED)
def test_refused_before_torch(name: str, tmp_path: Path) -> None:
    file, data, files, options, said = SCREENED[name]
    source = drop(tmp_path, file, data, files)
    match = all_formats()["torch-module"].match(source)
    assert match is not None
    with pytest.raises(ConversionError, match=said) as caught:
        screen(source, match, options)
    assert "safetensors" in said or caught.value.hint


def test_taken_with_leave_and_class(tmp_path: Path) -> None:
    source = drop(tmp_path, "m.pt", torch_zip(pickle(STATE, 2)), {"net.py": NET, "parts.py": ""})
    match = all_formats()["torch-module"].match(source)
    assert match is not None
    assert match.used == ("m.pt", "net.py", "parts.py")
    found = screen(source, match, LEAVE)
    assert found.tensors["layer3.2.weight"] == ("float32", (4, 4))
    assert (found.module, found.classes, found.strange) == ("", (), ())


def claims(code: bytes) -> bytes:
    return torch_zip(b"\x80\x04" + code + b".")


def header(told: str, data: bytes = b"") -> bytes:
    return len(told).to_bytes(8, "little") + told.encode() + data


def entry(shape: str, offsets: str, kind: str = "F32") -> str:
    return f'{{"dtype": "{kind}", "shape": {shape}, "data_offsets": {offsets}}}'


ONE = entry("[]", "[0, 4]")


def huge() -> bytes:
    one = pickle({"w": tensor(1)}, 2)
    return torch_zip(one.replace(b"J\1\0\0\0", b"\x8a\x0b" + bytes(10) + b"\1"))


DEEP = b"\x80\x02" + b"]" + b"](" * 3000 + b"e" * 3000 + b"."
BROKEN: dict[str, tuple[str, bytes, str]] = {
    "a byte array of 2^62": ("m.pt", claims(b"\x96" + struct.pack("<Q", 1 << 62)), "a byte array, which torch.save"),
    "bytes of 2^62": ("m.pt", claims(b"\x8e" + struct.pack("<Q", 1 << 62)), "cannot be read near byte"),
    "a memo of 2^32": ("m.pt", claims(b"\x80\x02Nr\xff\xff\xff\xff0"), "cannot be read near byte"),
    "a frame of 2^62": ("m.pt", claims(b"\x95" + struct.pack("<Q", 1 << 62)), "cannot be read near byte"),
    "an extension": ("m.pt", claims(b"\x82\x01"), "extension 1, which torch.save does not write"),
    "a tensor of 2^80": ("m.pt", huge(), "a tensor of sizes"),
    "a stack that is empty": ("m.pt", claims(b"R"), "cannot be read near byte"),
    "another key of a dictionary than text": ("m.pt", claims(b"}]Ns"), "unhashable"),
    "a zip without data.pkl": ("m.pt", claims(b"N").replace(b"data.pkl", b"dato.pkl"), "zip without data.pkl"),
    "a header of 2^63": ("m.safetensors", b"\xff" * 7 + b"\x7f{}", "a header of 9223372036854775807 bytes at 8"),
    "no JSON": ("m.safetensors", header('{"a": '), "its header is no JSON"),
    "JSON of 20000 brackets": ("m.safetensors", header("[" * 20000), "its header is no JSON"),
    "a list": ("m.safetensors", header("[]"), "its header is no JSON object"),
    "a name twice": ("m.safetensors", header('{"a": 1, "a": 2}'), "a name twice"),
    "an unknown type": ("m.safetensors", header(f'{{"a": {entry("[]", "[0, 0]", "F3")}}}'), "of type 'F3'"),
    "a shape below nothing": ("m.safetensors", header(f'{{"a": {entry("[-1]", "[0, 0]")}}}'), "has the shape"),
    "one offset": ("m.safetensors", header(f'{{"a": {entry("[]", "[4]")}}}'), "has the offsets"),
    "an absurd size": (
        "m.safetensors", header(f'{{"a": {entry("[1073741824, 1073741824]", "[0, 4]")}}}', bytes(4)),
        "needs 4611686018427387904 bytes; it has those from",
    ),
    "two tensors in one place": (
        "m.safetensors", header(f'{{"a": {ONE}, "b": {ONE}}}', bytes(4)), "an overlap",
    ),
    "bytes of no tensor": (
        "m.safetensors", header(f'{{"a": {ONE}}}', bytes(8)), r"its tensors end at \d+, the file at \d+",
    ),
}  # fmt: skip


def read(path: Path) -> Any:
    return listing.read(path, "safetensors" if path.suffix == ".safetensors" else "pickle")


@pytest.mark.parametrize("name", BROKEN)
def test_broken(name: str, tmp_path: Path) -> None:
    file, data, said = BROKEN[name]
    (tmp_path / file).write_bytes(data)
    with pytest.raises(CorruptModel, match=said) as caught:
        read(tmp_path / file)
    assert file in caught.value.message


def test_depth_and_cycles_are_bounded(tmp_path: Path) -> None:
    (tmp_path / "deep.pt").write_bytes(torch_zip(DEEP))
    (tmp_path / "cyclic.pt").write_bytes(torch_zip(b"\x80\x02]q\x00h\x00a}q\x01X\x01\x00\x00\x00kh\x01sa."))
    assert pickled.read(tmp_path / "deep.pt").tensors == {}
    assert pickled.read(tmp_path / "cyclic.pt").tensors == {}


FEW = pickle({"epoch": 3, "state_dict": {"fc.weight": tensor(4, 2), "fc.bias": tensor(4)}}, 2)
FORMS = {"m.pt": torch_zip(FEW), "old.pth": torch_legacy(FEW), "m.safetensors": SAFE}


@pytest.mark.parametrize("file", FORMS)
def test_damage_is_told_or_harmless(file: str, tmp_path: Path) -> None:
    """Cut at 64 places, and 200 flipped bits: an error of ours with the file's name, or tensors, nothing else."""
    data, dice, said = FORMS[file], random.Random(8), list[str]()
    cut = [data[: len(data) * n // 64] for n in range(64)]
    flipped = []
    for _ in range(200):
        copy = bytearray(data)
        copy[dice.randrange(len(copy))] ^= 1 << dice.randrange(8)
        flipped.append(bytes(copy))
    for damaged in (*cut, *flipped):
        (tmp_path / file).write_bytes(damaged)
        try:
            read(tmp_path / file)
        except GatewayError as error:
            said.append(str(error))
    assert len(said) >= 60
    assert [line for line in said if file not in line] == []


def test_a_header_is_read_as_the_format_says(tmp_path: Path) -> None:
    (tmp_path / "m.safetensors").write_bytes(SAFE)
    found = safe.read(tmp_path / "m.safetensors")
    base = found["a.weight"].start
    assert found["a.bias"] == safe.Entry("F32", (2,), base + 24, base + 32)
    assert found["n"] == safe.Entry("I64", (), base + 32, base + 40)
