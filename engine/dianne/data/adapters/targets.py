"""What adapters do once to all samples: other classes, other targets, another choice of samples."""

from __future__ import annotations

from dataclasses import replace

import torch

from dianne.data.adapter_options import AdapterOptions
from dianne.data.dataset import Dataset
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
    targets = new[dataset.targets.long()]
    dataset = replace(dataset, targets=targets, labels=names)
    if options.other:
        return dataset
    chosen = targets < len(names)
    if not chosen.any():
        raise UsageError(f"labels={','.join(names)}: none of the samples chosen is of these classes")
    return _chosen(dataset, chosen.nonzero().flatten())


def mask_to_class(dataset: Dataset, options: AdapterOptions) -> Dataset:
    """The classes True and False in place of masks.

    Raises:
        UsageError: targets are no masks.
    """
    threshold = options.mask_to_class
    if threshold is None:
        raise UsageError("maskCenter=true needs maskToClass=..., what the middle of a mask must exceed")
    dims = dataset.target_dims
    if dataset.labels or len(dims) not in (2, 3):
        what = "classes" if dataset.labels else f"{list(dims)}"
        raise UsageError(f"maskToClass needs targets that are images; those of {dataset.name} are {what}")
    masks = dataset.targets
    whole = masks.unsqueeze(1) if len(dims) == 2 else masks
    found = (
        whole[:, 0, dims[-2] // 2, dims[-1] // 2]
        if options.mask_center
        else whole.flatten(1).sum(1, dtype=torch.float64)
    )
    scale = 255 if masks.dtype == torch.uint8 else 1
    positive = found.double() > threshold * scale
    return replace(dataset, targets=(~positive).long(), labels=["True", "False"])


def one_hot(dataset: Dataset, count: int) -> Dataset:
    """Classes in place of whole numbers from 0 to below `count`.

    Raises:
        UsageError: targets are something else.
    """
    targets = dataset.targets.squeeze(1) if dataset.targets.dim() == 2 else dataset.targets
    if dataset.labels or targets.dim() != 1:
        what = "classes already" if dataset.labels else f"{list(dataset.target_dims)}"
        raise UsageError(f"oneHot needs one whole number as target; those of {dataset.name} are {what}")
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
    return _chosen(dataset, (order[count:] if rest else order[:count]).sort().values)


def _chosen(dataset: Dataset, indices: torch.Tensor) -> Dataset:
    inputs, targets = dataset.inputs[indices], dataset.targets[indices]
    return replace(dataset, inputs=inputs, targets=targets, sequential=False)
