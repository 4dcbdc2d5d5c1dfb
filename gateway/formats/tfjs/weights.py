"""Weights of a tf.js model: the manifest of model.json and the files that it names.

    {"name": "a/kernel", "shape": [3, 4], "dtype": "float32", "quantization": {"dtype": "uint8", "scale": s, "min": m}}

Rule 1: a file is one that lies beside model.json and belongs to the model; a path that leads elsewhere, an address, or
        a file that is too short, is refused, all of them together.
Rule 2: quantised weights become what tf.js computes with: q * scale + min in float64, rounded for integers; half
        floats are widened.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.dtypes import Array
from gateway.errors import ConversionError, CorruptModel
from gateway.formats.base import Match, Source

DTYPES = {"float32": "<f4", "int32": "<i4", "bool": "?", "complex64": "<c8", "float16": "<f2"}
QUANTISED = {"uint8": "u1", "uint16": "<u2", "float16": "<f2"}
MOST_JSON = 512 << 20  # bytes of model.json
SHOWN = 8


def topology(path: Path) -> dict[str, Any]:
    """model.json. Errors: CorruptModel."""
    if path.stat().st_size > MOST_JSON:
        raise CorruptModel(f"{path.name} has {path.stat().st_size} bytes; up to {MOST_JSON} are read.")
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise CorruptModel(
            f"{path.name} is no whole JSON: {error}.", hint="Copy the file again; it may have been cut short."
        ) from error
    if not isinstance(found, dict) or not isinstance(found.get("modelTopology"), dict):
        raise CorruptModel(f"{path.name} has no modelTopology: it holds weights and no graph.")
    return found


def read(source: Source, match: Match, model: Mapping[str, Any]) -> dict[str, Array]:
    """Weights by name. Errors: ConversionError, CorruptModel, all problems at once."""
    folder = match.main.rpartition("/")[0]
    found: dict[str, Array] = {}
    problems: list[str] = []
    for group in _list(model.get("weightsManifest"), "weightsManifest"):
        paths = [str(path).removeprefix("./") for path in _list(group.get("paths"), "paths")]
        names = [f"{folder}/{path}".lstrip("/") for path in paths]
        absent = [path for path, name in zip(paths, names) if "/" in path or name not in source.files]
        if absent:
            problems += [f"{path[:80]!r} does not lie beside {match.main}" for path in absent]
            continue
        data = memoryview(b"".join(source.path(name).read_bytes() for name in names))
        at = 0
        for entry in _list(group.get("weights"), "weights"):
            name = str(entry.get("name"))
            if name in found:
                problems.append(f"weight {name!r} stands there twice")
            try:
                found[name], at = _one(entry, data, at)
            except (ValueError, KeyError, TypeError, OverflowError) as error:
                problems.append(f"weight {name!r}: {error}")
                break
    if problems:
        more = f" and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise ConversionError(
            f"the weights of {match.main} cannot be read: {'; '.join(problems[:SHOWN])}{more}.",
            hint="Drop model.json with all of its weight files in one folder, under the names of its manifest.",
        )
    return found


def _one(entry: Mapping[str, Any], data: memoryview, at: int) -> tuple[Array, int]:
    """(array, place behind it). Errors: ValueError and its like."""
    shape = tuple(int(size) for size in entry["shape"])
    if any(size < 0 for size in shape):
        raise ValueError(f"shape {list(shape)}")
    kind, told = str(entry["dtype"]), entry.get("quantization")
    count = math.prod(shape)
    if kind == "string":
        return _texts(data, at, count, shape)
    if kind not in DTYPES:
        raise ValueError(f"dtype {kind!r}, which tf.js has not")
    stored = QUANTISED[str(told["dtype"])] if isinstance(told, dict) else DTYPES[kind]
    size = count * np.dtype(stored).itemsize
    if at + size > len(data):
        raise ValueError(f"it takes the bytes up to {at + size}, and its files have {len(data)}")
    array = np.frombuffer(data, stored, count, at).reshape(shape)
    if isinstance(told, dict):
        array = _widened(array, told, kind)
    return array.astype(np.dtype(DTYPES[kind]).newbyteorder("=")), at + size


def _widened(array: Array, told: Mapping[str, Any], kind: str) -> Array:
    if array.dtype.kind == "f":
        return array
    wide = array.astype(np.float64) * float(told["scale"]) + float(told["min"])
    return np.floor(wide + 0.5) if kind == "int32" else wide  # as Math.round does


def _texts(data: memoryview, at: int, count: int, shape: tuple[int, ...]) -> tuple[Array, int]:
    """Each is its length, four bytes, and its bytes."""
    found: list[bytes] = []
    for _ in range(count):
        size = int.from_bytes(data[at : at + 4], "little")
        if at + 4 + size > len(data):
            raise ValueError(f"a text of {size} bytes at {at}, and its files have {len(data)}")
        found.append(bytes(data[at + 4 : at + 4 + size]))
        at += 4 + size
    return np.array(found, object).reshape(shape), at


def _list(found: Any, what: str) -> list[Any]:
    if not isinstance(found, list):
        raise CorruptModel(f"{what} of model.json is no list.")
    if what != "paths" and not all(isinstance(each, dict) for each in found):
        raise CorruptModel(f"{what} of model.json holds what is no table.")
    return found
