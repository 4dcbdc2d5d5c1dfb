"""What each layer reads, gives and stores: sizes and the arrays of the file, by dialect. No numbers are read here.

    plan = PLANS["convolutional"](Context(...))

Rule 1: sizes follow Darknet's make_*_layer; where its C computes a size and then writes another one,
        the layer is refused: nothing sensible was ever trained with it.
Rule 2: arrays are in the order of the file, which is that of load_weights_upto of the dialect.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gateway.errors import ConversionError, CorruptModel
from gateway.formats.darknet.config import Options, need_ints

PJREDDIE, ALEXEYAB = "pjreddie", "AlexeyAB"
Shape = tuple[int, int, int]
Array = tuple[str, tuple[int, ...]]
MAX_ELEMENTS = 1 << 28  # of one layer's answer to one sample
MAX_SIDE = 1 << 20

LSTM_ORDER = {PJREDDIE: ("wi", "wf", "wo", "wg", "ui", "uf", "uo", "ug"),
              ALEXEYAB: ("wf", "wi", "wg", "wo", "uf", "ui", "ug", "uo")}  # fmt: skip
GRU_ORDER = {PJREDDIE: ("wz", "wr", "wh", "uz", "ur", "uh"), ALEXEYAB: ("uz", "ur", "uh", "wz", "wr", "wh")}
"""w: from the state, u: from the input. AlexeyAB's file holds what comes from the input first."""


@dataclass(frozen=True)
class Plan:
    """One layer's sizes. `sources` are indices of layers, -1 the network's input; `arrays` stand in the file so."""

    sources: tuple[int, ...]
    output: Shape
    arrays: tuple[Array, ...] = ()


@dataclass(frozen=True)
class Context:
    """What a layer's sizes follow from. `before` is the shape of the layer before, `shapes` all of them by index."""

    index: int
    options: Options
    dialect: str
    before: Shape
    shapes: Sequence[Shape]
    arrays: Sequence[tuple[Array, ...]]

    def error(self, what: str, hint: str = "") -> ConversionError:
        return ConversionError(f"{self.options.where}, layer {self.index}: {what}.", hint=hint)

    @property
    def here(self) -> tuple[int, ...]:
        """The layer before: what most layers read."""
        return (self.index - 1,)

    def positive(self, key: str, default: int) -> int:
        value = self.options.int(key, default)
        if not 0 < value <= MAX_SIDE:
            raise self.error(f"{key}={value}, expected 1 to {MAX_SIDE}")
        return value

    def chosen(self, number: int) -> int:
        """The index of a layer given as such, or counted back from here. Errors: ConversionError."""
        index = self.index + number if number < 0 else number
        if not 0 <= index < self.index:
            raise self.error(f"reads layer {number}, and {self.index} layers stand before it")
        return index

    def shape(self, index: int) -> Shape:
        return self.before if index == -1 else self.shapes[index]


def size_of(shape: Shape) -> int:
    return math.prod(shape)


def strides(at: Context) -> tuple[int, int]:
    """(vertical, horizontal). stride_x and stride_y are AlexeyAB's."""
    stride = at.options.int("stride", 1)
    found = [stride, stride]
    if at.dialect == ALEXEYAB:
        found = [given if (given := at.options.int(key, -1)) >= 1 else stride for key in ("stride_y", "stride_x")]
    if min(found) < 1 or max(found) > MAX_SIDE:
        raise at.error(f"its stride is {found}, expected 1 or more")
    return found[0], found[1]


def conv_padding(at: Context, size: int) -> int:
    """pad=1 means half the size, whatever padding= says."""
    padding = size // 2 if at.options.int("pad", 0) else at.options.int("padding", 0)
    if not 0 <= padding <= MAX_SIDE:
        raise at.error(f"padding={padding}, expected 0 or more")
    return padding


def conv_dilation(at: Context, size: int) -> int:
    """AlexeyAB's; a window of one place has none."""
    return at.positive("dilation", 1) if at.dialect == ALEXEYAB and size > 1 else 1


def windows(at: Context, side: int, padding: int, size: int, stride: int) -> int:
    """How many windows fit; `padding` is the total of both ends. Errors: ConversionError for none."""
    if side + padding < size:
        raise at.error(f"a window of {size} does not fit into {side} and a padding of {padding}")
    return (side + padding - size) // stride + 1


