"""Environment `openvino`: an IR written, read and run, against numpy."""

from __future__ import annotations

from typing import Any

import numpy as np

from gateway.process.child import ChildJob


def work(job: ChildJob) -> dict[str, Any]:
    import openvino as ov
    from openvino import opset13 as ops

    rng = np.random.default_rng(0)
    w, x = rng.normal(size=(4, 5)).astype(np.float32), rng.normal(size=(3, 4)).astype(np.float32)
    node = ops.parameter([-1, 4], np.float32, name="x")
    net = ov.Model([ops.relu(ops.matmul(node, ops.constant(w), False, False))], [node], "m")
    ov.save_model(net, job.out / "m.xml", compress_to_fp16=False)
    core = ov.Core()
    compiled = core.compile_model(core.read_model(job.out / "m.xml"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    (answer,) = compiled(x).values()
    np.savez(job.out / "openvino.npz", x=x, y=answer, expected=np.maximum(x @ w, 0))
    return {}
