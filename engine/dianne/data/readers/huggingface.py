"""Datasets of Hugging Face, by name or from a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from dianne.data.dataset import Dataset
from dianne.data.descriptor import Described
from dianne.data.files import DataError, TooLargeError, home
from dianne.data.mapping import identity_of
from dianne.data.readers.columns import MISSING, ROWS, Table, dataset_of
from dianne.data.readers.making import READERS, misfit
from dianne.data.readers.opening import Opening
from dianne.data.readers.streaming import streamed
from dianne.errors import suggest

_TIMES = 3  # sizes of the table: itself, arrays of it, and the samples


@READERS.register("HuggingFace")
def read_huggingface(opening: Opening) -> Dataset:
    """One split of a `repository`: a folder that `save_to_disk` wrote or that holds data files, or a name.

    Pictures are decoded, columns chosen as in Parquet; classes are named as the dataset names them, if the
    descriptor doesn't. No code of the dataset is run.
    """
    folder, described, descriptor = opening.folder, opening.described, opening.described.descriptor
    if not descriptor.repository:
        raise misfit(described, "repository", "type HuggingFace needs a 'repository', such as ylecun/mnist")
    try:
        datasets: Any = import_module("datasets")
        pyarrow: Any = import_module("pyarrow")
        load, from_disk = datasets.load_dataset, datasets.load_from_disk
    except (ImportError, AttributeError) as error:  # a folder `datasets` passes for the library
        raise DataError(f"{described.name}: {MISSING.format('HuggingFace')}") from error
    local = home(described) / descriptor.repository
    local = local if local.is_dir() else folder.root / descriptor.repository
    try:
        stored = local.is_dir() and any((local / f).is_file() for f in ("state.json", "dataset_dict.json"))
        source = str(local) if local.is_dir() else descriptor.repository
        loaded: Any = from_disk(source) if stored else load(source)
        if hasattr(loaded, "keys"):  # several splits
            if descriptor.split not in loaded:
                hint = suggest(descriptor.split, loaded, "splits")
                message = f"split: {descriptor.repository} has no '{descriptor.split}'{hint}"
                raise misfit(described, "split", message)
            loaded = loaded[descriptor.split]
        rows = loaded.with_format("arrow")
        table = rows[:] if loaded.data.nbytes * _TIMES <= opening.limit else None
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, pyarrow.ArrowException,
            datasets.exceptions.DatasetsError) as error:  # fmt: skip
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{descriptor.repository}: cannot be loaded: {reason:.300}") from error
    opening = replace(opening, described=_named(described, loaded.features))
    if table is not None:
        with suppress(TooLargeError):
            return dataset_of(Table(opening, table))

    def parts(opening: Opening) -> Iterator[Dataset]:
        for at in range(0, len(loaded), ROWS):
            yield dataset_of(Table(opening, rows[at : at + ROWS], at))

    files = [identity_of(Path(file["filename"])) for file in loaded.cache_files]
    return streamed(opening, "\n".join([*files, descriptor.split]), parts)


def _named(described: Described, features: Any) -> Described:
    """The descriptor with the labels that the dataset has for its column of classes."""
    descriptor = described.descriptor
    columns = descriptor.targets or ([] if descriptor.inputs else list(features)[-1:])
    feature = features.get(columns[0]) if len(columns) == 1 else None
    names = getattr(feature, "names", None)
    if descriptor.labels or not names:
        return described
    return replace(described, descriptor=descriptor.model_copy(update={"labels": list(names)}))
