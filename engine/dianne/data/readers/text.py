"""Texts, character by character."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from dianne.data.dataset import Dataset
from dianne.data.files import DataError
from dianne.data.readers.making import READERS, misfit
from dianne.data.readers.opening import Opening

_TIMES = 40  # sizes of the file: characters as numbers, their order, and what numpy needs to find it
Codes = NDArray[np.uint32]  # of characters, as Unicode numbers them


@READERS.register("CharSequenceDataset")
def read_text(opening: Opening) -> Dataset:
    """Each character of a text (UTF-8), and as its target the next one.

    The vocabulary is that of `labels` or `labelsFile`, else the characters of the text in the order in which
    they first appear.
    """
    described = opening.described
    descriptor, labels = described.descriptor, described.labels
    needed = descriptor.needs()
    texts = {name: _text(name, data) for name, data in opening.contents(needed, _TIMES).items()}
    name = needed[0]
    codes = _codes(texts[name])
    if len(codes) < 2:
        raise DataError(f"{name}: holds {len(codes)} characters; a text needs at least 2")
    if labels and descriptor.labels_file:
        raise misfit(
            described, "labelsFile", "labelsFile: the vocabulary is in 'labels'; give one of the two"
        )
    long = [label for label in labels or [] if len(label) != 1]
    if long:
        raise misfit(described, "labels", f"labels: expected one character each, found '{long[0]}'")
    if labels or descriptor.labels_file:
        vocabulary = "".join(labels) if labels else texts[needed[1]]
        indices = _looked_up(name, codes, _codes(vocabulary))
    else:
        found, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
        order = np.argsort(first)
        vocabulary = "".join(chr(code) for code in found[order])
        indices = np.argsort(order)[inverse]
    kind = torch.uint8 if len(vocabulary) <= 256 else torch.int64
    text = torch.from_numpy(indices).to(kind)
    characters = list(vocabulary)
    return Dataset(
        described.name, text[:-1], text[1:], labels=characters, vocabulary=characters, sequential=True
    )


def _text(name: str, data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{name}:{line}: is no UTF-8 text: it holds the byte {data[error.start]:02x}"
        ) from error


def _codes(text: str) -> Codes:
    return np.frombuffer(text.encode("utf-32-le"), "<u4")


def _looked_up(name: str, codes: Codes, vocabulary: Codes) -> NDArray[np.int64]:
    """For each character its first place in the vocabulary.

    Raises:
        DataError: a character is not there.
    """
    known, first = np.unique(vocabulary, return_index=True)
    found = np.searchsorted(known, codes).clip(max=max(len(known) - 1, 0))
    strange = known[found] != codes if len(known) else np.ones(len(codes), bool)
    if strange.any():
        at = int(strange.argmax())
        newlines = np.flatnonzero(codes[:at] == ord("\n"))
        column = at - (int(newlines[-1]) if len(newlines) else -1)
        raise DataError(
            f"{name}:{len(newlines) + 1}:{column}: the character {chr(codes[at])!r} is not in the vocabulary "
            f"of {len(vocabulary)} characters"
        )
    indices: NDArray[np.int64] = first[found]
    return indices
