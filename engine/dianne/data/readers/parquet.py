"""Parquet files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from typing import Any

from dianne.data.dataset import Dataset
from dianne.data.files import DataError, TooLargeError
from dianne.data.mapping import MappedFile
from dianne.data.readers.columns import MISSING, ROWS, Table, dataset_of
from dianne.data.readers.making import READERS, misfit
from dianne.data.readers.opening import Opening
from dianne.data.readers.streaming import streamed

_TIMES = 3  # sizes of the values: the table, arrays of it, and the samples


@READERS.register("Parquet")
def read_parquet(opening: Opening) -> Dataset:
    """A table in a Parquet file; needs pyarrow."""
    described = opening.described
    name = described.descriptor.file
    if name is None:
        raise misfit(described, "file", "type Parquet needs a 'file'")
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise DataError(f"{described.name}: {MISSING.format('Parquet')}") from error
    blob = opening.blobs([name])[name]

    def content() -> Any:
        return pyarrow.OSFile(str(blob.path)) if isinstance(blob, MappedFile) else pyarrow.BufferReader(blob)

    def parts(opening: Opening) -> Iterator[Dataset]:
        first = 0
        with _whole(name):
            for batch in pyarrow.parquet.ParquetFile(content()).iter_batches(ROWS, use_threads=False):
                rows = pyarrow.Table.from_batches([batch])
                rows.validate(full=True)
                yield dataset_of(Table(opening, rows, first))
                first += len(rows)

    with _whole(name):
        about = pyarrow.parquet.ParquetFile(content()).metadata
        size = sum(about.row_group(group).total_byte_size for group in range(about.num_row_groups))
        table = None
        if isinstance(blob, bytes) and size * _TIMES <= opening.limit:
            table = pyarrow.parquet.read_table(content(), use_threads=False)
            table.validate(full=True)
    if table is not None:
        with suppress(TooLargeError):
            return dataset_of(Table(opening, table))
    own = blob.identity if isinstance(blob, MappedFile) else sha256(blob).hexdigest()
    return streamed(opening, f"{own} parquet", parts)


@contextmanager
def _whole(name: str) -> Iterator[None]:
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError, ValueError, MemoryError) as error:
        raise DataError(f"{name}: is no whole Parquet file ({str(error).splitlines()[0]:.200})") from error
