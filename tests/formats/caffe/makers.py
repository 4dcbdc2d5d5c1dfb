"""The architectures that Caffe is known for, written with seeded weights: as their deploy prototxts have them.

Rule 1: weights keep the signal (He's deviation), statistics are not 0 and 1, so that no mistake hides.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gateway.core.textproto import Word
from tests.formats.caffe.writer import Writer

VOC = ("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
       "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
       "tvmonitor")  # fmt: skip


class Net(Writer):
    """A Writer that knows how many channels a blob has, and makes weights by the layer's name."""

    def __init__(self, name: str, shape: Sequence[int]) -> None:
        super().__init__(name)
        self.input("data", shape)
        self.channels = {"data": shape[1]}

    def normal(self, name: str, shape: Sequence[int], deviation: float) -> np.ndarray:
        random = np.random.default_rng(zlib.crc32(f"{self.name} {name}".encode()))
        return np.asarray(random.standard_normal(tuple(shape), np.float32) * np.float32(deviation))

    def conv(
        self, name: str, bottom: str, outputs: int, kernel: int, *, bias: bool = True, relu: bool = True,
        gain: float = 1.0, **param: Any,
    ) -> str:  # fmt: skip
        groups = param.get("group", 1)
        shape = (outputs, self.channels[bottom] // groups, kernel, kernel)
        blobs = [self.normal(name, shape, gain * float(np.sqrt(2 / np.prod(shape[1:]))))]
        blobs += [self.normal(f"{name} bias", (outputs,), 0.1)] if bias else []
        given = {"num_output": outputs, "kernel_size": kernel} | param | ({} if bias else {"bias_term": False})
        self.layer("Convolution", name, [bottom], [name], convolution_param=given, blobs=blobs)
        self.channels[name] = outputs
        return self.relu(name) if relu else name

    def relu(self, top: str) -> str:
        self.layer("ReLU", f"{top}/relu", [top], [top])
        return top

    def norm(self, top: str, *, relu: bool = True) -> str:
        """BatchNorm and Scale, in place."""
        count = self.channels[top]
        random = np.random.default_rng(zlib.crc32(f"{self.name} {top} norm".encode()))
        stats = [random.standard_normal(count) * 0.2 * 999, random.uniform(0.5, 1.5, count) * 999, np.asarray([999.0])]
        self.layer("BatchNorm", f"bn_{top}", [top], [top], batch_norm_param={"use_global_stats": True}, blobs=stats)
        both = [random.uniform(0.5, 1.5, count), random.standard_normal(count) * 0.2]
        self.layer("Scale", f"scale_{top}", [top], [top], scale_param={"bias_term": True}, blobs=both)
        return self.relu(top) if relu else top

    def pool(self, name: str, bottom: str, **param: Any) -> str:
        param = {"pool": Word("MAX")} | param
        self.layer("Pooling", name, [bottom], [name], pooling_param=param)
        self.channels[name] = self.channels[bottom]
        return name

    def lrn(self, name: str, bottom: str) -> str:
        self.layer("LRN", name, [bottom], [name], lrn_param={"local_size": 5, "alpha": 0.0001, "beta": 0.75})
        self.channels[name] = self.channels[bottom]
        return name

    def dense(self, name: str, bottom: str, inner: int, outputs: int, *, relu: bool = False) -> str:
        blobs = [
            self.normal(name, (outputs, inner), float(np.sqrt(2 / inner))),
            self.normal(f"{name} b", (outputs,), 0.1),
        ]
        self.layer("InnerProduct", name, [bottom], [name], inner_product_param={"num_output": outputs}, blobs=blobs)
        self.channels[name] = outputs
        if relu:
            self.relu(name)
            self.layer("Dropout", f"drop_{name}", [name], [name], dropout_param={"dropout_ratio": 0.5})
        return name

    def softmax(self, bottom: str, name: str = "prob") -> str:
        self.layer("Softmax", name, [bottom], [name])
        return name

    def concat(self, name: str, bottoms: Sequence[str], axis: int = 1) -> str:
        self.layer("Concat", name, bottoms, [name], concat_param={"axis": axis})
        self.channels[name] = sum(self.channels.get(bottom, 0) for bottom in bottoms)
        return name


def alexnet(folder: Path) -> None:
    """BVLC's AlexNet, written as V1 with input_dim, as its model zoo has it."""
    net = Net("AlexNet", (10, 3, 227, 227))
    top = net.lrn("norm1", net.conv("conv1", "data", 96, 11, stride=4))
    top = net.pool("pool1", top, kernel_size=3, stride=2)
    top = net.lrn("norm2", net.conv("conv2", top, 256, 5, pad=2, group=2))
    top = net.pool("pool2", top, kernel_size=3, stride=2)
    top = net.conv("conv3", top, 384, 3, pad=1)
    top = net.conv("conv4", top, 384, 3, pad=1, group=2)
    top = net.conv("conv5", top, 256, 3, pad=1, group=2)
    top = net.pool("pool5", top, kernel_size=3, stride=2)
    top = net.dense("fc6", top, 9216, 4096, relu=True)
    top = net.dense("fc7", top, 4096, 4096, relu=True)
    net.softmax(net.dense("fc8", top, 4096, 1000))
    net.save(folder, "V1", "input_dim")


def vgg16(folder: Path) -> None:
    net = Net("VGG_ILSVRC_16_layers", (10, 3, 224, 224))
    top = "data"
    for block, (count, width) in enumerate(((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)), 1):
        for at in range(1, count + 1):
            top = net.conv(f"conv{block}_{at}", top, width, 3, pad=1)
        top = net.pool(f"pool{block}", top, kernel_size=2, stride=2)
    top = net.dense("fc6", top, 25088, 4096, relu=True)
    top = net.dense("fc7", top, 4096, 4096, relu=True)
    net.softmax(net.dense("fc8", top, 4096, 1000))
    net.save(folder, "V1", "input_dim")


def googlenet(folder: Path) -> None:
    net = Net("GoogleNet", (10, 3, 224, 224))
    top = net.pool("pool1/3x3_s2", net.conv("conv1/7x7_s2", "data", 64, 7, pad=3, stride=2), kernel_size=3, stride=2)
    top = net.conv("conv2/3x3_reduce", net.lrn("pool1/norm1", top), 64, 1)
    top = net.lrn("conv2/norm2", net.conv("conv2/3x3", top, 192, 3, pad=1))
    top = net.pool("pool2/3x3_s2", top, kernel_size=3, stride=2)
    widths = {
        "3a": (64, 96, 128, 16, 32, 32), "3b": (128, 128, 192, 32, 96, 64), "4a": (192, 96, 208, 16, 48, 64),
        "4b": (160, 112, 224, 24, 64, 64), "4c": (128, 128, 256, 24, 64, 64), "4d": (112, 144, 288, 32, 64, 64),
        "4e": (256, 160, 320, 32, 128, 128), "5a": (256, 160, 320, 32, 128, 128), "5b": (384, 192, 384, 48, 128, 128),
    }  # fmt: skip
    for name, (one, reduce3, three, reduce5, five, pooled) in widths.items():
        base = f"inception_{name}"
        parts = [net.conv(f"{base}/1x1", top, one, 1)]
        parts.append(net.conv(f"{base}/3x3", net.conv(f"{base}/3x3_reduce", top, reduce3, 1), three, 3, pad=1))
        parts.append(net.conv(f"{base}/5x5", net.conv(f"{base}/5x5_reduce", top, reduce5, 1), five, 5, pad=2))
        parts.append(
            net.conv(f"{base}/pool_proj", net.pool(f"{base}/pool", top, kernel_size=3, stride=1, pad=1), pooled, 1)
        )
        top = net.concat(f"{base}/output", parts)
        if name in ("3b", "4e"):
            top = net.pool(f"pool{name[0]}/3x3_s2", top, kernel_size=3, stride=2)
    top = net.pool("pool5/7x7_s1", top, pool=Word("AVE"), kernel_size=7, stride=1)
    net.layer("Dropout", "pool5/drop", [top], [top], dropout_param={"dropout_ratio": 0.4})
    net.softmax(net.dense("loss3/classifier", top, 1024, 1000))
    net.save(folder)


def resnet50(folder: Path) -> None:
    net = Net("ResNet-50", (1, 3, 224, 224))
    top = net.norm(net.conv("conv1", "data", 64, 7, pad=3, stride=2, relu=False))
    top = net.pool("pool1", top, kernel_size=3, stride=2)
    for stage, (count, width) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512)), 2):
        for at in range(count):
            name, stride = f"res{stage}{'abcdef'[at]}", 2 if at == 0 and stage > 2 else 1
            side = top
            if at == 0:
                side = net.conv(f"{name}_branch1", top, width * 4, 1, bias=False, relu=False, stride=stride, gain=0.5)
                net.norm(side, relu=False)
            inner = net.norm(net.conv(f"{name}_branch2a", top, width, 1, bias=False, relu=False, stride=stride))
            inner = net.norm(net.conv(f"{name}_branch2b", inner, width, 3, bias=False, relu=False, pad=1))
            inner = net.norm(
                net.conv(f"{name}_branch2c", inner, width * 4, 1, bias=False, relu=False, gain=0.5), relu=False
            )
            net.layer("Eltwise", name, [side, inner], [name])
            net.channels[name] = width * 4
            top = net.relu(name)
    top = net.pool("pool5", top, pool=Word("AVE"), kernel_size=7, stride=1)
    net.softmax(net.dense("fc1000", top, 2048, 1000))
    net.save(folder, inputs="input_dim")


