"""t7 files read as data: the three forms, references, what is refused, and all that damage can make of them."""

from __future__ import annotations

import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.errors import ConversionError, CorruptModel, GatewayError
from gateway.formats.base import Source
from gateway.formats.torch7 import FORMAT, module, t7
from gateway.formats.torch7.t7 import Function, Table, Thing
from tests.environments import environment
from tests.formats.darknet.harness import run_child
from tests.formats.torch7.writer import Function as Lua
from tests.formats.torch7.writer import Storage, Strided, dumped, nn, save, small

FORMS = ("b64", "b32", "ascii")
KINDS = ("f4", "f8", "u1", "i1", "i2", "i4", "i8")


def read(value: Any, folder: Path, form: str = "b64") -> Any:
    return t7.read(save(folder / "x.t7", value, form))[0]


@pytest.mark.parametrize("form", FORMS)
def test_everything_that_a_table_holds(form: str, tmp_path: Path) -> None:
    array = np.arange(6, dtype="f4").reshape(2, 3) / 8
    found = read(
        {"a": 1, "b": 2.5, "c": True, "d": "text\nof two lines", 1: [3, 4], "f": Lua(), "x": array}, tmp_path, form
    )
    assert [found.get(key) for key in "abcd"] == [1, 2.5, True, "text\nof two lines"]
    assert found.get(1).items() == [3, 4]
    assert isinstance(found.get("f"), Function)
    np.testing.assert_array_equal(found.get("x"), array, strict=True)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_tensors_of_every_type(kind: str, form: str, tmp_path: Path) -> None:
    array = np.asarray([[1, 2, 3], [100, 9, 10]], kind)
    expected = array.astype("i4") if kind == "i8" and form == "b32" else array
    np.testing.assert_array_equal(read([array], tmp_path, form).get(1), expected, strict=True)


STRIDES = {
    "a part": (Strided(Storage(np.arange(12, dtype="f4")), (2, 3), (3, 1), 4), [[4, 5, 6], [7, 8, 9]]),
    "turned": (Strided(Storage(np.arange(12, dtype="f4")), (3, 2), (1, 3), 1), [[1, 4], [2, 5], [3, 6]]),
    "one number for all": (Strided(Storage(np.arange(3, dtype="f4")), (2, 2), (0, 0), 2), [[2, 2], [2, 2]]),
    "of CUDA": (Strided(Storage(np.arange(4, dtype="f4")), (2, 2), (2, 1), 0, "CudaTensor"), [[0, 1], [2, 3]]),
}


@pytest.mark.parametrize("name", STRIDES)
def test_strides(name: str, tmp_path: Path) -> None:
    tensor, expected = STRIDES[name]
    np.testing.assert_array_equal(read([tensor], tmp_path).get(1), np.asarray(expected, "f4"), strict=True)


def test_one_object_in_two_places_is_one(tmp_path: Path) -> None:
    same = nn("ReLU")
    found = read([same, same, {"again": same}], tmp_path)
    assert found.get(1) is found.get(2) is found.get(3).get("again")


def test_a_table_that_holds_itself(tmp_path: Path) -> None:
    ring: dict[Any, Any] = {"x": 1}
    ring["me"] = ring
    found = read(ring, tmp_path)
    assert found.get("me") is found


def test_depth_costs_bytes_and_no_stack(tmp_path: Path) -> None:
    depth = 50_000
    data = b"".join(struct.pack("<iii", 3, number, 1) + struct.pack("<id", 1, 1) for number in range(1, depth + 1))
    (tmp_path / "x.t7").write_bytes(data + struct.pack("<i", 0))
    found, count = t7.read(tmp_path / "x.t7")[0], 1
    while isinstance(inner := found.get(1), Table):
        found, count = inner, count + 1
    assert count == depth


def test_many_tensors_of_one_storage_are_bounded(tmp_path: Path) -> None:
    """Each is a copy, for it is turned: a small file must not become gigabytes."""
    storage = Storage(np.zeros(1 << 18, "f4"))
    plain = [Strided(storage, (1 << 9, 1 << 9), (1 << 9, 1)) for _ in range(100)]
    assert len(read(plain, tmp_path).items()) == 100
    turned = [Strided(storage, (1 << 9, 1 << 9), (1, 1 << 9)) for _ in range(100)]
    with pytest.raises(CorruptModel, match="tensors over tensors of one storage"):
        read(turned, tmp_path)


def thing(kind: str, body: bytes = b"") -> bytes:
    return struct.pack("<iii", 4, 1, 3) + b"V 1" + struct.pack("<i", len(kind)) + kind.encode() + body


def tensor(sizes: list[int], strides: list[int], storage: bytes, offset: int = 1) -> bytes:
    numbers = [*sizes, *strides, offset]
    return thing("torch.FloatTensor", struct.pack(f"<i{len(numbers)}q", len(sizes), *numbers) + storage)


