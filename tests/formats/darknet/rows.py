"""Small networks, one for each rule of Darknet's layers: the row's name is the rule that breaks it.

A row is judged by OpenCV where OpenCV computes the layer as Darknet does, and by our interpreter always.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.formats.darknet.writer import ALEXEYAB, PJREDDIE, Net


@dataclass(frozen=True)
class Case:
    """`make` writes the network. `opencv`: it judges too. `refused`: words of the converter's error."""

    make: Callable[[], Net]
    opencv: bool = True
    refused: str = ""
    beside: tuple[tuple[str, str], ...] = ()


def net(
    *layers: tuple[str, dict[str, Any]],
    dialect: str = PJREDDIE,
    size: tuple[int, int, int] = (3, 10, 8),
    arrays: dict[int, dict[str, Any]] | None = None,
    **options: Any,
) -> Callable[[], Net]:
    """A network of these layers over a picture of `size` (channels, height, width), or `inputs` values."""

    def make() -> Net:
        sides = {} if "inputs" in options else dict(zip(("channels", "height", "width"), size, strict=True))
        made = Net(dialect, 7, **{**sides, **options})
        for index, (kind, given) in enumerate(layers):
            made.add(kind, (arrays or {}).get(index), **given)
        return made

    return make


def conv(filters: int = 4, size: int = 3, **options: Any) -> tuple[str, dict[str, Any]]:
    given: dict[str, Any] = {"filters": filters, "size": size, "stride": 1, "pad": 1, "activation": "linear", **options}
    return "convolutional", {key: value for key, value in given.items() if value is not None}


def layer(kind: str, **options: Any) -> tuple[str, dict[str, Any]]:
    return kind, options


NEW: dict[str, Any] = {"dialect": ALEXEYAB}
FIRST = conv(activation="leaky")
BEHIND = conv(3, 1)

ACTIVATIONS = {
    f"activation {name}": Case(net(conv(6, activation=name), BEHIND, **how), opencv=name in seen)
    for names, how in (
        (
            (
                "linear",
                "logistic",
                "loggy",
                "relu",
                "elu",
                "selu",
                "relie",
                "ramp",
                "leaky",
                "tanh",
                "plse",
                "stair",
                "hardtan",
                "lhtan",
            ),
            {},
        ),
        (
            (
                "swish",
                "mish",
                "hard_mish",
                "relu6",
                "gelu",
                "revleaky",
                "normalize_channels",
                "normalize_channels_softmax",
                "normalize_channels_softmax_maxval",
            ),
            NEW,
        ),
    )
    for name in names
    for seen in [("linear", "leaky", "relu", "logistic", "tanh", "swish", "mish")]
}
WIDE = {
    f"activation {name} far from 0": Case(
        net(
            conv(4, 1, activation="linear"),
            layer("activation", activation=name),
            arrays={0: {"weights": 12 * np.random.default_rng(3).standard_normal((4, 3, 1, 1))}},
            **how,
        ),
        opencv=False,
    )
    for names, how in ((("plse", "stair", "hardtan", "lhtan", "loggy"), {}), (("relu6", "gelu"), NEW))
    for name in names
}

