"""A Darknet network as read from its two files: layers with their sizes, options and weights, and the dialect.

Two programs write these files, pjreddie's Darknet and AlexeyAB's. Nothing in a file says which one did,
and some sections mean another thing in each.

Rule 1: the dialect is the one under which the file of weights is consumed to its last byte. Where both
        consume it, what only one of them knows decides, then the header; `evidence` says what did.
Rule 2: a file that neither consumes is refused: with the layer that it reaches, or with what is left over.
Rule 3: nothing is allocated before the file is known to hold it; arrays are views of the mapped file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.core.dtypes import Array
from gateway.core.names import did_you_mean
from gateway.errors import ConversionError, CorruptModel
from gateway.formats.darknet import config, weights
from gateway.formats.darknet.config import Options, Section
from gateway.formats.darknet.shapes import (
    ALEXEYAB,
    MAX_ELEMENTS,
    ONLY,
    PJREDDIE,
    PLANS,
    REFUSED,
    Context,
    Plan,
    Shape,
    checked,
    size_of,
)

INPUT = "data"
HEADS = ("yolo", "gaussian_yolo", "region", "detection")
RECURRENT = ("rnn", "lstm", "gru", "crnn")
SILENT = ("cost", "dropout", "empty")
"""Layers that give what they read."""

KEYS = {
    ALEXEYAB: {"scale_x_y", "new_coords", "nms_kind", "iou_loss", "iou_normalizer", "cls_normalizer", "obj_normalizer",
               "iou_thresh", "beta_nms", "mosaic", "cutmix", "mixup", "letter_box", "stride_x", "stride_y", "dilation",
               "antialiasing", "weights_type", "weights_normalization", "share_index", "maxpool_depth", "scale_wh",
               "yolo_point", "stopbackward", "ema_alpha", "dynamic_minibatch", "optimized_memory", "max_delta"},
    PJREDDIE: {"hidden_filters", "output_filters", "background", "tanh", "extra", "flatten", "notruth"},
}  # fmt: skip
"""Options that only one of the two reads, whatever the section."""
ACTIVATIONS = {"swish", "mish", "hard_mish", "relu6", "gelu", "normalize_channels", "normalize_channels_softmax",
               "normalize_channels_softmax_maxval", "revleaky"}  # fmt: skip
"""AlexeyAB's; pjreddie's takes ReLU for them."""


@dataclass(frozen=True)
class Layer:
    """One section behind [net]. `name` is that of its answer's tensor; shapes are (channels, height, width)."""

    index: int
    type: str
    name: str
    options: Options
    sources: tuple[int, ...]
    input: Shape
    output: Shape
    weights: Mapping[str, Array] = field(repr=False)
    tree: tuple[int, ...] = ()  # sizes of the groups of classes, where `tree=` names a file


@dataclass(frozen=True)
class Network:
    """`steps`: it holds recurrent layers, and the first axis of its input is the time of one sequence."""

    file: str
    dialect: str
    evidence: str
    header: str
    options: Options
    input: Shape
    layers: tuple[Layer, ...]
    outputs: tuple[int, ...]
    steps: bool = False

    def weight_names(self) -> list[str]:
        return [f"{layer.name}.{name}" for layer in self.layers for name in layer.weights]


@dataclass(frozen=True)
class Sizes:
    """A cfg under one dialect: plans of all layers, and how many floats the file of weights has to hold."""

    dialect: str
    plans: tuple[Plan, ...]
    loaded: tuple[tuple[tuple[str, tuple[int, ...]], ...], ...]  # of each layer, what stands in the file

    @property
    def floats(self) -> int:
        return sum(count_of(arrays) for arrays in self.loaded)


def count_of(arrays: Sequence[tuple[str, tuple[int, ...]]]) -> int:
    return sum(math.prod(shape) for _, shape in arrays)


