"""Net: a Caffe model ready to be computed: layers of the TEST phase, each tensor made once, weights in place.

    net = read(folder / "deploy.prototxt", folder / "net.caffemodel")
    for layer in net.layers:
        layer.type, layer.bottoms, layer.tops, layer.param("convolution_param"), layer.blobs

Rule 1: structure comes from the prototxt, weights by the layer's name from the caffemodel; a caffemodel alone holds
        its structure too.
Rule 2: a tensor has one maker. In-place layers make a new one: the last writer of a blob gives it the blob's name,
        those before are called "blob@layer". Split is gone: its tops are its bottom.
Rule 3: what only training reads (labels, losses, accuracies) is gone; a loss over softmax or sigmoid leaves that.
Rule 4: defaults are not filled in, and nothing here knows what a layer computes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gateway.core.dtypes import Array
from gateway.errors import CorruptModel
from gateway.formats.caffe import text, wire
from gateway.formats.caffe.message import Message
from gateway.formats.caffe.schema import FORK_PARAMS, fields
from gateway.formats.caffe.upgrade import upgrade

DATA = ("Input", "Data", "ImageData", "HDF5Data", "MemoryData", "WindowData", "AnnotatedData")
"""Layers whose tops are the net's inputs."""
LOSSES = {"SoftmaxWithLoss": "Softmax", "InfogainLoss": "Softmax", "SigmoidCrossEntropyLoss": "Sigmoid"}
"""Losses that hold an activation -> what is left of them."""
TRAINING = {
    "Accuracy": 1, "EuclideanLoss": 1, "HingeLoss": 1, "ContrastiveLoss": 2, "MultinomialLogisticLoss": 1,
    "SmoothL1Loss": 1, "MultiBoxLoss": 3, "DetectionEvaluate": 1, "HDF5Output": 1 << 10, "Silence": 0,
}  # fmt: skip
"""Layers that inference has not -> from which bottom on they read labels, or nothing of interest."""
PLUMBING = (
    "name", "type", "bottom", "top", "phase", "loss_weight", "param", "propagate_down", "include", "exclude", "blobs",
    "blob_share_mode",
)  # fmt: skip
MAX_LAYERS = 100_000


@dataclass(frozen=True)
class Layer:
    """`bottoms` and `tops` are tensors (rule 2); `params` as the file says; `blobs` in the file's own shapes."""

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    params: Mapping[str, Message] = field(default_factory=dict)
    blobs: tuple[Array, ...] = ()
    unknown: tuple[str, ...] = ()  # fields that the schema has not: "pooling_param.shape_mode"
    source: str = ""  # the type in the file, where a loss became its activation

    def param(self, name: str) -> Message:
        """The parameters of that name; empty where the file has none."""
        return self.params.get(name) or Message()


@dataclass(frozen=True)
class Input:
    """`shape` as declared, batch included, None for a size that nothing says; None where nothing is said at all."""

    name: str
    shape: tuple[int | None, ...] | None
    source: str = ""
    transform: Message = field(default_factory=Message)


@dataclass(frozen=True)
class Net:
    """`layers` in order of computation. `outputs` are tensors that nobody reads, in Caffe's order."""

    name: str
    inputs: tuple[Input, ...]
    layers: tuple[Layer, ...]
    outputs: tuple[str, ...]
    file: str = ""
    weights_file: str = ""
    version: str = "V2"  # of the structure, as written
    unused: tuple[str, ...] = ()  # layers of the caffemodel that the structure has not
    left_out: tuple[str, ...] = ()  # layers of training, "loss (EuclideanLoss)"

    def tensors(self) -> tuple[str, ...]:
        return (*(each.name for each in self.inputs), *(top for layer in self.layers for top in layer.tops))


def read(structure: Path | None, weights: Path | None) -> Net:
    """A model from its files; either may be None. Errors: CorruptModel with file and offset, field or layer."""
    stored = wire.read(weights) if weights is not None else Message()
    names = [path.name if path is not None else "" for path in (structure, weights)]
    upgrade(stored, names[1])
    if structure is None:
        return build(stored, stored, names[1], names[1], lenient=True)
    net = text.read(structure)
    version = upgrade(net, names[0])
    return replace(build(net, stored, names[0], names[1]), version=version)


def build(net: Message, stored: Message, file: str, weights_file: str, *, lenient: bool = False) -> Net:
    """A Net of an upgraded NetParameter. `lenient`: a bottom that nobody makes is an input (a stored training net)."""
    if len(net.all("layer")) > MAX_LAYERS:
        raise CorruptModel(f"{file} has {len(net.all('layer'))} layers; {MAX_LAYERS} are read.")
    if net.unknown and not lenient:
        raise CorruptModel(f"{file} has the fields {', '.join(net.unknown[:8])}, which a net has not.")
    kept = [layer for layer in net.all("layer") if _included(layer, net.inner("state"), file)]
    blobs = _stored(stored, weights_file)
    walk = _Walk(file, lenient)
    for layer in kept:
        walk.add(layer, blobs)
    named = {layer.last("name", "") for layer in kept}
    unused = tuple(name for name in blobs if name not in named) if not lenient else ()
    return walk.net(str(net.last("name", "")), weights_file, unused)