CONVOLUTIONS: dict[str, Case] = {
    "the activation is logistic when none is named": Case(net(conv(activation=None), BEHIND)),
    "pad=1 is half the size, whatever padding= says": Case(net(conv(size=5, padding=7), BEHIND)),
    "padding= without pad": Case(net(conv(pad=0, padding=2), BEHIND)),
    "no padding by default": Case(net(conv(pad=None), BEHIND)),
    "an even window": Case(net(conv(size=2, pad=0), BEHIND)),
    "an even window is padded by half": Case(net(conv(size=4), BEHIND), opencv=False),
    "a stride that leaves a rest": Case(net(conv(stride=3), BEHIND)),
    "one place, stride 2": Case(net(conv(size=1, stride=2), BEHIND)),
    "groups of 0 are one": Case(net(conv(groups=0), BEHIND, **NEW), opencv=False),
    "groups": Case(net(conv(6, 3, groups=3), conv(4, 1, groups=2), BEHIND)),
    "strides of their own in x and y": Case(net(conv(stride_x=1, stride_y=2), BEHIND, **NEW), opencv=False),
    "only a stride in y": Case(net(conv(stride=2, stride_y=1), BEHIND, **NEW), opencv=False),
    "a stride in x of 0 is none": Case(net(conv(stride=2, stride_x=0), BEHIND, **NEW), opencv=False),
    "a stride in y of 0 is none": Case(net(conv(stride=2, stride_y=0), BEHIND, **NEW), opencv=False),
    "dilation": Case(net(conv(dilation=2), BEHIND, **NEW), opencv=False),
    "dilation means nothing for one place": Case(net(conv(size=1, dilation=3, stop=1), BEHIND, **NEW), opencv=False),
    "batch normalisation, and its bias behind it": Case(net(conv(batch_normalize=1, activation="leaky"), BEHIND)),
    "cbn is batch normalisation": Case(net(conv(batch_normalize=1, cbn=1), BEHIND, **NEW)),
    "eps is 1e-5 inside the root": Case(
        net(conv(batch_normalize=1), BEHIND, arrays={0: {"rolling_variance": np.full(4, 1e-7)}})
    ),
    "scales that are not loaded": Case(
        net(conv(batch_normalize=1, dontloadscales=1, activation="tanh"), BEHIND), opencv=False
    ),
    "antialiasing blurs behind the activation": Case(
        net(conv(stride=2, antialiasing=1, activation="leaky"), BEHIND, **NEW), opencv=False
    ),
    "antialiasing 2 is a mean of four": Case(
        net(conv(stride=2, antialiasing=2, activation="leaky"), BEHIND, **NEW), opencv=False
    ),
    "weights of another layer": Case(net(conv(3), conv(3, share_index=0), BEHIND, **NEW), opencv=False),
    "flipped filters": Case(net(conv(flipped=1), BEHIND), opencv=False),
    "deconvolution": Case(
        net(layer("deconvolutional", filters=4, size=4, stride=2, padding=1, activation="leaky"), BEHIND), opencv=False
    ),
    "deconvolution, batch normalised, pad=1": Case(
        net(layer("deconvolutional", filters=4, size=3, stride=2, pad=1, batch_normalize=1), BEHIND), opencv=False
    ),
    "deconvolution of one place by default": Case(
        net(layer("deconvolutional", filters=4, stride=2), BEHIND), opencv=False
    ),
    "deconvolution, stride 1 by default": Case(net(layer("deconvolutional", filters=4, size=3), BEHIND), opencv=False),
    "connected: channels first": Case(
        net(FIRST, layer("connected", output=7, activation="linear"), layer("connected", output=5, activation="leaky"))
    ),
    "connected, batch normalised, logistic by default": Case(
        net(FIRST, layer("connected", output=7, batch_normalize=1), layer("connected", output=5, activation="linear")),
        opencv=False,
    ),
    "connected over values": Case(
        net(
            layer("connected", output=7, activation="relu"), layer("connected", output=5, activation="linear"), inputs=6
        ),
        opencv=False,
    ),
    "local, padded": Case(
        net(FIRST, layer("local", filters=3, size=3, stride=1, pad=1, activation="leaky")), opencv=False
    ),
    "local, stride 2": Case(net(FIRST, layer("local", filters=3, size=3, stride=2), BEHIND), opencv=False),
    "local, one place by default": Case(net(FIRST, layer("local", filters=3), BEHIND), opencv=False),
    "batch normalisation alone has no biases": Case(net(FIRST, layer("batchnorm"), BEHIND), opencv=False),
    "implicit values": Case(
        net(FIRST, layer("implicit", filters=4), layer("scale_channels", from_="-2"), BEHIND, **NEW), opencv=False
    ),
}

