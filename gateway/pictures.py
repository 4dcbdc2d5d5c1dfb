"""From a picture file to a tensor, as the Preprocess data of a signature says.

    decode      bytes -> upright uint8 pixels          refuses what is no picture, too large, animated, of 32 bits
    fitted      pixels -> resized, cropped pixels      the method is named in core/preprocess.py
    tensor      pixels -> one row of an input          the numbers, in the input's dtype
    batch       several files -> one input

Rule 1: a header is read before anything is allocated; a picture that could not be decoded whole is refused.
Rule 2: nothing saturates or wraps silently: 16 bits become the upper 8, what does not fit the input's dtype is refused.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from gateway.core.dtypes import Array, numpy_dtype
from gateway.core.preprocess import Preprocess
from gateway.core.signature import Signature, TensorSpec, format_shape
from gateway.errors import InvalidTensor, TooLarge

MAX_PIXELS = 64_000_000
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
"""Pillow knows more; what strangers may send is kept to what its decoders are well tried on."""
MAX_FILES = 256  # in one request
MAX_ELEMENTS = 4 * MAX_PIXELS  # of the tensor that they become
_RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "area": Image.Resampling.BOX,
}
_SHOWN_MOVING = ("GIF", "PNG", "WEBP", "TIFF")  # a phone's JPEG may carry a second picture: its first is the photo
_BROKEN = (UnidentifiedImageError, OSError, Image.DecompressionBombError, Image.DecompressionBombWarning, ValueError,
           SyntaxError, EOFError)  # fmt: skip


def wanted(signature: Signature) -> tuple[TensorSpec, Preprocess] | None:
    """The input that takes a picture and how; None where the signature does not say. Errors: InvalidTensor."""
    if signature.preprocess is None:
        return None
    preprocess = Preprocess.from_json(signature.preprocess)
    spec = signature.input(preprocess.input) if preprocess.input else signature.inputs[0]
    if spec is None:
        raise InvalidTensor(f"[preprocess] names the input {preprocess.input!r}, which this model does not have.")
    return spec, preprocess


def load(path: Path, preprocess: Preprocess, spec: TensorSpec) -> Array:
    """A picture file as a batch of one in `spec`'s dtype; see `read`."""
    try:
        return read(path.read_bytes(), path.name, preprocess, spec)
    except OSError as error:
        raise InvalidTensor(f"{path.name} is not a picture that can be read: {error}.") from error


def read(data: bytes, name: str, preprocess: Preprocess, spec: TensorSpec) -> Array:
    """A picture as a batch of one in `spec`'s dtype.

    Without `resize` and `crop` the size that `spec` fixes is used; without that the picture's own.
    Errors: InvalidTensor for bytes that are no picture or too large.
    """
    pixels = decode(data, name, exif=preprocess.exif, gray=preprocess.colour == "gray")
    return tensor(pixels, preprocess, spec)[None]


def batch(files: Sequence[bytes], name: str, preprocess: Preprocess, spec: TensorSpec) -> Array:
    """Several picture files as one input, in order. Errors: InvalidTensor that names the first that is wrong, or
    sizes that differ where neither [preprocess] nor the input's shape sets one."""
    if not files or len(files) > MAX_FILES:
        raise TooLarge(f"{name}: {len(files)} pictures, expected 1 to {MAX_FILES} in one request.")
    rows: list[Array] = []
    for at, data in enumerate(files, start=1):
        row = read(data, f"{name} {at}" if len(files) > 1 else name, preprocess, spec)
        if row.size * len(files) > MAX_ELEMENTS:
            raise TooLarge(f"{name}: {len(files)} pictures of {row.size} numbers each, at most {MAX_ELEMENTS} in all.")
        rows.append(row)
    sizes = sorted({row.shape[1:] for row in rows})
    if len(sizes) > 1:
        raise InvalidTensor(
            f"{name}: the pictures of one batch become {', '.join(map(format_shape, sizes[:4]))}, expected one shape.",
            hint="Send them one by one, or give a resize in [preprocess] of the model's model.toml.",
        )
    return np.concatenate(rows)


def decode(data: bytes, name: str, *, exif: bool = True, gray: bool = False) -> Array:
    """(height, width, 3) uint8 in RGB order, or (height, width, 1) for `gray`; upright by its EXIF orientation.

    CMYK, palettes and 16 bits are converted; transparency is dropped. Errors: InvalidTensor.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise InvalidTensor(
                    f"{name} has {picture.width}x{picture.height} pixels, at most {MAX_PIXELS} are taken."
                )
            if picture.format in _SHOWN_MOVING and getattr(picture, "is_animated", False):
                raise InvalidTensor(
                    f"{name} is a {picture.format} of {getattr(picture, 'n_frames', 'several')} frames, "
                    "expected one picture.",
                    hint="Send one frame.",
                )
            picture.load()
            upright = ImageOps.exif_transpose(picture) if exif else picture
            return _pixels(upright, name, "L" if gray else "RGB")
    except _BROKEN as error:
        raise InvalidTensor(f"{name} is not a picture that can be read: {_why(error)}.") from error


def _pixels(picture: Image.Image, name: str, mode: str) -> Array:
    if picture.mode.startswith("I;16") or (picture.mode == "I" and picture.format in ("PNG", "PPM")):
        deep = np.asarray(picture)  # of 16 bits: Pillow would cut all above 255 off
        picture = Image.fromarray((deep >> 8).astype(np.uint8))
    elif picture.mode in ("I", "F"):
        raise InvalidTensor(f"{name} has 32 bits a pixel ({picture.mode}), expected 8 or 16 bits a channel.")
    elif picture.mode == "P" and "transparency" in picture.info:
        picture = picture.convert("RGBA")
    array = np.asarray(picture.convert(mode))
    return array[:, :, None] if array.ndim == 2 else array


def _why(error: Exception) -> str:
    """Pillow's text names an object in memory where it did not recognise the bytes."""
    return "its format is not known" if isinstance(error, UnidentifiedImageError) else str(error).rstrip(".")