def _included(layer: Message, state: Message, file: str) -> bool:
    """Net::FilterNet for the TEST phase, with the level and stages of the file itself."""
    include, exclude = layer.all("include"), layer.all("exclude")
    if include and exclude:
        raise CorruptModel(
            f"{file}: layer {layer.last('name')!r} has include and exclude rules, and may have one kind of them."
        )
    if include:
        return any(_meets(rule, state) for rule in include)
    return not any(_meets(rule, state) for rule in exclude)


def _meets(rule: Message, state: Message) -> bool:
    level, stages = state.last("level", 0), set(state.all("stage"))
    return (
        rule.last("phase", "TEST") == "TEST"
        and rule.last("min_level", level) <= level <= rule.last("max_level", level)
        and stages >= set(rule.all("stage"))
        and not stages & set(rule.all("not_stage"))
    )


def _stored(stored: Message, file: str) -> dict[str, tuple[Array, ...]]:
    """Weights by name of layer. Errors: CorruptModel for two layers of one name that hold different ones."""
    found: dict[str, tuple[Array, ...]] = {}
    for layer in stored.all("layer"):
        name, mine = str(layer.last("name", "")), tuple(layer.all("blobs"))
        if not mine:
            continue
        if name in found:
            raise CorruptModel(f"{file} has two layers called {name!r} with weights: which are meant is not said.")
        found[name] = mine
    return found


class _Walk:
    """Layers one after the other: blob names become tensors (rule 2)."""

    def __init__(self, file: str, lenient: bool) -> None:
        self.file, self.lenient = file, lenient
        self.layers: list[Layer] = []
        self.inputs: list[Input] = []
        self.now: dict[str, int] = {}  # blob -> its tensor, a number
        self.blob_of: list[tuple[str, str | None]] = []  # tensor -> blob, layer; None for an input
        self.read: set[int] = set()
        self.bottoms: list[tuple[int, ...]] = []
        self.tops: list[tuple[int, ...]] = []
        self.left_out: list[str] = []

    def make(self, blob: str, layer: str | None) -> int:
        self.blob_of.append((blob, layer))
        self.now[blob] = len(self.blob_of) - 1
        return self.now[blob]

    def bottom(self, blob: str, layer: str) -> int:
        if blob not in self.now:
            if not self.lenient:
                there = ", ".join(list(self.now)[-6:]) or "none"
                raise CorruptModel(
                    f"{self.file}: layer {layer!r} reads {blob!r}, which no layer before it makes; there are {there}."
                )
            self.inputs.append(Input(blob, None, "no layer of the file makes it"))
            self.make(blob, None)
        return self.now[blob]

    def add(self, layer: Message, stored: Mapping[str, tuple[Array, ...]]) -> None:
        name, kind = str(layer.last("name", "")), str(layer.last("type", ""))
        if not kind:
            raise CorruptModel(f"{self.file}: layer {name or len(self.layers)!r} has no type.")
        if kind in DATA and not layer.all("bottom"):
            self._data(layer, name, kind)
            return
        bottoms = [self.bottom(blob, name) for blob in layer.all("bottom")]
        tops = list(map(str, layer.all("top")))
        if kind in TRAINING:
            self.left_out.append(f"{name} ({kind})")
            self.read |= set(bottoms[TRAINING[kind] :])
            return
        if kind == "Split":
            self.now.update(dict.fromkeys(tops, bottoms[0]) if len(bottoms) == 1 else {})
            return
        if kind in LOSSES:
            self.read |= set(bottoms)
            bottoms, tops = bottoms[:1], [self._free(tops, name)]
        twice = [top for top, count in Counter(tops).items() if count > 1]
        for place, top in enumerate(tops):
            in_place = place < len(layer.all("bottom")) and layer.all("bottom")[place] == top
            if top in twice or (top in self.now and not in_place):
                raise CorruptModel(f"{self.file}: blob {top!r} is made twice, the second time by layer {name!r}.")
        self.read |= set(bottoms)
        blobs = stored.get(name) or tuple(layer.all("blobs"))
        self.bottoms.append(tuple(bottoms))
        self.tops.append(tuple(self.make(top, name) for top in tops))
        params, unknown = _params(layer, kind)
        becomes = LOSSES.get(kind, kind)
        self.layers.append(Layer(name, becomes, (), (), params, blobs, unknown, kind if becomes != kind else ""))

    def _free(self, tops: list[str], name: str) -> str:
        """What the activation inside a loss is called: the second top, which is it, or a name that nobody has."""
        wishes = [*tops[1:2], "prob", f"{name}_prob"]
        return next((wish for wish in wishes if wish not in self.now), f"{name}@{len(self.layers)}")

    def _data(self, layer: Message, name: str, kind: str) -> None:
        shapes = _shapes(layer, kind, self.file)
        transform = layer.inner("transform_param")
        for place, top in enumerate(layer.all("top")):
            if top in self.now:
                raise CorruptModel(f"{self.file}: blob {top!r} is made twice, the second time by layer {name!r}.")
            self.make(top, None)
            shape = shapes[place] if place < len(shapes) else None
            self.inputs.append(Input(top, shape, f"layer {name!r} ({kind})", transform if place == 0 else Message()))

    def net(self, name: str, weights_file: str, unused: tuple[str, ...]) -> Net:
        names = self._names()
        layers = tuple(
            replace(layer, bottoms=tuple(names[b] for b in bottoms), tops=tuple(names[t] for t in tops))
            for layer, bottoms, tops in zip(self.layers, self.bottoms, self.tops, strict=True)
        )
        made = [top for tops in self.tops for top in tops]
        outputs = tuple(names[top] for top in made if top not in self.read)
        layers, pruned = needed(layers, outputs)
        left_out = (*self.left_out, *(f"{layer.name} ({layer.type})" for layer in pruned))
        used = {bottom for layer in layers for bottom in layer.bottoms}
        inputs = tuple(each for each in self.inputs if each.name in used)
        return Net(name, inputs, layers, outputs, self.file, weights_file, "V2", unused, left_out)

    def _names(self) -> list[str]:
        """The last tensor of a blob has its name, those before "blob@layer"; all different."""
        last = {blob: number for number, (blob, _) in enumerate(self.blob_of)}
        taken, names = set(last), []
        for number, (blob, layer) in enumerate(self.blob_of):
            wish = blob
            if last[blob] != number:
                writer, count = "input" if layer is None else layer, 2
                wish = f"{blob}@{writer}"
                while wish in taken:
                    wish, count = f"{blob}@{writer}_{count}", count + 1
                taken.add(wish)
            names.append(wish)
        first = [number for number, (_, layer) in enumerate(self.blob_of) if layer is None]
        self.inputs = [replace(each, name=names[n]) for each, n in zip(self.inputs, first, strict=True)]
        return names


