"""DIANNE's weight files: where they are looked for, and what their bytes mean.

A file holds a whole number (four bytes, the largest first) and as many float32 values (in the same order of
bytes): one flat vector for a module. It is named after the module's id and the tags, `ID-TAG-TAG`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dianne.document import MAX_BYTES, display
from dianne.errors import DataError
from dianne.interop.archive import contents, is_zip

Content = Callable[[], bytes]
_ID = 36  # characters


@dataclass(frozen=True)
class Place:
    """A folder, or a zip, of a models folder.

    Attributes:
        name: as DIANNE calls it.
        source: for messages.
        files: in it, by name.
    """

    name: str
    source: str
    files: Mapping[str, Content]

    def text(self, name: str) -> str:
        """The text of a file in it; raises DataError."""
        try:
            content = self.files[name]()
            if len(content) > MAX_BYTES:
                raise DataError(f"{self.source}/{name}: is larger than {MAX_BYTES:,} bytes")
            return content.decode("utf-8-sig")
        except OSError as error:
            raise DataError(f"{self.source}/{name}: cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise DataError(f"{self.source}/{name}: is no UTF-8 text") from error


@dataclass(frozen=True)
class Places:
    """All that an import may look into.

    Attributes:
        networks: the places of the networks that come in.
        searched: the places that may hold weights and composites, in the order of the search.
    """

    networks: list[Place]
    searched: list[Place]


def look_around(path: Path) -> Places:
    """The networks that a path means, and the places around them; raises DataError for spoilt archives."""
    if path.is_dir():
        home = _folder(path)
        if "modules.txt" in home.files:
            return _with_models(path, home)
        inside = list(_inside(path))
        return Places([place for place in inside if _is_network(place)], inside)
    with path.open("rb") as file:
        head = file.read(4)
    if is_zip(head):
        inside = _zipped(path)
        homes = [place for place in inside if place.source == display(path) and _is_network(place)]
        return Places(homes or [place for place in inside if _is_network(place)], inside)
    if path.name == "modules.txt":
        return _with_models(path.absolute().parent, _folder(path.absolute().parent))
    beside = _folder(path.absolute().parent)
    home = Place(path.stem, display(path), {**beside.files, "modules.txt": path.read_bytes})
    return Places([home], [home])


def _is_network(place: Place) -> bool:
    return "modules.txt" in place.files and "composite.txt" not in place.files


def _with_models(path: Path, home: Place) -> Places:
    """A network's folder, and the models folder that it is in, if it is in one."""
    parent = path.absolute().parent
    if (parent / "weights").is_dir() or parent.name == "models":
        others = [place for place in _inside(parent) if place.name != home.name]
        first = [place for place in others if place.name == "weights"]
        return Places([home], [*first, home, *(place for place in others if place.name != "weights")])
    return Places([home], [home, *_composites(path), *_composites(parent)])


def _inside(root: Path) -> Iterator[Place]:
    """What a models folder holds: the weights written last, then folders and zips; composites beside it."""
    listed = sorted(path for path in root.iterdir() if not path.name.startswith("."))
    for path in sorted(listed, key=lambda path: path.name != "weights"):
        if path.is_dir() and path.name != "composites":
            yield _folder(path)
        elif path.is_file():
            with path.open("rb") as file:
                zipped = is_zip(file.read(4))
            if zipped:
                with suppress(DataError):  # DIANNE passes over what it cannot read
                    yield from _zipped(path)
    yield from _composites(root)
    yield from _composites(root.absolute().parent)


def _composites(root: Path) -> Iterator[Place]:
    folder = root / "composites"
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.is_dir():
            yield _folder(path)


def _folder(path: Path) -> Place:
    files: dict[str, Content] = {p.name: p.read_bytes for p in sorted(path.iterdir()) if p.is_file()}
    return Place(path.absolute().name, display(path), files)


def _zipped(path: Path) -> list[Place]:
    """The folders of a zip; the one at its root is called as the zip, up to the first dot."""
    folders: dict[str, dict[str, Content]] = {"weights": {}}
    for name, content in contents(path).items():
        folder, _, last = name.rpartition("/")
        folders.setdefault(folder, {})[last] = _given(content)
    own = path.name.split(".")[0]
    return [
        Place(folder.rpartition("/")[2] or own, f"{display(path)}/{folder}".rstrip("/"), files)
        for folder, files in folders.items()
    ]


def _given(content: bytes) -> Content:
    return lambda: content


# -------------------------------------------------------------------------------------------------- weights


def suffixes(places: Iterable[Place], ids: Iterable[str]) -> list[str]:
    """The tags under which modules have weights, each as it stands in file names: "", "vae", "vae-5000"."""
    wanted = set(ids)
    found: dict[str, None] = {}
    for place in places:
        for name in place.files:
            if name[:_ID].lower() in wanted and (len(name) == _ID or name[_ID] == "-"):
                found[name[_ID + 1 :]] = None
    return sorted(found)


def find(places: Iterable[Place], name: str) -> tuple[str, bytes] | None:
    """The first file of a name that can be read, and where it is."""
    for place in places:
        for written in (name, name[:_ID].upper() + name[_ID:]):
            if written in place.files:
                try:
                    return f"{place.source}/{written}", place.files[written]()
                except OSError:
                    continue  # as DIANNE does
    return None


def unpack(
    content: bytes, shapes: Mapping[str, Sequence[int]], source: str, module: str
) -> dict[str, Tensor]:
    """The tensors in a weight file.

    Args:
        content: of the file.
        shapes: of the tensors, by name, in the order of the vector.
        source: the file, for messages.
        module: the module, for messages.

    Raises:
        DataError: the file's length is not the one that it states, or that the module has.
    """
    if len(content) < 4:
        raise DataError(f"{source}: holds {len(content)} bytes; it is cut off, or no weight file")
    values = (len(content) - 4) // 4
    (stated,) = struct.unpack(">i", content[:4])
    if stated != values or len(content) != 4 + 4 * values:
        found = f"states {stated:,} values, but holds {len(content) - 4:,} bytes of them"
        raise DataError(f"{source}: {found}; it is cut off, or no weight file")
    wanted = sum(int(np.prod(shape)) for shape in shapes.values())
    if values != wanted:
        raise DataError(f"{source}: holds {values:,} values, but {module} has {wanted:,}")
    flat = torch.from_numpy(np.frombuffer(content, ">f4", offset=4).astype(np.float32))
    found_, start = {}, 0
    for name, shape in shapes.items():
        stored = (shape[0], shape[2], shape[1]) if len(shape) == 3 else tuple(shape)
        size = int(np.prod(stored))
        tensor = flat[start : start + size].reshape(stored)
        found_[name] = (tensor.transpose(1, 2) if len(shape) == 3 else tensor).contiguous()
        start += size
    return found_


def pack(tensors: Iterable[Tensor]) -> bytes:
    """The bytes of a weight file: the way back from `unpack`.

    Only a convolution over time has weights of three dimensions, and DIANNE has those as [out, time, in].
    """
    flat = [
        (tensor.transpose(1, 2) if tensor.dim() == 3 else tensor).detach().cpu().reshape(-1).numpy()
        for tensor in tensors
    ]
    values = np.concatenate(flat).astype(">f4") if flat else np.zeros(0, ">f4")
    return struct.pack(">i", len(values)) + values.tobytes()
