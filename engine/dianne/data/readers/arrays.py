"""Arrays that numpy stored: .npy and .npz files."""

from __future__ import annotations

import io
import tokenize
import warnings
from math import prod
from typing import Any

import numpy as np

from dianne.data.archives import read_members
from dianne.data.dataset import Dataset
from dianne.data.descriptor import Described
from dianne.data.files import DataError, Progress, check_archive, contents, found
from dianne.data.readers.making import READERS, misfit, of_arrays
from dianne.document import display
from dianne.errors import suggest
from dianne.workspace import Folder

Array = np.ndarray[Any, Any]
_FAULTS = (
    ValueError, SyntaxError, TypeError, KeyError, IndexError, OSError, EOFError, MemoryError, OverflowError,
    RecursionError, tokenize.TokenError,
)  # fmt: skip  # all that numpy was seen to raise for spoilt headers


@READERS.register("Numpy")
def read_numpy(folder: Folder, described: Described, progress: Progress | None) -> Dataset:
    """Arrays with a row a sample: .npy files, or the arrays `inputs` and `targets` of one .npz `file`.

    uint8 stands for pixels from 0 to 255. Without targets each sample is its own. Nothing pickled is read.
    """
    descriptor = described.descriptor
    wanted = [*descriptor.inputs, *descriptor.targets]
    if not descriptor.inputs:
        raise misfit(described, "inputs", f"type {descriptor.type} needs 'inputs', a list of files or arrays")
    if descriptor.file:
        arrays = _of_npz(folder, described, descriptor.file, wanted, progress)
    else:
        arrays = {
            name: parse(data, name) for name, data in contents(folder, described, wanted, progress).items()
        }
    inputs = _joined(described, {name: arrays[name] for name in descriptor.inputs})
    targets = {name: arrays[name] for name in descriptor.targets}
    return of_arrays(described, inputs, _joined(described, targets) if targets else None)


def _of_npz(
    folder: Folder, described: Described, name: str, wanted: list[str], progress: Progress | None
) -> dict[str, Array]:
    path = found(folder, described, [name], progress)[name]
    check_archive(described, name, path)
    members = dict(read_members(path, lambda member: member.removesuffix(".npy") in wanted))
    arrays = {member.removesuffix(".npy"): (member, data) for member, data in members.items()}
    for key in wanted:
        if key not in arrays:
            known = [member.removesuffix(".npy") for member, _ in read_members(path, lambda _: True)]
            raise DataError(f"{display(path)}: has no array '{key}'{suggest(key, known, 'arrays')}")
    return {key: parse(data, f"{name}/{member}") for key, (member, data) in arrays.items()}


def parse(data: bytes, name: str) -> Array:
    """The array of a .npy file.

    Args:
        data: the file's content.
        name: for messages.

    Raises:
        DataError: it is no whole one, or holds other things than numbers.
    """
    file = io.BytesIO(data)
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
    flat = np.frombuffer(data, kind, offset=start)
    return flat.reshape(shape[::-1]).T if by_columns else flat.reshape(shape)


def _joined(described: Described, arrays: dict[str, Array]) -> Array:
    if len({array.shape[1:] for array in arrays.values()}) > 1:
        each = ", ".join(f"{name} {list(array.shape[1:])}" for name, array in arrays.items())
        raise DataError(f"{described.name}: its files hold samples of different shapes: {each}")
    return np.concatenate(list(arrays.values()))
