"""A job made by hand, in which a strategy's losses can be looked at without the engine around them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn, optim

from dianne import Batch, Dataset, Job, LearningStrategy, plugins
from dianne.criteria import CRITERIA, Criterion
from dianne.data.sequences import SequenceSampler
from dianne.workspace import Folder

REPOSITORY = Folder(Path(__file__).parents[2])


class HandmadeJob(Job):
    """Plain SGD, the whole dataset as every batch, and a record of what the strategy does.

    Attributes:
        notes: what the strategy tells the user.
        updates: for each update the networks that it trains.
        before, after: called with the position of an update each time it runs.
    """

    def __init__(
        self,
        networks: tuple[nn.Module, ...],
        options: Any,
        dataset: Dataset,
        rate: float = 0.1,
        seed: int = 5,
        measure: Criterion | None = None,
    ):
        self.networks = networks
        self.options = options
        self.dataset = dataset
        self.labels = dataset.labels
        self.noise = torch.Generator().manual_seed(seed)
        self.batches = iter(lambda: dataset.batch(slice(None)), None)
        self.rate = rate
        self.measure = measure
        self.notes: list[str] = []
        self.updates: list[tuple[nn.Module, ...]] = []
        self.before: Callable[[int], None] = lambda _: None
        self.after: Callable[[int], None] = lambda _: None

    def criterion(self) -> Criterion:
        return self.measure or CRITERIA.get(self.options.criterion)()

    def sequences(self, length: int, carry: bool = False, from_start: bool = False) -> Any:
        return SequenceSampler(self.dataset, 4, length, 5, carry, from_start)  # of text, not of images

    def note(self, message: str) -> None:
        if message not in self.notes:
            self.notes.append(message)

    def update(self, loss: Callable, trains: tuple[nn.Module, ...]) -> Callable:
        optimizer = optim.SGD([weight for network in trains for weight in network.parameters()], self.rate)
        position = len(self.updates)
        self.updates.append(trains)

        def run(*arguments: Any) -> dict[str, Tensor]:
            self.before(position)
            terms = loss(*arguments)
            optimizer.zero_grad()
            terms["loss"].backward()
            optimizer.step()
            self.after(position)
            return {name: term.detach() for name, term in terms.items()}

        return run


def learner(name: str) -> type[LearningStrategy]:
    """The class of a learning strategy that ships, by its name without suffix."""
    return plugins.find(REPOSITORY, name, plugins.LEARNING)


def set_up(
    name: str,
    networks: tuple[nn.Module, ...],
    dataset: Dataset,
    measure: Criterion | None = None,
    rate: float = 0.1,
    **options: Any,
) -> tuple[LearningStrategy, HandmadeJob]:
    """A strategy that is ready for its first iteration, and its job."""
    made = learner(name)()
    job = HandmadeJob(networks, made.Options(**options), dataset, rate, measure=measure)
    made.setup(job)
    return made, job


def whole(dataset: Dataset) -> Batch:
    """All samples in one batch."""
    return dataset.batch(slice(None))


def stream(seed: int = 5) -> torch.Generator:
    """The noise that a strategy of a handmade job draws, from its beginning."""
    return torch.Generator().manual_seed(seed)


def values(terms: dict[str, Tensor]) -> dict[str, float]:
    """Terms as numbers."""
    return {name: float(term.detach()) for name, term in terms.items()}


class Net(nn.Sequential):
    """Modules in a row that know the shapes of their inputs, as the networks of a job do."""

    def __init__(self, *modules: nn.Module, inputs: dict[str, tuple[int, ...]] | None = None):
        super().__init__(*modules)
        self.inputs = inputs or {"input": (modules[0].in_features,)}


def wired(forward: Callable[..., Any], **inputs: tuple[int, ...]) -> nn.Module:
    """A network without weights."""
    network = nn.Module()
    network.inputs = inputs
    network.forward = forward
    return network
