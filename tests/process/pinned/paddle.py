"""Environment `paddle`: an inference model saved by Paddle, loaded again, converted by paddle2onnx."""

from __future__ import annotations

from typing import Any

import numpy as np

from gateway.process.child import ChildJob


def work(job: ChildJob) -> dict[str, Any]:
    import paddle
    import paddle2onnx

    paddle.seed(0)
    nn = paddle.nn
    net = nn.Sequential(
        nn.Conv2D(2, 4, 3, padding=1),
        nn.BatchNorm2D(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2D(1),
        nn.Flatten(),
        nn.Linear(4, 5),
    )
    net.eval()
    x = np.random.default_rng(0).normal(size=(3, 2, 8, 8)).astype(np.float32)
    prefix = str(job.out / "m")
    paddle.jit.save(net, prefix, input_spec=[paddle.static.InputSpec([None, 2, 8, 8], "float32", "x")])
    answer = paddle.jit.load(prefix)(paddle.to_tensor(x)).numpy()
    paddle2onnx.export(f"{prefix}.json", f"{prefix}.pdiparams", str(job.out / "paddle.onnx"), opset_version=17)
    np.savez(job.out / "paddle.npz", x=x, y=answer)
    return {"paddlepaddle": paddle.__version__}
