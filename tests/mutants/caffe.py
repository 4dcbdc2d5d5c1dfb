"""The nets of Caffe: every row of the layer table, a layer before and a layer behind it.

Rule 1: the neighbours multiply, so that a report has three nodes to choose from.
Rule 2: inputs that are given as numbers (indices, regions, priors) are weights here: what probes put in their place is
        no such thing.
Rule 3: layers that take any height and width are asked with both free, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.modeltoml import ModelOptions, TensorOption
from tests.formats.caffe import rows
from tests.formats.caffe.table import NAMES, Case, array
from tests.formats.caffe.writer import Writer
from tests.mutants.nets import Net, Target

BEFORE, BEHIND = 0.75, 1.5
TAILS = ("Softmax", "Sigmoid", "TanH", "Threshold", "ArgMax", "PriorBox", "DetectionOutput", "Proposal")
"""Layers behind which nothing is put: as the last of a net, too, they are judged."""
POSITIVE = ("Log",)
SIZES = ("PriorBox",)
"""Layers that read sizes only: nothing before them matters."""
FREE = (
    "convolution", "deconvolution", "pooling, trap: sizes are rounded up", "crop to what is half as large",
    "pooling, trap: rounded up without padding the last window stays", "crop to what is as large",
    "pooling, MAX by default", "pooling, global AVE", "flatten from axis 2", "flatten, trap: axis to end_axis",
    "reshape from an axis on", "reshape, zeros copy what stands in their place", "shuffle channel",
    "upsample, nearest", "reduction, SUM from axis 2", "MVN", "tile, axis 2", "permute", "scale", "batch norm, eps",
)  # fmt: skip
"""Rows whose height and width may be any."""
HIGH = ("reshape of the last axis", "flatten, trap: axis to end_axis", "slice, equal parts")
"""Rows whose height may be any, not their width."""


def make(folder: Path, tables: Sequence[str] = ()) -> Sequence[Net]:
    """`tables`: beginnings of the rows' names, or all."""
    nets = []
    cases = {name: case for name, case in rows.CASES.items() if not tables or name.startswith(tuple(tables))}
    for number, (name, case) in enumerate(cases.items()):
        here = folder / f"{number:04}"
        written(case).save(here)
        nets.append(Net(name, here, ModelOptions(), bool(case.refused)))
        sizes = np.shape(array("a", case.inputs[0]))
        if name in FREE:
            free = TensorOption("a", shape=(None, sizes[1], None, None))
            nets.append(Net(f"{name}, any height and width", here, ModelOptions(inputs=(free,))))
        if name in HIGH:
            free = TensorOption("a", shape=(None, sizes[1], None, sizes[3]))
            nets.append(Net(f"{name}, any height", here, ModelOptions(inputs=(free,))))
    return nets


def written(case: Case) -> Writer:
    """The row's net, with its neighbours unless it is to be refused."""
    if case.refused:
        return case.writer()
    net, scaled = Writer("row"), dict[str, str]()
    for name, given in zip(NAMES, case.inputs, strict=False):
        values = array(name, given)
        free = isinstance(given, tuple) or len(case.inputs) == 1
        if not free:
            param = {"shape": {"dim": list(values.shape)}}
            net.layer("Parameter", f"held_{name}", [], [name], parameter_param=param, blobs=[values])
            continue
        net.input(name, values.shape)
        if not _whole(case) and case.kind not in SIZES:
            scaled[name] = f"{name}_scaled"
            if case.kind in POSITIVE:
                net.layer("AbsVal", f"before_{name}", [name], [scaled[name]])
            else:
                net.layer("Power", f"before_{name}", [name], [scaled[name]], power_param={"scale": BEFORE})
    mine = replace(case, inputs=case.inputs).writer()
    for layer in mine.layers:
        given_: dict[str, Any] = dict(layer)
        bottoms = [scaled.get(each, each) for each in given_.pop("bottom")]
        kind_, name, tops = given_.pop("type"), given_.pop("name"), given_.pop("top")
        net.layer(kind_, name, bottoms, tops, blobs=mine.blobs.get(name, ()), **given_)
    if case.kind not in TAILS:
        for at in range(case.tops):
            net.layer("Power", f"behind_{at}", [f"y{at}"], [f"z{at}"], power_param={"scale": BEHIND})
    return net


def _whole(case: Case) -> bool:
    """Its one input is of whole numbers, or only its sizes are read."""
    given = case.inputs[0]
    whole = isinstance(given, np.ndarray) and len(case.inputs) == 1 and bool((given == np.round(given)).all())
    return whole and case.kind == "Embed"


SHARED = ("gateway.graph.nms:columns,sorted_rows,staying",)
TARGET = Target("caffe", "gateway.formats.caffe.ops", make, judge="opencv", skip=("refusals",), shared=SHARED)
