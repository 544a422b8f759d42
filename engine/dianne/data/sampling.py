"""How batches are drawn from a dataset: an endless stream of indices."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Any

import torch
from pydantic import ValidationInfo, field_validator
from torch import Tensor

from dianne import options as declare
from dianne.data.dataset import Dataset
from dianne.data.feeding import Feed, State
from dianne.data.rows import in_memory
from dianne.errors import UsageError
from dianne.options import Choice, Probabilities, WholeNumbers
from dianne.registry import Registry


class SamplingStrategy(ABC):
    """Draws indices of samples.

    Args:
        dataset: where samples come from.
        options: of the strategy's class `Options`.
        generator: the job's stream for the order of data.
    """

    Options: type[declare.Options] = declare.Options

    def __init__(self, dataset: Dataset, options: Any, generator: torch.Generator):  # noqa: ARG002
        self.size = len(dataset)
        self.generator = generator

    @abstractmethod
    def draw(self, count: int) -> Tensor:
        """The next (count,) int64 indices."""

    def state_dict(self) -> State:
        """What decides the draws to come."""
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: State) -> None:
        """Go on as the strategy whose state it is would."""
        self.generator.set_state(state["generator"])


SAMPLING: Registry[type[SamplingStrategy]] = Registry("sampling strategy")


@SAMPLING.register("UNIFORM")
class Uniform(SamplingStrategy):
    """Every draw is independent: uniform with replacement."""

    def draw(self, count: int) -> Tensor:
        """(count,) int64."""
        return torch.randint(self.size, (count,), generator=self.generator)


class _Walk(SamplingStrategy):
    """Walks through orders of the whole dataset, one after the other; a batch may span two."""

    def __init__(self, dataset: Dataset, options: Any, generator: torch.Generator):
        super().__init__(dataset, options, generator)
        self.order = torch.empty(0, dtype=torch.int64)  # what is left of the newest one
        self.before = generator.get_state()  # from which that was made

    def draw(self, count: int) -> Tensor:
        """(count,) int64."""
        while len(self.order) < count:
            self.before = self.generator.get_state()
            self.order = torch.cat((self.order, self.next_order()))
        drawn, self.order = self.order[:count], self.order[count:]
        return drawn

    @abstractmethod
    def next_order(self) -> Tensor:
        """(size,) int64: every index once."""

    def state_dict(self) -> State:
        """How much is left of which order: a few bytes, however many samples there are."""
        left = len(self.order)
        return {"generator": self.before if left else self.generator.get_state(), "left": left}

    def load_state_dict(self, state: State) -> None:
        """Make the same order again, and leave as much of it."""
        super().load_state_dict(state)
        self.before = state["generator"]
        self.order = self.next_order()[self.size - state["left"] :] if state["left"] else self.order[:0]


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


class _Pieces(SamplingStrategy):
    """Draws from pieces of an order of the samples: first a piece, then uniformly inside it."""

    starts: Tensor  # (pieces,) int64 positions in the order
    sizes: Tensor  # (pieces,) int64

    def inside(self, pieces: Tensor) -> Tensor:
        """(count,) pieces -> (count,) positions in the order."""
        shares = torch.rand(len(pieces), dtype=torch.float64, generator=self.generator)
        return self.starts[pieces] + (shares * self.sizes[pieces]).long()


@SAMPLING.register("WEIGHTED")
class Weighted(_Pieces):
    """Ranges of samples with a probability each; what is left of it goes to all other samples alike."""

    class Options(declare.Options):
        """Which ranges, and how likely they are."""

        weighted_ranges: WholeNumbers
        """First and last sample of each range, both included, in ascending order: 0,99,500,999."""
        probabilities: Probabilities
        """Of each range; what is missing to 1 is shared by all other samples."""

        @field_validator("weighted_ranges")
        @classmethod
        def _ascending(cls, ends: list[int]) -> list[int]:
            if len(ends) % 2 or not ends:
                raise ValueError(f"expected pairs of a first and a last sample, found {len(ends)} numbers")
            for at in range(0, len(ends), 2):
                if ends[at] > ends[at + 1]:
                    raise ValueError(f"the range {ends[at]},{ends[at + 1]} ends before it starts")
                if at and ends[at] <= ends[at - 1]:
                    raise ValueError(f"the range {ends[at]},{ends[at + 1]} must start after {ends[at - 1]}")
            return ends

        @field_validator("probabilities")
        @classmethod
        def _of_each(cls, probabilities: list[float], info: ValidationInfo) -> list[float]:
            pairs = len(info.data.get("weighted_ranges", probabilities * 2)) // 2
            if len(probabilities) != pairs:
                raise ValueError(f"expected one for each of {pairs} ranges, found {len(probabilities)}")
            if sum(probabilities) > 1 + 1e-6:
                raise ValueError(f"expected a sum of at most 1, found {sum(probabilities):g}")
            return probabilities

    def __init__(self, dataset: Dataset, options: Any, generator: torch.Generator):
        super().__init__(dataset, options, generator)
        first = torch.tensor(options.weighted_ranges[::2])
        behind = torch.tensor(options.weighted_ranges[1::2]) + 1
        if int(behind[-1]) > self.size:
            raise UsageError(
                f"weightedRanges reach to sample {int(behind[-1]) - 1:,}, but there are the samples 0 to "
                f"{self.size - 1:,} to draw from"
            )
        gaps = torch.cat((torch.tensor([0]), behind)), torch.cat((first, torch.tensor([self.size])))
        others = gaps[1] - gaps[0]
        given = torch.tensor(options.probabilities, dtype=torch.float64)
        left = 1 - float(given.sum())
        if left > 1e-6 and not int(others.sum()):
            raise UsageError(
                f"weightedRanges cover all samples, so probabilities must have the sum 1, found {1 - left:g}"
            )
        shares = max(left, 0.0) * others / max(int(others.sum()), 1)
        probabilities = torch.cat((given, shares))
        possible = probabilities > 0
        self.probabilities = probabilities[possible]
        self.starts = torch.cat((first, gaps[0]))[possible]
        self.sizes = torch.cat((behind - first, others))[possible]

    def draw(self, count: int) -> Tensor:
        """(count,) int64."""
        pieces = torch.multinomial(self.probabilities, count, replacement=True, generator=self.generator)
        return self.inside(pieces)


@SAMPLING.register("UNIFORMCLASS")
class UniformClass(_Pieces):
    """One class after the other, in turns, and uniformly among its samples; needs a dataset with classes."""

    def __init__(self, dataset: Dataset, options: Any, generator: torch.Generator):
        super().__init__(dataset, options, generator)
        if not dataset.labels:
            raise UsageError(f"sampling UNIFORMCLASS needs a dataset with classes; {dataset.name} has none")
        classes = in_memory(dataset.targets).long().cpu()
        counts = torch.bincount(classes)
        present = counts > 0
        self.order = torch.argsort(classes, stable=True)
        self.starts = (counts.cumsum(0) - counts)[present]
        self.sizes = counts[present]
        self.turn = 0

    def draw(self, count: int) -> Tensor:
        """(count,) int64."""
        classes = (self.turn + torch.arange(count)) % len(self.sizes)
        self.turn = (self.turn + count) % len(self.sizes)
        return self.order[self.inside(classes)]

    def state_dict(self) -> State:
        """The generator, and whose turn it is."""
        return {**super().state_dict(), "turn": self.turn}

    def load_state_dict(self, state: State) -> None:
        """Go on with the same class."""
        super().load_state_dict(state)
        self.turn = state["turn"]


SamplingName = Annotated[str, Choice(SAMPLING)]


class Sampler(Feed):
    """Endless batches of one size from a dataset.

    Args:
        dataset: where samples come from.
        batch_size: samples in a batch.
        strategy: the name of a sampling strategy.
        seed: of the stream for the order of data.
        options: of the sampling strategy; its defaults if left out.

    Raises:
        UsageError: the strategy cannot draw from this dataset.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        strategy: str,
        seed: int,
        options: declare.Options | None = None,
    ):
        super().__init__(dataset)
        self.batch_size = batch_size
        generator = torch.Generator().manual_seed(seed)
        kind = SAMPLING.get(strategy)
        self.strategy = kind(dataset, kind.Options() if options is None else options, generator)

    def draw(self) -> Tensor:
        """(b,) int64."""
        return self.strategy.draw(self.batch_size)

    def order_state(self) -> State:
        """That of the sampling strategy."""
        return self.strategy.state_dict()

    def load_order_state(self, state: State) -> None:
        """Into the sampling strategy."""
        self.strategy.load_state_dict(state)
