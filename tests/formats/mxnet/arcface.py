"""LResNet-E-IR in the words of its authors' symbols, for MXNet's child: InsightFace's r100 and smaller ones.

The picture is prepared inside the graph ((x - 127.5) / 128), every unit is BN-Conv-BN-PReLU-Conv-BN, and the head is
"E": BN, Dropout, FullyConnected, BN. Weights are seeded; no batch norm is the identity.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.formats.mxnet.child import PARAMS, SYMBOL, fill

R100 = (3, 13, 30, 3)
TINY = (1, 1, 1, 1)
FILTERS = (64, 64, 128, 256, 512)
EPS = 2e-5


def arcface(
    units: tuple[int, ...] = TINY, filters: tuple[int, ...] = FILTERS, size: int = 512, fix_gamma: bool = False
) -> Any:
    """The symbol; its one output is fc1_output, (batch, size). `fix_gamma` is that of every BN but the last."""
    import mxnet as mx  # noqa: TID251  this runs in MXNet's own Environment

    sym = mx.sym

    def norm(x: Any, name: str, fixed: bool = fix_gamma) -> Any:
        return sym.BatchNorm(x, fix_gamma=fixed, eps=EPS, momentum=0.9, name=name)

    def conv(x: Any, count: int, kernel: int, stride: int, name: str) -> Any:
        pad = (kernel // 2, kernel // 2)
        return sym.Convolution(
            x, num_filter=count, kernel=(kernel, kernel), stride=(stride, stride), pad=pad, no_bias=True,
            workspace=256, name=name,
        )  # fmt: skip

    def unit(x: Any, count: int, stride: int, same: bool, name: str) -> Any:
        y = conv(norm(x, f"{name}_bn1"), count, 3, 1, f"{name}_conv1")
        y = sym.LeakyReLU(norm(y, f"{name}_bn2"), act_type="prelu", name=f"{name}_relu1")
        y = norm(conv(y, count, 3, stride, f"{name}_conv2"), f"{name}_bn3")
        return y + (x if same else norm(conv(x, count, 1, stride, f"{name}_conv1sc"), f"{name}_sc"))

    x = (sym.identity(sym.Variable("data"), name="id") - 127.5) * 0.0078125
    x = sym.LeakyReLU(norm(conv(x, filters[0], 3, 1, "conv0"), "bn0"), act_type="prelu", name="relu0")
    for stage, count in enumerate(units, start=1):
        for number in range(1, count + 1):
            first = number == 1
            x = unit(x, filters[stage], 2 if first else 1, not first, f"stage{stage}_unit{number}")
    x = sym.Dropout(norm(x, "bn1"), p=0.4, name="dropout0")
    return norm(sym.FullyConnected(x, num_hidden=size, name="pre_fc1"), "fc1", True)


def arrays(symbol: Any, shape: tuple[int, ...], fix_gamma: bool = False) -> tuple[dict[str, Any], dict[str, Any]]:
    """Weights that keep the signal's size over 49 units: a residual branch ends in small gammas, or large variances."""
    import mxnet as mx  # noqa: TID251  this runs in MXNet's own Environment

    args, aux = fill(symbol, {"data": shape})
    del args["data"]
    for name, array in args.items():
        if name.endswith("_bn3_gamma"):
            args[name] = array * 0.25
        if "relu" in name:
            args[name] = mx.nd.array(np.random.default_rng(len(name)).uniform(0.1, 0.4, array.shape).astype("f"))
    for name, array in aux.items():
        if fix_gamma and name.endswith("_bn3_moving_var"):
            aux[name] = array * 16
    return args, aux


def save(job: Any) -> dict[str, Any]:
    """`folder`, `units`, `filters`, `size`, `side`, `fix_gamma`: a drop, as Module.save_checkpoint writes it."""
    import mxnet as mx  # noqa: TID251  this runs in MXNet's own Environment

    told = job.arguments
    symbol = arcface(tuple(told["units"]), tuple(told["filters"]), told["size"], told["fix_gamma"])
    args, aux = arrays(symbol, (1, 3, told["side"], told["side"]), told["fix_gamma"])
    folder = Path(told["folder"])
    symbol.save(str(folder / SYMBOL))
    named = {f"arg:{k}": v for k, v in args.items()} | {f"aux:{k}": v for k, v in aux.items()}
    mx.nd.save(str(folder / PARAMS), named)
    return {"weights": int(sum(array.size for array in args.values()))}
