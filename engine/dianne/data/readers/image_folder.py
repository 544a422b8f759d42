"""Folders of pictures: a folder for each class, or numbered pictures with a list of classes."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from dianne.data.dataset import Dataset
from dianne.data.descriptor import Described
from dianne.data.files import DataError, Progress, check_archive, contents, found
from dianne.data.readers.images import Pixels, decoded, files_in, stacked
from dianne.data.readers.making import READERS, classes_of, made, misfit, tensor
from dianne.document import display
from dianne.errors import suggest
from dianne.workspace import Folder


@READERS.register("ImageFolder")
def read_image_folder(folder: Folder, described: Described, progress: Progress | None) -> Dataset:
    """Pictures in a folder (or archive) `file`, whose folders are named after the classes.

    Classes are the names of the folders in the order of the alphabet, or `labels`. With one folder around
    all, as archives have it, the classes are the folders in that.
    """
    path = folder_of(folder, described, described.descriptor.file, progress)
    names, images = pictures(described, path)
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
    return made(described, tensor(stacked(images, [display(path / name) for name in names])), targets, labels)


@READERS.register("ImageClassificationDataset")
def read_image_list(folder: Folder, described: Described, progress: Progress | None) -> Dataset:
    """Pictures 0.jpg, 1.jpg and so on in `images/`, and in `targetsFile` the number of a class a line."""
    descriptor = described.descriptor
    if not descriptor.targets_file:
        message = (
            f"type {descriptor.type} needs a 'targetsFile' (for folders named after classes: ImageFolder)"
        )
        raise misfit(described, "targetsFile", message)
    file = descriptor.targets_file
    labels = classes_of(described)
    path = folder_of(folder, described, descriptor.file or "images", progress)
    names, images = pictures(described, path)
    order = numbered(path, names)
    targets = _numbers(file, contents(folder, described, [file], progress)[file], len(labels))
    names, images = [names[index] for index in order], [images[index] for index in order]
    inputs = stacked(images, [display(path / name) for name in names])
    return made(described, tensor(inputs), torch.tensor(targets), labels)


def folder_of(folder: Folder, described: Described, name: str | None, progress: Progress | None) -> Path:
    """The folder or archive of that name, fetched if need be and checked."""
    if name is None:
        raise misfit(
            described, "file", f"type {described.descriptor.type} needs a 'file': a folder or archive"
        )
    path = found(folder, described, [name], progress)[name]
    if path.is_file():
        check_archive(described, name, path)
    return path


def pictures(described: Described, path: Path, mask: bool = False) -> tuple[list[str], list[Pixels]]:
    """Names and pixels of all pictures in a folder or archive, in the order of the alphabet.

    Raises:
        DataError: there are none, or one cannot be read.
    """
    descriptor = described.descriptor
    grey = True if mask else descriptor.grey
    images = {
        name: decoded(data, display(path / name), descriptor.size, grey, mask)
        for name, data in files_in(path)
    }
    if not images:
        raise DataError(f"{display(path)}: holds no pictures")
    names = sorted(images)
    return names, [images[name] for name in names]


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
