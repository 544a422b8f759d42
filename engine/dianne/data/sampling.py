"""How batches are drawn from a dataset: an endless stream of indices."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated

import torch
from torch import Tensor

from dianne.data.dataset import Batch, Dataset
from dianne.options import Choice, Options
from dianne.registry import Registry


class SamplingStrategy(ABC):
    """Draws indices below `size`.

    Args:
        size: samples in the dataset.
        generator: the job's stream for the order of data.
    """

    Options = Options

    def __init__(self, size: int, generator: torch.Generator):
        self.size = size
        self.generator = generator

    @abstractmethod
    def draw(self, count: int) -> Tensor:
        """The next (count,) int64 indices."""


SAMPLING: Registry[type[SamplingStrategy]] = Registry("sampling strategy")


@SAMPLING.register("UNIFORM")
class Uniform(SamplingStrategy):
    """Every draw is independent: uniform with replacement."""

    def draw(self, count: int) -> Tensor:
        """(count,) int64."""
        return torch.randint(self.size, (count,), generator=self.generator)


class _Walk(SamplingStrategy):
    """Walks through orders of the whole dataset, one after the other; a batch may span two."""

    def __init__(self, size: int, generator: torch.Generator):
        super().__init__(size, generator)
        self.order = torch.empty(0, dtype=torch.int64)

    def draw(self, count: int) -> Tensor:
        """(count,) int64."""
        while len(self.order) < count:
            self.order = torch.cat((self.order, self.next_order()))
        drawn, self.order = self.order[:count], self.order[count:]
        return drawn

    @abstractmethod
    def next_order(self) -> Tensor:
        """(size,) int64: every index once."""


@SAMPLING.register("PERMUTATION")
class Permutation(_Walk):
    """Every sample once in random order, then again in another order."""

    def next_order(self) -> Tensor:
        """A random permutation."""
        return torch.randperm(self.size, generator=self.generator)


@SAMPLING.register("SEQUENTIAL")
class Sequential(_Walk):
    """From the first sample to the last, then again from the first."""

    def next_order(self) -> Tensor:
        """0, 1, 2, ..."""
        return torch.arange(self.size)


SamplingName = Annotated[str, Choice(SAMPLING)]


class Sampler:
    """Endless batches of one size from a dataset.

    Args:
        dataset: where samples come from.
        batch_size: samples in a batch.
        strategy: the name of a sampling strategy.
        seed: of the stream for the order of data.
    """

    def __init__(self, dataset: Dataset, batch_size: int, strategy: str, seed: int):
        self.dataset = dataset
        self.batch_size = batch_size
        generator = torch.Generator().manual_seed(seed)
        self.strategy = SAMPLING.get(strategy)(len(dataset), generator)

    def __next__(self) -> Batch:
        return self.dataset.batch(self.strategy.draw(self.batch_size))

    def __iter__(self) -> Sampler:
        return self
