"""CIFAR-10 and CIFAR-100, in their binary versions."""

from __future__ import annotations

from dianne.data.dataset import Dataset
from dianne.data.descriptor import Described
from dianne.data.readers.making import READERS, classes_of, made, tensor
from dianne.data.readers.opening import Opening
from dianne.data.readers.raw import Bytes, read_records
from dianne.data.rows import Samples

DIMS = (3, 32, 32)
_COARSE = 20  # classes


@READERS.register("CIFAR10")
def read_cifar10(opening: Opening) -> Dataset:
    """Records of 1 class and 3072 bytes: planes of red, green and blue, row by row.

    Source: Krizhevsky (2009), Learning multiple layers of features from tiny images.
    """
    return _made(opening.described, *read_records(opening, 1, 3072))


@READERS.register("CIFAR100")
def read_cifar100(opening: Opening) -> Dataset:
    """As CIFAR-10, with a coarse class in front of the fine one; with 20 labels the coarse ones are read."""
    coarse = len(classes_of(opening.described)) == _COARSE
    found = read_records(opening, 1, 3073, skip=1) if coarse else read_records(opening, 2, 3072)
    return _made(opening.described, *found)


def _made(described: Described, images: Samples, classes: Bytes) -> Dataset:
    shaped = images.reshape(len(images), *DIMS)
    return made(described, shaped, tensor(classes), classes_of(described))
