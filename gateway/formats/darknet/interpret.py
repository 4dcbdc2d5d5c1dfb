"""A Darknet network, computed in float64 from the source's semantics: the second judge, apart from the emitters.

    interpret(network, {"data": x}, ["convolutional_3"])

Rule 1: it shares nothing with the emitters: its layers (interpret_layers.py) are written from Darknet's C.
Rule 2: every layer type without a function is named at once; an option that is not known stops it.
Rule 3: inference: a yolo or region layer gives its activations, not boxes.
Rule 4: in a network of steps the first axis is the time of one sequence, and states start at 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from gateway.core.dtypes import Array, Tensors
from gateway.errors import ConversionError
from gateway.formats.darknet.interpret_layers import (
    ACTIVATIONS,
    BY_DIALECT,
    PJREDDIE,
    TABLE,
    activated,
    connected_by,
    convolved,
    layer,
    logistic,
    unknown,
)

if TYPE_CHECKING:
    from gateway.formats.darknet.network import Layer, Network

INPUT = "data"


def missing(network: Network) -> dict[str, int]:
    """Layer types that have no function here, counted."""
    return dict(Counter(each.type for each in network.layers if each.type not in TABLE))


def walk(network: Network, inputs: Tensors) -> Iterator[tuple[str, str, Tensors]]:
    """(layer name, type, {its tensor: float64 (N, c, h, w)}) one after the other. Errors: ConversionError."""
    if absent := missing(network):
        raise ConversionError(f"the interpreter does not know the layers {', '.join(absent)}.")
    if INPUT not in inputs:
        raise ConversionError(f"input {INPUT} is needed and not given.")
    given = np.asarray(inputs[INPUT], np.float64)
    values: dict[int, Array] = {-1: given.reshape(len(given), *network.input)}
    last = {source: each.index for each in network.layers for source in each.sources}
    with np.errstate(all="ignore"):
        for each in network.layers:
            function = TABLE[each.type]
            if each.type in BY_DIALECT:
                function = partial(function, dialect=network.dialect)
            made = np.asarray(function(each, *(values[source] for source in each.sources)))
            if len(made) != len(given) and each.type == "implicit":
                made = np.repeat(made, len(given), axis=0)
            values[each.index] = made.reshape(len(given), *each.output)
            yield each.name, each.type, {each.name: values[each.index]}
            for source in each.sources:
                if last[source] <= each.index and source in values:
                    del values[source]


def interpret(network: Network, inputs: Tensors, wanted: Sequence[str]) -> Tensors:
    """The tensors `wanted`, float64 (N, c, h, w). Errors: ConversionError, also for a name that there is not."""
    names = {each.name for each in network.layers}
    if absent := [name for name in wanted if name not in names]:
        raise ConversionError(f"{network.file} has no tensor {absent[0]!r}.")
    left, found = set(wanted), dict[str, Array]()
    for name, _, tensors in walk(network, inputs):
        if name in left:
            found[name] = tensors[name]
            left.discard(name)
            if not left:
                break
    return {name: found[name] for name in wanted}


# Heads


def _anchors(at: Layer) -> int:
    mask = at.options.ints("mask", ())
    return len(mask) or at.options.int("num", 1)


@layer("yolo", by_dialect=True)
def yolo(at: Layer, x: Array, *, dialect: str) -> Array:
    """x, y, objectness and classes through the logistic; AlexeyAB's x and y scaled, and nothing with new_coords."""
    classes, own = at.options.int("classes", 20), dialect == PJREDDIE
    boxes = x.reshape(len(x), _anchors(at), 5 + classes, *x.shape[2:]).copy()
    if own or not at.options.int("new_coords", 0):
        boxes[:, :, :2] = logistic(boxes[:, :, :2])
        boxes[:, :, 4:] = logistic(boxes[:, :, 4:])
    scale = 1.0 if own else at.options.float("scale_x_y", 1.0)
    boxes[:, :, :2] = boxes[:, :, :2] * scale - 0.5 * (scale - 1)
    return boxes.reshape(x.shape)


@layer("gaussian_yolo")
def gaussian_yolo(at: Layer, x: Array) -> Array:
    """Each of x, y, w, h with a deviation behind it; w and h themselves stay raw."""
    classes = at.options.int("classes", 20)
    boxes = x.reshape(len(x), _anchors(at), 9 + classes, *x.shape[2:]).copy()
    scale = at.options.float("scale_x_y", 1.0)
    for place in (0, 1, 2, 3, 5, 7):
        boxes[:, :, place] = logistic(boxes[:, :, place])
    for place in (0, 2):
        boxes[:, :, place] = boxes[:, :, place] * scale - 0.5 * (scale - 1)
    boxes[:, :, 8:] = logistic(boxes[:, :, 8:])
    return boxes.reshape(x.shape)


@layer("region", by_dialect=True)
def region(at: Layer, x: Array, *, dialect: str) -> Array:
    """x, y and objectness through the logistic; classes through softmax, by groups of a tree, or the logistic."""
    options = at.options
    classes, coords, background = options.int("classes", 20), options.int("coords", 4), options.int("background", 0)
    boxes = x.reshape(len(x), options.int("num", 1), coords + 1 + classes, *x.shape[2:]).copy()
    boxes[:, :, :2] = logistic(boxes[:, :, :2])
    if not background:
        boxes[:, :, coords] = logistic(boxes[:, :, coords])
    groups: tuple[int, ...] = getattr(at, "tree", ()) or ()
    start = coords + 1
    if groups:
        for size in groups:
            boxes[:, :, start : start + size] = _softmax(boxes[:, :, start : start + size], 2)
            start += size
    elif options.int("softmax", 0):
        start = coords + (not background)
        boxes[:, :, start:] = _softmax(boxes[:, :, start:], 2)
    elif dialect == PJREDDIE:
        boxes[:, :, start:] = logistic(boxes[:, :, start:])
    return boxes.reshape(x.shape)


