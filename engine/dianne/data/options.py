"""The options with which a job chooses and adapts its data, and the datasets they give."""

from __future__ import annotations

from dianne.data.adapter_options import AdapterOptions
from dianne.data.adapters.stack import Statistics, adapted
from dianne.data.dataset import Dataset, part
from dianne.data.descriptor import Described, Range, RangeOption
from dianne.data.memory import Size


class DataOptions(AdapterOptions):
    """Which samples of the dataset, and what becomes of them."""

    range: RangeOption | None = None
    """Samples used: 0,59999 includes both ends, 0:60000 is half-open."""
    memory_limit: Size | None = None
    """Memory that samples may take, such as 500M or 2G; larger sets are mapped. Half of what is free if left
    out."""


class LearnDataOptions(DataOptions):
    """The data of a learn job."""

    train_set: RangeOption | None = None
    """Samples learned from; another word for range."""
    validation_set: RangeOption | None = None
    """Samples on which the weights are evaluated while they learn."""


class EvaluateDataOptions(DataOptions):
    """The data of an evaluation."""

    test_set: RangeOption | None = None
    """Samples evaluated; another word for range."""


def whole(described: Described, part_name: str) -> Range:
    """The range used when none is given: the descriptor's part of that name, else everything."""
    return part(described, part_name) or Range("all")


def view(
    dataset: Dataset, chosen: Range, options: DataOptions, known: Statistics | None = None, rest: bool = False
) -> Dataset:
    """The samples of a range behind the adapters that options ask for; those without targets are their own.

    Args:
        dataset: all samples.
        chosen: the range.
        options: the adapters.
        known: mean and deviation for `normalise`; those of the range if left out.
        rest: take what `split` leaves of the range.

    Raises:
        UsageError: the range reaches beyond the dataset, or an adapter does not fit the samples.
    """
    return adapted(dataset.select(chosen), options, known, rest)
