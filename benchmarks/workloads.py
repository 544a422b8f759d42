"""What is learned in the benchmarks: each workload as dianne names it, and the same in plain torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from dianne import Workspace
from dianne.data.dataset import Dataset

LENGTH = 50  # characters in a sequence
TESTED = 2000  # samples of the test set
COLOURED = """# Made-up pictures in the shape of CIFAR-10's.

import numpy as np


def samples(count: int = 5000) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    classes = random.integers(0, 10, count)
    pictures = random.integers(0, 128, (count, 3, 32, 32))
    pictures[np.arange(count), classes % 3, classes, :] += 127
    return pictures.astype(np.uint8), classes
"""
DESCRIPTOR = """type: Python
function: datasets/coloured.py:samples
labels: [a, b, c, d, e, f, g, h, i, j]
parts: {train: "0:4000", test: "4000:5000"}
"""
Loss = Callable[[Tensor, Tensor], Tensor]


def workspace(folder: Path) -> Workspace:
    """A workspace for all workloads."""
    (folder / "datasets").mkdir(parents=True, exist_ok=True)
    (folder / "datasets" / "coloured.py").write_text(COLOURED)
    (folder / "datasets" / "Coloured.yaml").write_text(DESCRIPTOR)
    return Workspace(folder)


class Gaussian(nn.Module):
    """Means as they are, deviations through SoftPlus."""

    def forward(self, x: Tensor) -> Tensor:
        mean, stdev = x.chunk(2, dim=-1)
        return torch.cat((mean, functional.softplus(stdev)), dim=-1)


def perceptron(*sizes: int) -> list[nn.Module]:
    """Linear layers with ReLU between them."""
    layers: list[nn.Module] = []
    for incoming, outgoing in pairwise(sizes):
        layers += [nn.Linear(incoming, outgoing), nn.ReLU()]
    return layers[:-1]


class Residual(nn.Module):
    """Two convolutions beside a shortcut with empty planes."""

    def __init__(self, incoming: int, planes: int):
        super().__init__()
        self.more = (planes - incoming) // 2
        self.body = nn.Sequential(
            nn.Conv2d(incoming, planes, 3, padding=1), nn.BatchNorm2d(planes), nn.ReLU(),
            nn.Conv2d(planes, planes, 3, padding=1), nn.BatchNorm2d(planes),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        shortcut = functional.pad(x, (0, 0, 0, 0, self.more, self.more)) if self.more else x
        return functional.relu(self.body(x) + shortcut)


class Characters(nn.Module):
    """Cells of long short-term memory, step by step."""

    def __init__(self, hidden: int, layers: int, vocabulary: int = 65):
        super().__init__()
        sizes = [vocabulary, *[hidden] * layers]
        self.cells = nn.ModuleList(nn.LSTMCell(a, b) for a, b in pairwise(sizes))
        self.scores = nn.Linear(hidden, vocabulary)

    def forward(self, x: Tensor) -> Tensor:
        states: list[Any] = [None] * len(self.cells)
        results = []
        for value in x.unbind(1):
            for place, cell in enumerate(self.cells):
                states[place] = cell(value, states[place])
                value, _ = states[place]
            results.append(self.scores(value).log_softmax(-1))
        return torch.stack(results, 1)


@dataclass(frozen=True)
class Workload:
    """Networks that learn together.

    Attributes:
        name: on the command line.
        networks, dataset, options: of the job.
        batch: samples in a batch.
        chunk: iterations that are timed together, about a second, so that what a job does by the clock (its
            record is written twice a second) has its usual share.
        build: the networks by hand.
        updates: for each update of an iteration its loss, and which networks it trains.
        peers: who can learn it, besides ours and loops by hand.
        rate: of learning.
        judged: whether the loss of its first update on test samples tells how well it learned.
    """

    name: str
    networks: str
    dataset: str
    options: dict[str, Any]
    batch: int
    chunk: int
    build: Callable[[], list[nn.Module]]
    updates: Callable[[Sequence[nn.Module]], list[tuple[Loss, list[int]]]]
    peers: tuple[str, ...] = ("lightning",)
    rate: float = 0.001
    judged: bool = True

    def data(self, folder: Path, part: str) -> Data:
        """The samples of a part, as loops by hand have them."""
        return Data(workspace(folder).dataset(self.dataset, part))

    def test_loss(self, networks: Sequence[nn.Module], folder: Path) -> float | None:
        """The loss of what was learned, on samples that were not."""
        if not self.judged:
            return None
        data = self.data(folder, "test")
        for network in networks:
            network.eval()
        torch.manual_seed(1)
        loss, _ = self.updates(networks)[0]
        with torch.no_grad():
            chunks = torch.arange(min(len(data), TESTED)).split(100)
            return sum(float(loss(*data.batch(chunk))) for chunk in chunks) / len(chunks)


class Data:
    """Samples in memory, ready for a network."""

    def __init__(self, dataset: Dataset):
        self.text = bool(dataset.vocabulary)
        self.inputs, self.targets = dataset.inputs, dataset.targets
        if not self.text:
            self.inputs = self.inputs.float() / 255

    def __len__(self) -> int:
        return len(self.inputs) - LENGTH if self.text else len(self.inputs)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        if not self.text:
            return self.inputs[i], self.targets[i]
        rows = slice(i, i + LENGTH)
        return functional.one_hot(self.inputs[rows].long(), 65).float(), self.targets[rows]

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """The samples at (b,) indices."""
        if not self.text:
            return self.inputs[indices], self.targets[indices]
        rows = indices.unsqueeze(1) + torch.arange(LENGTH)
        return functional.one_hot(self.inputs[rows].long(), 65).float(), self.targets[rows]

    @cached_property
    def arrays(self) -> tuple[Any, Any]:
        """Inputs and targets for libraries that want numpy's arrays."""
        return self.inputs.numpy(), self.targets.numpy()