@layer("detection")
def detection(at: Layer, x: Array) -> Array:
    """yolov1's: softmax over the classes of each place, which stand first."""
    made = x.reshape(len(x), -1).copy()
    if at.options.int("softmax", 0):
        side, classes = at.options.int("side", 7), at.options.int("classes", 1)
        first = side * side * classes
        made[:, :first] = _softmax(made[:, :first].reshape(len(x), side * side, classes), 2).reshape(len(x), first)
    return made.reshape(x.shape)


@layer("softmax")
def softmax(at: Layer, x: Array) -> Array:
    flat, options = x.reshape(len(x), -1), at.options
    temperature = options.float("temperature", 1.0)
    if options.int("spatial", 0):
        raise unknown(at, "spatial")
    sizes: tuple[int, ...] = getattr(at, "tree", ()) or ()
    if not sizes:
        groups = options.int("groups", 1)
        sizes = (flat.shape[1] // groups,) * groups
    made, start = flat.copy(), 0
    for size in sizes:
        made[:, start : start + size] = _softmax(flat[:, start : start + size] / temperature, 1)
        start += size
    return made.reshape(x.shape)


def _softmax(x: Array, axis: int) -> Array:
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return np.asarray(e / e.sum(axis=axis, keepdims=True))


# Steps in time: the first axis is time


def _unrolled(at: Layer, x: Array) -> list[Array]:
    return [row.reshape(1, -1) for row in x]


@layer("rnn", by_dialect=True)
def rnn(at: Layer, x: Array, *, dialect: str) -> Array:
    """state = input(x) + self(state), the old one added with shortcut; output(state). Each with the activation.

    AlexeyAB's logistic=1 or 2 gives self the logistic or loggy.
    """
    inner = {1: "logistic", 2: "loggy"}.get(at.options.int("logistic", 0)) if dialect != PJREDDIE else None
    state = np.zeros((1, len(at.weights["self_layer.biases"])))
    kept = at.options.int("shortcut", 0)
    made = []
    for row in _unrolled(at, x):
        new = activated(at, connected_by(at.weights, row, "input_layer."), "logistic")
        own = connected_by(at.weights, state, "self_layer.")
        own = np.asarray(ACTIVATIONS[inner](own)) if inner else activated(at, own, "logistic")
        state = (state if kept else 0) + new + own
        made.append(activated(at, connected_by(at.weights, state, "output_layer."), "logistic"))
    return np.concatenate(made).reshape(len(x), *at.output)


def _kept(at: Layer, x: Array, prefix: str, dialect: str) -> Array:
    """A convolution of a crnn: it keeps height and width. pjreddie's knows no groups there."""
    size = at.weights[prefix + "weights"].shape[-1]
    groups = 1 if dialect == PJREDDIE else None
    return convolved(at, x, at.weights, at.output[1:], prefix, pad=size // 2, groups=groups)


@layer("crnn", by_dialect=True)
def crnn(at: Layer, x: Array, *, dialect: str) -> Array:
    """rnn with convolutions, which keep height and width."""
    _, height, width = at.output
    state = np.zeros((1, len(at.weights["self_layer.biases"]), height, width))
    kept = at.options.int("shortcut", 0)
    made = []
    for row in x:
        new = activated(at, _kept(at, row[None], "input_layer.", dialect), "logistic")
        own = activated(at, _kept(at, state, "self_layer.", dialect), "logistic")
        state = (state if kept else 0) + new + own
        made.append(activated(at, _kept(at, state, "output_layer.", dialect), "logistic"))
    return np.concatenate(made).reshape(len(x), *at.output)


@layer("lstm")
def lstm(at: Layer, x: Array) -> Array:
    """Gates f, i, g, o of w (state) and u (input)."""
    h = cell = np.zeros((1, len(at.weights["wf.biases"])))
    made = []
    for row in _unrolled(at, x):
        f, i, g, o = (
            connected_by(at.weights, h, f"w{gate}.") + connected_by(at.weights, row, f"u{gate}.") for gate in "figo"
        )
        cell = logistic(f) * cell + logistic(i) * np.tanh(g)
        h = logistic(o) * np.tanh(cell)
        made.append(h)
    return np.concatenate(made).reshape(len(x), *at.output)


@layer("gru")
def gru(at: Layer, x: Array) -> Array:
    """state = z state + (1 - z) h; the reset stands before the product."""
    state = np.zeros((1, len(at.weights["wz.biases"])))
    made = []
    for row in _unrolled(at, x):
        z = logistic(connected_by(at.weights, row, "uz.") + connected_by(at.weights, state, "wz."))
        r = logistic(connected_by(at.weights, row, "ur.") + connected_by(at.weights, state, "wr."))
        h = connected_by(at.weights, row, "uh.") + connected_by(at.weights, r * state, "wh.")
        h = np.tanh(h) if at.options.int("tanh", 0) else logistic(h)
        state = z * state + (1 - z) * h
        made.append(state)
    return np.concatenate(made).reshape(len(x), *at.output)