FOUR = (
    struct.pack("<iii", 4, 2, 3)
    + b"V 1"
    + struct.pack("<i", 18)
    + b"torch.FloatStorage"
    + struct.pack("<q4f", 4, 1, 2, 3, 4)
)
BROKEN: dict[str, tuple[bytes, type[GatewayError], str]] = {
    "nothing": (b"", CorruptModel, "is empty"),
    "a type that is none": (struct.pack("<i", 77), CorruptModel, "a value of type 77, expected 0 to 8 at offset 0"),
    "a text longer than the file": (struct.pack("<ii", 2, 1 << 30), CorruptModel, "are left at offset 8"),
    "a text of less than nothing": (struct.pack("<ii", 2, -5), CorruptModel, "-5 bytes are needed"),
    "a table larger than the file": (struct.pack("<iii", 3, 1, 1 << 30), CorruptModel, "a table of 1073741824 entries"),
    "nothing as a key": (struct.pack("<iiii", 3, 1, 1, 0), CorruptModel, "nothing as a key"),
    "a storage larger than the file": (
        thing("torch.FloatStorage", struct.pack("<q", 1 << 50)), CorruptModel, "bytes are needed",
    ),
    "a tensor larger than its storage": (tensor([3], [2], FOUR), CorruptModel, "reaches to 4 in a storage of 4"),
    "strides backwards": (tensor([2], [-1], FOUR), CorruptModel, "strides"),
    "sizes that overflow": (tensor([1 << 40, 1 << 40], [0, 0], FOUR), CorruptModel, "reaches to"),
    "a tensor that repeats a number for ever": (tensor([1 << 30], [0], FOUR), CorruptModel, "reaches to"),
    "dimensions without end": (thing("torch.FloatTensor", struct.pack("<i", 99)), CorruptModel, "of 99 dimensions"),
    "a class with a strange name": (thing("nn.a b"), CorruptModel, "a class called"),
    "a tensor of a class nobody knows": (thing("torch.QuarterTensor"), CorruptModel, "torch.QuarterTensor"),
    "a class that writes itself": (thing("tds.Hash", struct.pack("<ii", 1, 0)), CorruptModel, "at offset|are needed"),
    "a class that writes a number": (thing("tds.Hash", struct.pack("<id", 1, 3.0)), ConversionError, "tds.Hash at"),
    "ascii: a word for a number": (b"3\n1\nx\n", CorruptModel, "'x' is no number at offset 3"),
    "ascii: cut short": (b"3\n1\n1\n2", CorruptModel, "a number is needed at offset"),
    "ascii: a text longer than the file": (b"2\n99999\nabc\n", CorruptModel, "99999 bytes are needed"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "error", "words"), BROKEN.values(), ids=BROKEN.keys())
def test_what_is_broken(data: bytes, error: type[GatewayError], words: str, tmp_path: Path) -> None:
    (tmp_path / "x.t7").write_bytes(data)
    with pytest.raises(error, match=words):
        t7.read(tmp_path / "x.t7")


def damaged(whole: bytes, cuts: int = 64, flips: int = 200) -> dict[str, bytes]:
    dice = random.Random(11)
    made = {f"cut at {size}": whole[:size] for size in np.linspace(0, len(whole) - 1, cuts, dtype=int).tolist()}
    for _ in range(flips):
        at, bit = dice.randrange(len(whole)), dice.randrange(8)
        made[f"byte {at} bit {bit}"] = whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :]
    return made


def refusal(path: Path) -> str:
    """What an error of ours says; "" for none. Any other error is the test's."""
    try:
        module.read(path)
    except ConversionError as error:
        return error.message
    return ""


@pytest.mark.parametrize("form", FORMS)
def test_damage_is_an_error_with_a_place(form: str, tmp_path: Path) -> None:
    refused = 0
    for how, data in damaged(dumped(small(), form)).items():
        (tmp_path / "x.t7").write_bytes(data)
        said = refusal(tmp_path / "x.t7")
        assert not said or "x.t7" in said, how
        assert said or not how.startswith("cut") or data == dumped(small(), form).rstrip(), how
        refused += bool(said)
    assert refused > 64


def test_what_is_damaged_and_still_read_ends_in_an_error_of_ours(tmp_path: Path) -> None:
    environment("base")
    rows = {}
    for number, (how, data) in enumerate(damaged(dumped(small()), 4, 40).items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "net.t7").write_bytes(data)
        rows[how] = str(folder)
    job = {"format": "torch7", "rows": rows}
    endings = run_child("tests.formats.mmdnn.child:damage", job, "base", tmp_path).value
    assert not [f"{how}: {ending}" for how, ending in endings.items() if ending.startswith("CRASH")]


MATCHES: dict[str, tuple[Any, str, bool]] = {
    "a network": (small(), "b64", True),
    "a network as text": (small(), "ascii", True),
    "a checkpoint": ({"model": small()}, "b64", True),
}


@pytest.mark.parametrize(("value", "form", "mine"), MATCHES.values(), ids=MATCHES.keys())
def test_match(value: Any, form: str, mine: bool, tmp_path: Path) -> None:
    save(tmp_path / "net.t7", value, form)
    assert (FORMAT.match(Source(tmp_path, ("net.t7",))) is not None) is mine


def test_where_says_place_class_and_offset(tmp_path: Path) -> None:
    found = module.read(save(tmp_path / "net.t7", small()))
    second = found.children()[1]
    assert second.where == f"net.t7: module 2 (nn.BatchNormalization) at offset {second.thing.at}"
    assert isinstance(second.thing, Thing)
    assert second.name == "BatchNormalization_2"
