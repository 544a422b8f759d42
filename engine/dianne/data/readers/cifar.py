"""CIFAR-10 and CIFAR-100, in their binary versions."""

from __future__ import annotations

from dianne.data.dataset import Dataset
from dianne.data.descriptor import Described
from dianne.data.files import Progress
from dianne.data.readers.making import READERS, classes_of, made, tensor
from dianne.data.readers.raw import Bytes, read_records
from dianne.workspace import Folder

DIMS = (3, 32, 32)
_COARSE = 20  # classes


@READERS.register("CIFAR10")
def read_cifar10(folder: Folder, described: Described, progress: Progress | None) -> Dataset:
    """Records of 1 class and 3072 bytes: planes of red, green and blue, row by row.

    Source: Krizhevsky (2009), Learning multiple layers of features from tiny images.
    """
    images, classes = read_records(folder, described, progress, 1, 3072)
    return _made(described, images, classes)


@READERS.register("CIFAR100")
def read_cifar100(folder: Folder, described: Described, progress: Progress | None) -> Dataset:
    """As CIFAR-10, with a coarse class in front of the fine one; with 20 labels the coarse ones are read."""
    coarse = len(classes_of(described)) == _COARSE
    if coarse:
        images, classes = read_records(folder, described, progress, 1, 3073)
        return _made(described, images[:, 1:], classes)
    images, classes = read_records(folder, described, progress, 2, 3072)
    return _made(described, images, classes)


def _made(described: Described, images: Bytes, classes: Bytes) -> Dataset:
    return made(described, tensor(images).reshape(-1, *DIMS), tensor(classes), classes_of(described))
