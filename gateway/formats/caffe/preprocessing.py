"""How a picture becomes the net's input, where the files say it: transform_param and a mean file.

Caffe computes (pixel - mean) * scale over BGR in 0..255; here that is pixel * scale - scale * mean.

Rule 1: all of it or nothing: where a mean file is named and not there, no preprocessing is recorded, and a warning
        says so.
Rule 2: a mean picture becomes its mean a channel; a Fact says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway.core.artifact import Fact
from gateway.core.preprocess import Preprocess
from gateway.core.signature import TensorSpec
from gateway.errors import CorruptModel
from gateway.formats.caffe.net import Net
from gateway.formats.caffe.wire import mean_image


def preprocess(
    net: Net, inputs: Sequence[TensorSpec], means: Sequence[Path], facts: list[Fact], warnings: list[str]
) -> dict[str, Any] | None:
    """The record for the first input that is a picture, or None. `means` are .binaryproto files of the drop."""
    picture = next((s for s in inputs if s.shape is not None and len(s.shape) == 4 and s.shape[1] in (1, 3)), None)
    if picture is None:
        return None
    transform = next(each.transform for each in net.inputs if each.name == picture.tensor)
    if not transform and not means:
        return None
    assert picture.shape is not None
    channels = picture.shape[1] or 3
    named = Path(str(transform.last("mean_file", ""))).name
    mean = tuple(float(value) for value in transform.all("mean_value"))
    resize: tuple[int, int] | None = None
    if named and named not in [path.name for path in means] and len(means) != 1:
        warnings.append(f"{net.file} names the mean file {named}, which is not here: say [preprocess] in model.toml.")
        return None
    if means and not mean:
        if len(means) > 1 and not named:
            listing = ", ".join(path.name for path in means)
            warnings.append(f"{len(means)} mean files and nothing that says which: {listing}.")
            return None
        path = next((path for path in means if path.name == named), means[0])
        mean, resize = _mean_of(path, channels, facts)
    if len(mean) not in (0, 1, channels):
        raise CorruptModel(f"{net.file} has {len(mean)} mean_value for {channels} channels.")
    scale = float(transform.last("scale", 1.0))
    sides = picture.shape[2:]
    crop = (int(sides[0]), int(sides[1])) if None not in sides and (resize or "crop_size" in transform) else None  # type: ignore[arg-type]
    found = Preprocess(
        input=picture.name,
        resize=resize if resize and crop and resize >= crop else None,
        crop=crop,
        colour="gray" if channels == 1 else "bgr",
        scale=scale,
        mean=tuple(scale * value for value in mean) or (0.0,),
    )
    facts.append(Fact("preprocessing", f"{found.colour}, scale {scale:g}, mean {list(found.mean)}", net.file))
    return found.to_json()


def _mean_of(path: Path, channels: int, facts: list[Fact]) -> tuple[tuple[float, ...], tuple[int, int] | None]:
    """(mean a channel, height and width of the mean picture)."""
    picture = mean_image(path)
    while picture.ndim > 3 and picture.shape[0] == 1:
        picture = picture[0]
    if picture.ndim not in (1, 3) or picture.shape[0] != channels:
        raise CorruptModel(
            f"{path.name} is a mean of the shape {list(picture.shape)}; the input has {channels} channels."
        )
    mean = tuple(float(value) for value in picture.reshape(channels, -1).mean(axis=1))
    if picture.ndim == 1 or picture.shape[1:] == (1, 1):
        return mean, None
    height, width = int(picture.shape[1]), int(picture.shape[2])
    facts.append(Fact("mean", "the mean a channel of a mean picture", f"{path.name}, {height} x {width}"))
    return mean, (height, width)
