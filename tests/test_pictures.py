"""Picture files -> tensors: what is refused and in which words, what is converted, how sizes are fitted."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gateway import pictures
from gateway.core.preprocess import Preprocess
from gateway.core.signature import parse_spec
from gateway.errors import InvalidTensor, TooLarge

RAMP = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3) * 3


def file(pixels: Any, kind: str = "PNG", **options: Any) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that says it is so large, and holds nothing."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
        + struct.pack(">I", 99)
        + b"IDAT"
    )


def frames(kind: str) -> bytes:
    more = [Image.fromarray(255 - RAMP)]
    return file(RAMP, kind, save_all=True, append_images=more)


def rotated(orientation: int) -> bytes:
    """RAMP as a camera stores it that was held otherwise: `orientation` 6 is 90 degrees, to be turned clockwise."""
    image = Image.fromarray(RAMP)
    exif = image.getexif()
    exif[0x0112] = orientation
    turned = image.transpose({6: Image.Transpose.ROTATE_90, 3: Image.Transpose.ROTATE_180}[orientation])
    return file(turned, exif=exif)


GRAY16 = (np.arange(16, dtype=np.uint16).reshape(4, 4) * 4096).astype(np.uint16)
REFUSED = {
    "a text file": (b"hello, I am a text", "is not a picture that can be read: its format is not known"),
    "nothing": (b"", "is not a picture that can be read"),
    "cut short": (file(RAMP.repeat(40, 0).repeat(40, 1), "JPEG")[:600], "runcated"),
    "a PNG cut short": (file(RAMP.repeat(40, 0))[:-30], "is not a picture that can be read"),
    "a bomb": (png_header(60_000, 60_000), "exceeds limit of"),
    "more pixels than are taken": (png_header(20_000, 4_000), "has 20000x4000 pixels, at most 64000000 are taken"),
    "an animated GIF": (frames("GIF"), "is a GIF of 2 frames, expected one picture"),
    "an animated PNG": (frames("PNG"), "is a PNG of 2 frames, expected one picture"),
    "an animated WebP": (frames("WEBP"), "is a WEBP of 2 frames, expected one picture"),
    "32 bits a pixel": (file(Image.fromarray(np.ones((2, 2), np.float32)), "TIFF"), "has 32 bits a pixel (F)"),
    "a vector picture": (b"%!PS-Adobe-3.0 EPSF-3.0\n", "its format is not known"),
}


@pytest.mark.parametrize(("data", "says"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(data: bytes, says: str) -> None:
    with pytest.raises(InvalidTensor, match="photo") as found:
        pictures.decode(data, "photo")
    assert says in found.value.message


SAME = {
    "PNG": file(RAMP),
    "BMP": file(RAMP, "BMP"),
    "WebP, lossless": file(RAMP, "WEBP", lossless=True),
    "turned by 90 degrees": rotated(6),
    "turned by 180 degrees": rotated(3),
    "transparency is dropped": file(np.dstack([RAMP, np.full((4, 6, 1), 9, np.uint8)])),
}


@pytest.mark.parametrize("data", SAME.values(), ids=SAME.keys())
def test_decoded(data: bytes) -> None:
    np.testing.assert_array_equal(pictures.decode(data, "photo"), RAMP, strict=True)


def test_exif_may_be_ignored() -> None:
    assert pictures.decode(rotated(6), "photo", exif=False).shape == (6, 4, 3)


def test_sixteen_bits_become_eight() -> None:
    """Pillow's own conversion would make 255 of everything above 255."""
    found = pictures.decode(file(GRAY16), "photo", gray=True)
    np.testing.assert_array_equal(found[:, :, 0], (GRAY16 >> 8).astype(np.uint8), strict=True)


def test_colours_for_a_gray_input_are_what_the_file_itself_gives() -> None:
    """A pipeline decodes once, in colour; the net that takes gray sees the same numbers as from the file."""
    noise = np.random.default_rng(3).integers(0, 256, (9, 7, 3), np.uint8)
    how, spec = Preprocess(colour="gray", resize=(4, 5)), parse_spec("x:float32[?,1,4,5]")
    data = file(noise)
    found = pictures.tensor(pictures.decode(data, "photo"), how, spec)
    np.testing.assert_allclose(found[None], pictures.read(data, "photo", how, spec), rtol=0, atol=0, strict=True)