def read(
    cfg: Path, weights_file: Path | None, *, trees: Mapping[str, Path] | None = None, size: Shape | None = None
) -> Network:
    """`trees` are files beside it by name, for `tree=`; `size` is another input's than the cfg's.

    Errors: CorruptModel, ConversionError with file, line, layer or offset.
    """
    net, sections = config.read(cfg)
    shape = size or input_shape(net)
    candidates, why = _candidates(net, sections, shape)
    header = weights.NOTHING if weights_file is None else weights.header(weights_file)
    if weights_file is None:
        if any(sizes.floats for sizes in candidates):
            raise ConversionError(
                f"{cfg.name} describes {len(sections)} layers, and no file of weights lies beside it.",
                hint=f"Add {cfg.stem}.weights.",
            )
        dialect, evidence = _preferred(net, sections, header, candidates)
        return _network(cfg.name, net, sections, shape, _of(candidates, dialect), evidence, None, trees or {})
    exact = [(sizes, seen) for sizes in candidates if (seen := header.fits(sizes.floats))]
    if not exact:
        dialect, _ = _preferred(net, sections, header, candidates)
        raise _unfit(cfg.name, header, _of(candidates, dialect), sections, candidates)
    used = [sizes for sizes, _ in exact]
    if len(used) == 1 and len(candidates) == 2:
        other = next(sizes for sizes in candidates if sizes is not used[0])
        evidence = (
            f"{header.name} is consumed to its last byte as {used[0].dialect}'s dialect has it, "
            f"and not as {other.dialect}'s, which takes {4 * other.floats} bytes of weights"
        )
        dialect = used[0].dialect
    else:
        dialect, evidence = _preferred(net, sections, header, used)
        evidence = f"{header.name} is consumed to its last byte; {why or evidence}"
    chosen, seen = next((sizes, seen) for sizes, seen in exact if sizes.dialect == dialect)
    flat = weights.floats(weights_file, header, seen)
    return _network(cfg.name, net, sections, shape, chosen, evidence, (header, flat), trees or {})


def input_shape(net: Section) -> Shape:
    """(channels, height, width) of one sample; `inputs` alone is a vector. Errors: CorruptModel, ConversionError."""
    options = net.options
    sides = tuple(options.int(key, 0) for key in ("channels", "height", "width"))
    shape: Shape = (sides[0], sides[1], sides[2])
    if not all(shape):
        shape = (options.int("inputs", 0), 1, 1)
    if min(shape) < 1:
        raise ConversionError(
            f"{options.where} says neither height, width and channels nor inputs of its input.",
            hint="Set width=, height= and channels= in [net].",
        )
    if size_of(shape) > MAX_ELEMENTS:
        raise CorruptModel(f"{options.where}: an input of {'x'.join(map(str, shape))} values is not taken.")
    return shape


def _candidates(net: Section, sections: Sequence[Section], shape: Shape) -> tuple[list[Sizes], str]:
    """The dialects under which the cfg can be, and why there is only one. Errors: those of the likelier one."""
    unknown = [section for section in sections if section.kind not in PLANS and section.kind not in REFUSED]
    if unknown:
        first = unknown[0]
        names = ", ".join(sorted({f"[{section.written[:40]}]" for section in unknown}))
        raise ConversionError(
            f"{first.options.where}: {len(unknown)} sections that Darknet does not know: {names}."
            f"{did_you_mean(first.written, PLANS)}"
        )
    refused = [section for section in sections if section.kind in REFUSED]
    if refused:
        names = ", ".join(f"[{kind}]: {REFUSED[kind]}" for kind in dict.fromkeys(s.kind for s in refused))
        raise ConversionError(f"{refused[0].options.where}: {len(refused)} sections are not converted: {names}.")
    possible = [d for d in (PJREDDIE, ALEXEYAB) if not _foreign(d, sections)]
    if not possible:
        theirs = {d: f"[{_foreign(other, sections)}]" for d, other in ((PJREDDIE, ALEXEYAB), (ALEXEYAB, PJREDDIE))}
        listing = " and ".join(f"{name} is {dialect}'s" for dialect, name in theirs.items())
        raise ConversionError(f"{net.options.where}: no Darknet knows all of its sections: {listing}.")
    why = ""
    if len(possible) == 1:
        other = ALEXEYAB if possible[0] == PJREDDIE else PJREDDIE
        why = f"[{_foreign(other, sections)}] is {possible[0]}'s alone"
    found, errors = [], {}
    for dialect in possible:
        try:
            found.append(_sizes(dialect, sections, shape))
        except ConversionError as error:
            errors[dialect] = error
    if not found:
        likely, _ = _preferred(net, sections, weights.NOTHING, [Sizes(d, (), ()) for d in possible])
        raise errors[likely]
    if errors and not why:
        why = f"the cfg is not {next(iter(errors))}'s: {next(iter(errors.values())).message}"
    return found, why


