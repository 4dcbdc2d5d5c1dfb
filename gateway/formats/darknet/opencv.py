"""OpenCV's reading of a Darknet network, as a judge: what it takes, what it is told, and what its layers are called.

Rule 1: OpenCV reads cfg and weights by its own road. Told otherwise is only what it is known to do differently from
        Darknet: it divides by sqrt(variance + 1e-6), so variances are handed over 9e-6 larger; it takes linear for an
        activation that is not named; it cuts off scores and suppresses boxes inside of the network.
Rule 2: what it ignores or computes otherwise is no judgement: such a network is left to the next judge, by name.
Rule 3: Winograd and fusion are off; each row of a batch is a call of its own.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from gateway.core.dtypes import Array, Tensors
from gateway.errors import ConversionError
from gateway.formats.darknet.network import HEADS, Layer, Network
from gateway.formats.darknet.shapes import ALEXEYAB, PJREDDIE

EPS_DIFFERENCE = 9e-6
ACTIVATIONS = ("linear", "leaky", "relu", "logistic", "tanh", "swish", "mish")
ACTIVATED = ("convolutional", "connected", "shortcut", "sam", "scale_channels")
TAKES = {"convolutional", "connected", "maxpool", "avgpool", "softmax", "route", "shortcut", "scale_channels", "sam",
         "upsample", "reorg", "crop", "dropout", "cost", "region", "yolo"}  # fmt: skip
WITH_WEIGHTS = ("convolutional", "connected")


def why_not(network: Network) -> str:
    """What OpenCV does not read, or not as Darknet does: one sentence, or ""."""
    found = [f"{layer.name}: {why}" for layer in network.layers if (why := _why_not(network, layer))]
    if network.input[1:] == (1, 1) and not found:
        found = ["its input is no picture"]
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return f"{found[0]}{more}" if found else ""


def _why_not(network: Network, layer: Layer) -> str:
    options = layer.options
    if layer.type not in TAKES:
        return f"OpenCV has no [{layer.type}]"
    default = "logistic" if layer.type in WITH_WEIGHTS else "linear"
    name = options.str("activation", default)
    if layer.type in ACTIVATED and name not in ACTIVATIONS:
        return f"OpenCV has no activation {name}"
    if network.dialect == ALEXEYAB:
        for key, harmless in _IGNORED.items():
            if options.str(key, harmless) != harmless:
                return f"OpenCV ignores {key}={options.str(key, '')}"
    for key, why in _UNLIKE.get(layer.type, ()):
        if options.str(key, "") not in ("", why):
            return f"OpenCV computes {key}={options.str(key, '')} otherwise"
    return _sizes(network, layer)


_IGNORED = {"dilation": "1", "antialiasing": "0", "stride_x": "", "stride_y": "", "maxpool_depth": "0",
            "share_index": "", "scale_wh": "0"}  # fmt: skip
_UNLIKE = {
    "softmax": (("groups", "1"), ("tree", ""), ("temperature", "1")),
    "upsample": (("scale", "1"),),
    "reorg": (("reverse", "0"), ("flatten", "0")),
    "shortcut": (("alpha", "1"), ("beta", ""), ("weights_type", "none")),
    "convolutional": (("flipped", "0"), ("dontloadscales", "0")),
    "region": (("coords", "4"), ("background", "0"), ("tree", ""), ("softmax", "1")),
    "yolo": (),
}


def _sizes(network: Network, layer: Layer) -> str:
    """What only sizes and neighbours tell."""
    options, kind = layer.options, layer.type
    groups = options.int("groups", 1) if kind == "route" else 1
    sides = {network.layers[index].output for index in layer.sources if index >= 0}
    rules = (
        (
            kind == "convolutional" and options.int("size", 1) % 2 == 0 and options.int("pad", 0),
            "pads an even size otherwise",
        ),
        (
            kind == "connected" and "scales" in layer.weights,
            "reads the arrays of batch normalisation before the matrix",
        ),
        (kind == "region" and not options.int("softmax", 0), "takes classes without softmax otherwise"),
        (kind == "convolutional" and options.int("groups", 1) < 1, "divides by groups=0"),
        (kind == "shortcut" and len(sides) > 1, "adds unequal sizes otherwise"),
        (kind == "shortcut" and len(layer.sources) > 2, "adds two layers only"),
        (kind == "route" and groups > 1 and network.dialect == PJREDDIE, "takes parts, which pjreddie's does not"),
        (kind == "route" and groups > 1 and len(layer.sources) > 1, "gives weights behind it to other layers"),
        (kind == "crop" and not options.int("noadjust", 0), "gives weights behind it to other layers"),
        (kind == "maxpool" and (options.int("padding", 0) + 1) // 2 >= options.int("size", 1), "takes no such padding"),
        (kind == "upsample" and options.int("stride", 2) < 0, "does not sample downwards"),
        (kind == "yolo" and not options.ints("mask"), "needs mask="),
        (kind in HEADS and "classes" not in options, "needs classes="),
        (kind in HEADS and len(options.floats("anchors")) != 2 * options.int("num", 1), "needs num= pairs of anchors"),
        (kind == "softmax" and layer.output[1:] != (1, 1), "takes the softmax of each place"),
        (
            any(index >= 0 and network.layers[index].type in HEADS for index in layer.sources),
            "reads boxes behind a head",
        ),
    )
    return next((f"OpenCV {why}" for wrong, why in rules if wrong), "")


class Reading:
    """The network as OpenCV has read it. Errors of the constructor: ConversionError in OpenCV's words."""

    def __init__(self, network: Network, cfg: Path, weights: Path | None) -> None:
        cv2 = importlib.import_module("cv2")  # in OpenCV's own Environment
        self._network = network
        self.name = f"OpenCV {cv2.__version__}"
        text = _cfg(cfg.read_text("latin-1"), network)
        data = b"" if weights is None else _weights(weights.read_bytes(), network)
        if not data:
            data = bytes(20)
        try:
            self._net = cv2.dnn.readNetFromDarknet(
                np.frombuffer(text.encode("latin-1"), np.uint8), np.frombuffer(data, np.uint8)
            )
        except cv2.error as error:
            raise ConversionError(f"{self.name} does not read the source: {first_line(error)}") from error
        self._net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
        self._net.setPreferableTarget(cv2.dnn.DNN_TARGET_CPU)
        self._net.enableWinograd(False)
        self._net.enableFusion(False)
        self._called = _names(network, list(self._net.getLayerNames()))

    def answers(self, data: Array, wanted: Sequence[int]) -> Iterator[dict[int, Array]]:
        """For each row of (N, c, h, w): OpenCV's own answer of these layers, as OpenCV shapes it."""
        names = [self._called[index] for index in wanted]
        for row in data:
            self._net.setInput(np.ascontiguousarray(row[None], np.float32))
            yield dict(zip(wanted, (np.array(found) for found in self._net.forward(names)), strict=True))