def test_cmyk_becomes_rgb() -> None:
    """Red, by ink: no cyan, all magenta and yellow."""
    ink = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    found = pictures.decode(file(ink, "JPEG", quality=100), "photo")
    assert found.shape == (8, 8, 3)
    np.testing.assert_allclose(found[4, 4], [255, 0, 0], atol=3)


ONE = parse_spec("x:float32[?,3,?,?]")


def test_one_pixel_fills_the_input() -> None:
    data = file(np.full((1, 1, 3), 7, np.uint8))
    found = pictures.read(data, "photo", Preprocess(), parse_spec("x:float32[?,3,4,5]"))
    np.testing.assert_array_equal(found, np.full((1, 3, 4, 5), 7, np.float32), strict=True)


def test_a_letterbox() -> None:
    """4x6 into 6x6: as it is, one row of fill above and below."""
    found = pictures.read(file(RAMP), "p", Preprocess(resize=(6, 6), fit="letterbox", fill=(127.5,)), ONE)[0]
    np.testing.assert_array_equal(found[:, [0, 5]], np.full((3, 2, 6), 127.5, np.float32), strict=True)
    np.testing.assert_array_equal(found[:, 1:5], RAMP.transpose(2, 0, 1).astype(np.float32), strict=True)


def test_a_letterbox_of_bgr_is_filled_in_its_own_order() -> None:
    preprocess = Preprocess(resize=(6, 6), fit="letterbox", fill=(1.0, 2.0, 3.0), colour="bgr")
    found = pictures.read(file(RAMP), "p", preprocess, ONE)[0]
    assert found[:, 0, 0].tolist() == [1.0, 2.0, 3.0]
    np.testing.assert_array_equal(found[:, 1:5], RAMP[:, :, ::-1].transpose(2, 0, 1).astype(np.float32), strict=True)


def test_cover_cuts_the_middle_out() -> None:
    found = pictures.read(file(RAMP), "p", Preprocess(resize=(4, 4), fit="cover"), ONE)[0]
    np.testing.assert_array_equal(found, RAMP[:, 1:5].transpose(2, 0, 1).astype(np.float32), strict=True)


TWO_TAPS = {
    # 4 -> 2: centres on centres is halfway between pixels 0, 1 and 2, 3; nothing else is looked at
    "bilinear-plain": ([0, 10, 20, 90], 2, [5, 55]),
    # 4 -> 3: corners on corners is at 0, 1.5, 3
    "bilinear-corners": ([0, 10, 20, 90], 3, [0, 15, 90]),
}


@pytest.mark.parametrize(("method", "row", "count", "expected"), [(m, *rest) for m, rest in TWO_TAPS.items()])
def test_two_taps_along_each_axis(method: str, row: list[int], count: int, expected: list[int]) -> None:
    line = np.array(row, np.uint8)[None, :, None].repeat(2, 0).repeat(3, 2)
    found = pictures.resized(line, (2, count), method)
    np.testing.assert_array_equal(found[:, :, 0], [expected] * 2)
    np.testing.assert_array_equal(pictures.resized(line.transpose(1, 0, 2), (count, 2), method)[:, 1, 2], expected)


def test_whole_numbers_that_do_not_fit_are_refused() -> None:
    spec = parse_spec("x:int8[?,3,?,?]")
    found = pictures.read(file(RAMP), "p", Preprocess(mean=(128.0,)), spec)
    np.testing.assert_array_equal(found[0], (RAMP.transpose(2, 0, 1).astype(int) - 128).astype(np.int8), strict=True)
    with pytest.raises(InvalidTensor, match=r"makes numbers from 0 to 213, which x:int8.* does not hold"):
        pictures.read(file(RAMP), "p", Preprocess(), spec)


def test_a_batch_is_one_shape() -> None:
    files = [file(RAMP), file(RAMP[:2])]
    with pytest.raises(InvalidTensor, match="the pictures of one batch become"):
        pictures.batch(files, "photo", Preprocess(), ONE)
    assert pictures.batch(files, "photo", Preprocess(resize=(2, 2)), ONE).shape == (2, 3, 2, 2)
    with pytest.raises(InvalidTensor, match="photo 2 is not a picture"):
        pictures.batch([file(RAMP), b"no"], "photo", Preprocess(), ONE)
    with pytest.raises(TooLarge, match="257 pictures, expected 1 to 256"):
        pictures.batch([file(RAMP)] * 257, "photo", Preprocess(), ONE)
    with pytest.raises(TooLarge, match="0 pictures"):
        pictures.batch([], "photo", Preprocess(), ONE)
