"""Writes Darknet networks: any layer at will, in both dialects, with seeded weights that keep numbers near one.

    net = Net(width=32, height=32, channels=3)
    net.add("convolutional", filters=8, size=3, stride=1, pad=1, activation="leaky", batch_normalize=1)
    net.add("yolo", mask="0,1", anchors="10,14, 23,27", classes=3, num=2)
    cfg, weights = net.save(folder)

Rule 1: sizes and the order of arrays are worked out here, from Darknet's C, and not by the reader: a
        mistake in one of the two shows in the other.
Rule 2: given `arrays` are written as they are; what is not given is drawn, the same for the same seed.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
PJREDDIE, ALEXEYAB = "pjreddie", "AlexeyAB"
STATISTICS = ("scales", "rolling_mean", "rolling_variance")
SHRINKS = {"leaky": 0.51, "relu": 0.5, "mish": 0.4, "swish": 0.36, "logistic": 0.3, "tanh": 0.4}
"""E[f(x)^2] of a normal x, by activation; 1 for the others."""


@dataclass
class Written:
    """One layer: its (c, h, w), the mean square of what it gives, and its arrays in the order of the file."""

    kind: str
    options: dict[str, Any]
    shape: tuple[int, int, int]
    power: float
    arrays: list[tuple[str, Array]] = field(default_factory=list)


class Net:
    """A network in the making. `dialect` decides sizes and order; options of [net] are keyword arguments."""

    def __init__(self, dialect: str = PJREDDIE, seed: int = 0, **options: Any) -> None:
        self.dialect = dialect
        self.random = np.random.default_rng(seed)
        self.options = {"batch": 64, "subdivisions": 16, **options}
        sides = tuple(int(options.get(key, 0)) for key in ("channels", "height", "width"))
        self.input = sides if all(sides) else (int(options.get("inputs", 0)), 1, 1)
        self.layers: list[Written] = []

    # -- layers ----------------------------------------------------------------------------

    def add(self, kind: str, arrays: Mapping[str, Array] | None = None, /, **options: Any) -> int:
        """The index of the new layer. `from_` is Darknet's `from`. `arrays` by name take the place of drawn ones."""
        options = {key.rstrip("_"): value for key, value in options.items()}
        make = getattr(self, f"_{kind.lower()}", None)
        given = {} if arrays is None else dict(arrays)
        sources = self._sources(options)
        written = make(options, sources) if make else self._same(options, sources)
        written.kind = kind
        stored = [(name, given.pop(name, drawn)) for name, drawn in written.arrays]
        assert not given, f"[{kind}] stores no {', '.join(given)}, only {', '.join(n for n, _ in stored)}"
        written.arrays = [(name, np.asarray(array, "<f4")) for name, array in stored]
        self.layers.append(written)
        return len(self.layers) - 1

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the last layer."""
        return self.layers[-1].shape if self.layers else self.input  # type: ignore[return-value]

    def _power(self) -> float:
        return self.layers[-1].power if self.layers else 0.33

    def _sources(self, options: Mapping[str, Any]) -> list[Written]:
        text = options.get("layers", options.get("from", ""))
        numbers = [int(item) for item in str(text).split(",") if item.strip()]
        return [self.layers[number if number >= 0 else len(self.layers) + number] for number in numbers]

    def _same(self, options: Mapping[str, Any], sources: Sequence[Written]) -> Written:
        return Written("", dict(options), self.shape, self._power() * SHRINKS.get(options.get("activation", ""), 1.0))

    def _convolutional(self, options: Mapping[str, Any], sources: Sequence[Written]) -> Written:
        c, h, w = self.shape
        n, k = int(options.get("filters", 1)), int(options.get("size", 1))
        pad = k // 2 if options.get("pad") else int(options.get("padding", 0))
        strides = [int(options.get("stride", 1))] * 2
        new = self.dialect == ALEXEYAB
        if new:
            given = [int(options.get(key, 0)) for key in ("stride_y", "stride_x")]
            strides = [own if own >= 1 else strides[0] for own in given]
        blur = int(options.get("antialiasing", 0)) if new else 0
        sides = [
            (side + 2 * pad - k) // (1 if blur else stride) + 1 for side, stride in zip((h, w), strides, strict=True)
        ]
        if blur:
            blur_size, blur_pad = (2, 0) if blur == 2 else (3, 1)
            sides = [(s + 2 * blur_pad - blur_size) // t + 1 for s, t in zip(sides, strides, strict=True)]
        groups = max(1, int(options.get("groups", 1)))
        arrays = [] if "share_index" in options and new else self._conv(options, n, c, k, groups)
        return Written("", dict(options), (n, sides[0], sides[1]), self._after(options), arrays)

    def _conv(self, options: Mapping[str, Any], n: int, c: int, k: int, groups: int = 1) -> list[tuple[str, Array]]:
        std = 1 / np.sqrt(c // groups * k * k * self._power())
        weights = self.random.normal(0, std, (n, c // groups, k, k))
        return [("biases", self.random.normal(0, 0.1, n)), *self._normalised(options, n), ("weights", weights)]

    def _normalised(self, options: Mapping[str, Any], n: int) -> list[tuple[str, Array]]:
        if not options.get("batch_normalize") or options.get("dontloadscales"):
            return []
        drawn = (self.random.uniform(0.5, 1.5, n), self.random.normal(0, 0.1, n), self.random.uniform(0.5, 1.5, n))
        return list(zip(STATISTICS, drawn, strict=True))

    def _after(self, options: Mapping[str, Any]) -> float:
        return 1.15 * SHRINKS.get(options.get("activation", "logistic"), 1.0)

    def _deconvolutional(self, options: Mapping[str, Any], sources: Sequence[Written]) -> Written:
        c, h, w = self.shape
        n, k, s = int(options["filters"]), int(options.get("size", 1)), int(options.get("stride", 1))
        pad = k // 2 if options.get("pad") else int(options.get("padding", 0))
        arrays = self._conv(options, n, c, k)
        arrays[-1] = ("weights", self.random.normal(0, s / np.sqrt(c * k * k * self._power()), (c, n, k, k)))
        shape = (n, (h - 1) * s + k - 2 * pad, (w - 1) * s + k - 2 * pad)
        return Written("", dict(options), shape, self._after(options), arrays)

    def _connected(self, options: Mapping[str, Any], sources: Sequence[Written]) -> Written:
        n = int(options["output"])
        arrays = self._matrix(options, int(np.prod(self.shape)), n)
        return Written("", dict(options), (n, 1, 1), self._after(options), arrays)

    def _matrix(self, options: Mapping[str, Any], inputs: int, n: int) -> list[tuple[str, Array]]:
        weights = self.random.normal(0, 1 / np.sqrt(inputs * max(self._power(), 0.1)), (n, inputs))
        return [("biases", self.random.normal(0, 0.1, n)), ("weights", weights), *self._normalised(options, n)]

    def _batchnorm(self, options: Mapping[str, Any], sources: Sequence[Written]) -> Written:
        arrays = self._normalised({"batch_normalize": 1}, self.shape[0])
        return Written("", dict(options), self.shape, self._power(), arrays)

    def _local(self, options: Mapping[str, Any], sources: Sequence[Written]) -> Written:
        c, h, w = self.shape
        n, k, s = int(options["filters"]), int(options.get("size", 1)), int(options.get("stride", 1))
        sides = [(side - 1 if options.get("pad") else side - k) // s + 1 for side in (h, w)]
        weights = self.random.normal(0, 1 / np.sqrt(c * k * k * self._power()), (sides[0] * sides[1], n, c, k, k))
        arrays = [("biases", self.random.normal(0, 0.1, (n, *sides))), ("weights", weights)]
        return Written("", dict(options), (n, sides[0], sides[1]), self._after(options), arrays)

    def _maxpool(self, options: Mapping[str, Any], sources: Sequence[Written]) -> Written:
        c, h, w = self.shape
        new = self.dialect == ALEXEYAB
        stride = int(options.get("stride", 1))
        strides = [int(options.get(key, stride)) if new else stride for key in ("stride_y", "stride_x")]
        size = int(options.get("size", stride))
        padding = int(options.get("padding", size - 1))
        if new and options.get("maxpool_depth"):
            return Written("", dict(options), (int(options.get("out_channels", 1)), h, w), 1.5 * self._power())
        blur = int(options.get("antialiasing", 0)) if new else 0
        sides = [(v + padding - size) // (1 if blur else s) + 1 for v, s in zip((h, w), strides, strict=True)]
        if blur:
            blur_size, blur_pad = (2, 0) if blur == 2 else (3, 1)
            sides = [(v + 2 * blur_pad - blur_size) // s + 1 for v, s in zip(sides, strides, strict=True)]
        return Written("", dict(options), (c, sides[0], sides[1]), 1.5 * self._power())

    _max = _local_avgpool = _maxpool
    _conv_ = _convolutional

    def _avgpool(self, options: Mapping[str, Any], sources: Sequence[Written]) -> Written:
        return Written("", dict(options), (self.shape[0], 1, 1), 0.3 * self._power())

    def _route(self, options: Mapping[str, Any], sources: Sequence[Written]) -> Written:
        groups = int(options.get("groups", 1)) if self.dialect == ALEXEYAB else 1
        channels = sum(source.shape[0] // groups for source in sources)
        return Written("", dict(options), (channels, *sources[0].shape[1:]), float(np.mean([s.power for s in sources])))

    def _shortcut(self, options: Mapping[str, Any], sources: Sequence[Written]) -> Written:
        power = (self._power() + sum(source.power for source in sources)) * SHRINKS.get(
            options.get("activation", ""), 1
        )
        kind = options.get("weights_type", "none") if self.dialect == ALEXEYAB else "none"
        count = (len(sources) + 1) * (self.shape[0] if kind == "per_channel" else 1)
        drawn = [] if kind == "none" else [("weights", self.random.normal(0.5, 0.5, count))]
        return Written("", dict(options), self.shape, power, drawn)

    def _scale_channels(self, options: Mapping[str, Any], sources: Sequence[Written]) -> Written:
        return Written("", dict(options), sources[0].shape, self._power() * sources[0].power)

    _sam = _scale_channels

    def _upsample(self, options: Mapping[str, Any], sources: Sequence[Written]) -> Written:
        c, h, w = self.shape
        s = int(options.get("stride", 2))
        shape = (c, h * s, w * s) if s > 0 else (c, h // -s, w // -s)
        return Written("", dict(options), shape, self._power() * float(options.get("scale", 1)) ** 2)

    def _reorg(self, options: Mapping[str, Any], sources: Sequence[Written]) -> Written:
        c, h, w = self.shape
        s = int(options.get("stride", 1))
        shape = (c // s**2, h * s, w * s) if options.get("reverse") else (c * s**2, h // s, w // s)
        return Written("", dict(options), shape, self._power())

    _reorg3d = _reorg

    def _crop(self, options: Mapping[str, Any], sources: Sequence[Written]) -> Written:
        shape = (self.shape[0], int(options["crop_height"]), int(options["crop_width"]))
        return Written("", dict(options), shape, self._power())

    def _implicit(self, options: Mapping[str, Any], sources: Sequence[Written]) -> Written:
        n, atoms = int(options.get("filters", 128)), int(options.get("atoms", 1))
        return Written("", dict(options), (n, atoms, 1), 1.0, [("weights", self.random.normal(0, 1, n * atoms))])

    def _detection(self, options: Mapping[str, Any], sources: Sequence[Written]) -> Written:
        return Written("", dict(options), (int(np.prod(self.shape)), 1, 1), self._power())

    def _rnn(self, options: Mapping[str, Any], sources: Sequence[Written]) -> Written:
        n = int(options["output"])
        hidden = int(options.get("hidden", 1)) if self.dialect == ALEXEYAB else n
        parts = (
            ("input_layer", int(np.prod(self.shape)), hidden),
            ("self_layer", hidden, hidden),
            ("output_layer", hidden, n),
        )
        arrays = [(f"{part}.{name}", a) for part, i, o in parts for name, a in self._matrix(options, i, o)]
        return Written("", dict(options), (n, 1, 1), self._after(options), arrays)

    def _crnn(self, options: Mapping[str, Any], sources: Sequence[Written]) -> Written:
        c, h, w = self.shape
        new = self.dialect == ALEXEYAB
        hidden = int(options["hidden" if new else "hidden_filters"])
        n = int(options["output" if new else "output_filters"])
        k = int(options.get("size", 3)) if new else 3
        groups = int(options.get("groups", 1)) if new else 1
        parts = (("input_layer", c, hidden), ("self_layer", hidden, hidden), ("output_layer", hidden, n))
        arrays = [(f"{part}.{name}", a) for part, i, o in parts for name, a in self._conv(options, o, i, k, groups)]
        return Written("", dict(options), (n, h, w), self._after(options), arrays)

    def _gated(self, options: Mapping[str, Any], order: Sequence[str]) -> Written:
        n, inputs = int(options["output"]), int(np.prod(self.shape))
        sizes = {"u": inputs, "w": n}
        arrays = [(f"{gate}.{name}", a) for gate in order for name, a in self._matrix(options, sizes[gate[0]], n)]
        return Written("", dict(options), (n, 1, 1), 0.3, arrays)

    def _lstm(self, options: Mapping[str, Any], sources: Sequence[Written]) -> Written:
        order = "wf wi wg wo uf ui ug uo" if self.dialect == ALEXEYAB else "wi wf wo wg ui uf uo ug"
        return self._gated(options, order.split())

    def _gru(self, options: Mapping[str, Any], sources: Sequence[Written]) -> Written:
        return self._gated(options, ("uz ur uh wz wr wh" if self.dialect == ALEXEYAB else "wz wr wh uz ur uh").split())

    # -- files -----------------------------------------------------------------------------

    def cfg(self) -> str:
        parts = [_section("net", self.options), *(_section(layer.kind, layer.options) for layer in self.layers)]
        return "\n".join(parts)

    def weights(self, version: tuple[int, int, int] | None = None, seen: int = 8) -> bytes:
        """The whole file. `seen` is the width of that number; the version of the dialect's own program by default."""
        version = version or ((0, 2, 5) if self.dialect == ALEXEYAB else (0, 2, 0))
        arrays = [array for layer in self.layers for _, array in layer.arrays]
        return b"".join([header(version, seen), *(array.astype("<f4").tobytes() for array in arrays)])

    def save(
        self, folder: Path, name: str = "net", version: tuple[int, int, int] | None = None, seen: int = 8
    ) -> tuple[Path, Path]:
        """(cfg, weights) as files."""
        folder.mkdir(parents=True, exist_ok=True)
        cfg, weights = folder / f"{name}.cfg", folder / f"{name}.weights"
        cfg.write_text(self.cfg())
        weights.write_bytes(self.weights(version, seen))
        return cfg, weights


def header(version: tuple[int, int, int] = (0, 2, 0), seen: int = 8) -> bytes:
    return struct.pack("<iii", *version) + (32013312).to_bytes(seen, "little")


def _section(kind: str, options: Mapping[str, Any]) -> str:
    return "\n".join([f"[{kind}]", *(f"{key}={value}" for key, value in options.items()), ""])