def _foreign(dialect: str, sections: Sequence[Section]) -> str:
    """A section that the dialect does not know, or ""."""
    other = ONLY[ALEXEYAB if dialect == PJREDDIE else PJREDDIE]
    return next((section.kind for section in sections if section.kind in other), "")


def _sizes(dialect: str, sections: Sequence[Section], shape: Shape) -> Sizes:
    shapes: list[Shape] = []
    plans: list[Plan] = []
    loaded: list[tuple[tuple[str, tuple[int, ...]], ...]] = []
    for index, section in enumerate(sections):
        before = shapes[-1] if shapes else shape
        at = Context(index, section.options, dialect, before, shapes, [plan.arrays for plan in plans])
        plan = checked(at, PLANS[section.kind](at))
        for key in ("dontload", "numload"):
            if section.options.int(key, 0) and plan.arrays:
                raise at.error(f"{key}={section.options.int(key, 0)}: its weights are not, or not all, in the file")
        skipped = ("scales", "rolling_mean", "rolling_variance") if section.options.int("dontloadscales", 0) else ()
        plans.append(plan)
        shapes.append(plan.output)
        loaded.append(tuple(array for array in plan.arrays if array[0] not in skipped))
    return Sizes(dialect, tuple(plans), tuple(loaded))


def _preferred(
    net: Section, sections: Sequence[Section], header: weights.Header, candidates: Sequence[Sizes]
) -> tuple[str, str]:
    """(dialect, what says so) where sizes leave it open."""
    left = [sizes.dialect for sizes in candidates]
    if len(left) == 1:
        return left[0], f"only {left[0]}'s dialect fits the cfg"
    for section in (net, *sections):
        for dialect, keys in KEYS.items():
            if key := next((key for key in section.options.values if key in keys), ""):
                return dialect, f"{section.options.where}: {key}= is {dialect}'s alone"
        if (name := section.options.str("activation", "")) in ACTIVATIONS:
            return ALEXEYAB, f"{section.options.where}: activation={name} is {ALEXEYAB}'s alone"
    if header.version[:2] == (0, 2) and header.version[2] == 5:
        return ALEXEYAB, f"its header is 0.2.5, which {ALEXEYAB}'s Darknet writes"
    said = f"its header is {header.text}" if header.name else "nothing says otherwise"
    return PJREDDIE, f"{said}; both dialects fit, and {PJREDDIE}'s is taken"


def _of(candidates: Sequence[Sizes], dialect: str) -> Sizes:
    return next(sizes for sizes in candidates if sizes.dialect == dialect)


