"""Data that a Python function of the user's makes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from dianne import plugins
from dianne.data.dataset import Dataset
from dianne.data.files import DataError
from dianne.data.readers.making import READERS, made, misfit, tensor
from dianne.data.readers.opening import Opening
from dianne.errors import UsageError


@READERS.register("Python")
def read_function(opening: Opening) -> Dataset:
    """What a function gives: inputs, or (inputs, targets); arrays, tensors or lists with a row a sample.

    Inputs of uint8 are pixels, others are taken as they are. Targets are numbers, or with `labels` the
    numbers of classes; without targets each sample is its own.
    """
    folder, described = opening.folder, opening.described
    name = described.descriptor.function
    if name is None:
        raise misfit(
            described, "function", "type Python needs a 'function', such as datasets/mine.py:samples"
        )
    try:
        function = plugins.find_function(folder, name)
    except UsageError as error:
        raise misfit(described, "function", f"function: {error}") from error
    with plugins.user_code(f"{described.name}: {name}"):
        result: Any = function(**described.descriptor.arguments)
    several = isinstance(result, tuple)
    if several and len(result) != 2:
        raise DataError(f"{name}: gives {len(result)} things, expected inputs or (inputs, targets)")
    inputs = _tensor(result[0] if several else result, f"{name}: inputs")
    inputs = inputs.unsqueeze(1) if inputs.dim() == 1 else inputs
    if several:
        targets = _tensor(result[1], f"{name}: targets")
        return made(described, inputs, targets if described.labels else targets.float())
    if described.labels:
        raise DataError(
            f"{name}: gives no targets, but {described.name} has labels; return (inputs, targets)"
        )
    found = made(described, inputs, torch.empty(len(inputs), 0))
    return Dataset(found.name, found.inputs, found.targets, autoencode=True)


def _tensor(values: object, what: str) -> Tensor:
    """Numbers as a tensor on the CPU: uint8 and whole numbers as they are, others as float32."""
    if isinstance(values, Tensor):
        values = values.detach().cpu().resolve_conj().resolve_neg().numpy()
    try:
        array = np.asarray(values)
    except ValueError as error:  # rows of different lengths
        raise DataError(f"{what}: are no array of numbers ({error})") from error
    if array.dtype.kind not in "fiub" or not array.ndim:
        found = f"an array of {array.dtype}" if array.ndim else type(values).__name__
        raise DataError(f"{what}: expected an array of numbers, found {found}")
    if array.dtype.kind == "b" or array.dtype.kind == "f":
        array = array.astype(np.float32)
    elif array.dtype != np.uint8:
        array = array.astype(np.int64)
    return tensor(array)
