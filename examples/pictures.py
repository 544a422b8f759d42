"""What the experiments measure and draw beyond the commands, through the Python interface."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import sklearn.datasets
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.decomposition import PCA

import dianne

Array = NDArray[np.float32]


def _by_class(latents: Array, classes: int = 10) -> Array:
    """(n * classes, z + classes): each latent point (n, z) with each class."""
    points = np.repeat(latents, classes, axis=0)
    return np.hstack((points, np.tile(np.eye(classes, dtype=np.float32), (len(latents), 1))))


def _normal(count: int, dims: int, seed: int = 1) -> Array:
    return np.random.default_rng(seed).standard_normal((count, dims)).astype(np.float32)


def recognised(folder: Path, decoder: str, tag: str, judge: Path) -> tuple[int, int]:
    """How many digits of a wanted class LeNet5 takes for that class, of ten for each class."""
    network = dianne.Workspace(folder).deploy(decoder, tag=tag)
    inputs = _by_class(_normal(10, network.input_dims[0] - 10))
    images = network.forward(inputs)
    found = dianne.Workspace(judge).deploy("LeNet5", tag="lenet5").forward(images).argmax(1)
    return int((found == inputs[:, -10:].argmax(1)).sum()), len(inputs)


def digits_by_epoch(folder: Path, decoder: str, tag: str, iterations: list[int]) -> Figure:
    """A row of ten digits, one of each class, from the middle of the latent space after each epoch."""
    workspace = dianne.Workspace(folder)
    rows = []
    for iteration in iterations:
        network = workspace.deploy(decoder, tag=f"{tag}@{iteration}")
        middle = np.zeros((1, network.input_dims[0] - 10), np.float32)
        rows.append(np.hstack(list(network.forward(_by_class(middle)).reshape(-1, 28, 28))))
    figure = Figure(figsize=(5.4, 0.5 * len(rows) + 0.9), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(np.vstack(rows), cmap="gray", vmin=0, vmax=1)
    axes.set_yticks(28 * np.arange(len(rows)) + 14, [str(epoch) for epoch in range(1, len(rows) + 1)])
    axes.set_xticks(28 * np.arange(10) + 14, list("0123456789"))
    axes.tick_params(length=0)
    axes.set(xlabel="class", ylabel="epoch", title=f"{decoder}: the middle of the latent space")
    return figure


def angle_to_pca(folder: Path, decoder: str, tag: str, dataset: str) -> float:
    """Degrees between the line on which a linear decoder puts points, and the first principal component."""
    workspace = dianne.Workspace(folder)
    points = workspace.dataset(dataset, part="train").inputs.numpy()
    network = workspace.deploy(decoder, tag=tag)
    ends = network.forward(np.array([[0.0], [1.0]], np.float32))
    direction = (ends[1] - ends[0]) / np.linalg.norm(ends[1] - ends[0])
    cosine = abs(float(direction @ PCA(1).fit(points).components_[0]))
    return float(np.degrees(np.arccos(min(1.0, cosine))))


def sparsity(folder: Path, encoder: str, tag: str) -> tuple[float, str]:
    """The share of values that are 0 in the codes of the test images, and the two dimensions used most."""
    workspace = dianne.Workspace(folder)
    images = workspace.dataset("MNIST", part="test").batch(slice(None)).input.numpy()
    used = (workspace.deploy(encoder, tag=tag).forward(images) != 0).mean(0)  # (z,)
    first, second = np.argsort(used)[::-1][:2]
    return float(1 - used.mean()), f"{first},{second}"


def sure_digits(folder: Path, generator: str, tag: str, judge: Path) -> float:
    """The share of 1,000 samples that LeNet5 takes for some digit with a probability of 90 % or more."""
    network = dianne.Workspace(folder).deploy(generator, tag=tag)
    images = network.forward(_normal(1000, network.input_dims[0]))
    found = dianne.Workspace(judge).deploy("LeNet5", tag="lenet5").forward(images.reshape(-1, 1, 28, 28))
    return float((np.exp(found).max(1) >= 0.9).mean())


def pca_error(folder: Path, dataset: str, components: int) -> float:
    """The squared error, per value, that PCA leaves on the test part."""
    workspace = dianne.Workspace(folder)
    train, test = (workspace.dataset(dataset, part=part).inputs.numpy() for part in ("train", "test"))
    pca = PCA(components).fit(train)
    return float(((pca.inverse_transform(pca.transform(test)) - test) ** 2).mean())


def write_table(path: Path) -> None:
    """The wines as a CSV file with a header, the grower in the last column."""
    wines = sklearn.datasets.load_wine()
    names = [*(name.replace("/", "_") for name in wines.feature_names), "grower"]
    values = np.column_stack((wines.data, wines.target))
    np.savetxt(path, values, delimiter=",", header=",".join(names), comments="", fmt="%g")
