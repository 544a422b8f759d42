"""Pictures in files: finding and decoding them."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dianne.data.archives import is_archive, read_members
from dianne.data.files import DataError
from dianne.document import display

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
_MAX_PIXELS = 100_000_000  # of one image; more is taken for an attempt to fill the memory
_FAULTS = (
    OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError, MemoryError,
    OverflowError, NotImplementedError, RuntimeError, zlib.error, struct.error, Image.DecompressionBombError,
)  # fmt: skip  # all that Pillow was seen to raise for spoilt files
Pixels = NDArray[np.uint8]


def is_image(name: str) -> bool:
    """Whether a path is that of a picture; hidden files and those of macOS's archives are not."""
    parts = name.split("/")
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return not hidden and parts[-1].lower().endswith(SUFFIXES)


def files_in(path: Path, wanted: Callable[[str], bool] = is_image) -> Iterator[tuple[str, bytes]]:
    """Files in a folder or an archive, by their paths inside; those of a folder in the order of their names.

    Raises:
        DataError: it is neither, cannot be read, or has links that lead out of it.
    """
    if path.is_file():
        if not is_archive(path.name):
            raise DataError(f"{display(path)}: expected a folder, or an archive such as {path.stem}.zip")
        yield from read_members(path, wanted)
        return
    inside = path.resolve()
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path).as_posix()
        if not wanted(name) or file.is_dir():
            continue
        if not file.resolve().is_relative_to(inside):
            raise DataError(f"{display(path)}/{name}: is a link that leads out of this folder")
        try:
            yield name, file.read_bytes()
        except OSError as error:
            raise DataError(f"{display(file)}: cannot be read: {error.strerror or error}") from error


def decoded(
    data: bytes, where: str, size: list[int] | None, grey: bool | None, nearest: bool = False
) -> Pixels:
    """The pixels (planes, height, width) of a picture; transparency is dropped.

    Args:
        data: the file's content.
        where: what messages call it.
        size: height and width to scale it to.
        grey: whether one plane or three are wanted; if left out, as many as it has.
        nearest: scale by the nearest pixel, not between pixels.

    Raises:
        DataError: it is no whole picture.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, for odd but readable files
            picture = Image.open(io.BytesIO(data), formats=_FORMATS)
            if picture.width * picture.height > _MAX_PIXELS:
                raise ValueError(f"it has {picture.height:,} x {picture.width:,} pixels")
            pixels = _eight_bits(picture, grey)
            if size:
                resample = Image.Resampling.NEAREST if nearest else Image.Resampling.BILINEAR
                pixels = pixels.resize((size[1], size[0]), resample)
            array: NDArray[Any] = np.array(pixels, np.uint8)
    except _FAULTS as error:
        raise DataError(f"{where}: is no whole picture ({error or type(error).__name__})") from error
    return array[None] if array.ndim == 2 else np.ascontiguousarray(array.transpose(2, 0, 1))


def _eight_bits(picture: Image.Image, grey: bool | None) -> Image.Image:
    """A picture of mode L or RGB; of 16 bits the upper 8."""
    if picture.mode.startswith("I;16") or picture.mode == "I":
        picture = Image.fromarray((np.asarray(picture).clip(0, 65535) >> 8).astype(np.uint8))
    if grey is None:
        grey = picture.mode in ("1", "L", "LA", "La")
    return picture.convert("L" if grey else "RGB")


def stacked(images: list[Pixels], names: list[str]) -> Pixels:
    """Pictures of one size, side by side: (n, planes, height, width); grey ones repeated if one has colours.

    Raises:
        DataError: they differ in size; names one of them.
    """
    planes = max(len(image) for image in images)
    for image, name in zip(images, names, strict=True):
        if image.shape[1:] != images[0].shape[1:]:
            first, other = list(images[0].shape[1:]), list(image.shape[1:])
            raise DataError(
                f"{name}: has {other} pixels, but {names[0]} has {first}; give a 'size: [height, width]'"
            )
    alike = [image if len(image) == planes else image.repeat(planes, 0) for image in images]
    return np.stack(alike)