def squeezenet(folder: Path) -> None:
    """SqueezeNet 1.1."""
    net = Net("SqueezeNet", (1, 3, 227, 227))
    top = net.pool("pool1", net.conv("conv1", "data", 64, 3, stride=2), kernel_size=3, stride=2)
    for number, (squeeze, wide) in enumerate(
        ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256)), 2
    ):
        base = f"fire{number}"
        top = net.conv(f"{base}/squeeze1x1", top, squeeze, 1)
        parts = [net.conv(f"{base}/expand1x1", top, wide, 1), net.conv(f"{base}/expand3x3", top, wide, 3, pad=1)]
        top = net.concat(f"{base}/concat", parts)
        if number in (3, 5):
            top = net.pool(f"pool{number}", top, kernel_size=3, stride=2)
    net.layer("Dropout", "drop9", [top], [top], dropout_param={"dropout_ratio": 0.5})
    top = net.pool("pool10", net.conv("conv10", top, 1000, 1), pool=Word("AVE"), global_pooling=True)
    net.softmax(top)
    net.save(folder)


PRIORS: dict[str, tuple[str, int, dict[str, Any]]] = {
    "conv11": ("conv11", 3, {"min_size": 60.0, "aspect_ratio": [2.0]}),
    "conv13": ("conv13", 6, {"min_size": 105.0, "max_size": 150.0, "aspect_ratio": [2.0, 3.0]}),
    "conv14_2": ("conv14_2", 6, {"min_size": 150.0, "max_size": 195.0, "aspect_ratio": [2.0, 3.0]}),
    "conv15_2": ("conv15_2", 6, {"min_size": 195.0, "max_size": 240.0, "aspect_ratio": [2.0, 3.0]}),
    "conv16_2": ("conv16_2", 6, {"min_size": 240.0, "max_size": 285.0, "aspect_ratio": [2.0, 3.0]}),
    "conv17_2": ("conv17_2", 6, {"min_size": 285.0, "max_size": 300.0, "aspect_ratio": [2.0, 3.0]}),
}


