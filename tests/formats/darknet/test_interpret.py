"""The float64 interpreter of Darknet against formulas written by hand; the tables hold it against everything else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gateway.formats.darknet import interpret_layers
from gateway.formats.darknet.config import Options
from gateway.formats.darknet.interpret_layers import ACTIVATIONS, TABLE
from gateway.formats.darknet.network import Layer


def at(
    kind: str, given: tuple[int, int, int], output: tuple[int, int, int], weights: Any = None, **options: Any
) -> Layer:
    values = {key: str(value) for key, value in options.items()}
    return Layer(0, kind, f"{kind}_0", Options(values, "row"), (-1,), given, output, weights or {})


X = np.arange(2 * 8 * 4 * 6, dtype=np.float64).reshape(2, 8, 4, 6)


def test_reorg_is_no_space_to_depth() -> None:
    made = TABLE["reorg"](at("reorg", (8, 4, 6), (32, 2, 3), stride=2), X)
    expected = X.reshape(2, 2, 4, 2, 6, 2).transpose(0, 3, 5, 1, 2, 4).reshape(2, 32, 2, 3)
    np.testing.assert_array_equal(made, expected)


POOLS = {
    "size 2, stride 1: one at the end": ((4, 6), {"size": 2, "stride": 1}, (0, 0), (4, 6)),
    "size 3, stride 2: one at the beginning": ((4, 6), {"size": 3, "stride": 2}, (-1, -1), (2, 3)),
    "size 2, stride 2, even: none": ((4, 6), {"size": 2, "stride": 2}, (0, 0), (2, 3)),
}


@pytest.mark.parametrize("name", POOLS)
def test_maxpool_pads_size_minus_one_in_all(name: str) -> None:
    _, options, start, out = POOLS[name]
    made = TABLE["maxpool"](at("maxpool", (8, 4, 6), (8, *out), **options), X)
    size, stride = options["size"], options["stride"]
    for i in range(out[0]):
        for j in range(out[1]):
            top, left = start[0] + i * stride, start[1] + j * stride
            window = X[:, :, max(top, 0) : top + size, max(left, 0) : left + size]
            np.testing.assert_array_equal(made[:, :, i, j], window.max(axis=(2, 3)))


def test_a_convolution_of_groups_with_a_dilation() -> None:
    random = np.random.default_rng(3)
    kernel = random.standard_normal((4, 4, 3, 3))
    weights = {"weights": kernel, "biases": np.asarray([1.0, 2, 3, 4])}
    options = {"size": 3, "pad": 1, "groups": 2, "dilation": 2, "activation": "linear"}
    made = TABLE["convolutional"](at("convolutional", (8, 4, 6), (4, 4, 6), weights, **options), X)
    padded = np.pad(X, ((0, 0), (0, 0), (2, 2), (2, 2)))
    for o in range(4):
        group = padded[:, 4 * (o // 2) : 4 * (o // 2) + 4]
        window = group[:, :, 1:6:2, 3:8:2]  # at (1, 3)
        np.testing.assert_allclose(made[:, o, 1, 3], (window * kernel[o]).sum(axis=(1, 2, 3)) + o + 1)


def test_activations_at_their_joints() -> None:
    x = np.asarray([-5.0, -4, -1.5, -0.0, 0.5, 1.5, 4.5, 25])
    expected = {
        "plse": [-0.01, 0, 0.3125, 0.5, 0.5625, 0.6875, 1.005, 1.21],
        "stair": [-3, -2, -1, 0, 0, 0.5, 2, 12],
        "lhtan": [-0.005, -0.004, -0.0015, 0, 0.5, 1.0005, 1.0035, 1.024],
        "hard_mish": [0, 0, -0.375, 0, 0.5, 1.5, 4.5, 25],
        "ramp": [-0.5, -0.4, -0.15, 0, 0.55, 1.65, 4.95, 27.5],
        "relie": [-0.05, -0.04, -0.015, 0, 0.5, 1.5, 4.5, 25],
    }
    for name, wanted in expected.items():
        np.testing.assert_allclose(ACTIVATIONS[name](x), wanted, atol=1e-12, err_msg=name)
    assert interpret_layers.EPS == 1e-5


def test_a_shortcut_of_another_size_is_sampled() -> None:
    small = np.arange(2 * 4 * 2 * 3, dtype=np.float64).reshape(2, 4, 2, 3)
    made = TABLE["shortcut"](at("shortcut", (8, 4, 6), (8, 4, 6)), X, small, dialect="pjreddie")
    expected = X.copy()
    expected[:, :4, ::2, ::2] += small
    np.testing.assert_array_equal(made, expected)
