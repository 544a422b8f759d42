"""Datasets that come with scikit-learn."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch

from dianne.data.dataset import Dataset
from dianne.data.readers.making import READERS, made, misfit
from dianne.data.readers.opening import Opening
from dianne.errors import suggest


@READERS.register("sklearn")
def read_sklearn(opening: Opening) -> Dataset:
    """A dataset that comes inside scikit-learn; pixels are stored as uint8, 255 for the largest value."""
    described = opening.described
    import sklearn.datasets  # here, because it takes a second that other datasets need not pay

    found = [name for name in dir(sklearn.datasets) if name.startswith("load_")]
    alone = [name for name in found if _needs_nothing(getattr(sklearn.datasets, name))]
    loader = described.descriptor.loader
    if loader is None:
        raise misfit(described, "loader", "type sklearn needs a 'loader', such as load_digits")
    if loader not in found:
        raise misfit(
            described, "loader", f"scikit-learn has no loader '{loader}'{suggest(loader, alone, 'loaders')}"
        )
    if loader not in alone:
        raise misfit(
            described,
            "loader",
            f"scikit-learn's '{loader}' gives no samples by itself; loaders: {', '.join(alone)}",
        )
    bunch = getattr(sklearn.datasets, loader)()
    if "images" in bunch:
        pixels = torch.from_numpy(bunch["images"]).to(torch.float32)
        inputs = (pixels * (255 / pixels.max())).round().to(torch.uint8).unsqueeze(1)
    else:
        inputs = torch.from_numpy(bunch["data"]).to(torch.float32)
    targets = torch.from_numpy(bunch["target"])
    return made(described, inputs, targets if described.labels else targets.to(torch.float32))


def _needs_nothing(loader: Callable[..., Any]) -> bool:
    """Whether a function of sklearn.datasets gives numbers without being told a file or a name."""
    required = [p for p in inspect.signature(loader).parameters.values() if p.default is p.empty]
    return not required and "images" not in loader.__name__
