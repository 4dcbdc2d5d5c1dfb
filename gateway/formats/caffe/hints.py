"""What a net says of inputs that are no ordinary numbers: indices, regions, a picture's record, marks of sequences.

Rule 1: only what a layer reads straight from an input is said: behind another layer nothing is known.
Rule 2: a detector sees pixels, in the range that its preprocessing gives them: where numbers a thousand times larger
        come in, boxes are beyond all measure, and which of two stays is decided by their last bit.
Rule 3: where nothing says the range, a net with Proposal is given what py-faster-rcnn makes (0..255 less its mean), any
        other both of what SSDs are trained on: -1..1, and 0..255 less a mean as "large" ones.
"""

from __future__ import annotations

from gateway.core.hints import Hint, Size, pixel_range
from gateway.core.signature import Signature
from gateway.formats.caffe.net import Layer, Net

PLACES = {"Embed": 0, "BatchReindex": 1, "ROIPooling": 1, "Proposal": 2, "LSTM": 1, "RNN": 1}
"""Layers -> which bottom is not just numbers."""
DETECTORS = ("DetectionOutput", "Proposal")
SCALED, LESS_MEAN = (-1.0, 1.0), (-128.0, 152.0)
"""Ranges of pixels: (x - 127.5) / 127.5, and x less 103 to 128."""


def hints(net: Net, signature: Signature) -> dict[str, Hint]:
    """By public name of the input."""
    public = {spec.tensor: spec.name for spec in signature.inputs}
    shapes = {spec.name: spec.shape or () for spec in signature.inputs}
    found: dict[str, Hint] = {}
    if any(layer.type in DETECTORS for layer in net.layers):
        pictures = [s for s in signature.inputs if s.shape is not None and len(s.shape) == 4 and s.shape[1] in (1, 3)]
        found = {spec.name: _pixels(net, signature) for spec in pictures}
    for layer in net.layers:
        place = PLACES.get(layer.type, len(layer.bottoms))
        if place < len(layer.bottoms) and layer.bottoms[place] in public:
            hint = _hint(layer, public, shapes)
            if hint is not None:
                found[public[layer.bottoms[place]]] = hint
    return found


def _pixels(net: Net, signature: Signature) -> Hint:
    if signature.preprocess is not None:
        low, high = pixel_range(signature.preprocess)
        return Hint(role="pixels", low=low, high=high)
    if any(layer.type == "Proposal" for layer in net.layers):
        return Hint(role="pixels", low=LESS_MEAN[0], high=LESS_MEAN[1])
    return Hint(role="pixels", low=SCALED[0], high=SCALED[1], wide=LESS_MEAN)


def _hint(layer: Layer, public: dict[str, str], shapes: dict[str, tuple[int | None, ...]]) -> Hint | None:
    data = public.get(layer.bottoms[0], "")
    if layer.type == "Embed":
        return Hint(int(layer.param("embed_param").last("input_dim", 1)))
    if layer.type == "BatchReindex":
        return Hint((data, 0)) if data else None
    if layer.type in ("LSTM", "RNN"):
        return Hint(2)
    if layer.type == "Proposal":
        stride = float(layer.param("proposal_param").last("feat_stride", 16))
        return Hint(role="picture", sizes=_sides(data, shapes), scale=stride) if data else None
    scale = float(layer.param("roi_pooling_param").last("spatial_scale", 1.0))
    return Hint((data, 0), "regions", sizes=_sides(data, shapes), scale=scale) if data else None


def _sides(name: str, shapes: dict[str, tuple[int | None, ...]]) -> tuple[Size, ...]:
    return tuple(size if size is not None else (name, at) for at, size in enumerate(shapes[name]))[2:4]
