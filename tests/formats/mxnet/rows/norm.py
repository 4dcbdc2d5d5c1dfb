"""Rows of gateway/formats/mxnet/ops/norm.py."""

from __future__ import annotations

from tests.formats.mxnet.harness import Case

X = (2, 4, 3, 5)

CASES: dict[str, Case] = {
    "batch norm, fix_gamma by default, eps 1e-3 by default": Case("BatchNorm", {}, {"data": X}),
    "batch norm with gamma": Case("BatchNorm", {"fix_gamma": False}, {"data": X}),
    "batch norm, eps": Case("BatchNorm", {"fix_gamma": False, "eps": 0.3}, {"data": X}),
    "batch norm, eps, gamma fixed": Case("BatchNorm", {"fix_gamma": "1", "eps": 2e-2}, {"data": X}),
    "batch norm of a matrix": Case("BatchNorm", {"fix_gamma": False}, {"data": (3, 4)}),
    "batch norm of three dimensions": Case("BatchNorm", {"fix_gamma": False}, {"data": (3, 4, 2)}),
    "batch norm along the last axis": Case("BatchNorm", {"fix_gamma": False, "axis": -1}, {"data": X}),
    "batch norm along axis 2, gamma fixed": Case("BatchNorm", {"axis": 2}, {"data": X}),
    "batch norm, use_global_stats": Case("BatchNorm", {"use_global_stats": True, "fix_gamma": 0}, {"data": X}),
    "batch norm, free batch": Case("BatchNorm", {"fix_gamma": False}, {"data": X}, free=True),
    "batch norm, mean and deviation shown": Case(
        "BatchNorm", {"fix_gamma": False, "output_mean_var": True, "eps": 0.1}, {"data": X}
    ),
    "batch norm, its old spelling": Case("BatchNorm_v1", {"fix_gamma": False}, {"data": X}),
    "batch norm, its old spelling, gamma fixed": Case("BatchNorm_v1", {"eps": 0.1}, {"data": X}),
    "batch norm over several devices": Case("_contrib_SyncBatchNorm", {"key": "a", "fix_gamma": False}, {"data": X}),
    "batch norm over several devices, gamma fixed": Case("_contrib_SyncBatchNorm", {"key": "a"}, {"data": X}),
    "batch norm with relu": Case("_contrib_BatchNormWithReLU", {"fix_gamma": False}, {"data": X}),
    "layer norm over the last axis": Case("LayerNorm", {}, {"data": X}),
    "layer norm over axis 1, eps": Case("LayerNorm", {"axis": 1, "eps": 0.2}, {"data": X}),
    "layer norm, mean and deviation shown": Case("LayerNorm", {"output_mean_var": True}, {"data": (3, 8)}),
    "layer norm, free batch": Case("LayerNorm", {}, {"data": (2, 3, 8)}, free=True),
    "group norm of two groups": Case("GroupNorm", {"num_groups": 2}, {"data": X}),
    "group norm of one": Case("GroupNorm", {}, {"data": X}),
    "group norm, eps, free batch": Case("GroupNorm", {"num_groups": 2, "eps": 0.2}, {"data": X}, free=True),
    "group norm of three dimensions": Case("GroupNorm", {"num_groups": 4}, {"data": (2, 4, 6)}),
    "group norm, mean and deviation shown": Case("GroupNorm", {"num_groups": 2, "output_mean_var": True}, {"data": X}),
    "instance norm, eps 1e-3 by default": Case("InstanceNorm", {}, {"data": X}),
    "instance norm, eps": Case("InstanceNorm", {"eps": 0.3}, {"data": X}),
    "instance norm of three dimensions": Case("InstanceNorm", {}, {"data": (2, 3, 7)}),
    "L2, all but the batch": Case("L2Normalization", {}, {"data": X}),
    "L2 of a matrix, eps inside the root": Case("L2Normalization", {"eps": 2.0}, {"data": (3, 4)}),
    "L2, channel": Case("L2Normalization", {"mode": "channel", "eps": 0.5}, {"data": X}),
    "L2, spatial": Case("L2Normalization", {"mode": "spatial"}, {"data": X}),
    "L2, spatial, three dimensions": Case("L2Normalization", {"mode": "spatial"}, {"data": (2, 3, 4)}),
    "local response, defaults": Case("LRN", {"nsize": 5}, {"data": (2, 9, 3, 4)}),
    "local response, all given": Case(
        "LRN", {"nsize": 3, "alpha": 0.5, "beta": 0.5, "knorm": 1.5}, {"data": (2, 7, 3, 4)}
    ),
}
