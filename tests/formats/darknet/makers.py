"""Architectures that everybody has, written layer by layer with seeded weights: the drops of zoo.toml beside this.

Their cfgs are written here from what the networks are; fitted.py keeps the numbers near one through all layers.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.formats.darknet.fitted import fit
from tests.formats.darknet.writer import ALEXEYAB, PJREDDIE, Net

COCO = 80
V2_ANCHORS = "0.57273, 0.677385, 1.87446, 2.06253, 3.33843, 5.47434, 7.88282, 3.52778, 9.77052, 9.16828"
V3_ANCHORS = "10,13, 16,30, 33,23, 30,61, 62,45, 59,119, 116,90, 156,198, 373,326"
TINY_ANCHORS = "10,14, 23,27, 37,58, 81,82, 135,169, 344,319"
V4_ANCHORS = "12,16, 19,36, 40,28, 36,75, 76,55, 72,146, 142,110, 192,243, 459,401"


def write(folder: Path, net: str) -> None:
    """The drop of one architecture, names of its classes beside it."""
    made, classes = NETS[net]()
    with tempfile.TemporaryDirectory() as meanwhile:
        fit(made, Path(meanwhile))
    made.save(folder, net)
    (folder / f"{net}.names").write_text("".join(f"thing {number}\n" for number in range(classes)))
    (folder / "model.toml").write_text("")


def _conv(net: Net, filters: int, size: int = 3, stride: int = 1, activation: str = "leaky") -> int:
    return net.add(
        "convolutional", batch_normalize=1, filters=filters, size=size, stride=stride, pad=1, activation=activation
    )


def _head(net: Net, filters: int) -> int:
    return net.add("convolutional", filters=filters, size=1, stride=1, pad=1, activation="linear")


def _pool(net: Net, size: int = 2, stride: int = 2) -> int:
    return net.add("maxpool", size=size, stride=stride)


def _darknet19(net: Net, last: int) -> None:
    """The backbone up to and with its blocks of 1024."""
    for filters, deep in ((32, 0), (64, 0), (128, 1), (256, 1), (512, 2), (1024, 2)):
        _conv(net, filters)
        for _ in range(deep):
            _conv(net, filters // 2, 1)
            _conv(net, filters)
        if filters < last:
            _pool(net)


def darknet19() -> tuple[Net, int]:
    net = Net(PJREDDIE, 19, width=256, height=256, channels=3)
    _darknet19(net, 1024)
    _head(net, 1000)
    net.add("avgpool")
    net.add("softmax", groups=1)
    net.add("cost", type="sse")
    return net, 1000


def _residual(net: Net, filters: int, count: int) -> None:
    _conv(net, filters, 3, 2)
    for _ in range(count):
        _conv(net, filters // 2, 1)
        _conv(net, filters)
        net.add("shortcut", from_="-3", activation="linear")


def _darknet53(net: Net) -> None:
    _conv(net, 32)
    for filters, count in ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)):
        _residual(net, filters, count)


def darknet53() -> tuple[Net, int]:
    net = Net(PJREDDIE, 53, width=256, height=256, channels=3)
    _darknet53(net)
    net.add("avgpool")
    _head(net, 1000)
    net.add("softmax", groups=1)
    return net, 1000


def yolov2() -> tuple[Net, int]:
    net = Net(PJREDDIE, 2, width=416, height=416, channels=3)
    _darknet19(net, 1024)
    _conv(net, 1024)
    _conv(net, 1024)
    net.add("route", layers="-9")
    _conv(net, 64, 1)
    net.add("reorg", stride=2)
    net.add("route", layers="-1,-4")
    _conv(net, 1024)
    _head(net, 425)
    net.add("region", anchors=V2_ANCHORS, bias_match=1, classes=COCO, coords=4, num=5, softmax=1, thresh=0.6)
    return net, COCO


def yolov2_tiny() -> tuple[Net, int]:
    net = Net(PJREDDIE, 21, width=416, height=416, channels=3)
    for filters in (16, 32, 64, 128, 256, 512):
        _conv(net, filters)
        _pool(net, 2, 1 if filters == 512 else 2)
    _conv(net, 1024)
    _conv(net, 512)
    _head(net, 425)
    net.add("region", anchors=V2_ANCHORS, bias_match=1, classes=COCO, coords=4, num=5, softmax=1, thresh=0.6)
    return net, COCO


def _yolo(net: Net, mask: str, anchors: str, count: int, **more: object) -> None:
    net.add("yolo", mask=mask, anchors=anchors, classes=COCO, num=count, **more)


def _five(net: Net, filters: int, activation: str = "leaky") -> None:
    for place in range(5):
        _conv(net, filters if place % 2 == 0 else 2 * filters, 1 if place % 2 == 0 else 3, activation=activation)


def yolov3() -> tuple[Net, int]:
    net = Net(PJREDDIE, 3, width=416, height=416, channels=3)
    _darknet53(net)
    for filters, mask, further in ((512, "6,7,8", "61"), (256, "3,4,5", "36"), (128, "0,1,2", "")):
        _five(net, filters)
        _conv(net, 2 * filters)
        _head(net, 255)
        _yolo(net, mask, V3_ANCHORS, 9)
        if further:
            net.add("route", layers="-4")
            _conv(net, filters // 2, 1)
            net.add("upsample", stride=2)
            net.add("route", layers=f"-1, {further}")
    return net, COCO


def yolov3_tiny() -> tuple[Net, int]:
    net = Net(PJREDDIE, 31, width=416, height=416, channels=3)
    for filters in (16, 32, 64, 128, 256, 512):
        _conv(net, filters)
        _pool(net, 2, 1 if filters == 512 else 2)
    _conv(net, 1024)
    _conv(net, 256, 1)
    _conv(net, 512)
    _head(net, 255)
    _yolo(net, "3,4,5", TINY_ANCHORS, 6)
    net.add("route", layers="-4")
    _conv(net, 128, 1)
    net.add("upsample", stride=2)
    net.add("route", layers="-1, 8")
    _conv(net, 256)
    _head(net, 255)
    _yolo(net, "0,1,2", TINY_ANCHORS, 6)
    return net, COCO


def _csp(net: Net, filters: int, count: int, *, first: bool = False) -> None:
    """A stage of CSPDarknet53: half of the channels passes by the blocks."""
    half = filters if first else filters // 2
    _conv(net, filters, 3, 2, "mish")
    _conv(net, half, 1, activation="mish")
    net.add("route", layers="-2")
    _conv(net, half, 1, activation="mish")
    for _ in range(count):
        _conv(net, half // 2 if first else half, 1, activation="mish")
        _conv(net, half, activation="mish")
        net.add("shortcut", from_="-3", activation="linear")
    _conv(net, half, 1, activation="mish")
    net.add("route", layers=f"-1,-{3 * count + 4}")
    _conv(net, filters, 1, activation="mish")


def yolov4() -> tuple[Net, int]:
    net = Net(ALEXEYAB, 4, width=416, height=416, channels=3)
    _conv(net, 32, activation="mish")
    _csp(net, 64, 1, first=True)
    for filters, count in ((128, 2), (256, 8), (512, 8), (1024, 4)):
        _csp(net, filters, count)
    _conv(net, 512, 1)
    _conv(net, 1024)
    _conv(net, 512, 1)
    _pool(net, 5, 1)
    net.add("route", layers="-2")
    _pool(net, 9, 1)
    net.add("route", layers="-4")
    _pool(net, 13, 1)
    net.add("route", layers="-1,-3,-5,-6")
    _conv(net, 512, 1)
    _conv(net, 1024)
    _conv(net, 512, 1)
    for filters, lateral in ((256, "85"), (128, "54")):
        _conv(net, filters, 1)
        net.add("upsample", stride=2)
        net.add("route", layers=lateral)
        _conv(net, filters, 1)
        net.add("route", layers="-1, -3")
        _five(net, filters)
    outs = (("0,1,2", 128, "-16", 1.2), ("3,4,5", 256, "-37", 1.1), ("6,7,8", 512, "", 1.05))
    for mask, filters, back, scale in outs:
        _conv(net, 2 * filters)
        _head(net, 255)
        _yolo(net, mask, V4_ANCHORS, 9, scale_x_y=scale)
        if back:
            net.add("route", layers="-4")
            _conv(net, 2 * filters, 3, 2)
            net.add("route", layers=f"-1, {back}")
            _five(net, 2 * filters)
    return net, COCO


def yolov4_tiny() -> tuple[Net, int]:
    net = Net(ALEXEYAB, 41, width=416, height=416, channels=3)
    _conv(net, 32, 3, 2)
    _conv(net, 64, 3, 2)
    for filters in (64, 128, 256):
        _conv(net, filters)
        net.add("route", layers="-1", groups=2, group_id=1)
        _conv(net, filters // 2)
        _conv(net, filters // 2)
        net.add("route", layers="-1,-2")
        _conv(net, filters, 1)
        net.add("route", layers="-6,-1")
        _pool(net)
    _conv(net, 512)
    _conv(net, 256, 1)
    _conv(net, 512)
    _head(net, 255)
    _yolo(net, "3,4,5", TINY_ANCHORS, 6, scale_x_y=1.05)
    net.add("route", layers="-4")
    _conv(net, 128, 1)
    net.add("upsample", stride=2)
    net.add("route", layers="-1, 23")
    _conv(net, 256)
    _head(net, 255)
    _yolo(net, "1,2,3", TINY_ANCHORS, 6, scale_x_y=1.05)
    return net, COCO


NETS: dict[str, Callable[[], tuple[Net, int]]] = {
    "darknet19": darknet19,
    "darknet53": darknet53,
    "yolov2": yolov2,
    "yolov2-tiny": yolov2_tiny,
    "yolov3": yolov3,
    "yolov3-tiny": yolov3_tiny,
    "yolov4": yolov4,
    "yolov4-tiny": yolov4_tiny,
}
