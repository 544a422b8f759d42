"""The contract between the engine and an evaluation strategy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from dianne.criteria import CRITERIA, Criterion
from dianne.data.dataset import Batch, Dataset
from dianne.options import Options, PositiveInt


class EvaluationOptions(Options):
    """Options of every evaluation."""

    batch_size: PositiveInt = 500
    """Samples forwarded at once; no result depends on it."""
    include_outputs: bool = False
    """Keep what the networks give for every sample."""


@dataclass
class EvaluationJob:
    """What the engine offers to an evaluation strategy in `setup`.

    Attributes:
        networks: in the order of the strategy's roles, in evaluation mode.
        options: an object of the strategy's class `Options`.
        labels: names of the classes, if the dataset has classes.
        size: samples in the dataset.
        noise: random numbers for the strategy's own use, from the job's seed.
        chosen: the criterion of the job, with its options.
    """

    networks: tuple[nn.Module, ...]
    options: Any
    labels: list[str] | None
    size: int
    noise: torch.Generator
    chosen: Criterion | None = None

    def criterion(self) -> Criterion:
        """The criterion that the option `criterion` names."""
        return self.chosen or CRITERIA.get(self.options.criterion)()


@dataclass
class Evaluation:
    """What an evaluation found.

    Attributes:
        size: samples.
        metrics: numbers by name; the first is the one by which weights are compared.
        confusion: counts, [true class][predicted class], for a classification.
        labels: names of the classes.
        seconds: it took.
        strategy: name of the evaluation strategy.
        stored: the tag under which the weights were kept for being better, or "".
        outputs: (size, ...) what the networks gave, if the option `includeOutputs` asks for it.
    """

    size: int
    metrics: dict[str, float]
    confusion: list[list[int]] | None = None
    labels: list[str] | None = None
    seconds: float = 0.0
    strategy: str = ""
    stored: str = ""
    outputs: Tensor | None = None

    def summary(self) -> dict[str, Any]:
        """What it says to machines."""
        found: dict[str, Any] = {
            "strategy": self.strategy, "size": self.size, "metrics": self.metrics,
            "seconds": round(self.seconds, 3), "secondsPerSample": self.seconds / self.size,
        }  # fmt: skip
        if self.outputs is not None:
            found["outputs"] = self.outputs.tolist()
        if self.stored:
            found["stored"] = self.stored
        if self.confusion:
            found |= {"confusionMatrix": self.confusion, "labels": self.labels}
        return found


class EvaluationStrategy(ABC):
    """How some networks are judged on a dataset. One object serves one evaluation.

    Class attributes:
        roles: what each network is for, in the order in which the user names them.
        Options: the options that it reads.
        defaults: options of other consumers that it sets unless the user does.
        larger_is_better: whether the first metric is.
    """

    roles: ClassVar[tuple[str, ...]] = ("network",)
    Options: ClassVar[type[Options]] = EvaluationOptions
    defaults: ClassVar[Mapping[str, Any]] = {}
    larger_is_better: ClassVar[bool] = False
    batch_size: int = 1  # as the options say; set before `setup`

    @abstractmethod
    def setup(self, job: EvaluationJob) -> None:
        """Build what the strategy needs."""

    def batches(self, dataset: Dataset) -> Iterator[Batch]:
        """The batches of a dataset, each sample once; in order unless a strategy says otherwise."""
        size = self.batch_size
        return (dataset.batch(slice(start, start + size)) for start in range(0, len(dataset), size))

    @abstractmethod
    def process_batch(self, batch: Batch) -> Tensor | None:
        """Take in one batch; the last one of a dataset may be smaller. Gradients are off.

        Returns:
            (b, ...) what the networks gave, kept where the user asks for it; None if there is no such thing.
        """

    @abstractmethod
    def result(self) -> Evaluation:
        """What was found on all batches."""


@dataclass
class Means:
    """Running means of values per sample, by name, in double precision."""

    size: int = 0
    _sums: dict[str, float] = field(default_factory=dict)

    def add(self, **values: Tensor) -> None:
        """Take in (b,) values of the same b samples."""
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(value.sum(dtype=torch.float64))
        self.size += len(next(iter(values.values())))

    def means(self) -> dict[str, float]:
        """The mean of each."""
        return {name: total / self.size for name, total in self._sums.items()}


class SampleNoise:
    """Standard normal noise for every sample of a dataset, the same however samples are put into batches.

    Args:
        job: gives the random numbers and the number of samples.
    """

    def __init__(self, job: EvaluationJob):
        self.job = job
        self.done = 0
        self._noise: Tensor | None = None

    def __call__(self, count: int, *shape: int) -> Tensor:
        """(count, *shape) for the next `count` samples; the shape is the same in all calls."""
        if self._noise is None:
            self._noise = torch.randn(self.job.size, *shape, generator=self.job.noise)
        self.done += count
        return self._noise[self.done - count : self.done]
