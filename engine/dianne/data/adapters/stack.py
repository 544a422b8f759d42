"""Datasets with adapters: those that a descriptor lists, and those that a job asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from torch import Tensor

from dianne.data.adapter_options import STACK, AdapterOptions, given
from dianne.data.adapters.adapter import Adapter, Shape
from dianne.data.adapters.images import Crop, Flip, Frame, Rotation
from dianne.data.adapters.targets import kept_classes, mask_to_class, one_hot, share
from dianne.data.adapters.values import Binarize, Noise, Normalise, StochasticBinarize, statistics
from dianne.data.dataset import Dataset
from dianne.data.descriptor import Described
from dianne.data.ragged import PerSize, Ragged
from dianne.errors import ConfigError, Problem, UsageError

Statistics = tuple[list[float], list[float]]
_CHUNK = 4096  # samples that are looked at together


def adapted(
    dataset: Dataset, options: AdapterOptions, known: Statistics | None = None, rest: bool = False
) -> Dataset:
    """A dataset behind the adapters that options ask for, in the order of `STACK`.

    Args:
        dataset: maybe adapted already; these adapters come behind the others.
        options: what is asked for.
        known: mean and deviation for `normalise`; those of this dataset if left out.
        rest: take what `split` leaves.

    Raises:
        UsageError: an adapter does not fit the samples.
    """
    for name, fields in STACK.items():
        if any(given(options, field) for field in fields):
            dataset = _step(name, dataset, options, known, rest)
    return dataset


def _step(
    name: str, dataset: Dataset, options: AdapterOptions, known: Statistics | None, rest: bool
) -> Dataset:
    if name == "labels":
        return kept_classes(dataset, options)
    if name == "mask to class":
        return mask_to_class(dataset, options)
    if name == "one-hot" and options.one_hot:
        return one_hot(dataset, options.one_hot)
    if name == "split":
        if options.split is None:
            raise UsageError("splitSeed needs split=..., the share of samples that is learned from")
        return share(dataset, options.split, options.split_seed, rest)
    if name == "autoencode":
        return replace(dataset, autoencode=True)
    if name in _MOVING and isinstance(dataset.inputs, Ragged):
        per_size = _per_size(dataset, _MOVING[name], options)
        if per_size:
            return replace(dataset, adapters=(per_size,))
    adapter = _MAKERS[name](dataset, options, known)
    if name == "noise":
        return replace(dataset, noises=(*dataset.noises, adapter))
    return replace(dataset, adapters=(*dataset.adapters, adapter))


def _moving(kind: type[Flip | Rotation | Crop | Frame]) -> Callable[..., Adapter]:
    def make(dataset: Dataset, options: AdapterOptions, _: object) -> Adapter:
        both = not dataset.labels and dataset.target_dims == dataset.input_dims and not dataset.autoencode
        return kind(options, dataset.input_dims, both, dataset.name)

    return make


def _per_size(dataset: Dataset, kind: Callable[..., Adapter], options: AdapterOptions) -> PerSize | None:
    """An adapter for each size of images, behind those that are there; None once all have one size."""
    images, masks = dataset.inputs, dataset.targets
    assert isinstance(images, Ragged)
    both = isinstance(masks, Ragged) and masks.planes == images.planes and not dataset.autoencode

    def maker(dims: Shape) -> Adapter:
        return kind(options, dims, both, dataset.name)

    if not dataset.adapters:
        return PerSize(dataset.name, images.kinds, images.planes, [maker])
    first = dataset.adapters[0]
    if len(dataset.adapters) > 1 or not isinstance(first, PerSize) or len(first.ends) == 1:
        return None
    return first.behind(maker)


def _normalise(dataset: Dataset, _: AdapterOptions, known: Statistics | None) -> Adapter:
    mean, deviation = known or statistics(_inputs(dataset), dataset.input_dims)
    return Normalise(mean, deviation, dataset.input_dims, dataset.name)


def _inputs(dataset: Dataset) -> Iterator[Tensor]:
    return (dataset.batch(slice(at, at + _CHUNK)).input for at in range(0, len(dataset), _CHUNK))


_MOVING: dict[str, type[Flip | Rotation | Crop | Frame]] = {
    "flip": Flip, "rotation": Rotation, "crop": Crop, "frame": Frame,
}  # fmt: skip
_MAKERS: dict[str, Callable[[Dataset, AdapterOptions, Statistics | None], Adapter]] = {
    **{name: _moving(kind) for name, kind in _MOVING.items()},
    "binarize": lambda dataset, options, _: Binarize(options.binarize or 0.0, dataset.input_dims),
    "stochastic binarize": lambda dataset, _, __: StochasticBinarize(dataset.input_dims),
    "normalise": _normalise,
    "noise": lambda dataset, options, _: Noise(options, dataset.input_dims),
}


def statistics_of(dataset: Dataset) -> Statistics | None:
    """Mean and deviation with which the last adapter `normalise` of a dataset works, if it has one."""
    found = [adapter for adapter in dataset.adapters if isinstance(adapter, Normalise)]
    return (found[-1].mean, found[-1].deviation) if found else None


def described(dataset: Dataset, source: Described) -> Dataset:
    """A dataset behind the `adapters` of its descriptor; `normalise` looks at its part `train`.

    Raises:
        ConfigError: one of them does not fit the samples.
    """
    train = source.descriptor.parts.get("train")
    for place, options in enumerate(source.descriptor.adapters):
        try:
            known = None
            if options.normalise:
                before = adapted(dataset, options.model_copy(update={"normalise": False}))
                known = statistics(_inputs(before.select(train) if train else before), before.input_dims)
            dataset = adapted(dataset, options, known)
        except UsageError as error:
            where = source.document.where(("adapters", place))
            raise ConfigError(source.document.source, [Problem(where, str(error))]) from error
    return dataset
