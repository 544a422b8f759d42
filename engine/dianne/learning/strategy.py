"""The contract between the engine and a learning strategy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from dianne.criteria import CRITERIA, Criterion, CriterionName
from dianne.data.dataset import Batch, Dataset
from dianne.data.sampling import SamplingName
from dianne.data.sequences import Sequences
from dianne.learning.methods import MethodName
from dianne.options import Options, PositiveInt

Terms = Mapping[str, Tensor]
LossFunction = Callable[..., Terms]


class GradientOptions(Options):
    """Options of a strategy that learns from batches by gradients."""

    criterion: CriterionName = "MSE"
    """How far a result is from its target."""
    method: MethodName = "ADAM"
    """How gradients become changes of the weights."""
    batch_size: PositiveInt = 128
    """Samples in a batch."""
    sampling: SamplingName = "UNIFORM"
    """How samples are drawn."""


@dataclass(frozen=True)
class LearnProgress:
    """What one iteration gives back.

    Attributes:
        iteration: counted from 0.
        terms: scalars by name; "loss" is the one that is watched, the others are reported beside it.
            They may stay tensors: they are read only when somebody looks.
    """

    iteration: int
    terms: Terms = field(default_factory=dict)


class Job(ABC):
    """What the engine offers to a strategy in `setup`.

    Attributes:
        networks: the networks, in the order of the strategy's roles.
        options: an object of the strategy's class `Options`.
        dataset: the samples that are learned from.
        batches: endless batches, drawn as the options `batchSize` and `sampling` say.
        labels: names of the classes, if the dataset has classes.
        noise: random numbers for the strategy's own use.
    """

    networks: tuple[nn.Module, ...]
    options: Any
    dataset: Dataset
    labels: list[str] | None
    batches: Iterator[Batch]
    noise: torch.Generator

    def criterion(self) -> Criterion:
        """The criterion that the option `criterion` names."""
        return CRITERIA.get(self.options.criterion)()

    @abstractmethod
    def sequences(self, length: int, carry: bool = False, from_start: bool = False) -> Sequences:
        """Endless batches (b, length, ...) of sequences, as many in a batch as the option `batchSize` says.

        Args:
            length: samples in a sequence.
            carry: whether each goes on where the one in its place in the batch before ended; where that is
                not so, the iterator is `fresh`.
            from_start: every sequence starts at the first sample.

        Raises:
            UsageError: the samples do not follow each other in time, or they are too few.
        """

    def note(self, message: str) -> None:  # noqa: B027 - a rehearsal says nothing
        """Tell the user something; the same message is told once."""

    @abstractmethod
    def update(self, loss: LossFunction, trains: tuple[nn.Module, ...]) -> LossFunction:
        """Declare an update: a loss and the networks that it trains.

        Args:
            loss: gives terms, of which "loss" is the scalar to minimise; it leaves gradients alone.
            trains: networks of this job.

        Returns:
            A function of the arguments of `loss` that computes it, changes the weights once, and gives the
            terms back.
        """


class LearningStrategy(ABC):
    """How some networks learn together. One object serves one job.

    Class attributes:
        roles: what each network is for, in the order in which the user names them.
        Options: the options that it reads.
        defaults: options of other consumers that it sets unless the user does, such as
            {"autoencode": True, "maxIterations": 5000}.
        evaluation: the evaluation strategy that judges the networks that have learned.
        untrained: the roles whose networks only help: they run in evaluation mode, keep their weights, and
            are not stored.
        example: the arguments of a small job that shows the strategy: "networks" that ship and fit, as
            "Encoder,Decoder", and options that they need.
    """

    roles: ClassVar[tuple[str, ...]] = ("network",)
    Options: ClassVar[type[Options]] = Options
    defaults: ClassVar[Mapping[str, Any]] = {}
    evaluation: ClassVar[str] = "CriterionEvaluationStrategy"
    untrained: ClassVar[tuple[str, ...]] = ()
    example: ClassVar[Mapping[str, Any]] = {}

    @classmethod
    def defaults_for(cls, labels: list[str] | None) -> Mapping[str, Any]:  # noqa: ARG003
        """`defaults`, for a strategy in which they depend on the data.

        Args:
            labels: names of the classes, if the dataset has classes.
        """
        return cls.defaults

    @classmethod
    def evaluation_for(cls, labels: list[str] | None) -> str:  # noqa: ARG003
        """`evaluation`, for a strategy in which it depends on the data; arguments as `defaults_for`."""
        return cls.evaluation

    @abstractmethod
    def setup(self, job: Job) -> None:
        """Build what the strategy needs, and declare its updates."""

    @abstractmethod
    def process_iteration(self, i: int) -> LearnProgress:
        """Everything of iteration `i` (from 0), the changes of the weights included."""
