"""Rows of gateway/formats/mxnet/ops/pooling.py."""

from __future__ import annotations

import itertools

import numpy as np

from tests.formats.mxnet.harness import Case

X = (2, 3, 7, 10)
WIDE = np.random.default_rng(6).standard_normal((2, 3, 10))
NEGATIVE = -np.abs(np.random.default_rng(3).standard_normal(X)).astype(np.float32) - 0.5
"""Below zero everywhere: a padding of zeros would win every maximum."""


def pool(**attrs: object) -> Case:
    return Case("Pooling", {"kernel": "(3, 3)", **attrs}, {"data": NEGATIVE})


CASES: dict[str, Case] = {}
for _type, _convention in itertools.product(("max", "avg", "sum"), ("valid", "full")):
    _both = {"pool_type": _type, "pooling_convention": _convention}
    CASES |= {
        f"{_type} {_convention}": pool(**_both, stride="(2, 2)"),
        f"{_type} {_convention}, stride 1 by default": pool(**_both),
        f"{_type} {_convention}, padded": pool(**_both, stride="(2, 2)", pad="(1, 1)"),
        f"{_type} {_convention}, unequal": pool(**_both, kernel="(2, 3)", stride="(3, 2)", pad="(1, 0)"),
        f"{_type} {_convention}, stride over kernel": pool(**_both, kernel="(2, 2)", stride="(3, 3)", pad="(1, 1)"),
    }
CASES |= {
    "max by default": pool(stride="(2, 2)"),
    "max full, the last window lies in the padding": pool(
        pooling_convention="full", kernel="(2, 2)", stride="(4, 3)", pad="(1, 1)"
    ),
    "avg, padding counts by default, valid": pool(pool_type="avg", pad="(1, 1)"),
    "avg, padding does not count": pool(pool_type="avg", pad="(1, 1)", count_include_pad=False, stride="(2, 2)"),
    "avg full, padding does not count": pool(
        pool_type="avg", pad="(1, 1)", count_include_pad=0, stride="(2, 2)", pooling_convention="full"
    ),
    "avg full, stride 3, padding counts, overhang does not": pool(
        pool_type="avg", pad="(1, 1)", stride="(3, 4)", pooling_convention="full", count_include_pad="True"
    ),
    "avg, count_include_pad None": pool(pool_type="avg", pad="(1, 1)", count_include_pad="None"),
    "global max ignores the kernel": pool(global_pool=True, pad="(1, 1)"),
    "global avg without kernel": Case("Pooling", {"pool_type": "avg", "global_pool": True}, {"data": X}),
    "global sum": pool(pool_type="sum", global_pool=True),
    "global lp": pool(pool_type="lp", p_value=2, global_pool=True),
    "lp of 1 keeps the sign": pool(pool_type="lp", p_value=1, stride="(2, 2)"),
    "lp of 2": pool(pool_type="lp", p_value=2, stride="(2, 2)", pad="(1, 1)"),
    "lp of 3": pool(pool_type="lp", p_value=3, stride="(2, 2)"),
    "lp of 2, full": pool(pool_type="lp", p_value=2, stride="(2, 2)", pooling_convention="full"),
    "same, one dimension": Case(
        "Pooling", {"kernel": "(3,)", "stride": "(2,)", "pooling_convention": "same", "pad": "(0, 0, 0)"},
        {"data": WIDE},
    ),
    "max in one dimension, full": Case(
        "Pooling", {"kernel": "(3,)", "stride": "(2,)", "pooling_convention": "full"}, {"data": (2, 3, 8)}
    ),
    "avg in three dimensions": Case(
        "Pooling", {"kernel": "(2, 2, 3)", "stride": "(2, 1, 2)", "pad": "(1, 0, 1)", "pool_type": "avg"},
        {"data": (2, 3, 4, 5, 6)},
    ),
    "avg full in three dimensions": Case(
        "Pooling",
        {"kernel": "(2, 2, 3)", "stride": "(2, 2, 2)", "pool_type": "avg", "pooling_convention": "full"},
        {"data": (2, 3, 5, 5, 6)},
    ),
    "max, channels last": Case(
        "Pooling", {"kernel": "(2, 3)", "stride": "(2, 2)", "layout": "NHWC", "pool_type": "sum"},
        {"data": (2, 6, 7, 3)}
    ),
    "full with a free batch": Case(
        "Pooling", {"kernel": "(3, 3)", "stride": "(2, 2)", "pooling_convention": "full", "pool_type": "avg"},
        {"data": X}, free=True,
    ),
    "old pooling, max, its padding is zeros": Case(
        "Pooling_v1", {"kernel": "(3, 3)", "stride": "(2, 2)", "pad": "(1, 1)"}, {"data": NEGATIVE}
    ),
    "old pooling, avg": Case(
        "Pooling_v1", {"kernel": "(3, 3)", "stride": "(2, 2)", "pad": "(1, 1)", "pool_type": "avg"}, {"data": NEGATIVE}
    ),
    "old pooling, full, avg divides by the kernel": Case(
        "Pooling_v1", {"kernel": "(3, 3)", "stride": "(2, 2)", "pooling_convention": "full", "pool_type": "avg"},
        {"data": NEGATIVE},
    ),
    "old pooling, full, max": Case(
        "Pooling_v1", {"kernel": "(3, 3)", "stride": "(3, 3)", "pooling_convention": "full", "pad": "(1, 1)"},
        {"data": NEGATIVE},
    ),
    "old pooling, global": Case("Pooling_v1", {"pool_type": "avg", "global_pool": True}, {"data": X}),
    "upsampling to the nearest": Case("UpSampling", {"scale": 2, "sample_type": "nearest"}, {"data": (2, 3, 4, 5)}),
    "upsampling by 3, free batch": Case(
        "UpSampling", {"scale": 3, "sample_type": "nearest"}, {"data": (2, 3, 4, 5)}, free=True
    ),
    "upsampling of two, joined": Case(
        "UpSampling", {"scale": 2, "sample_type": "nearest"}, {"a": (2, 3, 4, 6), "b": (2, 2, 2, 3)}
    ),
    "upsampling of two, added": Case(
        "UpSampling", {"scale": 2, "sample_type": "nearest", "multi_input_mode": "sum"},
        {"a": (2, 3, 4, 6), "b": (2, 3, 2, 3)},
    ),
    "upsampling, bilinear is a deconvolution with the weight given, scale 2": Case(
        "UpSampling", {"scale": 2, "sample_type": "bilinear", "num_filter": 3, "num_args": 2},
        {"data": (2, 3, 4, 5)}, {"weight": (3, 1, 4, 4)},
    ),
    "upsampling, bilinear, scale 3": Case(
        "UpSampling", {"scale": 3, "sample_type": "bilinear", "num_filter": 3, "num_args": 2},
        {"data": (2, 3, 4, 5)}, {"weight": (3, 1, 5, 5)},
    ),
}  # fmt: skip
