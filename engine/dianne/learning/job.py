"""The engine's side of a strategy's job: networks, batches, streams of random numbers, updates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import repeat
from typing import Any

import torch
from torch import nn

from dianne.criteria import Criterion
from dianne.data.dataset import Batch, Dataset
from dianne.data.sampling import Sampler
from dianne.data.sequences import Sequences, SequenceSampler, check_sequences
from dianne.errors import UsageError
from dianne.learning.execution import Execution
from dianne.learning.strategy import Job, LossFunction, Terms
from dianne.learning.trainer import Trainer
from dianne.learning.update import Update, checked_terms
from dianne.seeds import derive


class LearnJob(Job):
    """What a strategy sees while it learns.

    Args:
        networks: in the order of the roles.
        options: of the strategy.
        dataset: the samples to learn from.
        seed: of the job.
        trainer: makes the trainer of one network, as its options say; none where nothing learns.
        sampling: options of the sampling strategy; its defaults if left out.
        criterion: the one that the job's options name.
        accumulate: calls of an update whose gradients are averaged before the weights change.
        execution: how it is computed; the networks are where it wants them.
        note: tells the user something.
    """

    def __init__(
        self,
        networks: tuple[nn.Module, ...],
        options: Any,
        dataset: Dataset,
        seed: int,
        trainer: Callable[[nn.Module], Trainer | None],
        *,
        sampling: Any = None,
        criterion: Criterion | None = None,
        accumulate: int = 1,
        execution: Execution | None = None,
        note: Callable[[str], None] = lambda _: None,
    ):
        self.execution = execution or Execution()
        dataset = dataset.drawing(derive(seed, "augmentation"), learning=True).on(self.execution.device)
        self.networks = networks
        self.options = options
        self.dataset = dataset
        self.labels = dataset.labels
        self.noise = self.execution.generator(derive(seed, "noise"))
        self.sampler: Sampler | None = None
        if hasattr(options, "batch_size"):
            how = getattr(options, "sampling", "UNIFORM")
            self.sampler = Sampler(dataset, options.batch_size, how, derive(seed, "data"), sampling)
            self.batches = self.sampler
        self.sequences_given: list[SequenceSampler] = []
        self._seed = seed
        self.updates: list[Update] = []
        self.trainers: dict[nn.Module, Trainer | None] = {}
        self._make_trainer = trainer
        self._criterion = criterion
        self._accumulate = accumulate
        self._note = note
        self._told: set[str] = set()

    def criterion(self) -> Criterion:
        """As the contract says."""
        return self._criterion or super().criterion()

    def note(self, message: str) -> None:
        """As the contract says."""
        if message not in self._told:
            self._told.add(message)
            self._note(message)

    def sequences(self, length: int, carry: bool = False, from_start: bool = False) -> Sequences:
        """As the contract says."""
        seed = derive(self._seed, "data")
        made = SequenceSampler(self.dataset, self.options.batch_size, length, seed, carry, from_start)
        self.sequences_given.append(made)
        return made

    def update(self, loss: LossFunction, trains: tuple[nn.Module, ...]) -> LossFunction:
        """As the contract says."""
        for network in trains:
            if network not in self.networks:
                raise UsageError("an update can only train networks of its own job (job.networks)")
            if network not in self.trainers:
                self.trainers[network] = self._make_trainer(network)
            elif self._accumulate > 1:
                raise UsageError(
                    f"accumulate={self._accumulate}: two updates of this strategy train the same network, "
                    "so their gradients cannot be told apart; leave accumulate out"
                )
        trainers = [found for network in trains if (found := self.trainers[network])]
        self.updates.append(Update(loss, trainers, self._accumulate, self.execution, self.networks))
        return self.updates[-1]

    def begin(self, iteration: int) -> None:
        """Let all know which iteration (from 0) begins."""
        self.execution.compiling.begin(iteration)
        for trainer in self.trainers.values():
            if trainer:
                trainer.begin(iteration)

    def begin_again(self, share: float) -> None:
        """Forget gradients and what methods learned, and go on with a share of the learning rate."""
        for update in self.updates:
            update.calls = 0
        for trainer in self.trainers.values():
            if trainer:
                trainer.share *= share
                trainer.begin_again()

    def owned(self) -> dict[str, Any]:
        """What a strategy may hold that is the engine's own, by a name that is the same in every run."""
        found: dict[str, Any] = {
            "job": self, "options": self.options, "dataset": self.dataset, "labels": self.labels,
            "noise": self.noise, "networks": self.networks, "batches": self.sampler,
            "inputs": self.dataset.inputs, "targets": self.dataset.targets, "criterion": self._criterion,
        }  # fmt: skip
        for kind, several in (
            ("network", self.networks), ("update", self.updates), ("sequences", self.sequences_given),
        ):  # fmt: skip
            found |= {f"{kind} {number}": one for number, one in enumerate(several)}
        for number, network in enumerate(self.networks):
            values = [*network.named_parameters(), *network.named_buffers()]
            found |= {f"network {number}.{name}": value for name, value in values}
            found |= {f"module {number}.{name}": module for name, module in network.named_modules() if name}
        return {name: one for name, one in found.items() if one is not None}

    def state_dict(self) -> dict[str, Any]:
        """Streams of random numbers, places in the data, and what updates and trainers hold."""
        return {
            "noise": self.noise.get_state(),
            "draws": self.dataset.draws_state(),
            "batches": self.sampler and self.sampler.state_dict(),
            "sequences": [made.state_dict() for made in self.sequences_given],
            "updates": [update.state_dict() for update in self.updates],
            "trainers": [trainer and trainer.state_dict() for trainer in self._trainers()],
            "told": sorted(self._told),
            "compiling": self.execution.compiling.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on as the job whose state it is would; the strategy is set up."""
        self.noise.set_state(state["noise"])
        self.dataset.load_draws_state(state["draws"])
        if self.sampler:
            self.sampler.load_state_dict(state["batches"])
        for kind, owners in (
            ("sequences", self.sequences_given), ("updates", self.updates), ("trainers", self._trainers()),
        ):  # fmt: skip
            for owner, own in zip(owners, state[kind], strict=True):
                if owner:
                    owner.load_state_dict(own)
        self._told.update(state["told"])
        self.execution.compiling.load_state_dict(state["compiling"])

    def _trainers(self) -> list[Trainer | None]:
        """One for each network, in their order."""
        return [self.trainers.get(network) for network in self.networks]


class Rehearsal(Job):
    """A job without data: the strategy runs on torch's meta device, to find shapes that do not fit.

    Args:
        networks: built without data.
        options: of the strategy.
        dataset: whose shapes count.
        criterion: the one that the job's options name.
    """

    def __init__(
        self,
        networks: tuple[nn.Module, ...],
        options: Any,
        dataset: Dataset,
        criterion: Criterion | None = None,
    ):
        self.networks = networks
        self.options = options
        self.dataset = dataset
        self.labels = dataset.labels
        self.noise = torch.Generator()
        self.batches = repeat(dataset.without_data(getattr(options, "batch_size", 2)))
        self._criterion = criterion

    def criterion(self) -> Criterion:
        """As the contract says."""
        return self._criterion or super().criterion()

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