def _cfg(text: str, network: Network) -> str:
    """The text with what OpenCV is told (rule 1), and the input's size as it is asked for."""
    lines: list[str] = []
    section = -1
    for line in text.split("\n"):
        stripped = line.strip()
        if stripped.startswith("["):
            section += 1
            lines.append("[net]" if section == 0 else _known(stripped))
            lines += _told(network, section)
            continue
        key = stripped.partition("=")[0].replace(" ", "").replace("\t", "")
        if section < 0 or not stripped or stripped[0] in "#;" or "=" not in stripped or key in _left_out(section):
            continue
        lines.append(_first(lines, line, key))
    return "\n".join(lines) + "\n"


def _first(lines: list[str], line: str, key: str) -> str:
    """The line, unless the section has the key already: Darknet takes the first of two, OpenCV the last."""
    for before in reversed(lines):
        if before.startswith("["):
            return line
        if before.partition("=")[0].replace(" ", "").replace("\t", "").strip() == key:
            return ""
    return line


def _known(header: str) -> str:
    from gateway.formats.darknet.config import SPELLINGS

    name = header.strip("[] \t\r")
    return f"[{SPELLINGS.get(name, name)}]"


def _left_out(section: int) -> tuple[str, ...]:
    return ("width", "height", "channels") if section == 0 else ("nms_threshold", "thresh")


