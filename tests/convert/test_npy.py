"""The owner's .npy files: read as numpy reads them; what claims too much, or is no plain array, is refused."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest

from gateway.convert.npy import load
from tests.archive.forge import Entry, zip_of
from tests.hostile.pickles import Call, npy_of_objects, pickle

ARRAYS: dict[str, npt.NDArray[Any]] = {
    "float32": np.arange(6, dtype=np.float32).reshape(2, 3),
    "in Fortran's order": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big-endian": np.arange(3, dtype=">i4"),
    "a scalar": np.array(1.5),
    "bool": np.array([True, False]),
    "text": np.array([b"cat", b""]),
    "wide text": np.array(["größe"]),
    "complex": np.array([1 + 2j], np.complex64),
    "empty": np.zeros((0, 4), np.int8),
    "bfloat16": np.array([1.5], ml_dtypes.bfloat16),
}


def saved(array: npt.NDArray[Any]) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


@pytest.mark.parametrize("name", ARRAYS)
def test_read_as_numpy_reads_it(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(saved(ARRAYS[name]))
    expected = np.load(path, allow_pickle=False)
    found = load(path)
    np.testing.assert_array_equal(found, expected, strict=True)
    assert found.flags.f_contiguous == expected.flags.f_contiguous


def header(text: str, data: bytes = b"", version: int = 1) -> bytes:
    raw = text.encode() + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(raw)) + raw + data


def claims(shape: str, descr: str = "'<f4'") -> bytes:
    return header(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}", bytes(8))


REFUSED: dict[str, tuple[bytes, str]] = {
    "2^40 numbers in 8 bytes": (claims("(1099511627776,)"), "needs 4398046511104 bytes, it has 8"),
    "2^120 numbers": (claims(f"({1 << 60}, {1 << 60})"), "it has 8"),
    "empty and absurd": (claims(f"(0, {1 << 60}, {1 << 60})").removesuffix(bytes(8)), "of a size that no array has"),
    "cut short": (saved(np.zeros(9))[:-1], "needs 72 bytes, it has 71"),
    "bytes behind": (saved(np.zeros(1)) + b"x", "needs 8 bytes, it has 9"),
    "a negative size": (claims("(-2,)"), "expected sizes of 0 and more"),
    "a size that is no number": (claims("(True,)"), "expected sizes of 0 and more"),
    "objects": (npy_of_objects(pickle(Call("os", "system", "true"))), "which only a pickle can hold"),
    "records": (saved(np.zeros(1, [("a", "<f4"), ("b", "<f4")])), "expected numbers, bools or text"),
    "no width": (claims("(9,)", "'<S0'"), "expected numbers, bools or text"),
    "a zip of arrays": (zip_of([Entry(b"a.npy", saved(np.zeros(1)))]), "magic string"),
    "nothing": (b"", "EOF"),
    "a newer version": (header("{}", version=3), "version 3.0, expected 1.0 or 2.0"),
    "a header of code": (header("__import__('os').system('true')"), "malformed node"),
    "a header of brackets": (header("(" * 9000), "EOF in multi-line statement"),
    "a long header": (header("{" + " " * 60_000 + "}"), "is large and may not be safe"),
    "a type that is none": (claims("(1,)", "'<x9'"), "descr"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_refused(why: str, tmp_path: Path) -> None:
    data, said = REFUSED[why]
    path = tmp_path / "a.npy"
    path.write_bytes(data)
    with pytest.raises(ValueError) as caught:
        load(path)
    assert said in str(caught.value)
