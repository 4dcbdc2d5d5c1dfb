"""Statistics that fit, as training leaves them: numbers near one in every layer, heads within what boxes are made of.

Drawn ones let a network of a hundred layers grow until the exponents of its boxes overflow. Here a few pictures pass
through it, and each batch normalisation gets the mean and variance that it sees, a little off, so that none is 0 or 1.

Rule 1: only `rolling_mean`, `rolling_variance` and the size of heads are changed; everything else stays as drawn.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from gateway.formats.darknet import interpret
from gateway.formats.darknet.interpret_layers import BY_DIALECT, TABLE, convolved
from gateway.formats.darknet.network import Layer, read
from tests.formats.darknet.writer import Net, Written

SIDE, COARSE = 128, 8
OFF = (0.8, 1.25)  # times the variance that was seen
LEAST = 0.25  # of the mean square over all channels, added: few pictures show less variance than many
HEAD = 0.02  # deviation of what heads give: exponents of boxes stay small on black and white noise of any size too


def fit(net: Net, folder: Path) -> None:
    """`net`, its arrays changed. `folder` is for its files meanwhile."""
    network = read(*net.save(folder), size=(net.input[0], SIDE, SIDE))
    assert interpret.missing(network) == {}
    random = np.random.default_rng(len(network.layers))
    pictures = _pictures(random, net.input[0])
    values = {-1: pictures}
    for written, layer in zip(net.layers, network.layers, strict=True):
        inputs = [values[source] for source in layer.sources]
        if layer.type == "convolutional":
            layer = _fitted(written, layer, inputs[0], random)
        function = TABLE[layer.type]
        if layer.type in BY_DIALECT:
            function = partial(function, dialect=network.dialect)
        made = np.asarray(function(layer, *inputs))
        values[layer.index] = made.reshape(len(pictures), *layer.output)


def _pictures(random: np.random.Generator, channels: int) -> np.ndarray:
    """In 0..1: plain areas with noise over them, noise alone, black and white, nothing. What a network has not seen
    makes it grow layer by layer."""
    shape = (channels, SIDE, SIDE)
    areas = random.random((channels, SIDE // COARSE, SIDE // COARSE)).repeat(COARSE, 1).repeat(COARSE, 2)
    contrast = np.asarray(random.random(shape) > 0.5, np.float64)
    return np.stack([0.7 * areas + 0.3 * random.random(shape), random.random(shape), contrast, np.zeros(shape)])


def _fitted(written: Written, layer: Layer, x: np.ndarray, random: np.random.Generator) -> Layer:
    arrays = dict(written.arrays)
    plain = {"weights": layer.weights["weights"], "biases": np.zeros_like(layer.weights["biases"])}
    seen = convolved(layer, x, plain, layer.output[1:])
    if "scales" in arrays:
        variance = (seen.var((0, 2, 3)) + LEAST * (seen**2).mean()) * random.uniform(*OFF, seen.shape[1])
        arrays |= {"rolling_mean": seen.mean((0, 2, 3)), "rolling_variance": variance}
    else:
        arrays["weights"] = arrays["weights"] * (HEAD / seen.std())
    written.arrays = [(name, np.asarray(array, "<f4")) for name, array in arrays.items()]
    return replace(layer, weights={**layer.weights, **dict(written.arrays)})
