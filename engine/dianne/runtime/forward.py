"""What goes into a deployed network from a command line, and what becomes of the results."""

from __future__ import annotations

import io
import json
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dianne.data.descriptor import RangeOption, describe
from dianne.data.files import Progress
from dianne.data.options import DataOptions, view, whole
from dianne.data.readers import open_dataset
from dianne.document import display
from dianne.errors import DianneError, UsageError
from dianne.options import NonNegativeInt, Options, PositiveInt
from dianne.runtime.instances import Deployed
from dianne.runtime.pictures import grid
from dianne.workspace import Folder

_ENDINGS = (".png", ".npy", ".json")


class ForwardOptions(Options):
    """Where samples come from, and where results go."""

    random: PositiveInt | None = None
    """This many samples of standard normal noise."""
    input: str | None = None
    """Values with commas, samples with semicolons (0.5,-1.2;0,0), or a .npy file."""
    range: RangeOption | None = None
    """Samples of the dataset that is named; its test part if left out."""
    seed: NonNegativeInt | None = None
    """Where noise comes from; another each time if left out."""
    out: str | None = None
    """A file for the results: .png for pictures, .npy or .json for numbers."""
    tag: str | None = None
    """Use the weights of this tag, deployed or not."""


def check(options: ForwardOptions, dataset: str | None) -> None:
    """Refuse what cannot work, before anything is loaded.

    Raises:
        UsageError: no source of samples or several, or a file that cannot be written.
    """
    given = [
        name
        for name, value in (("random", options.random), ("input", options.input), ("a dataset", dataset))
        if value is not None
    ]
    if len(given) != 1:
        found = f"found {' and '.join(given)}" if given else "found none"
        raise UsageError(
            f"forward takes its samples from one place: random=16, input=0.5,-1.2, input=file.npy "
            f"or a dataset; {found}"
        )
    if options.range is not None and dataset is None:
        raise UsageError(
            "range chooses samples of a dataset; name one, such as: dianne forward Encoder MNIST"
        )
    if options.out is not None:
        path = Path(options.out)
        if path.suffix not in _ENDINGS:
            raise UsageError(f"out={options.out}: write to a file that ends in {', '.join(_ENDINGS)}")
        if path.is_dir():
            raise UsageError(f"out={options.out}: is a folder; name a file")
        if not path.absolute().parent.is_dir():
            raise UsageError(f"out={options.out}: there is no folder {display(path.absolute().parent)}")


def forward(
    folder: Folder,
    deployed: Deployed,
    options: ForwardOptions,
    dataset: str | None,
    fetching: Progress | None = None,
) -> Tensor:
    """Results (b, ...) for the samples that the options name; raises DianneError for what does not fit."""
    return deployed.forward(_samples(folder, deployed, options, dataset, fetching))


def _samples(
    folder: Folder,
    deployed: Deployed,
    options: ForwardOptions,
    dataset: str | None,
    fetching: Progress | None,
) -> Tensor:
    shape = deployed.input_dims
    if options.random is not None:
        generator = torch.Generator()
        if options.seed is None:
            generator.seed()
        else:
            generator.manual_seed(options.seed)
        try:
            return torch.randn(options.random, *shape, generator=generator)
        except RuntimeError as error:  # torch's word for a full memory
            raise UsageError(f"random={options.random}: so many samples do not fit into memory") from error
    if dataset is not None:
        described = describe(folder, dataset)
        chosen = options.range or whole(described, "test")
        found = view(open_dataset(folder, described, fetching), chosen, DataOptions())
        return found.batch(slice(None)).input
    assert options.input is not None
    values = _read(options.input)
    return values.unsqueeze(0) if values.shape == shape else values


def _read(text: str) -> Tensor:
    if not text.endswith(".npy"):
        rows = []
        for row in text.split(";"):
            try:
                rows.append([float(value) for value in row.split(",")])
            except ValueError:
                message = f"input={text}: expected numbers such as 0.5,-1.2 or a .npy file"
                raise UsageError(message) from None
        if len({len(row) for row in rows}) > 1:
            raise UsageError(f"input={text}: every sample needs as many values as the first")
        return torch.tensor(rows)
    try:
        array = np.load(text, allow_pickle=False)
    except FileNotFoundError:
        raise UsageError(f"input={text}: there is no such file") from None
    except (OSError, ValueError, EOFError) as error:
        raise UsageError(f"input={text}: is no array that numpy reads ({error})") from error
    if array.dtype.kind not in "fiub":
        raise UsageError(f"input={text}: expected numbers, found an array of {array.dtype}")
    if not array.size:
        raise UsageError(f"input={text}: holds no samples")
    return torch.from_numpy(array.astype(np.float32))


def write(results: Tensor, out: str) -> None:
    """Write results to a file, whole or not at all; the ending says how.

    Raises:
        UsageError: results are no pictures.
        DianneError: the file cannot be written.
    """
    path = Path(out)
    temporary = path.with_name(f".{path.name}.part")
    try:
        if path.suffix == ".png":
            grid(results.numpy()).save(temporary, format="PNG")
        elif path.suffix == ".npy":
            packed = io.BytesIO()  # numpy does not say why a file cannot be written
            np.save(packed, results.numpy())
            temporary.write_bytes(packed.getvalue())
        else:
            temporary.write_text(json.dumps(as_lists(results.numpy())) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise DianneError(f"{display(path)}: cannot be written: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


def as_lists(array: NDArray[Any]) -> Any:
    """An array as nested lists, each number as short as its own precision allows."""
    if array.ndim > 1:
        return [as_lists(row) for row in array]
    return [float(str(value)) if isfinite(value) else None for value in array]
