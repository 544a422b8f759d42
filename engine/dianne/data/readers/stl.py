"""STL-10, in its binary version."""

from __future__ import annotations

from dianne.data.dataset import Dataset
from dianne.data.descriptor import Described
from dianne.data.files import Progress
from dianne.data.readers.making import READERS, classes_of, made, tensor
from dianne.data.readers.raw import read_pairs
from dianne.workspace import Folder

SIDE = 96


@READERS.register("STL10")
def read_stl10(folder: Folder, described: Described, progress: Progress | None) -> Dataset:
    """Images of three planes, each column by column, and classes that count from 1.

    Source: Coates, Lee and Ng (2011), An analysis of single-layer networks in unsupervised feature learning.
    """
    images, classes = read_pairs(folder, described, progress, 3 * SIDE * SIDE, first=1)
    inputs = tensor(images.reshape(-1, 3, SIDE, SIDE).transpose(0, 1, 3, 2)).contiguous()
    return made(described, inputs, tensor(classes), classes_of(described))
