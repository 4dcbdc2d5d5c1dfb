"""Every pinned Environment at work, each in a Job: what it converts is run by the gateway's own onnxruntime.

Slow: `make test ARGS="-m slow tests/process/test_pinned.py"`, and CI, run it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from gateway.core.dtypes import Tensors
from gateway.process.environments import Environments
from gateway.process.job import JobSpec, run_job
from tests.environments import environment

PINNED = Path(__file__).parent / "pinned"
# What each leaves behind, so that nothing is proven by its absence.
LEAVES = {
    "tensorflow": {"keras2", "keras3"},
    "torch": {"program", "script"},
    "trees": {"catboost", "lightgbm", "sklearn", "xgboost"},
    "paddle": {"paddle"},
    "openvino": {"openvino"},
    "opencv": {"caffe", "darknet", "torch7"},
    "client-triton": {"grpc", "http"},
    "client-kserve": {"grpc", "rest"},
}


def test_every_module_has_its_row() -> None:
    assert {path.stem.replace("_", "-") for path in PINNED.glob("[a-z]*.py")} == set(LEAVES)


def answer(model: Path, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    (name,) = [given.name for given in session.get_inputs()]
    return np.asarray(session.run(None, {name: x})[0])


@pytest.mark.slow
@pytest.mark.parametrize("name", LEAVES)
def test_an_environment_at_work(name: str, tmp_path: Path) -> None:
    versions = environment(name).versions
    spec = JobSpec(f"pinned.{name.replace('-', '_')}:work", {}, name, 170.0, 6 << 30)
    result = run_job(spec, environments=Environments(), folder=tmp_path / "job", packages={"pinned": PINNED})
    for package, version in result.value.items():
        assert version == versions[package], package
    assert {path.stem for path in result.out.glob("*.npz")} == LEAVES[name]
    for case in sorted(LEAVES[name]):
        with np.load(result.out / f"{case}.npz", allow_pickle=False) as data:
            arrays: Tensors = dict(data)
        if "expected" in arrays:
            got, wanted = arrays["y"], arrays["expected"]
        else:
            got, wanted = answer(result.out / f"{case}.onnx", arrays["x"]), arrays["y"]
        assert float(np.abs(wanted).max()) > 0.01, case  # an answer of zeros would prove nothing
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6, strict=True, err_msg=case)
