"""What adapters do once to all samples: other classes, other targets, another choice of samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from dianne.data.adapter_options import AdapterOptions
from dianne.data.dataset import Dataset
from dianne.data.ragged import Ragged
from dianne.data.rows import Samples, chunks_of, in_memory
from dianne.errors import UsageError, suggest


def kept_classes(dataset: Dataset, options: AdapterOptions) -> Dataset:
    """The samples of some classes, and of all others as those of a class `other` if it is asked for.

    Raises:
        UsageError: the dataset has no such class, or no classes.
    """
    if options.labels is None:
        raise UsageError("other=true needs labels=..., the classes that are kept")
    if not dataset.labels:
        raise UsageError(f"labels={','.join(options.labels)}: {dataset.name} has no classes")
    for label in options.labels:
        if label not in dataset.labels:
            raise UsageError(f"labels: {dataset.name} has no class '{label}'{suggest(label, dataset.labels)}")
    if len(set(options.labels)) < len(options.labels):
        raise UsageError(f"labels={','.join(options.labels)} names a class twice")
    names = [*options.labels, *(["other"] if options.other else [])]
    if len(set(names)) < len(names):
        raise UsageError(f"other: {dataset.name} has a class of that name already")
    new = torch.full((len(dataset.labels),), len(options.labels))
    new[torch.tensor([dataset.labels.index(label) for label in options.labels])] = torch.arange(
        len(options.labels)
    )
    targets = new[in_memory(dataset.targets).long()]
    dataset = replace(dataset, targets=targets, labels=names)
    if options.other:
        return dataset
    chosen = targets < len(names)
    if not chosen.any():
        raise UsageError(f"labels={','.join(names)}: none of the samples chosen is of these classes")
    return dataset.choose(chosen.nonzero().flatten())


def mask_to_class(dataset: Dataset, options: AdapterOptions) -> Dataset:
    """The classes True and False in place of masks.

    Raises:
        UsageError: targets are no masks.
    """
    threshold = options.mask_to_class
    if threshold is None:
        raise UsageError("maskCenter=true needs maskToClass=..., what the middle of a mask must exceed")
    if dataset.labels or dataset.targets.dim() not in (3, 4):
        what = "classes" if dataset.labels else f"{list(dataset.target_dims)}"
        raise UsageError(f"maskToClass needs targets that are images; those of {dataset.name} are {what}")
    scale = 255 if dataset.targets.dtype == torch.uint8 else 1
    found = torch.cat([_weight(masks, options.mask_center) for masks in _chunks(dataset.targets)])
    positive = found > threshold * scale
    return replace(dataset, targets=(~positive).long(), labels=["True", "False"])


def _chunks(masks: Samples) -> Iterator[Tensor]:
    return masks.each() if isinstance(masks, Ragged) else chunks_of(masks)


def _weight(masks: Tensor, center: bool) -> Tensor:
    """(b,) float64: the sum of each mask (b, [1,] h, w), or its middle."""
    height, width = masks.shape[-2:]
    if center:
        return masks.reshape(len(masks), -1, height, width)[:, 0, height // 2, width // 2].double()
    return masks.flatten(1).sum(1, dtype=torch.float64)


def one_hot(dataset: Dataset, count: int) -> Dataset:
    """Classes in place of whole numbers from 0 to below `count`.

    Raises:
        UsageError: targets are something else.
    """
    dims = tuple(dataset.targets.shape[1:])
    if dataset.labels or dims not in ((), (1,)):
        what = "classes already" if dataset.labels else f"{list(dataset.target_dims)}"
        raise UsageError(f"oneHot needs one whole number as target; those of {dataset.name} are {what}")
    targets = in_memory(dataset.targets).reshape(-1)
    wrong = (targets != targets.long()) | (targets < 0) | (targets >= count)
    if wrong.any():
        raise UsageError(
            f"oneHot={count}: a target of {dataset.name} is {float(targets[wrong][0]):g}, expected a whole "
            f"number from 0 to {count - 1}"
        )
    return replace(dataset, targets=targets.long(), labels=[str(label) for label in range(count)])


def share(dataset: Dataset, fraction: float, seed: int, rest: bool) -> Dataset:
    """A share of the samples, drawn by a seed and then in their old order; or the rest of them.

    Raises:
        UsageError: one of both is empty.
    """
    size = len(dataset)
    count = round(fraction * size)
    if not 0 < count < size:
        raise UsageError(f"split={fraction:g} leaves no sample on one side; {dataset.name} has {size:,}")
    order = torch.randperm(size, generator=torch.Generator().manual_seed(seed))
    return dataset.choose((order[count:] if rest else order[:count]).sort().values)
