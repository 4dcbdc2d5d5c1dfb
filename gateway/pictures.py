"""From a picture file to a tensor, as the Preprocess data of a signature says."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from gateway.core.dtypes import Array, numpy_dtype
from gateway.core.preprocess import Preprocess
from gateway.core.signature import TensorSpec
from gateway.errors import InvalidTensor

MAX_PIXELS = 64_000_000
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
"""Pillow knows more; what strangers may send is kept to what its decoders are well tried on."""
_RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "area": Image.Resampling.BOX,
}


def load(path: Path, preprocess: Preprocess, spec: TensorSpec) -> Array:
    """A picture file as a batch of one in `spec`'s dtype; see `read`."""
    try:
        return read(path.read_bytes(), path.name, preprocess, spec)
    except OSError as error:
        raise InvalidTensor(f"{path.name} is not a picture that can be read: {error}.") from error


def read(data: bytes, name: str, preprocess: Preprocess, spec: TensorSpec) -> Array:
    """A picture as a batch of one in `spec`'s dtype.

    Turned upright by its EXIF orientation. Without `resize` the size that `spec` fixes is used;
    without that the picture's own. Errors: InvalidTensor for bytes that are no picture or too large.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise InvalidTensor(
                    f"{name} has {picture.width}x{picture.height} pixels, at most {MAX_PIXELS} are taken."
                )
            picture.load()
            upright = ImageOps.exif_transpose(picture)
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError, ValueError, SyntaxError, EOFError) as error:
        raise InvalidTensor(f"{name} is not a picture that can be read: {_why(error)}.") from error
    pixels = upright.convert("L" if preprocess.colour == "gray" else "RGB")
    size = preprocess.resize
    if size is None and preprocess.crop is None:
        size = _fixed_size(spec, preprocess.layout)
    if size is not None:
        pixels = pixels.resize((size[1], size[0]), _RESAMPLING[preprocess.interpolation])
    if preprocess.crop is not None:
        pixels = _centre_crop(pixels, preprocess.crop)
    array = np.asarray(pixels)
    array = array[:, :, None] if array.ndim == 2 else array
    if preprocess.colour == "bgr":
        array = array[:, :, ::-1]
    tensor = preprocess.normalise(array)[None]
    return tensor.astype(numpy_dtype(spec.dtype), copy=False)


def _why(error: Exception) -> str:
    """Pillow's text names an object in memory where it did not recognise the bytes."""
    return "its format is not known" if isinstance(error, UnidentifiedImageError) else str(error)


def _fixed_size(spec: TensorSpec, layout: str) -> tuple[int, int] | None:
    """(height, width) where the input's shape fixes both."""
    if spec.shape is None or len(spec.shape) != 4:
        return None
    height, width = spec.shape[2:] if layout == "nchw" else spec.shape[1:3]
    return (height, width) if height is not None and width is not None else None


def _centre_crop(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    height, width = size
    if picture.height < height or picture.width < width:
        raise InvalidTensor(
            f"the picture has {picture.width}x{picture.height} pixels after resizing, the crop needs {width}x{height}."
        )
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, top, left + width, top + height))