def tensor(pixels: Array, preprocess: Preprocess, spec: TensorSpec) -> Array:
    """RGB (or gray) uint8 pixels as one row of `spec`, without its batch axis. Errors: InvalidTensor.

    A pipeline's pictures are RGB whoever takes them: where [preprocess] says gray they become what `decode` gives.
    """
    if preprocess.colour == "gray" and pixels.shape[2] == 3:
        pixels = np.asarray(Image.fromarray(pixels).convert("L"))[:, :, None]
    shown = fitted(pixels, preprocess, spec)
    if preprocess.colour == "bgr":
        shown = shown[:, :, ::-1]
    return cast(preprocess.normalise(shown), spec)


def cast(numbers: Array, spec: TensorSpec) -> Array:
    """float32 numbers in `spec`'s dtype, rounded for whole numbers. Errors: InvalidTensor where they do not fit."""
    kind = numpy_dtype(spec.dtype)
    if kind.kind not in "iu":
        return numbers.astype(kind, copy=False)
    whole, bounds = np.rint(numbers), np.iinfo(kind)
    if whole.size and (whole.min() < bounds.min or whole.max() > bounds.max):
        raise InvalidTensor(
            f"[preprocess] makes numbers from {whole.min():g} to {whole.max():g}, which {spec} does not hold.",
            hint="Set scale, mean and std so that 0..255 fits the input's dtype.",
        )
    return whole.astype(kind)


def fitted(pixels: Array, preprocess: Preprocess, spec: TensorSpec) -> Array:
    """Resized and cropped; channels stay. float32 only where a letterbox's fill is no whole number.

    Errors: InvalidTensor for a crop that is larger than the picture.
    """
    size, method = preprocess.resize, preprocess.interpolation
    if size is None and preprocess.crop is None:
        height, width = preprocess.height_and_width(spec.shape)
        size = (height, width) if height is not None and width is not None else None
    if size is not None and preprocess.fit == "letterbox":
        pixels = _letterbox(pixels, size, preprocess)
    elif size is not None and preprocess.fit == "cover":
        pixels = resized(pixels, _keeping(pixels.shape, size, max), method)
        pixels = pixels if preprocess.crop is not None else _centre_crop(pixels, size)
    elif size is not None:
        pixels = resized(pixels, size, method)
    return pixels if preprocess.crop is None else _centre_crop(pixels, preprocess.crop)


def resized(pixels: Array, size: tuple[int, int], method: str) -> Array:
    """uint8 (height, width, channels) to `size` (height, width)."""
    if pixels.shape[:2] == size:
        return pixels
    if method in _RESAMPLING:
        flat = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
        made = np.asarray(Image.fromarray(flat).resize((size[1], size[0]), _RESAMPLING[method]))
        return made[:, :, None] if made.ndim == 2 else made
    corners = method == "bilinear-corners"
    x = _two_taps(pixels.astype(np.float32), size[0], 0, corners)
    return np.rint(_two_taps(x, size[1], 1, corners)).astype(np.uint8)


def _two_taps(x: Array, count: int, axis: int, corners: bool) -> Array:
    """Linear along one axis, without averaging when it becomes smaller."""
    given = x.shape[axis]
    if corners:
        at = np.arange(count) * ((given - 1) / max(count - 1, 1))
    else:
        at = np.clip((np.arange(count) + 0.5) * (given / count) - 0.5, 0, given - 1)
    low = np.floor(at).astype(np.intp)
    high = np.minimum(low + 1, given - 1)
    part = (at - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(x.ndim)])
    made: Array = x.take(low, axis) * (1 - part) + x.take(high, axis) * part
    return made


def _keeping(shape: tuple[int, ...], size: tuple[int, int], choose: Callable[[float, float], float]) -> tuple[int, int]:
    """`size` with the picture's aspect ratio: the side that is not exact is rounded down."""
    height, width = shape[:2]
    by_height = choose(size[0] / height, size[1] / width) == size[0] / height
    if by_height:
        return size[0], max(1, size[0] * width // height)
    return max(1, size[1] * height // width), size[1]


def _letterbox(pixels: Array, size: tuple[int, int], preprocess: Preprocess) -> Array:
    made = resized(pixels, _keeping(pixels.shape, size, min), preprocess.interpolation)
    fill = preprocess.fill[::-1] if preprocess.colour == "bgr" else preprocess.fill  # bgr is turned afterwards
    whole = all(float(number).is_integer() for number in fill)
    canvas = np.empty((*size, pixels.shape[2]), np.uint8 if whole else np.float32)
    canvas[...] = np.asarray(fill, canvas.dtype)
    top, left = (size[0] - made.shape[0]) // 2, (size[1] - made.shape[1]) // 2
    canvas[top : top + made.shape[0], left : left + made.shape[1]] = made
    return canvas


def _centre_crop(pixels: Array, size: tuple[int, int]) -> Array:
    (height, width), (tall, wide) = size, pixels.shape[:2]
    if tall < height or wide < width:
        raise InvalidTensor(f"the picture has {wide}x{tall} pixels after resizing, the crop needs {width}x{height}.")
    top, left = (tall - height) // 2, (wide - width) // 2
    return pixels[top : top + height, left : left + width]