def mobilenet_ssd(folder: Path, side: int = 300, width: float = 1.0) -> None:
    """MobileNet-SSD of chuanqi305: 1917 boxes of 21 classes in pictures of 300 x 300; labels beside it."""
    net = Net("MobileNet-SSD", (1, 3, side, side))

    def wide(count: int) -> int:
        return max(4, int(count * width))

    top = net.conv("conv0", "data", wide(32), 3, pad=1, stride=2)
    plan = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
    for number, (count, stride) in enumerate(plan, 1):
        top = net.conv(f"conv{number}/dw", top, net.channels[top], 3, pad=1, stride=stride, group=net.channels[top])
        top = net.conv(f"conv{number}", top, wide(count), 1)
    for number, (inner, count) in enumerate(((256, 512), (128, 256), (128, 256), (64, 128)), 14):
        top = net.conv(f"conv{number}_1", top, wide(inner), 1)
        top = net.conv(f"conv{number}_2", top, wide(count), 3, pad=1, stride=2)
    heads: dict[str, list[str]] = {"mbox_loc": [], "mbox_conf": [], "mbox_priorbox": []}
    for base, (bottom, boxes, sizes) in PRIORS.items():
        for kind, each, gain in (("mbox_loc", 4, 0.3), ("mbox_conf", len(VOC), 1.5)):
            name = net.conv(f"{base}_{kind}", bottom, boxes * each, 1, relu=False, gain=gain)
            net.layer("Permute", f"{name}_perm", [name], [f"{name}_perm"], permute_param={"order": [0, 2, 3, 1]})
            net.layer("Flatten", f"{name}_flat", [f"{name}_perm"], [f"{name}_flat"], flatten_param={"axis": 1})
            heads[kind].append(f"{name}_flat")
        prior = {"flip": True, "clip": False, "variance": [0.1, 0.1, 0.2, 0.2], "offset": 0.5}
        top = f"{base}_mbox_priorbox"
        net.layer("PriorBox", top, [bottom, "data"], [top], prior_box_param=sizes | prior)
        heads["mbox_priorbox"].append(top)
    for kind, axis in (("mbox_loc", 1), ("mbox_conf", 1), ("mbox_priorbox", 2)):
        net.concat(kind, heads[kind], axis)
    shape = {"shape": {"dim": [0, -1, len(VOC)]}}
    net.layer("Reshape", "mbox_conf_reshape", ["mbox_conf"], ["mbox_conf_reshape"], reshape_param=shape)
    net.layer("Softmax", "mbox_conf_softmax", ["mbox_conf_reshape"], ["mbox_conf_softmax"], softmax_param={"axis": 2})
    net.layer("Flatten", "mbox_conf_flatten", ["mbox_conf_softmax"], ["mbox_conf_flatten"], flatten_param={"axis": 1})
    found = {
        "num_classes": len(VOC), "share_location": True, "background_label_id": 0,
        "nms_param": {"nms_threshold": 0.45, "top_k": 100}, "code_type": Word("CENTER_SIZE"), "keep_top_k": 100,
        "confidence_threshold": 0.25,
    }  # fmt: skip
    bottoms = ["mbox_loc", "mbox_conf_flatten", "mbox_priorbox"]
    net.layer("DetectionOutput", "detection_out", bottoms, ["detection_out"], detection_output_param=found)
    net.save(folder)
    (folder / "labels.txt").write_text("\n".join(VOC) + "\n")
    numbers = "colour = 'bgr'\nscale = 0.007843\nmean = [1.0, 1.0, 1.0]"
    (folder / "model.toml").write_text(f"labels = 'labels.txt'\n\n[preprocess]\nresize = [{side}, {side}]\n{numbers}\n")


def mobilenet_ssd_heads(folder: Path) -> None:
    """The same, its two heads shown instead of the detections: what OpenCV judges."""
    mobilenet_ssd(folder)
    with (folder / "model.toml").open("a") as stream:
        stream.write("\n[[outputs]]\nname = 'mbox_loc'\n\n[[outputs]]\nname = 'mbox_conf_flatten'\n")