POOLS: dict[str, Case] = {
    "maxpool 2 by 1: the rest is at the end": Case(net(FIRST, layer("maxpool", size=2, stride=1), BEHIND)),
    "maxpool 2 by 2": Case(net(FIRST, layer("maxpool", size=2, stride=2), BEHIND)),
    "maxpool 2 by 2, odd sides": Case(net(FIRST, layer("maxpool", size=2, stride=2), BEHIND, size=(3, 9, 7))),
    "maxpool 3 by 2, even sides: padded at the start": Case(net(FIRST, layer("maxpool", size=3, stride=2), BEHIND)),
    "maxpool 5 by 1": Case(net(FIRST, layer("maxpool", size=5, stride=1), BEHIND)),
    "maxpool: the size is the stride by default": Case(net(FIRST, layer("maxpool", stride=2), BEHIND)),
    "maxpool: the stride is 1 by default": Case(net(FIRST, layer("maxpool", size=2), BEHIND)),
    "maxpool: padding is the total of both ends": Case(
        net(FIRST, layer("maxpool", size=3, stride=2, padding=1), BEHIND)
    ),
    "maxpool without padding": Case(net(FIRST, layer("maxpool", size=3, stride=2, padding=0), BEHIND)),
    "maxpool: windows wholly outside": Case(
        net(FIRST, layer("maxpool", size=2, stride=1, padding=5), layer("activation", activation="logistic")),
        opencv=False,
    ),
    "maxpool: padding as large as the window": Case(
        net(FIRST, layer("maxpool", size=2, stride=1, padding=3), BEHIND), opencv=False
    ),
    "maxpool: more padding at the start than the window": Case(
        net(FIRST, layer("maxpool", size=2, stride=2, padding=4), layer("activation", activation="logistic")),
        opencv=False,
    ),
    "maxpool: strides of their own": Case(
        net(FIRST, layer("maxpool", size=2, stride=2, stride_x=1), BEHIND, **NEW), opencv=False
    ),
    "maxpool over channels": Case(
        net(conv(6), layer("maxpool", maxpool_depth=1, out_channels=3), BEHIND, **NEW), opencv=False
    ),
    "maxpool over channels that do not divide": Case(
        net(conv(5), layer("maxpool", maxpool_depth=1, out_channels=3), BEHIND, **NEW), opencv=False
    ),
    "maxpool with antialiasing": Case(
        net(FIRST, layer("maxpool", size=2, stride=2, antialiasing=1), BEHIND, **NEW), opencv=False
    ),
    "local_avgpool counts what is inside": Case(
        net(FIRST, layer("local_avgpool", size=3, stride=2), BEHIND, **NEW), opencv=False
    ),
    "local_avgpool, padding and stride as they are": Case(
        net(FIRST, layer("local_avgpool", size=3, stride=1, padding=1), BEHIND, **NEW), opencv=False
    ),
    "avgpool": Case(net(FIRST, layer("avgpool"), conv(5, 1))),
}

