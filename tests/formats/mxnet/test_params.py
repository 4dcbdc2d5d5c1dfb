"""Reading .params: every version of array, every key style, and every way in which the bytes may be wrong."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from gateway.core.dtypes import numpy_dtype
from gateway.errors import ConversionError, CorruptModel
from gateway.formats.mxnet.params import read
from tests.formats.mxnet.write import CODES, array_bytes, params, params_bytes

W = np.arange(12, dtype=np.float32).reshape(3, 4)
B = np.array([1, 2, 3], np.float16)


@pytest.mark.parametrize("version", ["V0", "V1", "V2", "V3"])
def test_versions(version: str, tmp_path: Path) -> None:
    found = read(params(tmp_path / "m.params", {"arg:w": W, "aux:m": B}, version))
    assert found.version == version
    np.testing.assert_array_equal(found.arg["w"], W, strict=True)
    np.testing.assert_array_equal(found.aux["m"], B, strict=True)


@pytest.mark.parametrize("name", CODES)
def test_dtypes(name: str, tmp_path: Path) -> None:
    array = np.array([[0, 1], [1, 0]]).astype(numpy_dtype(name))
    found = read(params(tmp_path / "m.params", {"odd": np.array([1], np.uint8), "w": array}))
    np.testing.assert_array_equal(found.arg["w"], array, strict=True)


def test_numpy_shapes_have_scalars_and_empty_arrays(tmp_path: Path) -> None:
    found = read(params(tmp_path / "m.params", {"s": np.float32(2.5), "e": np.zeros((0, 3), np.float32)}, "V3"))
    assert (found.arg["s"].shape, float(found.arg["s"])) == ((), 2.5)
    assert found.arg["e"].shape == (0, 3)


KEYS = {
    "Module": (["arg:a", "aux:b"], ["a"], ["b"], False),
    "Gluon export": (["arg:net0_dense0_weight"], ["net0_dense0_weight"], [], False),
    "Gluon save_params": (["net0_dense0_weight"], ["net0_dense0_weight"], [], True),
    "Gluon save_parameters": (["features.0.weight", "_b"], ["features.0.weight", "_b"], [], True),
    "a colon that is part of the name": (["layer:0"], ["layer:0"], [], True),
}


@pytest.mark.parametrize(("keys", "arg", "aux", "bare"), KEYS.values(), ids=KEYS)
def test_keys(keys: list[str], arg: list[str], aux: list[str], bare: bool, tmp_path: Path) -> None:
    found = read(params(tmp_path / "m.params", dict.fromkeys(keys, W)))
    assert (list(found.arg), list(found.aux), found.bare) == (arg, aux, bare)
    assert all(found.get(name) is not None and name in found for name in [*arg, *aux])


def test_nothing_is_copied(tmp_path: Path) -> None:
    found = read(params(tmp_path / "m.params", {"w": W}))
    assert not found.arg["w"].flags.owndata
    assert not found.arg["w"].flags.writeable


WHOLE = params_bytes({"arg:w": W, "aux:m": B})
HEAD = struct.pack("<QQ", 0x112, 0)


def one(array: bytes, name: bytes = b"w") -> bytes:
    """A file with one array, whatever its bytes."""
    return HEAD + struct.pack("<Q", 1) + array + struct.pack("<QQ", 1, len(name)) + name


def v2(
    *, storage: int = 0, shape: tuple[int, ...] = (2,), rank: int | None = None, code: int = 0, data: int = 8
) -> bytes:
    sizes = struct.pack(f"<{len(shape)}q", *shape)
    head = struct.pack("<Iii", 0xF993FAC9, storage, len(shape) if rank is None else rank)
    return head + sizes + struct.pack("<iii", 1, 0, code) + bytes(data)


DAMAGED = {
    "0 bytes": (b"", "has 0 bytes"),
    "another magic": (b"\x13" + WHOLE[1:], "starts with 13 01"),
    "reserved is not zero": (WHOLE[:8] + b"\1" + WHOLE[9:], "expected zeros"),
    "cut in an array": (WHOLE[:60], "the file has"),
    "cut in the names": (WHOLE[:-3], "name 2 of 2 at offset"),
    "bytes left over": (WHOLE + b"\0", "1 bytes after its last name"),
    "2^60 arrays": (HEAD + struct.pack("<Q", 1 << 60) + bytes(32), "claims 1152921504606846976 arrays"),
    "2^40 elements": (one(v2(shape=(1 << 20, 1 << 20))), "claims shape [1048576, 1048576]"),
    "product wraps 64 bits": (one(v2(shape=(1 << 32, 1 << 32))), "73786976294838206464 bytes"),
    "dimension of 2^62": (one(v2(shape=(0, 1 << 62))), "a dimension that no array has"),
    "negative dimension": (one(v2(shape=(-3,))), "a dimension that no array has"),
    "rank of a million": (one(v2(rank=1_000_000)), "has rank 1000000"),
    "rank of -7": (one(v2(rank=-7)), "has rank -7"),
    "unknown element type": (one(v2(code=77)), "element type 77"),
    "unknown storage": (one(v2(storage=9)), "storage type 9"),
    "V0 whose rank is a magic": (one(struct.pack("<I", 0xDEADBEEF) + bytes(40)), "has rank 3735928559"),
    "a name of 2^50 bytes": (
        HEAD + struct.pack("<Q", 1) + v2() + struct.pack("<QQ", 1, 1 << 50), "1125899906842624 bytes long",
    ),
    "a name of 0 bytes": (one(v2(), b""), "is 0 bytes long"),
    "a name that is not UTF-8": (one(v2(), b"\xff\xfe"), "is not UTF-8"),
    "a mark without a name": (one(v2(), b"arg:"), "'arg:', which is no name"),
    "two names for one array": (one(v2())[: -9 - 8] + struct.pack("<Q", 2) + bytes(40), "has 2 names for 1 arrays"),
    "a name twice": (params_bytes([("w", W), ("w", W)]), "two arrays are called 'w'; the second lies at offset"),
    "a name as arg and as aux": (params_bytes([("arg:w", W), ("aux:w", W)]), "two arrays are called 'w'"),
    "never initialised": (one(struct.pack("<Iii", 0xF993FAC9, 0, 0)), "has no shape"),
    "V3 of unknown shape": (one(struct.pack("<Iii", 0xF993FACA, 0, -1)), "has no shape"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "words"), DAMAGED.values(), ids=DAMAGED)
def test_damaged(data: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "m-0000.params").write_bytes(data)
    with pytest.raises(CorruptModel, match=r"m-0000\.params") as caught:
        read(tmp_path / "m-0000.params")
    assert words in caught.value.message


REFUSED = {
    "row_sparse": (one(v2(storage=1)), "is row_sparse"),
    "csr": (one(v2(storage=2)), "is csr"),
    "a list without names": (
        HEAD + struct.pack("<Q", 1) + array_bytes(W) + struct.pack("<Q", 0),
        "1 arrays without names",
    ),
}


@pytest.mark.parametrize(("data", "words"), REFUSED.values(), ids=REFUSED)
def test_refused(data: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "m.params").write_bytes(data)
    with pytest.raises(ConversionError) as caught:
        read(tmp_path / "m.params")
    assert words in caught.value.message
    assert caught.value.hint


def test_every_cut_is_an_error_with_its_offset(tmp_path: Path) -> None:
    for size in range(len(WHOLE)):
        (tmp_path / "m.params").write_bytes(WHOLE[:size])
        with pytest.raises(CorruptModel, match="bytes"):
            read(tmp_path / "m.params")
