"""Samples and results on the wire: JSON, `.npy` files and pictures."""

from __future__ import annotations

import io
import tokenize
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from dianne.data.readers.images import decoded
from dianne.errors import DataError, UsageError
from dianne.runtime.pictures import grid, picture

JSON, NPY, PNG, JPEG = "application/json", "application/x-npy", "image/png", "image/jpeg"
TAKES = (JSON, NPY, PNG, JPEG)
GIVES = (JSON, NPY, PNG)
_NPY_FAULTS = (
    ValueError, TypeError, OverflowError, MemoryError, RecursionError, SyntaxError, tokenize.TokenError,
)  # fmt: skip  # all that numpy was seen to raise for spoilt headers


class UnknownKindError(UsageError):
    """A body is of a kind that is not taken, or one is wanted that is not given."""


def decode(body: bytes, kind: str, dims: tuple[int, ...]) -> NDArray[np.float32]:
    """Samples from a body.

    Args:
        body: as it came.
        kind: its media type.
        dims: the shape of a sample; pictures must have it.

    Raises:
        UsageError: it is not what its kind says, or holds something else than numbers.
    """
    kind = kind.partition(";")[0].strip().lower() or JSON
    if kind == JSON:
        return _numbers(_json(body))
    if kind == NPY:
        return _numbers(_npy(body))
    if kind in (PNG, JPEG):
        return _picture(body, dims)
    raise UnknownKindError(f"a body of {kind} is not taken; send {', '.join(TAKES)}")


def wanted(accept: str) -> str:
    """The kind of body in which results are wanted: the first of a header that is given; JSON for any.

    Raises:
        UnknownKindError: none of them is given.
    """
    for part in accept.lower().split(","):
        kind = part.partition(";")[0].strip()
        if kind in GIVES:
            return kind
        if kind in ("", "*/*", "application/*"):
            return JSON
        if kind == "image/*":
            return PNG
    raise UnknownKindError(f"results of {accept} are not given; accept {', '.join(GIVES)}")


def encode(values: NDArray[np.float32], single: bool, kind: str) -> bytes:
    """Results as a body. In JSON what is not finite is null.

    Args:
        values: (b, ...), or (...) if there was a single sample.
        single: whether there was. Its picture has a pixel for each value; those of a batch stand in a grid.
        kind: one of GIVES.

    Raises:
        UsageError: a picture is wanted of what is none.
    """
    if kind == JSON:
        return orjson.dumps(values, np.ndarray.tolist, orjson.OPT_SERIALIZE_NUMPY)
    packed = io.BytesIO()
    if kind == NPY:
        np.save(packed, values, allow_pickle=False)
    else:
        (picture(values) if single else grid(values)).save(packed, format="PNG")
    return packed.getvalue()


def _json(body: bytes) -> NDArray[Any]:
    try:
        return np.asarray(orjson.loads(body))
    except orjson.JSONDecodeError as error:
        raise UsageError(f"the body is no JSON: {error}") from error
    except ValueError as error:
        raise UsageError("the body is no array: every sample needs as many values as the first") from error


def _npy(body: bytes) -> NDArray[Any]:
    """An array from the bytes of a `.npy` file; unpacks no objects, and takes no more memory than came."""
    file = io.BytesIO(body)
    try:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, by_columns, kind = np.lib.format.read_array_header_1_0(file)
        else:
            shape, by_columns, kind = np.lib.format.read_array_header_2_0(file)
        if kind.hasobject or kind.kind not in "fiub":
            raise UsageError(f"the body is an array of {kind}; expected numbers")
        return np.frombuffer(body[file.tell() :], kind).reshape(shape, order="F" if by_columns else "C")
    except _NPY_FAULTS as error:
        raise UsageError(f"the body is no .npy file: {error}") from error


def _picture(body: bytes, dims: tuple[int, ...]) -> NDArray[Any]:
    """One sample (planes, height, width) or (height, width), between 0 and 1, from a picture of that size."""
    planes, *size = dims if len(dims) == 3 else (1, *dims)
    if len(size) != 2 or planes not in (1, 3):
        raise UsageError(f"the network takes samples of {list(dims)}, which are no pictures; send numbers")
    try:
        pixels = decoded(body, "the body", None, planes == 1)
    except DataError as error:
        raise UsageError(str(error)) from error
    if list(pixels.shape[1:]) != size:
        found = " x ".join(map(str, pixels.shape[1:]))
        raise UsageError(f"the picture has {found} pixels; the network takes {' x '.join(map(str, size))}")
    return np.asarray(pixels, np.float32).reshape(dims) / 255


def _numbers(values: NDArray[Any]) -> NDArray[np.float32]:
    if values.dtype.kind not in "fiub":
        raise UsageError("the body holds something else than numbers")
    if not values.size:
        raise UsageError("the body holds no samples")
    with np.errstate(over="ignore"):  # what float32 does not hold becomes infinite
        return values.astype(np.float32)