JOINS: dict[str, Case] = {
    "route of one layer": Case(net(FIRST, conv(5), layer("route", layers="-2"), BEHIND)),
    "route of several, counted back and from the start": Case(
        net(FIRST, conv(5), layer("route", layers="-1, 0"), BEHIND)
    ),
    "route takes a part of one": Case(net(conv(6), layer("route", layers="-1", groups=3, group_id=1), BEHIND, **NEW)),
    "route takes a part of each": Case(
        net(conv(6), conv(4), layer("route", layers="-1,-2", groups=2, group_id=1), BEHIND, **NEW), opencv=False
    ),
    "pjreddie's route knows no groups": Case(
        net(conv(6), conv(4), layer("route", layers="-1,-2", groups=2, group_id=1), BEHIND), opencv=False
    ),
    "shortcut": Case(net(conv(4), conv(4), layer("shortcut", from_="-2", activation="leaky"), BEHIND)),
    "shortcut: linear when no activation is named": Case(net(conv(4), conv(4), layer("shortcut", from_="-2"), BEHIND)),
    "shortcut: alpha and beta are pjreddie's": Case(
        net(conv(4), conv(4), layer("shortcut", from_="-2", alpha=0.5, beta=2), BEHIND), opencv=False
    ),
    "shortcut: more channels than there are": Case(
        net(conv(6), conv(4), layer("shortcut", from_="-2"), BEHIND), opencv=False
    ),
    "shortcut: fewer channels, alpha only where they overlap": Case(
        net(conv(3), conv(5), layer("shortcut", from_="-2", alpha=0.5), BEHIND), opencv=False
    ),
    "shortcut: every second place of a larger layer": Case(
        net(conv(4), conv(4, stride=2), layer("shortcut", from_="-2", beta=3), BEHIND), opencv=False
    ),
    "shortcut: onto every second place": Case(
        net(conv(4, stride=2), layer("upsample", stride=2), layer("shortcut", from_="0", alpha=0.5), BEHIND),
        opencv=False,
    ),
    "shortcut: a larger layer, less than twice": Case(
        net(conv(4), conv(4, stride=2), layer("shortcut", from_="-2", beta=3), BEHIND, size=(3, 9, 7)), opencv=False
    ),
    "shortcut: onto a larger layer with a rest": Case(
        net(
            conv(4, pad=0, stride=2),
            layer("upsample", stride=3),
            layer("crop", crop_height=9, crop_width=7, noadjust=1),
            layer("shortcut", from_="0", alpha=0.5),
            BEHIND,
        ),
        opencv=False,
    ),
    "shortcut: more channels than there are, each half": Case(
        net(conv(6), conv(4), layer("shortcut", from_="-2", alpha=0.5, beta=0.5), BEHIND), opencv=False
    ),
    "shortcut: AlexeyAB adds the first channels": Case(
        net(
            conv(6),
            conv(4),
            conv(4),
            layer("shortcut", from_="-3"),
            conv(6),
            layer("shortcut", from_="-3"),
            BEHIND,
            **NEW,
        ),
        opencv=False,
    ),
    "shortcut of three": Case(
        net(conv(4), conv(4), conv(4), layer("shortcut", from_="-2,-3", activation="leaky"), BEHIND, **NEW),
        opencv=False,
    ),
    **{
        f"shortcut weights {kind}, {norm}": Case(
            net(
                conv(4),
                conv(4),
                conv(4),
                layer("shortcut", from_="-2,-3", weights_type=kind, weights_normalization=norm, activation="mish"),
                BEHIND,
                **NEW,
            ),
            opencv=False,
        )
        for kind, norm in (
            ("per_feature", "none"),
            ("per_channel", "relu"),
            ("per_channel", "softmax"),
            ("per_layer", "avg_relu"),
        )
    },
    "shortcut weights, unequal channels": Case(
        net(
            conv(6),
            conv(4),
            layer("shortcut", from_="-2", weights_type="per_channel", weights_normalization="relu"),
            BEHIND,
            **NEW,
        ),
        opencv=False,
    ),
    "sam": Case(
        net(FIRST, conv(4, 1, activation="logistic"), layer("sam", from_="-2", activation="leaky"), BEHIND, **NEW)
    ),
    "scale_channels": Case(
        net(
            FIRST,
            layer("avgpool"),
            conv(4, 1, activation="logistic"),
            layer("scale_channels", from_="-3"),
            BEHIND,
            **NEW,
        )
    ),
    "scale_channels, a factor a place": Case(
        net(
            FIRST,
            conv(1, 1, activation="logistic"),
            layer("scale_channels", from_="-2", scale_wh=1, activation="relu"),
            BEHIND,
            **NEW,
        ),
        opencv=False,
    ),
    "dropout, cost and empty are nothing": Case(
        net(FIRST, layer("dropout", probability=0.5), BEHIND, layer("cost", type="sse"))
    ),
    "empty": Case(net(FIRST, layer("empty"), BEHIND, **NEW), opencv=False),
}

