"""The options with which a job chooses and adapts its data, and the datasets they give."""

from __future__ import annotations

from dataclasses import replace

from dianne.data.dataset import Dataset, part
from dianne.data.descriptor import Described, Range, RangeOption
from dianne.options import Options


class DataOptions(Options):
    """Which samples of the dataset, and what becomes of them."""

    range: RangeOption | None = None
    """Samples used: 0,59999 includes both ends, 0:60000 is half-open."""
    autoencode: bool = False
    """The target of each sample is the sample itself."""


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


def view(dataset: Dataset, chosen: Range, options: DataOptions) -> Dataset:
    """The samples of a range, adapted as the options say; those without targets always are their own."""
    return replace(dataset.select(chosen), autoencode=options.autoencode or dataset.autoencode)
