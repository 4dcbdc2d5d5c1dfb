"""`python -m bench.exact`: how exactly MXNet, onnxruntime and TensorFlow compute ArcFace iResNet-100, against float64.

python -m bench.exact                writes bench/results/exact.json and .md; two minutes on a quiet machine
exact.py SIDE MODEL INPUT OUTPUT     one side, in the Environment that has it: what the first starts
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
SIDES = {
    "MXNet": ("mxnet", "mxnet", {}),
    "onnxruntime": ("onnxruntime", "base", {}),
    "SavedModel": ("tensorflow", "tensorflow", {"TF_ENABLE_ONEDNN_OPTS": "1"}),
    "SavedModel, without oneDNN": ("tensorflow", "tensorflow", {"TF_ENABLE_ONEDNN_OPTS": "0"}),
}


def float64(model: str, x: Any) -> Any:
    """The ONNX file's few operators in torch."""
    import onnx
    import torch  # noqa: TID251  this runs in Environment torch

    graph = onnx.load(model).graph
    v = {t.name: torch.tensor(onnx.numpy_helper.to_array(t)).double() for t in graph.initializer}
    v[graph.input[0].name] = torch.tensor(x).double()
    for node in graph.node:
        i = [v[name] for name in node.input]
        a = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
        if node.op_type == "Conv":
            made = torch.nn.functional.conv2d(*i, stride=a.get("strides", [1, 1]), padding=a.get("pads", [0] * 4)[:2])
        elif node.op_type == "BatchNormalization":
            s, b, m, var = (t.view(1, -1, *[1] * (i[0].dim() - 2)) for t in i[1:])
            made = (i[0] - m) / torch.sqrt(var + a["epsilon"]) * s + b
        elif node.op_type == "PRelu":
            made = torch.where(i[0] < 0, i[0] * i[1], i[0])
        elif node.op_type == "Gemm":
            made = i[0] @ (i[1].T if a.get("transB") else i[1]) + i[2]
        elif node.op_type == "Flatten":
            made = i[0].flatten(1)
        else:
            made = {"Add": torch.add, "Sub": torch.sub, "Mul": torch.mul}[node.op_type](*i)
        v[node.output[0]] = made
    return v[graph.output[0].name].numpy()


def mxnet(folder: str, x: Any) -> Any:
    import mxnet as mx  # noqa: TID251  this runs in Environment mxnet

    held = mx.nd.load(str(next(Path(folder).glob("*.params"))))
    net = mx.sym.load(str(next(Path(folder).glob("*symbol.json"))))
    bound = net.simple_bind(mx.cpu(), grad_req="null", data=x.shape)
    args, aux = ({k[4:]: v for k, v in held.items() if k.startswith(kind)} for kind in ("arg:", "aux:"))
    bound.copy_params_from(args, aux, allow_extra_params=True)
    bound.arg_dict["data"][:] = mx.nd.array(x)
    return bound.forward(is_train=False)[0].asnumpy()


def onnxruntime(model: str, x: Any) -> Any:
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def tensorflow(folder: str, x: Any) -> Any:
    import tensorflow as tf  # noqa: TID251  this runs in Environment tensorflow

    loaded = tf.saved_model.load(folder)
    (answer,) = loaded.signatures["serving_default"](data=tf.constant(x)).values()
    return answer.numpy()


def main() -> None:
    from bench.savedmodel import arcface
    from gateway import api
    from gateway.process.environments import Environments

    found: dict[str, Any] = {"load": os.getloadavg()[0]}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        source, flags = arcface(root)
        for target in ("onnx", "savedmodel"):
            api.convert(source, root / target, to=target, inputs=flags[1:], verify=False)
        x = np.random.default_rng(0).integers(0, 256, (1, 3, 112, 112)).astype(np.float32)
        np.save(root / "x.npy", x)
        models = {"mxnet": source, "tensorflow": root / "savedmodel"}

        def ask(side: str, environment: str, variables: dict[str, str]) -> Any:
            model = models.get(side, root / "onnx" / "model.onnx")
            command = [Environments().find(environment).python, __file__, side, model, root / "x.npy", root / "y.npy"]
            subprocess.run(command, check=True, capture_output=True, timeout=300, env={**os.environ, **variables})
            return np.load(root / "y.npy")

        exact = ask("float64", "torch", {})
        for label, row in SIDES.items():
            error = np.abs(ask(*row) - exact)
            found[label] = {
                "snr_db": round(float(10 * np.log10((exact**2).sum() / (error**2).sum())), 1),
                "of_largest": float(error.max() / np.abs(exact).max()),
                "of_each": float((error / np.maximum(1, np.abs(exact))).max()),
            }
    (HERE / "results" / "exact.json").write_text(json.dumps(found, indent=1) + "\n")
    (HERE / "results" / "exact.md").write_text(page(found))
    print(json.dumps(found))


def page(found: dict[str, Any]) -> str:
    rows = [
        f"| {label} | {row['snr_db']} | {row['of_largest']:.1e} | {row['of_each']:.1e} |"
        for label, row in found.items()
        if isinstance(row, dict)
    ]
    return (
        "# ArcFace iResNet-100 against float64, one picture\n\n*Written by `python -m bench.exact`; do not edit.*\n\n"
        "| who | SNR dB | max error of the largest | of each |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"
    )


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    else:
        side, model, given, out = sys.argv[1:]
        np.save(out, {f.__name__: f for f in (float64, mxnet, onnxruntime, tensorflow)}[side](model, np.load(given)))
