"""SVHN, house numbers cropped to digits."""

from __future__ import annotations

from typing import Any

import numpy as np

from dianne.data.dataset import Dataset
from dianne.data.descriptor import Described
from dianne.data.files import DataError
from dianne.data.readers.making import READERS, classes_of, made, misfit, tensor
from dianne.data.readers.mat import parse_mat
from dianne.data.readers.opening import Opening
from dianne.data.readers.raw import read_pairs
from dianne.errors import ConfigError

_TIMES = 4  # sizes of the files: with what they unpack to, and the samples


@READERS.register("SVHN")
def read_svhn(opening: Opening) -> Dataset:
    """Images [3, 32, 32] and digits from .mat files, or from files of raw bytes with others of classes.

    Source: Netzer et al. (2011), Reading digits in natural images with unsupervised feature learning.
    """
    described = opening.described
    names = described.descriptor.inputs
    labels = classes_of(described)
    if any(not name.endswith(".mat") for name in names) or not names:
        images, classes = read_pairs(opening, 3 * 32 * 32)
        return made(described, images.reshape(len(images), 3, 32, 32), tensor(classes), labels)
    if described.descriptor.targets:
        raise _misplaced(described)
    parts = [_digits(name, data) for name, data in opening.contents(names, _TIMES).items()]
    inputs, targets = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return made(described, tensor(inputs), tensor(targets), labels)


def _misplaced(described: Described) -> ConfigError:
    return misfit(described, "targets", "targets: a .mat file of SVHN holds images and classes; leave it out")


def _digits(name: str, data: bytes) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Images (n, 3, 32, 32) and digits (n,) of a .mat file; there the class 10 stands for the digit 0.

    Raises:
        DataError: it is no such file.
    """
    arrays = parse_mat(data, name)
    for key in ("X", "y"):
        if key not in arrays:
            raise DataError(f"{name}: expected arrays X and y, found {', '.join(sorted(arrays)) or 'none'}")
    images, digits = arrays["X"], arrays["y"].ravel()
    if images.dtype != np.uint8 or images.shape[:3] != (32, 32, 3) or images.ndim != 4:
        found = f"{list(images.shape)} of {images.dtype}"
        raise DataError(f"{name}: X: expected images [32, 32, 3, n] of uint8, found {found}")
    if digits.dtype.kind not in "ui" or len(digits) != images.shape[3]:
        found = f"{len(digits):,} of {digits.dtype}"
        raise DataError(f"{name}: y: expected {images.shape[3]:,} whole numbers, found {found}")
    odd = (digits < 1) | (digits > 10)
    if odd.any():
        row = int(odd.argmax())
        raise DataError(f"{name}: y: sample {row:,}: expected a class from 1 to 10, found {digits[row]}")
    return images.transpose(3, 2, 0, 1), (digits % 10).astype(np.uint8)
