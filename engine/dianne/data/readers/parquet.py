"""Parquet files."""

from __future__ import annotations

import io

from dianne.data.dataset import Dataset
from dianne.data.descriptor import Described
from dianne.data.files import DataError, Progress, contents
from dianne.data.readers.columns import MISSING, dataset_of
from dianne.data.readers.making import READERS, misfit
from dianne.workspace import Folder


@READERS.register("Parquet")
def read_parquet(folder: Folder, described: Described, progress: Progress | None) -> Dataset:
    """A table in a Parquet file; needs pyarrow."""
    name = described.descriptor.file
    if name is None:
        raise misfit(described, "file", "type Parquet needs a 'file'")
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise DataError(f"{described.name}: {MISSING.format('Parquet')}") from error
    data = contents(folder, described, [name], progress)[name]
    try:
        table = pyarrow.parquet.read_table(io.BytesIO(data), use_threads=False)
        table.validate(full=True)
    except (pyarrow.ArrowException, OSError, ValueError, MemoryError) as error:
        raise DataError(f"{name}: is no whole Parquet file ({str(error).splitlines()[0]:.200})") from error
    return dataset_of(described, table)
