"""All pictures of a folder or an archive: in memory, or decoded once into a file that is mapped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dianne.data.adapters.adapter import as_floats
from dianne.data.files import DataError, Room, TooLargeError, check_archive, found
from dianne.data.mapping import Blob, MappedFile, conversion, converted, seal, sealed, settle
from dianne.data.ragged import Ragged
from dianne.data.readers.images import Pixels, decoded, files_in, is_image
from dianne.data.readers.making import misfit
from dianne.data.readers.opening import Opening, bytes_of
from dianne.data.rows import Array, Changed, Rows, Samples, chosen
from dianne.document import display


@dataclass(frozen=True)
class Pictures:
    """Decoded pictures.

    Attributes:
        names: in their folder or archive, in the order of the alphabet.
        sizes: (n, 2) height and width of each.
        starts: (n,) where the pixels of each begin.
        planes: of all.
        blob: the pixels of all, one behind the other.
        opening: of the dataset.
    """

    names: list[str]
    sizes: Array
    starts: Array
    planes: int
    blob: Blob
    opening: Opening

    def samples(self, order: list[int], floats: bool = False) -> Samples:
        """Pictures (n, planes, height, width) in that order; `Ragged` if they differ in size.

        Args:
            order: their numbers.
            floats: whether they become numbers from 0 to 1, as targets are.
        """
        sizes, starts = self.sizes[order], self.starts[order]
        pixels = bytes_of(self.blob)[: int(self.sizes.prod(1).sum()) * self.planes]
        if len(np.unique(sizes, axis=0)) > 1:
            flat = self.opening.joined([pixels], [self.blob])
            return Ragged(flat, starts, sizes, self.planes, floats)
        dims = (self.planes, *sizes[0].tolist())
        images = self.opening.joined([pixels.reshape(-1, *dims)], [self.blob])
        places = starts // int(np.prod(dims))
        if not np.array_equal(places, np.arange(len(places))):
            images = chosen(images, places.tolist())
        if not floats:
            return images
        return Changed(images, as_floats, dims, "floats") if isinstance(images, Rows) else as_floats(images)


def folder_of(opening: Opening, name: str | None) -> Path:
    """The folder or archive of that name, fetched if need be and checked."""
    described = opening.described
    if name is None:
        message = f"type {described.descriptor.type} needs a 'file': a folder or archive"
        raise misfit(described, "file", message)
    path = found(opening.folder, described, [name], opening.progress)[name]
    if path.is_file():
        check_archive(described, name, path)
    return path


def pictures(opening: Opening, path: Path, mask: bool = False) -> Pictures:
    """All pictures in a folder or archive.

    Raises:
        DataError: there are none, or one cannot be read; or some are grey, others not, and there is no
            memory to make them alike.
    """
    identity, changed = _identity(opening, path, mask)
    known = conversion(identity)
    if not (known.is_file() and known.stat().st_size > opening.limit):
        try:
            return _in_memory(opening, path, mask)
        except TooLargeError:
            settle(changed)
            identity, _ = _identity(opening, path, mask)
    file = MappedFile(converted(identity, lambda part: _write(opening, path, mask, part)))
    about = sealed(file)
    order = sorted(range(len(about)), key=lambda number: str(about[number][0]))
    shapes = np.array([shape for _, shape in about])
    ends = shapes.prod(1).cumsum()
    odd = np.flatnonzero(shapes[:, 0] != shapes[0, 0])
    if len(odd):
        raise DataError(
            f"{display(path / about[odd[0]][0])}: has {shapes[odd[0], 0]} planes, but "
            f"{display(path / about[0][0])} has {shapes[0, 0]}; give 'grey: true' or 'grey: false'"
        )
    names, starts = [about[number][0] for number in order], (ends - shapes.prod(1))[order]
    return Pictures(names, shapes[order, 1:], starts, int(shapes[0, 0]), file, opening)


def _decoded(opening: Opening, path: Path, mask: bool) -> Iterator[tuple[str, Pixels]]:
    descriptor = opening.described.descriptor
    grey = True if mask else descriptor.grey
    empty = True
    for name, data in files_in(path):
        yield name, decoded(data, display(path / name), descriptor.size, grey, mask)
        empty = False
    if empty:
        raise DataError(f"{display(path)}: holds no pictures")


def _in_memory(opening: Opening, path: Path, mask: bool) -> Pictures:
    room, images = Room(opening.limit), {}
    for name, pixels in _decoded(opening, path, mask):
        room.take(name, pixels.size)
        images[name] = pixels
    names = sorted(images)
    planes = max(len(image) for image in images.values())
    found = [images[name] for name in names]
    alike = [image if len(image) == planes else image.repeat(planes, 0) for image in found]
    sizes = np.array([image.shape[1:] for image in alike])
    counts = [image.size for image in alike]
    flat = b"".join(image.tobytes() for image in alike)
    return Pictures(names, sizes, np.cumsum(counts) - counts, planes, flat, opening)


def _write(opening: Opening, path: Path, mask: bool, part: Path) -> None:
    """Pixels of all pictures, then their names and shapes."""
    about = []
    with part.open("wb") as file:
        for name, pixels in _decoded(opening, path, mask):
            file.write(pixels.tobytes())
            about.append((name, pixels.shape))
        seal(file, about)


def _identity(opening: Opening, path: Path, mask: bool) -> tuple[str, int]:
    """What the pixels depend on (files, sizes, times, and how they are decoded), and the last change."""
    descriptor = opening.described.descriptor
    found = [path] if path.is_file() else [file for file in sorted(path.rglob("*")) if file.is_file()]
    stats = [(file, file.stat()) for file in found if file == path or is_image(file.name)]
    files = [f"{file} {about.st_size} {about.st_mtime_ns} {about.st_ctime_ns}" for file, about in stats]
    how = f"{path.resolve()} pictures {descriptor.size} {descriptor.grey} {mask}"
    return "\n".join([how, *files]), max((about.st_mtime_ns for _, about in stats), default=0)