def normalised(at: Context, count: int) -> tuple[Array, ...]:
    """Scales and statistics where the layer is batch normalised."""
    wanted = at.options.int("batch_normalize", 0) or (at.dialect == ALEXEYAB and at.options.int("cbn", 0))
    if not wanted:
        return ()
    return tuple((name, (count,)) for name in ("scales", "rolling_mean", "rolling_variance"))


def _conv_arrays(at: Context, count: int, channels: int, groups: int, size: int) -> tuple[Array, ...]:
    if groups < 1 or channels % groups or count % groups:
        raise at.error(f"groups={groups} divides neither or only one of {channels} channels and {count} filters")
    weights = ("weights", (count, channels // groups, size, size))
    return (("biases", (count,)), *normalised(at, count), weights)


REFUSED_CONV = {
    "xnor": "computes in single bits", "binary": "computes with binary weights", "coordconv": "adds coordinates",
    "sway": "deforms its weights", "rotate": "deforms its weights", "stretch": "deforms its weights",
    "stretch_sway": "deforms its weights",
}  # fmt: skip


def convolutional(at: Context) -> Plan:
    options = at.options
    for key, why in REFUSED_CONV.items():
        if options.int(key, 0):
            raise at.error(f"{key}=1: it {why}, which is not converted")
    channels, height, width = at.before
    count, size = at.positive("filters", 1), at.positive("size", 1)
    padding, dilation = conv_padding(at, size), conv_dilation(at, size)
    down, right = strides(at)
    blur = options.int("antialiasing", 0) if at.dialect == ALEXEYAB else 0
    step = (1, 1) if blur else (down, right)
    groups = max(1, options.int("groups", 1))
    sides: list[int] = []
    for side, stride in zip((height, width), step, strict=True):
        made = windows(at, side, 2 * padding, size, stride)
        span = dilation * (size - 1) + 1
        if dilation > 1 and (side + 2 * padding * dilation - span) // stride + 1 != made:
            raise at.error(f"with size={size}, padding={padding} and dilation={dilation} Darknet's own sizes disagree")
        sides.append(blurred(at, made, blur, down if len(sides) == 0 else right))
    share = options.int("share_index", -1_000_000_000) if at.dialect == ALEXEYAB else -1_000_000_000
    arrays = _conv_arrays(at, count, channels, groups, size)
    if share != -1_000_000_000:
        if dict(at.arrays[at.chosen(share)]) != dict(arrays):
            raise at.error(f"shares the weights of layer {share}, which has others")
        arrays = ()
    return Plan(at.here, (count, sides[0], sides[1]), arrays)


def blurred(at: Context, side: int, blur: int, stride: int) -> int:
    """The side after antialiasing: windows of 3 with a padding of 1, or of 2 without any."""
    if not blur:
        return side
    return windows(at, side, 0, 2, stride) if blur == 2 else windows(at, side, 2, 3, stride)


def deconvolutional(at: Context) -> Plan:
    channels, height, width = at.before
    count, size, stride = at.positive("filters", 1), at.positive("size", 1), at.positive("stride", 1)
    padding = conv_padding(at, size)
    sides = [(side - 1) * stride + size - 2 * padding for side in (height, width)]
    if min(sides) < 1:
        raise at.error(f"gives {sides[0]}x{sides[1]} places")
    arrays = (("biases", (count,)), *normalised(at, count), ("weights", (channels, count, size, size)))
    return Plan(at.here, (count, sides[0], sides[1]), arrays)


def connected(at: Context) -> Plan:
    count = at.positive("output", 1)
    return Plan(at.here, (count, 1, 1), _connected_arrays(at, size_of(at.before), count))


def _connected_arrays(at: Context, inputs: int, count: int) -> tuple[Array, ...]:
    return (("biases", (count,)), ("weights", (count, inputs)), *normalised(at, count))


def batchnorm(at: Context) -> Plan:
    names = ("scales", "rolling_mean", "rolling_variance")
    return Plan(at.here, at.before, tuple((name, (at.before[0],)) for name in names))


def local(at: Context) -> Plan:
    channels, height, width = at.before
    count, size, stride = at.positive("filters", 1), at.positive("size", 1), at.positive("stride", 1)
    pad = at.options.int("pad", 0)
    sides = []
    for side in (height, width):
        made = (side - 1 if pad else side - size) // stride + 1
        if made < 1 or pad < 0 or (side + 2 * pad - size) // stride + 1 != made:
            raise at.error(f"with size={size}, pad={pad} and {side} places Darknet's own sizes disagree")
        sides.append(made)
    places = sides[0] * sides[1]
    arrays = (("biases", (count, sides[0], sides[1])), ("weights", (places, count, channels, size, size)))
    return Plan(at.here, (count, sides[0], sides[1]), arrays)


def pool(at: Context) -> Plan:
    """maxpool and local_avgpool. `padding` is the total, size-1 by default."""
    channels, height, width = at.before
    down, right = strides(at)
    size = at.positive("size", at.options.int("stride", 1))
    padding = at.options.int("padding", size - 1)
    if not 0 <= padding <= MAX_SIDE:
        raise at.error(f"padding={padding}, expected 0 or more")
    alexeyab = at.dialect == ALEXEYAB
    if alexeyab and at.options.int("maxpool_depth", 0):
        return Plan(at.here, (at.positive("out_channels", 1), height, width))
    blur = at.options.int("antialiasing", 0) if alexeyab else 0
    step = (1, 1) if blur else (down, right)
    sides = [windows(at, side, padding, size, stride) for side, stride in zip((height, width), step, strict=True)]
    return Plan(at.here, (channels, blurred(at, sides[0], blur, down), blurred(at, sides[1], blur, right)))


def local_avgpool(at: Context) -> Plan:
    if at.options.int("antialiasing", 0) or at.options.int("maxpool_depth", 0):
        raise at.error("antialiasing and maxpool_depth are maxpool's")
    return pool(at)


def avgpool(at: Context) -> Plan:
    return Plan(at.here, (at.before[0], 1, 1))


def route(at: Context) -> Plan:
    chosen = tuple(at.chosen(number) for number in need_ints(at.options, "layers"))
    shapes = [at.shape(index) for index in chosen]
    if any(shape[1:] != shapes[0][1:] for shape in shapes):
        listing = ", ".join(f"{index} gives {'x'.join(map(str, at.shape(index)))}" for index in chosen)
        raise at.error(f"joins layers of different heights or widths: {listing}")
    groups, group = at.options.int("groups", 1), at.options.int("group_id", 0)
    if at.dialect == PJREDDIE:
        groups, group = 1, 0
    if groups < 1 or not 0 <= group < groups or any(shape[0] % groups for shape in shapes):
        raise at.error(f"groups={groups}, group_id={group} do not divide {[shape[0] for shape in shapes]} channels")
    return Plan(chosen, (sum(shape[0] // groups for shape in shapes), *shapes[0][1:]))


def shortcut(at: Context) -> Plan:
    numbers = need_ints(at.options, "from")
    chosen = [at.chosen(number) for number in (numbers if at.dialect == ALEXEYAB else numbers[:1])]
    for index in chosen:
        mine, theirs = at.before[1:], at.shape(index)[1:]
        if at.dialect == ALEXEYAB and mine != theirs:
            raise at.error(f"adds layer {index} of {theirs[0]}x{theirs[1]} places to {mine[0]}x{mine[1]}")
        if theirs[0] // mine[0] != theirs[1] // mine[1] or mine[0] // theirs[0] != mine[1] // theirs[1]:
            raise at.error(f"adds layer {index} of {theirs[0]}x{theirs[1]} places to {mine[0]}x{mine[1]}")
    kind = at.options.str("weights_type", "none") if at.dialect == ALEXEYAB else "none"
    if kind not in ("none", "per_feature", "per_layer", "per_channel"):
        raise at.error(f"weights_type={kind} is none that Darknet knows")
    count = 0 if kind == "none" else (len(chosen) + 1) * (at.before[0] if kind == "per_channel" else 1)
    return Plan((at.index - 1, *chosen), at.before, (("weights", (count,)),) if count else ())


def scale_channels(at: Context) -> Plan:
    index = at.chosen(need_ints(at.options, "from")[0])
    scaled, scales = at.shape(index), at.before
    wanted = (1, *scaled[1:]) if at.options.int("scale_wh", 0) else (scaled[0], 1, 1)
    if scales != wanted:
        raise at.error(f"scales {'x'.join(map(str, scaled))} by {'x'.join(map(str, scales))}, expected {wanted}")
    return Plan((at.index - 1, index), scaled)


def sam(at: Context) -> Plan:
    index = at.chosen(need_ints(at.options, "from")[0])
    if at.shape(index) != at.before:
        raise at.error(f"multiplies {at.before} by layer {index}, which gives {at.shape(index)}")
    return Plan((at.index - 1, index), at.before)


def upsample(at: Context) -> Plan:
    channels, height, width = at.before
    stride = at.options.int("stride", 2)
    if stride == 0 or abs(stride) > MAX_SIDE or (stride < 0 and (height % -stride or width % -stride)):
        raise at.error(f"stride={stride} for {height}x{width} places")
    sides = (height * stride, width * stride) if stride > 0 else (height // -stride, width // -stride)
    return Plan(at.here, (channels, *sides))


def reorg(at: Context) -> Plan:
    """[reorg] of both, Darknet's reorg_old in AlexeyAB's."""
    channels, height, width = at.before
    stride, square = at.positive("stride", 1), at.positive("stride", 1) ** 2
    if at.dialect == PJREDDIE and at.options.int("extra", 0):
        raise at.error("extra= adds values that Darknet does not define")
    if channels % square:
        raise at.error(f"stride={stride} needs channels that {square} divides, not {channels}")
    if at.options.int("reverse", 0):
        return Plan(at.here, (channels // square, height * stride, width * stride))
    if height % stride or width % stride:
        raise at.error(f"stride={stride} does not divide {height}x{width} places")
    return Plan(at.here, (channels * square, height // stride, width // stride))


def reorg3d(at: Context) -> Plan:
    channels, height, width = at.before
    stride = at.positive("stride", 1)
    if at.options.int("reverse", 0):
        raise at.error("reverse=1 reads outside of its input in Darknet")
    if height % stride or width % stride:
        raise at.error(f"stride={stride} does not divide {height}x{width} places")
    return Plan(at.here, (channels * stride * stride, height // stride, width // stride))


def crop(at: Context) -> Plan:
    channels, height, width = at.before
    sides = at.positive("crop_height", 1), at.positive("crop_width", 1)
    if sides[0] > height or sides[1] > width:
        raise at.error(f"crops {sides[0]}x{sides[1]} out of {height}x{width}")
    return Plan(at.here, (channels, *sides))


def softmax(at: Context) -> Plan:
    groups = at.positive("groups", 1)
    if size_of(at.before) % groups:
        raise at.error(f"groups={groups} does not divide {size_of(at.before)} values")
    if at.options.float("spatial", 0):
        raise at.error("spatial=1 is computed by Darknet on a GPU only, and otherwise ignored")
    return Plan(at.here, at.before)


def same(at: Context) -> Plan:
    return Plan(at.here, at.before)


def implicit(at: Context) -> Plan:
    count, atoms = at.positive("filters", 128), at.positive("atoms", 1)
    return Plan((), (count, atoms, 1), (("weights", (count * atoms,)),))


def _head(per_anchor: int, anchors: str) -> Callable[[Context], Plan]:
    def plan(at: Context) -> Plan:
        coords = at.options.int("coords", 4) if anchors == "num" else 4
        masks = at.options.ints("mask")
        count = len(masks) if anchors == "mask" and masks else at.positive("num", 1)
        classes = at.options.int("classes", 20)
        total, given = at.positive("num", 1), at.options.floats("anchors")
        if given and len(given) < 2 * total:
            raise at.error(f"has {len(given)} numbers in anchors=, and num={total} takes {2 * total}")
        if outside := [mask for mask in masks if not 0 <= mask < total]:
            raise at.error(f"mask={outside[0]} names an anchor, and num={total} has none of that number")
        wanted = count * (per_anchor + coords + classes)
        if classes < 0 or coords < 4 or wanted != at.before[0]:
            raise at.error(
                f"has {count} anchors of {classes} classes, which takes {wanted} channels, and reads {at.before[0]}",
                "Set filters= of the layer before to what classes= and the anchors need.",
            )
        return Plan(at.here, at.before)

    return plan


def detection(at: Context) -> Plan:
    side, count = at.positive("side", 7), at.positive("num", 1)
    wanted = side * side * ((1 + at.options.int("coords", 1)) * count + at.options.int("classes", 1))
    if wanted != size_of(at.before):
        raise at.error(f"takes {wanted} values by side, num, coords and classes, and reads {size_of(at.before)}")
    return Plan(at.here, (wanted, 1, 1))


def rnn(at: Context) -> Plan:
    count = at.positive("output", 1)
    hidden = at.positive("hidden", 1) if at.dialect == ALEXEYAB else count
    sizes = {"input_layer": (size_of(at.before), hidden), "self_layer": (hidden, hidden),
             "output_layer": (hidden, count)}  # fmt: skip
    arrays = [_named(part, _connected_arrays(at, *size)) for part, size in sizes.items()]
    return Plan(at.here, (count, 1, 1), tuple(item for part in arrays for item in part))


def _gates(order: Mapping[str, tuple[str, ...]]) -> Callable[[Context], Plan]:
    def plan(at: Context) -> Plan:
        count = at.positive("output", 1)
        arrays = [
            _named(gate, _connected_arrays(at, count if gate[0] == "w" else size_of(at.before), count))
            for gate in order[at.dialect]
        ]
        return Plan(at.here, (count, 1, 1), tuple(item for gate in arrays for item in gate))

    return plan


def crnn(at: Context) -> Plan:
    """Three convolutions that keep height and width."""
    channels, height, width = at.before
    names, size, groups = ("hidden_filters", "output_filters"), 3, 1
    if at.dialect == ALEXEYAB:
        names, size, groups = ("hidden", "output"), at.positive("size", 3), max(1, at.options.int("groups", 1))
        padding = size // 2 if at.options.int("pad", 0) else at.options.int("padding", 0)
        if at.options.int("stride", 1) != 1 or at.options.int("dilation", 1) != 1 or 2 * padding != size - 1:
            raise at.error("its convolutions do not keep height and width; only such are converted")
    hidden, count = at.positive(names[0], 1), at.positive(names[1], 1)
    sizes = {"input_layer": (hidden, channels), "self_layer": (hidden, hidden), "output_layer": (count, hidden)}
    arrays = [_named(part, _conv_arrays(at, n, c, groups, size)) for part, (n, c) in sizes.items()]
    return Plan(at.here, (count, height, width), tuple(item for part in arrays for item in part))


def _named(part: str, arrays: tuple[Array, ...]) -> tuple[Array, ...]:
    return tuple((f"{part}.{name}", shape) for name, shape in arrays)


PLANS: dict[str, Callable[[Context], Plan]] = {
    "convolutional": convolutional, "deconvolutional": deconvolutional, "connected": connected, "local": local,
    "batchnorm": batchnorm, "maxpool": pool, "local_avgpool": local_avgpool, "avgpool": avgpool, "route": route,
    "shortcut": shortcut, "scale_channels": scale_channels, "sam": sam, "upsample": upsample, "reorg": reorg,
    "reorg3d": reorg3d, "crop": crop, "softmax": softmax, "dropout": same, "cost": same, "empty": same,
    "activation": same, "l2norm": same, "logistic": same, "normalization": same, "implicit": implicit,
    "yolo": _head(1, "mask"), "gaussian_yolo": _head(5, "mask"), "region": _head(1, "num"), "detection": detection,
    "rnn": rnn, "lstm": _gates(LSTM_ORDER), "gru": _gates(GRU_ORDER), "crnn": crnn,
}  # fmt: skip
ONLY = {
    PJREDDIE: {"deconvolutional", "l2norm", "logistic", "iseg"},
    ALEXEYAB: {"scale_channels", "sam", "local_avgpool", "reorg3d", "gaussian_yolo", "empty", "implicit",
               "conv_lstm", "history", "contrastive"},
}  # fmt: skip
"""Sections that only one of the two knows."""
REFUSED = {
    "iseg": "instance segmentation has no decoder here",
    "conv_lstm": "convolutional LSTMs are not converted yet",
    "history": "it remembers answers to earlier calls",
    "contrastive": "it is a matter of training",
}


def checked(at: Context, plan: Plan) -> Plan:
    """Errors: CorruptModel for sizes that no network has."""
    if size_of(plan.output) > MAX_ELEMENTS or max(plan.output) > MAX_ELEMENTS:
        raise CorruptModel(
            f"{at.options.where}, layer {at.index}: gives {'x'.join(map(str, plan.output))} values for one sample, "
            f"at most {MAX_ELEMENTS} are taken."
        )
    return plan
