"""The engine's side of a strategy's job: networks, batches, streams of random numbers, updates."""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat
from typing import Any

import torch
from torch import nn, optim

from dianne.data.dataset import Batch, Dataset
from dianne.data.sampling import Sampler
from dianne.data.sequences import Sequences, SequenceSampler, check_sequences
from dianne.errors import UsageError
from dianne.learning.strategy import Job, LossFunction, Terms
from dianne.learning.update import Update, checked_terms
from dianne.options import Options
from dianne.seeds import derive


class LearnJob(Job):
    """What a strategy sees while it learns.

    Args:
        networks: in the order of the roles.
        options: of the strategy.
        dataset: the samples to learn from.
        seed: of the job.
        optimizer: makes the optimizer of one network, as its options say; none where nothing learns.
        sampling: options of the sampling strategy; its defaults if left out.
    """

    def __init__(
        self,
        networks: tuple[nn.Module, ...],
        options: Any,
        dataset: Dataset,
        seed: int,
        optimizer: Callable[[nn.Module], optim.Optimizer | None],
        sampling: Options | None = None,
    ):
        self.networks = networks
        self.options = options
        self.dataset = dataset
        self.labels = dataset.labels
        self.noise = torch.Generator().manual_seed(derive(seed, "noise"))
        if hasattr(options, "batch_size"):
            how = getattr(options, "sampling", "UNIFORM")
            self.batches = Sampler(dataset, options.batch_size, how, derive(seed, "data"), sampling)
        self._seed = seed
        self.updates: list[Update] = []
        self._make_optimizer = optimizer
        self._optimizers: dict[nn.Module, optim.Optimizer | None] = {}

    def sequences(self, length: int, carry: bool = False, from_start: bool = False) -> Sequences:
        """As the contract says."""
        seed = derive(self._seed, "data")
        return SequenceSampler(self.dataset, self.options.batch_size, length, seed, carry, from_start)

    def update(self, loss: LossFunction, trains: tuple[nn.Module, ...]) -> LossFunction:
        """As the contract says."""
        for network in trains:
            if network not in self.networks:
                raise UsageError("an update can only train networks of its own job (job.networks)")
            if network not in self._optimizers:
                self._optimizers[network] = self._make_optimizer(network)
        optimizers = [found for network in trains if (found := self._optimizers[network])]
        self.updates.append(Update(loss, optimizers))
        return self.updates[-1]


class Rehearsal(Job):
    """A job without data: the strategy runs on torch's meta device, to find shapes that do not fit.

    Args:
        networks: built without data.
        options: of the strategy.
        dataset: whose shapes count.
    """

    def __init__(self, networks: tuple[nn.Module, ...], options: Any, dataset: Dataset):
        self.networks = networks
        self.options = options
        self.dataset = dataset
        self.labels = dataset.labels
        self.noise = torch.Generator()
        self.batches = repeat(dataset.without_data(getattr(options, "batch_size", 2)))

    def sequences(self, length: int, carry: bool = False, from_start: bool = False) -> Sequences:  # noqa: ARG002
        """The same sequences without data again and again."""
        size = self.options.batch_size
        check_sequences(self.dataset, length, size if carry else 1)
        return _Repeated(self.dataset.without_data(size, length))

    def update(self, loss: LossFunction, trains: tuple[nn.Module, ...]) -> LossFunction:  # noqa: ARG002
        """An update that computes its loss and changes nothing."""

        def rehearse(*arguments: Any) -> Terms:
            return {name: term.detach() for name, term in checked_terms(loss(*arguments)).items()}

        return rehearse


class _Repeated(Sequences):
    def __init__(self, batch: Batch):
        self.batch = batch

    def __next__(self) -> Batch:
        return self.batch
