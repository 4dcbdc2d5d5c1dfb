"""Environment `torch`: TorchScript by the old exporter, an ExportedProgram by the new, each saved and loaded."""

from __future__ import annotations

from typing import Any

import numpy as np

from gateway.process.child import ChildJob


def work(job: ChildJob) -> dict[str, Any]:
    import onnxscript
    import torch  # noqa: TID251  this module runs in that Environment

    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(2, 4, 3, padding=1),
        torch.nn.BatchNorm2d(4),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(4, 5),
    ).eval()
    x = torch.randn(3, 2, 8, 8)
    torch.jit.save(torch.jit.trace(net, x), job.out / "script.pt")
    script = torch.jit.load(job.out / "script.pt", map_location="cpu")
    names: dict[str, Any] = {"input_names": ["x"], "output_names": ["y"]}
    torch.onnx.export(
        script, (x,), job.out / "script.onnx", dynamo=False, opset_version=17, dynamic_axes={"x": {0: "n"}}, **names
    )
    batch = torch.export.Dim("batch", min=1, max=64)
    torch.export.save(torch.export.export(net, (x,), dynamic_shapes=({0: batch},)), job.out / "program.pt2")
    program = torch.export.load(job.out / "program.pt2")
    torch.onnx.export(program, (x,), job.out / "program.onnx", dynamo=True, opset_version=18, **names)
    with torch.no_grad():
        answers = {"script": script(x), "program": program.module()(x)}
    for name, answer in answers.items():
        np.savez(job.out / f"{name}.npz", x=x.numpy(), y=answer.numpy())
    return {"torch": torch.__version__, "onnxscript": onnxscript.__version__}