def needed(layers: Sequence[Layer], outputs: Iterable[str]) -> tuple[tuple[Layer, ...], tuple[Layer, ...]]:
    """Layers that the outputs need, and the others, each in order."""
    wanted, kept, rest = set(outputs), [], []
    for layer in reversed(layers):
        if wanted & set(layer.tops):
            kept.append(layer)
            wanted |= set(layer.bottoms)
        else:
            rest.append(layer)
    return tuple(reversed(kept)), tuple(reversed(rest))


def _params(layer: Message, kind: str) -> tuple[dict[str, Message], tuple[str, ...]]:
    """The messages of parameters, and every field in them that the schema has not."""
    known = fields("LayerParameter")
    found = {
        key: values[-1] for key, values in layer.items() if key not in PLUMBING and isinstance(values[-1], Message)
    }
    unknown = [*layer.unknown]
    own = FORK_PARAMS.get(kind)
    for key, message in found.items():
        unknown += [f"{key}.{name}" for name in _unknown(message)]
    if own is not None and own not in found and known[own].number == 0 and len(layer.unknown) == 1:
        unknown = [f"{own}: field {layer.unknown[0]}"]
    return found, tuple(unknown)


def _unknown(message: Message) -> list[str]:
    inner = [each for values in message.values() for each in values if isinstance(each, Message)]
    return [*message.unknown, *(name for each in inner for name in _unknown(each))]


def _shapes(layer: Message, kind: str, file: str) -> list[tuple[int | None, ...] | None]:
    """Shapes of a data layer's tops, as far as it says them."""
    tops = len(layer.all("top"))
    if kind == "Input":
        given: list[Any] = [tuple(shape.all("dim")) for shape in layer.inner("input_param").all("shape")]
        if given and len(given) not in (1, tops):
            raise CorruptModel(
                f"{file}: layer {layer.last('name')!r} has {tops} tops and {len(given)} shapes, expected one or {tops}."
            )
        wrong = [shape for shape in given if any(size < 1 for size in shape)]
        if wrong:
            raise CorruptModel(f"{file}: layer {layer.last('name')!r} has the shape {list(wrong[0])}.")
        return given * tops if len(given) == 1 else given or [None] * tops
    if kind == "MemoryData":
        param = layer.inner("memory_data_param")
        sizes = [param.last(name) for name in ("channels", "height", "width")]
        return [(None, *sizes), (None,)]
    crop = layer.inner("transform_param").last("crop_size", 0)
    transform = layer.inner("transform_param")
    sides = [transform.last("crop_h", 0) or crop or None, transform.last("crop_w", 0) or crop or None]
    images = layer.inner("image_data_param")
    if kind == "ImageData" and not crop:
        sides = [images.last("new_height") or None, images.last("new_width") or None]
    colour = None
    if kind == "ImageData":
        colour = 3 if images.last("is_color", True) else 1
    return [(None, colour, *sides), (None,)] if any(sides) or colour else [None, (None,)]