PLACES: dict[str, Case] = {
    "upsample": Case(net(FIRST, layer("upsample", stride=2), BEHIND)),
    "upsample: stride 2 by default, scaled": Case(net(FIRST, layer("upsample", scale=0.3), BEHIND), opencv=False),
    "upsample by 3": Case(net(FIRST, layer("upsample", stride=3), BEHIND)),
    "upsample backwards sums": Case(net(FIRST, layer("upsample", stride=-2, scale=0.5), BEHIND), opencv=False),
    "reorg is no space-to-depth": Case(net(conv(8), layer("reorg", stride=2), BEHIND)),
    "reorg of AlexeyAB's is the same": Case(net(conv(8), layer("reorg", stride=2), BEHIND, **NEW)),
    "reorg backwards": Case(net(conv(8), layer("reorg", stride=2, reverse=1), BEHIND), opencv=False),
    "reorg, stride 1 by default": Case(net(conv(8), layer("reorg"), BEHIND)),
    "reorg3d, stride 1 by default": Case(net(conv(4), layer("reorg3d"), BEHIND, **NEW), opencv=False),
    "reorg flattens": Case(net(conv(4), layer("reorg", stride=1, flatten=1), BEHIND), opencv=False),
    "reorg unflattens": Case(net(conv(4), layer("reorg", stride=1, flatten=1, reverse=1), BEHIND), opencv=False),
    "reorg3d is space-to-depth": Case(net(conv(4), layer("reorg3d", stride=2), BEHIND, **NEW), opencv=False),
    "crop: the middle, from -1 to 1": Case(
        net(layer("crop", crop_height=5, crop_width=6), FIRST, BEHIND), opencv=False
    ),
    "crop: noadjust leaves values": Case(net(FIRST, layer("crop", crop_height=5, crop_width=3, noadjust=1), BEHIND)),
    "normalization forgets one channel": Case(
        net(conv(8), layer("normalization", alpha=0.02, kappa=2, size=5), BEHIND), opencv=False
    ),
    "normalization over an even number of channels": Case(
        net(conv(8), layer("normalization", alpha=0.02, beta=0.5, kappa=2, size=4), BEHIND), opencv=False
    ),
    "normalization with Darknet's defaults": Case(net(conv(6), layer("normalization"), BEHIND), opencv=False),
    "l2norm": Case(net(FIRST, layer("l2norm"), BEHIND), opencv=False),
    "logistic": Case(net(FIRST, layer("logistic")), opencv=False),
}

YOLO: dict[str, Any] = {"mask": "0,2", "anchors": "10,14, 23,27, 37,58", "classes": 3, "num": 3}
REGION: dict[str, Any] = {"anchors": "1.3,2.1, 0.5,3", "classes": 3, "num": 2, "coords": 4, "softmax": 1}
TREE = "a -1\nb -1\nc 0\nd 0\ne 0\n"