# ---------------------------------------------------------------------------------------------- workloads


def autoencoding(networks: Sequence[nn.Module]) -> list[tuple[Loss, list[int]]]:
    """The negative evidence lower bound."""
    encoder, decoder = networks

    def loss(x: Tensor, _: Tensor) -> Tensor:
        mean, stdev = encoder(x).chunk(2, dim=1)
        result = decoder(mean + stdev * torch.randn_like(mean)).reshape(x.shape)
        reconstruction = functional.binary_cross_entropy(result, x, reduction="sum") / len(x)
        kl = 0.5 * (mean**2 + stdev**2 - 2 * (stdev + 1e-6).log() - 1).sum(1).mean()
        return reconstruction + kl

    return [(loss, [0, 1])]


def classifying(networks: Sequence[nn.Module]) -> list[tuple[Loss, list[int]]]:
    """The negative log likelihood of a class."""
    return [(lambda x, y: functional.nll_loss(networks[0](x), y.long()), [0])]


def reading(networks: Sequence[nn.Module]) -> list[tuple[Loss, list[int]]]:
    """The same of the next character, at every step."""
    return [(lambda x, y: functional.nll_loss(networks[0](x).flatten(0, 1), y.flatten().long()), [0])]


def deceiving(networks: Sequence[nn.Module]) -> list[tuple[Loss, list[int]]]:
    """A discriminator, then the generator."""
    generator, discriminator = networks

    def distance(judged: Tensor, target: float) -> Tensor:
        return functional.binary_cross_entropy(judged, torch.full_like(judged, target))

    def discriminate(x: Tensor, _: Tensor) -> Tensor:
        with torch.no_grad():
            made = generator(torch.randn(len(x), 10))
        return distance(discriminator(x), 0.85) + distance(discriminator(made), 0.15)

    def generate(x: Tensor, _: Tensor) -> Tensor:
        return distance(discriminator(generator(torch.randn(len(x), 10))), 0.85)

    return [(discriminate, [1]), (generate, [0])]


def resnet() -> list[nn.Module]:
    """ResNet20."""
    planes = [16, 16, 16, 16, 32, 32, 32, 64, 64, 64]
    blocks: list[nn.Module] = [Residual(a, b) for a, b in pairwise(planes)]
    blocks.insert(6, nn.MaxPool2d(2))
    blocks.insert(3, nn.MaxPool2d(2))
    first = [nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()]
    last = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10), nn.LogSoftmax(1)]
    return [nn.Sequential(*first, *blocks, *last)]


VAE = {"strategy": "VariationalAutoEncoder", "latentDims": 2}
TEXT = {"strategy": "BPTT", "backpropAll": True, "hidden": 128}
WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload(
            "vae", "Encoder,Decoder", "MNIST", VAE, 128, 80,
            lambda: [
                nn.Sequential(nn.Flatten(), *perceptron(784, 512, 512, 512, 4), Gaussian()),
                nn.Sequential(*perceptron(2, 512, 512, 512, 784), nn.Sigmoid()),
            ],
            autoencoding, peers=("lightning", "pythae", "keras-jax", "keras-torch"),
        ),
        Workload(
            "lenet5", "LeNet5", "MNIST", {}, 128, 15,
            lambda: [nn.Sequential(
                nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
                nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
                nn.Flatten(), *perceptron(3136, 1024, 10), nn.LogSoftmax(1),
            )],
            classifying, peers=("lightning", "keras-jax", "keras-torch"),
        ),
        Workload(
            "gan", "Generator,Discriminator", "MNIST", {"strategy": "GAN"}, 128, 100,
            lambda: [
                nn.Sequential(*perceptron(10, 512, 784), nn.Sigmoid(), nn.Unflatten(1, (1, 28, 28))),
                nn.Sequential(nn.Flatten(), *perceptron(784, 512, 1), nn.Sigmoid()),
            ],
            deceiving, judged=False,
        ),
        Workload(
            "convvae", "ConvEncoder,ConvDecoder", "MNIST", VAE, 128, 30,
            lambda: [
                nn.Sequential(
                    nn.Conv2d(1, 32, 4, 2, 1), nn.ReLU(), nn.Conv2d(32, 64, 4, 2, 1), nn.ReLU(),
                    nn.Flatten(), *perceptron(3136, 256, 4), Gaussian(),
                ),
                nn.Sequential(
                    *perceptron(2, 256, 3136), nn.ReLU(), nn.Unflatten(1, (64, 7, 7)),
                    nn.ConvTranspose2d(64, 32, 4, 2, 1), nn.ReLU(),
                    nn.ConvTranspose2d(32, 1, 4, 2, 1), nn.Sigmoid(),
                ),
            ],
            autoencoding,
        ),
        Workload("resnet20", "ResNet20", "Coloured", {}, 64, 10, resnet, classifying),
        Workload(
            "charrnn", "CharRNN", "Shakespeare", TEXT, 50, 12,
            lambda: [Characters(hidden=128, layers=3)], reading,
        ),
    )
}  # fmt: skip
