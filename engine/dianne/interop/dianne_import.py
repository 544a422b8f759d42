"""DIANNE's networks on their way in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel
from torch import Tensor

from dianne.document import parse
from dianne.errors import ConfigError, UsageError
from dianne.interop.archive import is_zip, names_in
from dianne.interop.dianne_convert import Converted, Converter, completed, inner_ids, tensors_of
from dianne.interop.dianne_shapes import input_shapes
from dianne.interop.dianne_text import read_structure
from dianne.interop.dianne_weights import Place, Places, find, look_around, suffixes, unpack
from dianne.interop.formats import ImportOptions, Incoming, imports
from dianne.network.file import read_document
from dianne.network.library import Library
from dianne.network.network import Network
from dianne.network.resolve import resolve
from dianne.store import named_weights

FALLBACK_TAG = "imported"
_MOST_FRESH = 500_000_000  # weights that may start at random


class Original(BaseModel):
    """What a manifest keeps of a network of DIANNE, so that it can go back as it was.

    Attributes:
        modules: their ids by our names.
        vectors: the names of the tensors in each vector, by id.
        missing: the modules without weights, by tag.
        files: texts by name.
        composites: the same for each type of composite.
    """

    modules: dict[str, str]
    vectors: dict[str, list[str]]
    missing: dict[str, list[str]]
    files: dict[str, str]
    composites: dict[str, dict[str, str]]


def _is_dianne(path: Path, head: bytes) -> bool:
    if path.is_dir():
        return bool(look_around(path).networks)
    if is_zip(head):
        return any(name.rpartition("/")[2] == "modules.txt" for name in names_in(path))
    return head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{"


@imports("a network of DIANNE", _is_dianne)
def read(path: Path, options: ImportOptions) -> list[Incoming]:
    """The networks of a `modules.txt`, a folder or a zip, with the weights around them.

    Raises:
        DianneError: something is spoilt, or cannot be written here.
    """
    places = look_around(path)
    if len(places.networks) > 1 and (options.name or options.shape or options.shapes):
        names = ", ".join(place.name for place in places.networks)
        raise UsageError(f"{path}: holds several networks ({names}); name= and shape= are for one of them")
    return [_network(home, places, options) for home in places.networks]


def _network(home: Place, places: Places, options: ImportOptions) -> Incoming:
    text = home.text("modules.txt")
    source = f"{home.source}/modules.txt" if not home.source.endswith((".json", ".txt")) else home.source
    structure = completed(read_structure(text, source))
    name = options.name or re.sub(r"[ .]+", "_", structure.name or home.name)
    converter = Converter(places.searched)
    found = converter.network(structure, name)
    notes = list(dict.fromkeys(converter.notes))
    shapes = input_shapes(converter, structure, found, options)
    found = converter.network(structure, name, shapes)
    network = _resolved(found, converter.files, source)
    reader = _Weights(found, network, places.searched, source)
    by_tag = reader.by_tag(options.tag)
    for tag, missing in reader.missing.items():
        if missing:
            notes.append(f"{name}:{tag}: no weights for {', '.join(missing)}; they start at random")
    if network.weights and not by_tag:
        notes.append(f"{name}: no weights came with it")
    kept = Original(
        modules={found.names[id_]: id_ for id_ in found.names},
        vectors={id_: tensors_of(vector) for id_, vector in found.vectors.items()},
        missing=reader.missing,
        files={file: home.text(file) for file in ("modules.txt", "layout.txt") if file in home.files},
        composites=converter.originals,
    )
    return Incoming(
        name,
        {name: found.text, **converter.files},
        by_tag,
        job={"format": "dianne", "source": source, "dianne": kept.model_dump()},
        labels=found.labels,
        dataset={"name": structure.properties["dataset"]} if "dataset" in structure.properties else {},
        notes=notes,
    )


def _resolved(found: Converted, files: Mapping[str, str], source: str) -> Network:
    """The network with all shapes; raises UsageError if it does not hold together."""
    library = Library(texts={**files, found.name: found.text}, user_classes=False)
    file = read_document(parse(found.text, f"{found.name}.yaml"), found.name)
    try:
        return resolve(file, {}, library)
    except ConfigError as error:
        lines = "\n".join(f"  {problem.message}" for problem in error.problems)
        raise UsageError(f"{source}: does not hold together, so nothing of it came in\n{lines}") from error


class _Weights:
    """The weights of one network, by tag; what has no file starts at random, and is listed in `missing`."""

    def __init__(self, found: Converted, network: Network, searched: list[Place], source: str):
        self.found, self.network, self.searched, self.source = found, network, searched, source
        self.shapes = {n: w.shape for n, w in network.build_without_data().state_dict().items()}
        self.missing: dict[str, list[str]] = {}

    def by_tag(self, tag: str | None) -> dict[str, Mapping[str, Tensor]]:
        """All tags, or the one that the user wants; a single one goes under the name that is wanted."""
        tags = suffixes(self.searched, self.found.vectors)
        if not tags and self._has_inner_files():
            tags = [""]
        wanted = tags
        if tag and tag in tags:
            wanted = [tag]
        elif tag and len(tags) > 1:
            if "" not in tags:
                raise UsageError(f"{self.found.name} has no weights '{tag}'; tags: {', '.join(tags)}")
            wanted = [""]
        self._check_size(wanted)
        result: dict[str, Mapping[str, Tensor]] = {}
        for suffix in wanted:
            name = tag if tag and len(wanted) == 1 else suffix or FALLBACK_TAG
            result[name], self.missing[name] = self._read(suffix)
        return result

    def _check_size(self, suffixes: list[str]) -> None:
        """Refuse a network that would fill the memory, though hardly any weights came with it."""
        names = [f"{id_}-{suffix}".rstrip("-") for suffix in suffixes for id_ in self.found.vectors]
        there = sum(len(file[1]) // 4 - 1 for name in names if (file := find(self.searched, name)))
        total = self.network.weights
        if suffixes and total > 100 * there + _MOST_FRESH:
            raise UsageError(
                f"{self.source}: has {total:,} weights, far more than the files beside it ({there:,}); "
                "nothing of it came in"
            )

    def _has_inner_files(self) -> bool:
        vectors = self.found.vectors.items()
        ids = [
            name
            for id_, vector in vectors
            for inner in inner_ids(vector)
            for name in (f"{inner}-{id_}", inner)
        ]
        return any(find(self.searched, name) for name in ids)

    def _read(self, suffix: str) -> tuple[dict[str, Tensor], list[str]]:
        """The weights of a tag, and the modules that have none."""
        weights = named_weights(self.network.build(0))  # of what has no file
        missing = []
        for id_, vector in self.found.vectors.items():
            names = tensors_of(vector)
            name = self.found.names[id_]
            file = find(self.searched, f"{id_}-{suffix}" if suffix else id_)
            if file:
                weights |= self._unpacked(file, names, name)
            elif not self._inner(weights, id_, vector):
                missing.append(name)
        return weights, missing

    def _inner(self, weights: dict[str, Tensor], id_: str, vector: Any) -> bool:
        """Look for files of the modules inside a composite; whether there was one for each."""
        files = {}
        for inner, names in vector:
            file = find(self.searched, f"{inner}-{id_}") or find(self.searched, inner) if inner else None
            if file:
                files[inner] = self._unpacked(file, names, f"{self.found.names[id_]}/{inner}")
        for found in files.values():
            weights |= found
        return len(files) == len(vector)

    def _unpacked(self, file: tuple[str, bytes], names: list[str], module: str) -> dict[str, Tensor]:
        source, content = file
        shapes = {name: tuple(self.shapes[name]) for name in names}
        found = unpack(content, shapes, source, module)
        for name in names:
            if name.endswith(".stdev"):
                found[name.removesuffix("stdev") + "fitted"] = torch.tensor(True)
        return {name: tensor.reshape(self.shapes[name]) for name, tensor in found.items()}
