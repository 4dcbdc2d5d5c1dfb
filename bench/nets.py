"""Nets of bench/savedmodel.py with random weights: `nets.py NAME FILE` writes an ONNX file.

unet, yolo, bert and lstm in Environment torch, by its exporter; quantised in Environment base, by onnxruntime's
quantiser from a small residual net.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import numpy as np


def quantised(file: Path) -> None:
    import onnx
    from onnxruntime import quantization

    rng = np.random.default_rng(2)
    weights: dict[str, Any] = {}
    lines, name = [], "data"
    widths = [3, 32, 32, 64, 64, 128, 128, 256, 256, 512, 512]
    for number, (ins, outs) in enumerate(itertools.pairwise(widths)):
        weights[f"w{number}"] = (rng.standard_normal((outs, ins, 3, 3)) / np.sqrt(ins * 9)).astype("f")
        weights[f"b{number}"] = (rng.standard_normal(outs) * 0.1).astype("f")
        stride = 2 if number % 2 == 0 else 1
        lines.append(f"c{number} = Conv<pads=[1,1,1,1], strides=[{stride},{stride}]>({name}, w{number}, b{number})")
        lines.append(f"r{number} = Relu(c{number})")
        name = f"r{number}"
        if ins == outs:
            lines.append(f"s{number} = Add(r{number}, r{number - 1})")
            name = f"s{number}"
    weights["m"] = (rng.standard_normal((widths[-1], 10)) / 22).astype("f")
    lines += [f"g = GlobalAveragePool({name})", "f = Flatten(g)", "y = MatMul(f, m)"]
    text = (
        '<ir_version: 10, opset_import: ["" : 17]>\nnet (float[N,3,64,64] data) => (float[N,10] y) {'
        + "\n".join(lines)
        + "}"
    )
    model = onnx.parser.parse_model(text)
    model.graph.initializer.extend(onnx.numpy_helper.from_array(array, key) for key, array in weights.items())
    plain = file.with_suffix(".plain.onnx")
    onnx.save(model, str(plain))

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = [{"data": rng.random((2, 3, 64, 64), np.float32)} for _ in range(4)]

        def get_next(self) -> Any:
            return self.left.pop() if self.left else None

    form = quantization.QuantFormat.QOperator
    quantization.quantize_static(str(plain), str(file), Reader(), quant_format=form, per_channel=True)


if __name__ == "__main__":
    wanted, target = sys.argv[1], Path(sys.argv[2])
    if wanted == "quantised":
        quantised(target)
    else:
        from torch_nets import export

        export(wanted, target)
