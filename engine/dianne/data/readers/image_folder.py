"""Folders of pictures: a folder for each class, or numbered pictures with a list of classes."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from dianne.data.dataset import Dataset
from dianne.data.files import DataError
from dianne.data.readers.making import READERS, classes_of, made, misfit
from dianne.data.readers.opening import Opening
from dianne.data.readers.pictures import folder_of, pictures
from dianne.document import display
from dianne.errors import suggest


@READERS.register("ImageFolder")
def read_image_folder(opening: Opening) -> Dataset:
    """Pictures in a folder (or archive) `file`, whose folders are named after the classes.

    Classes are the names of the folders in the order of the alphabet, or `labels`. With one folder around
    all, as archives have it, the classes are the folders in that.
    """
    described = opening.described
    path = folder_of(opening, described.descriptor.file)
    found = pictures(opening, path)
    names = found.names
    around = {name.split("/")[0] for name in names}
    depth = 1 if len(around) == 1 and all(name.count("/") > 1 for name in names) else 0
    classes = [name.split("/")[depth] if name.count("/") > depth else "" for name in names]
    if "" in classes:
        stray = names[classes.index("")]
        raise DataError(f"{display(path / stray)}: expected a folder that names its class around it")
    labels = described.labels or sorted(set(classes))
    unknown = next((name for name in classes if name not in labels), None)
    if unknown is not None:
        place = display(path / names[classes.index(unknown)])
        raise DataError(f"{place}: expected a folder named after a label{suggest(unknown, labels, 'labels')}")
    indices = {label: index for index, label in enumerate(labels)}
    targets = torch.tensor([indices[name] for name in classes])
    return made(described, found.samples(list(range(len(names)))), targets, labels)


@READERS.register("ImageClassificationDataset")
def read_image_list(opening: Opening) -> Dataset:
    """Pictures 0.jpg, 1.jpg and so on in `images/`, and in `targetsFile` the number of a class a line."""
    described, descriptor = opening.described, opening.described.descriptor
    if not descriptor.targets_file:
        message = (
            f"type {descriptor.type} needs a 'targetsFile' (for folders named after classes: ImageFolder)"
        )
        raise misfit(described, "targetsFile", message)
    file = descriptor.targets_file
    labels = classes_of(described)
    path = folder_of(opening, descriptor.file or "images")
    found = pictures(opening, path)
    order = numbered(path, found.names)
    targets = _numbers(file, opening.contents([file])[file], len(labels))
    return made(described, found.samples(order), torch.tensor(targets), labels)


def numbered(path: Path, names: list[str]) -> list[int]:
    """The order of pictures whose names are the numbers from 0.

    Raises:
        DataError: a number is missing, or a name is none.
    """
    numbers = []
    for name in names:
        stem = Path(name).stem
        if not re.fullmatch("[0-9]{1,9}", stem):
            raise DataError(f"{display(path / name)}: expected a number for a name, such as 0.jpg")
        numbers.append(int(stem))
    order = sorted(range(len(names)), key=numbers.__getitem__)
    for expected, index in enumerate(order):
        if numbers[index] != expected:
            raise DataError(f"{display(path / names[index])}: expected number {expected:,} in its place")
    return order


def _numbers(name: str, data: bytes, classes: int) -> list[int]:
    """The whole number below `classes` in each line; raises DataError."""
    numbers = []
    for line, text in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        number = text.strip()
        if not re.fullmatch("[0-9]{1,9}", number) or int(number) >= classes:
            raise DataError(f"{name}:{line}: expected a class from 0 to {classes - 1}, found {number!r:.40}")
        numbers.append(int(number))
    return numbers