def _unfit(
    cfg: str, header: weights.Header, sizes: Sizes, sections: Sequence[Section], candidates: Sequence[Sizes]
) -> ConversionError:
    """Why a file of weights is not the cfg's: too short, with the layer it reaches, or too long."""
    held = header.floats
    if held > sizes.floats:
        more = 4 * (held - sizes.floats) + header.rest
        tried = " or ".join(f"{each.dialect}'s" for each in candidates)
        return CorruptModel(
            f"{header.name} holds {more} bytes more than the {len(sections)} layers of {cfg} take in {tried} dialect: "
            f"they end at offset {header.end(sizes.floats)} of {header.size}.",
            hint="Cfg and weights are of two networks, or filters=, classes= or width= was changed after the training.",
        )
    left, reached = held, 0
    for reached, arrays in enumerate(sizes.loaded):  # noqa: B007  the last one is used below
        count = count_of(arrays)
        if count > left or (left == 0 and count):
            break
        left -= count
    section = sections[reached]
    if left == 0 and header.rest == 0 and reached:
        return ConversionError(
            f"{header.name} ends before layer {reached} ({section.options.where}): it holds the first {reached} of the "
            f"{len(sections)} layers of {cfg}, as files like darknet53.conv.74 do, from which a training starts.",
            hint="Take the file of weights that the training has written.",
        )
    return CorruptModel(
        f"{header.name} has {header.size} bytes and ends within layer {reached} ({section.options.where}); the layers "
        f"of {cfg} end at offset {header.end(sizes.floats)}.",
        hint="It was cut short, or is of another cfg: copy it again.",
    )


def tree_of(section: Section, files: Mapping[str, Path]) -> tuple[int, ...]:
    """Sizes of a tree's groups: rows "NAME PARENT" one after the other with one parent are a group.

    Errors: ConversionError for a file that is not there, CorruptModel for one that is no tree.
    """
    wanted = section.options.str("tree", "").rpartition("/")[2]
    if not wanted:
        return ()
    if wanted not in files:
        raise ConversionError(
            f"{section.options.where}: tree={section.options.str('tree', '')} names a file that is not beside the cfg.",
            hint=f"Add {wanted} to the drop.",
        )
    path = files[wanted]
    if path.stat().st_size > config.MAX_BYTES:
        raise CorruptModel(f"{wanted} has {path.stat().st_size} bytes; a tree has at most {config.MAX_BYTES}.")
    sizes: list[int] = []
    last = None
    for number, line in enumerate(path.read_text("latin-1").splitlines(), 1):
        words = line.split()
        try:
            parent = int(words[1]) if len(words) > 1 else -1
        except ValueError:
            raise CorruptModel(f"{wanted}, line {number}: {words[1][:20]!r} is no number of a parent.") from None
        if parent == last:
            sizes[-1] += 1
        else:
            sizes.append(1)
        last = parent
    classes = section.options.int("classes", 20) if section.kind == "region" else sum(sizes)
    if not sizes or sum(sizes) != classes:
        raise CorruptModel(f"{wanted} has {sum(sizes)} rows, and {section.options.where} has {classes} classes.")
    return tuple(sizes)


def _network(
    file: str,
    net: Section,
    sections: Sequence[Section],
    shape: Shape,
    sizes: Sizes,
    evidence: str,
    found: tuple[weights.Header, Array] | None,
    trees: Mapping[str, Path],
) -> Network:
    layers: list[Layer] = []
    at = 0
    for index, (section, plan, stored) in enumerate(zip(sections, sizes.plans, sizes.loaded, strict=True)):
        arrays: dict[str, Array] = {}
        for name, dims in stored:
            assert found is not None  # a file that is missing was refused
            arrays[name] = found[1][at : at + math.prod(dims)].reshape(dims)
            at += math.prod(dims)
        arrays = weights.settled(section, plan, arrays, transposed=found is not None and found[0].transposed)
        share = section.options.int("share_index", -1_000_000_000)
        if section.kind == "convolutional" and not plan.arrays and sizes.dialect == ALEXEYAB:
            arrays = dict(layers[index + share if share < 0 else share].weights)
        first = plan.sources[0] if plan.sources else index - 1
        before = shape if first < 0 else layers[first].output
        layers.append(
            Layer(index, section.kind, f"{section.kind}_{index}", section.options, plan.sources, before, plan.output,
                  arrays, tree_of(section, trees))
        )  # fmt: skip
    heads = tuple(layer.index for layer in layers if layer.type in HEADS)
    last = next((layer.index for layer in reversed(layers) if layer.type not in SILENT), len(layers) - 1)
    return Network(
        file, sizes.dialect, evidence, found[0].text if found else "", net.options, shape, tuple(layers),
        heads or (last,), any(layer.type in RECURRENT for layer in layers),
    )  # fmt: skip
