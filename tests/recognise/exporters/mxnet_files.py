"""Genuine files of MXNet: run by the Python of Environment `mxnet`, writes into argv[1]."""

from __future__ import annotations

import sys
from pathlib import Path

import mxnet as mx
from mxnet.gluon import nn


def net() -> object:
    block = nn.HybridSequential()
    block.add(nn.Conv2D(4, 3, in_channels=3), nn.BatchNorm(in_channels=4), nn.Flatten(), nn.Dense(5, in_units=144))
    block.initialize()
    block.hybridize()
    block(mx.nd.ones((1, 3, 8, 8)))
    return block


def pair(out: Path) -> None:
    net().export(str(out / "net"))


def symbol_alone(out: Path) -> None:
    net().export(str(out / "net"))
    (out / "net-0000.params").unlink()


def params_alone(out: Path) -> None:
    net().save_parameters(str(out / "net.params"))


def module_checkpoint(out: Path) -> None:
    x = mx.sym.Variable("data")
    y = mx.sym.SoftmaxOutput(mx.sym.FullyConnected(x, num_hidden=3, name="fc"), name="softmax")
    args = {"fc_weight": mx.nd.ones((3, 4)), "fc_bias": mx.nd.zeros((3,))}
    mx.model.save_checkpoint(str(out / "model"), 7, y, args, {})


def params_renamed(out: Path) -> None:
    net().save_parameters(str(out / "weights.bin"))


if __name__ == "__main__":
    for make in (pair, symbol_alone, params_alone, module_checkpoint, params_renamed):
        folder = Path(sys.argv[1]) / make.__name__
        folder.mkdir()
        make(folder)
