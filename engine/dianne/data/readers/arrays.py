"""Arrays that numpy stored: .npy and .npz files."""

from __future__ import annotations

import tokenize
import warnings
from io import BytesIO
from math import prod

import numpy as np

from dianne.data.archives import members
from dianne.data.dataset import Dataset
from dianne.data.descriptor import Described
from dianne.data.files import DataError, found
from dianne.data.mapping import Blob, MappedFile
from dianne.data.readers.making import READERS, misfit, of_arrays
from dianne.data.readers.opening import Opening, bytes_of
from dianne.data.rows import Array
from dianne.document import display
from dianne.errors import suggest

_MOST_HEADER = 1 << 17  # bytes; numpy itself refuses longer ones
_FAULTS = (
    ValueError, SyntaxError, TypeError, KeyError, IndexError, OSError, EOFError, MemoryError, OverflowError,
    RecursionError, tokenize.TokenError,
)  # fmt: skip  # all that numpy was seen to raise for spoilt headers


@READERS.register("Numpy")
def read_numpy(opening: Opening) -> Dataset:
    """Arrays with a row a sample: .npy files, or the arrays `inputs` and `targets` of one .npz `file`.

    uint8 stands for pixels from 0 to 255. Without targets each sample is its own. Nothing pickled is read.
    """
    described, descriptor = opening.described, opening.described.descriptor
    wanted = [*descriptor.inputs, *descriptor.targets]
    if not descriptor.inputs:
        raise misfit(described, "inputs", f"type {descriptor.type} needs 'inputs', a list of files or arrays")
    names = _in_npz(opening, descriptor.file, wanted) if descriptor.file else {name: name for name in wanted}
    blobs = opening.blobs(list(names.values()))
    arrays = {key: parse(blobs[name], name) for key, name in names.items()}
    of = {key: blobs[name] for key, name in names.items()}
    inputs = _alike(described, {key: arrays[key] for key in descriptor.inputs})
    targets = _alike(described, {key: arrays[key] for key in descriptor.targets})
    return of_arrays(
        opening, (inputs, [of[key] for key in descriptor.inputs]),
        (targets, [of[key] for key in descriptor.targets]) if targets else None,
    )  # fmt: skip


def _in_npz(opening: Opening, file: str, wanted: list[str]) -> dict[str, str]:
    """The files in an .npz that hold the wanted arrays, as `all.npz/x.npy`; raises DataError."""
    path = found(opening.folder, opening.described, [file], opening.progress)[file]
    known = {name.removesuffix(".npy"): f"{file}/{name}" for name, _, _ in members(path, lambda _: True)}
    for key in wanted:
        if key not in known:
            raise DataError(f"{display(path)}: has no array '{key}'{suggest(key, known, 'arrays')}")
    return {key: known[key] for key in wanted}


def parse(blob: Blob, name: str) -> Array:
    """The array of a .npy file.

    Args:
        blob: the file's content.
        name: for messages.

    Raises:
        DataError: it is no whole one, or holds other things than numbers.
    """
    data = bytes_of(blob)
    file = BytesIO(data[:_MOST_HEADER].tobytes())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy's, for headers that Python 2 wrote
            version = np.lib.format.read_magic(file)
            if version == (1, 0):
                shape, by_columns, kind = np.lib.format.read_array_header_1_0(file)
            else:
                shape, by_columns, kind = np.lib.format.read_array_header_2_0(file)
    except _FAULTS as error:
        raise DataError(f"{name}: is no .npy file: its header cannot be read ({error})") from error
    if kind.kind not in "fiub":
        raise DataError(f"{name}: expected numbers, found {kind}")
    if any(extent < 0 for extent in shape) or not shape:
        raise DataError(f"{name}: expected a row for each sample, found an array {list(shape)}")
    start = file.tell()
    expected = prod(shape) * kind.itemsize
    if len(data) - start != expected:
        raise DataError(
            f"{name}: holds {len(data) - start:,} bytes of values behind byte {start:,}, but its header "
            f"{list(shape)} asks for {expected:,}"
        )
    if by_columns and isinstance(blob, MappedFile) and len(shape) > 1:
        raise DataError(
            f"{name}: is too large for memory, and stored column by column; store it row by row "
            "(numpy.ascontiguousarray), or raise memoryLimit"
        )
    flat = data[start:].view(kind)
    return flat.reshape(shape[::-1]).T if by_columns else flat.reshape(shape)


def _alike(described: Described, arrays: dict[str, Array]) -> list[Array]:
    if len({array.shape[1:] for array in arrays.values()}) > 1:
        each = ", ".join(f"{name} {list(array.shape[1:])}" for name, array in arrays.items())
        raise DataError(f"{described.name}: its files hold samples of different shapes: {each}")
    return list(arrays.values())