HEADS: dict[str, Case] = {
    "yolo": Case(net(conv(16), layer("yolo", **YOLO))),
    "yolo: every anchor when there is no mask": Case(
        net(conv(12), layer("yolo", anchors="1,2,3,4", num=2, classes=1)), opencv=False
    ),
    "yolo: 20 classes by default": Case(
        net(conv(50), layer("yolo", mask="0,1", anchors="1,2,3,4", num=2)), opencv=False
    ),
    "yolo: scale_x_y": Case(net(conv(16), layer("yolo", scale_x_y=1.2, **YOLO), **NEW)),
    "yolo: pjreddie's knows no scale_x_y": Case(
        net(conv(16), layer("yolo", scale_x_y=1.2, **YOLO), layer("l2norm")), opencv=False
    ),
    "yolo: new_coords": Case(
        net(conv(16, activation="logistic"), layer("yolo", new_coords=1, scale_x_y=2.0, **YOLO), **NEW)
    ),
    "yolo: two heads": Case(
        net(
            conv(8),
            layer("yolo", **(YOLO | {"mask": "1"})),
            layer("route", layers="0"),
            layer("upsample", stride=2),
            layer("yolo", **(YOLO | {"mask": "2"})),
        )
    ),
    "yolo: the middle of a network": Case(net(conv(16), layer("yolo", **YOLO), conv(4, 1)), opencv=False),
    **{
        f"gaussian_yolo, point {point}": Case(
            net(conv(24), layer("Gaussian_yolo", scale_x_y=1.1, yolo_point=point, **YOLO), **NEW), opencv=False
        )
        for point in ("center", "left_top", "right_bottom")
    },
    "region": Case(net(conv(16), layer("region", **REGION))),
    "region of AlexeyAB's": Case(net(conv(16), layer("region", **REGION), **NEW)),
    "region: one anchor, four coordinates and no softmax by default": Case(
        net(conv(8), layer("region", anchors="1.3,2.1", classes=3)), opencv=False
    ),
    "region: 20 classes by default": Case(net(conv(25), layer("region", anchors="1.3,2.1", softmax=1)), opencv=False),
    "yolo: one anchor by default": Case(net(conv(6), layer("yolo", anchors="11,22", classes=1)), opencv=False),
    "gaussian_yolo: x and y as they are by default": Case(
        net(conv(24), layer("Gaussian_yolo", **YOLO), **NEW), opencv=False
    ),
    "gaussian_yolo: every anchor, 20 classes by default": Case(
        net(conv(58), layer("Gaussian_yolo", anchors="1,2,3,4", num=2, scale_x_y=1.2), **NEW), opencv=False
    ),
    "region: pjreddie takes the sigmoid of classes": Case(
        net(conv(16), layer("region", **(REGION | {"softmax": 0}))), opencv=False
    ),
    "region: AlexeyAB leaves classes as they are": Case(
        net(conv(16), layer("region", **(REGION | {"softmax": 0})), **NEW), opencv=False
    ),
    "region: a background": Case(net(conv(16), layer("region", background=1, **REGION)), opencv=False),
    "region: a background without softmax": Case(
        net(conv(16), layer("region", background=1, **(REGION | {"softmax": 0}))), opencv=False
    ),
    "region: more coordinates": Case(net(conv(20), layer("region", **(REGION | {"coords": 6}))), opencv=False),
    "region: a tree of classes": Case(
        net(conv(20), layer("region", tree="data/some.tree", **(REGION | {"classes": 5}))),
        opencv=False,
        beside=(("some.tree", TREE),),
    ),
    "detection": Case(
        net(
            FIRST,
            layer("connected", output=9 * (2 + 2 * 5), activation="linear"),
            layer("detection", side=3, num=2, classes=2, coords=4, sqrt=1),
        ),
        opencv=False,
    ),
    "detection: more classes than boxes": Case(
        net(
            FIRST,
            layer("connected", output=4 * (3 + 2 * 5), activation="linear"),
            layer("detection", side=2, num=2, classes=3, coords=4),
        ),
        opencv=False,
    ),
    "detection: 7 x 7 cells of one box and one class by default": Case(
        net(
            FIRST,
            layer("connected", output=49 * (1 + 5), activation="linear"),
            layer("detection", coords=4, softmax=1),
        ),
        opencv=False,
    ),
    "detection: one coordinate by default, no boxes": Case(
        net(
            FIRST,
            layer("connected", output=4 * (2 + 2), activation="linear"),
            layer("detection", side=2, classes=2, softmax=1),
        ),
        opencv=False,
    ),
    "detection with softmax, sides as they are": Case(
        net(
            FIRST,
            layer("connected", output=9 * (2 + 2 * 5), activation="linear"),
            layer("detection", side=3, num=2, classes=2, coords=4, softmax=1),
        ),
        opencv=False,
    ),
    "softmax": Case(net(FIRST, layer("avgpool"), layer("softmax"))),
    "softmax over everything of the sample": Case(net(conv(2), layer("softmax")), opencv=False),
    "softmax in groups": Case(net(FIRST, layer("avgpool"), layer("softmax", groups=2)), opencv=False),
    "softmax with a temperature": Case(net(FIRST, layer("avgpool"), layer("softmax", temperature=0.3)), opencv=False),
    "softmax of a tree": Case(
        net(conv(5), layer("avgpool"), layer("softmax", tree="some.tree")),
        opencv=False,
        beside=(("some.tree", TREE),),
    ),
}