def _told(network: Network, section: int) -> list[str]:
    if section == 0:
        channels, height, width = network.input
        return [f"width={width}", f"height={height}", f"channels={channels}"]
    layer = network.layers[section - 1]
    lines = []
    if layer.type in WITH_WEIGHTS and "activation" not in layer.options:
        lines.append("activation=logistic")
    if layer.type == "maxpool":  # OpenCV's defaults of both are 2
        stride = layer.options.int("stride", 1)
        lines += [f"{key}={stride}" for key in ("stride", "size") if key not in layer.options]
    if layer.type == "reorg" and "stride" not in layer.options:
        lines.append("stride=1")
    if layer.type == "convolutional" and layer.options.int("cbn", 0) and network.dialect == ALEXEYAB:
        lines.append("batch_normalize=1")
    if layer.type in ("yolo", "region"):
        lines += ["thresh=0", "nms_threshold=0"]
    return lines


def _weights(data: bytes, network: Network) -> bytes:
    """The file with variances 9e-6 larger. Where they are follows from what stands before them."""
    major, minor = np.frombuffer(data, "<i4", 2)
    made = bytearray(data)
    at = 20 if major * 10 + minor >= 2 else 16
    total = sum(array.size for layer in network.layers for array in layer.weights.values())
    if at + 4 * total != len(data):  # `seen` of 32 bits under a version that has 64: OpenCV goes by the version
        made = made[:12] + bytes(8) + made[-4 * total :] if total else made
    for layer in network.layers:
        for name, array in layer.weights.items():
            if name == "rolling_variance":
                view = np.frombuffer(made, "<f4", array.size, at)
                made[at : at + 4 * array.size] = (view.astype(np.float64) + EPS_DIFFERENCE).astype("<f4").tobytes()
            at += 4 * array.size
    return bytes(made)


def _names(network: Network, names: list[str]) -> dict[int, str]:
    """OpenCV's name of the last of its layers that each of Darknet's has become."""
    found: dict[int, str] = {}
    at = 0
    for layer in network.layers:
        at += _count(layer)
        if at > len(names):
            break
        found[layer.index] = names[at - 1]
    if at != len(names):
        raise ConversionError(f"OpenCV made {len(names)} layers of {len(network.layers)}, expected {at}.")
    return found


def _count(layer: Layer) -> int:
    """Of how many layers OpenCV makes one."""
    options = layer.options
    if layer.type in ("yolo", "region"):
        return 2
    if layer.type == "crop":
        return 1 if options.int("noadjust", 0) else 2
    if layer.type == "route":
        grouped = options.int("groups", 1) > 1
        count = len(layer.sources)
        return (count if grouped else 0) + (1 if count > 1 or not grouped else 0)
    default = "logistic" if layer.type in WITH_WEIGHTS else "linear"
    active = layer.type in ACTIVATED and options.str("activation", default) != "linear"
    return 1 + ("scales" in layer.weights) + active


def first_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__).strip()[:300]


def raw_head(network: Network, layer: Layer, given: Array) -> Array:
    """A head's answer in float64 from what OpenCV gives to it, (1, c, h, w): Darknet's sigmoids and softmaxes."""
    options = layer.options
    x = np.asarray(given, np.float64)
    masks = options.ints("mask")
    count = len(masks) if masks and layer.type == "yolo" else options.int("num", 1)
    made = x.reshape(count, -1, *x.shape[2:]).copy()
    fresh = layer.type == "yolo" and network.dialect == ALEXEYAB and options.int("new_coords", 0)
    if not fresh:
        made[:, :2], made[:, 4] = _sigmoid(made[:, :2]), _sigmoid(made[:, 4])
        if layer.type == "yolo":
            made[:, 5:] = _sigmoid(made[:, 5:])
        else:
            powers = np.exp(made[:, 5:] - made[:, 5:].max(1, keepdims=True))
            made[:, 5:] = powers / powers.sum(1, keepdims=True)
    if layer.type == "yolo" and network.dialect == ALEXEYAB:
        scale = options.float("scale_x_y", 1.0)
        made[:, :2] = made[:, :2] * scale - 0.5 * (scale - 1)
    return made.reshape(x.shape)


def _sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def tensors_of(rows: Sequence[dict[str, Array]]) -> Tensors:
    """Rows of a batch, joined."""
    return {name: np.concatenate([row[name] for row in rows], 0) for name in rows[0]}
