"""STL-10, in its binary version."""

from __future__ import annotations

from dianne.data.dataset import Dataset
from dianne.data.readers.making import READERS, classes_of, made, tensor
from dianne.data.readers.opening import Opening
from dianne.data.readers.raw import Bytes, read_pairs

SIDE = 96


@READERS.register("STL10")
def read_stl10(opening: Opening) -> Dataset:
    """Images of three planes, each column by column, and classes that count from 1.

    Source: Coates, Lee and Ng (2011), An analysis of single-layer networks in unsupervised feature learning.
    """
    images, classes = read_pairs(opening, 3 * SIDE * SIDE, first=1, view=_by_rows)
    return made(opening.described, images, tensor(classes), classes_of(opening.described))


def _by_rows(table: Bytes) -> Bytes:
    by_rows: Bytes = table.reshape(-1, 3, SIDE, SIDE).transpose(0, 1, 3, 2)
    return by_rows
