"""Small ONNX models for tests, by name: `model("half_plus_two")` is the path of its file.

The test process has no onnx, so they are made once by a script in Environment base and kept in
a cache folder named after this file's content. `folder(name)` is a folder of its own with the
model and whatever belongs beside it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest

from gateway.errors import GatewayError
from gateway.process.environments import Environments

MAKER = Path(__file__).with_name("make_models.py")


@cache
def base_python() -> Path:
    """The interpreter of Environment base, built when it is not there; without it the test is skipped, visibly."""
    try:
        return Environments().ensure("base").python
    except GatewayError as error:
        pytest.skip(f"Environment base cannot be had: {error.message}")


@cache
def catalogue() -> Path:
    """The folder of all models, made on first use; safe when several test processes start at once."""
    digest = hashlib.sha256(MAKER.read_bytes()).hexdigest()[:16]
    cached = Path(os.environ.get("MODEL_GATEWAY_TEST_CACHE") or Path(tempfile.gettempdir()) / "model-gateway-tests")
    wanted = cached / f"models-{digest}-{os.getuid()}"
    if wanted.is_dir():
        return wanted
    cached.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix="making-", dir=cached))
    subprocess.run([base_python(), MAKER, beside], check=True, timeout=120, capture_output=True, text=True)
    with contextlib.suppress(OSError):  # another process was first
        beside.rename(wanted)
    return wanted


def folder(name: str) -> Path:
    """The folder that holds the model called `name` and nothing else. Do not write into it."""
    found = catalogue() / name
    if not found.is_dir():
        known = ", ".join(sorted(path.name for path in catalogue().iterdir()))
        raise KeyError(f"no model {name!r}; there are {known}")
    return found


def model(name: str) -> Path:
    return folder(name) / "model.onnx"


def names() -> list[str]:
    return sorted(path.name for path in catalogue().iterdir())