RECURRENT: dict[str, Case] = {
    **{
        f"{kind} of {dialect}'s, {more or 'plain'}": Case(
            net(
                layer(kind, output=4, batch_normalize=int(bool(more))),
                layer("connected", output=3, activation="linear"),
                layer("softmax"),
                inputs=5,
                dialect=dialect,
            ),
            opencv=False,
        )
        for kind in ("lstm", "gru")
        for dialect in (PJREDDIE, ALEXEYAB)
        for more in ("", "batch normalised")
    },
    **{
        f"{kind}: eps is 1e-5 inside the root": Case(
            net(
                layer(kind, output=4, batch_normalize=1),
                inputs=5,
                arrays={0: {f"{gate}.rolling_variance": np.full(4, 2e-5) for gate in gates.split()}},
            ),
            opencv=False,
        )
        for kind, gates in (("lstm", "uf ui ug uo wf wi wg wo"), ("gru", "uz ur uh wz wr wh"))
    },
    "gru with tanh is pjreddie's": Case(net(layer("gru", output=4, tanh=1), inputs=5), opencv=False),
    "rnn": Case(net(layer("rnn", output=4, activation="leaky"), inputs=5), opencv=False),
    "rnn: a hidden size of its own is AlexeyAB's": Case(
        net(layer("rnn", output=3, hidden=4, activation="tanh"), inputs=5, **NEW), opencv=False
    ),
    "rnn: shortcut adds the state before, batch normalised": Case(
        net(layer("rnn", output=4, shortcut=1, activation="tanh", batch_normalize=1), inputs=5), opencv=False
    ),
    "rnn: logistic is of the state's part": Case(
        net(layer("rnn", output=3, hidden=4, logistic=1, activation="leaky"), inputs=5, **NEW), opencv=False
    ),
    "rnn: loggy is of the state's part": Case(
        net(layer("rnn", output=3, hidden=4, logistic=2, activation="leaky"), inputs=5, **NEW), opencv=False
    ),
    "crnn": Case(
        net(
            layer("crnn", hidden_filters=4, output_filters=2, activation="leaky", batch_normalize=1),
            conv(2, 1),
            size=(2, 4, 3),
        ),
        opencv=False,
    ),
    "crnn of AlexeyAB's, one group by default": Case(
        net(layer("crnn", hidden=4, output=2, pad=1, activation="tanh"), conv(2, 1), size=(2, 4, 3), **NEW),
        opencv=False,
    ),
    "crnn of pjreddie's knows no groups": Case(
        net(
            layer("crnn", hidden_filters=4, output_filters=2, groups=2, activation="tanh"),
            layer("l2norm"),
            size=(2, 4, 3),
        ),
        opencv=False,
    ),
    "crnn of AlexeyAB's": Case(
        net(
            layer("crnn", hidden=4, output=2, size=1, groups=2, shortcut=1, activation="tanh"),
            conv(2, 1),
            size=(2, 4, 3),
            **NEW,
        ),
        opencv=False,
    ),
}

REFUSED: dict[str, Case] = {
    "an activation that nobody knows": Case(net(conv(activation="leeky")), refused="activation=leeky is none of"),
    "AlexeyAB's activation in pjreddie's": Case(
        net(conv(activation="swish"), layer("l2norm")), refused="activation=swish is none of pjreddie's"
    ),
    "an activation that gives zeros in Darknet": Case(
        net(FIRST, layer("activation", activation="mish"), **NEW), refused="here it gives 0"
    ),
    "coords of AlexeyAB's": Case(
        net(conv(20), layer("region", **(REGION | {"coords": 6})), **NEW), refused="computes 4 whatever it says"
    ),
    "normalization beyond the channels": Case(net(FIRST, layer("normalization", size=20)), refused="reads beyond"),
    "a tree that is not there": Case(
        net(conv(20), layer("region", tree="x.tree", **(REGION | {"classes": 5}))), refused="x.tree names a file"
    ),
    "a tree of other classes": Case(
        net(conv(20), layer("region", tree="x.tree", **(REGION | {"classes": 5}))),
        refused="has 2 rows, and",
        beside=(("x.tree", "a -1\nb -1\n"),),
    ),
}

CASES: dict[str, Case] = {
    **ACTIVATIONS,
    **WIDE,
    **CONVOLUTIONS,
    **POOLS,
    **JOINS,
    **PLACES,
    **HEADS,
    **RECURRENT,
    **REFUSED,
}
