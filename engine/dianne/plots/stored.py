"""Stored networks and samples, as pictures need them: codes, decoded results, classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dianne.data.dataset import Dataset
from dianne.data.descriptor import Range, describe
from dianne.data.files import Progress
from dianne.data.options import whole
from dianne.data.readers import open_dataset
from dianne.errors import UsageError
from dianne.jobs.prepare import names_of
from dianne.network.catalog.variational import MultivariateGaussian
from dianne.network.network import Network
from dianne.network.resolve import restore
from dianne.runtime.instances import Deployed, Instance, load
from dianne.workspace import Folder

_BATCH = 500  # samples forwarded at once
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Mapping:
    """A stored network with one input and one output.

    Attributes:
        name: network and tag, as `Decoder:vae`.
        deployed: the network.
    """

    name: str
    deployed: Deployed

    @property
    def takes(self) -> int:
        """The number of values of one sample."""
        return prod(self.deployed.input_dims)

    def __call__(self, samples: Tensor) -> Floats:
        """Results (b, ...) for samples (b, ...)."""
        parts = [self.deployed.forward(part) for part in torch.split(samples.float(), _BATCH)]
        return torch.cat(parts).numpy()


def open_mapping(folder: Folder, network: str, tag: str) -> Mapping:
    """A stored network.

    Raises:
        UsageError: there is no such tag, or the network has several inputs or outputs.
    """
    name = f"{network}:{tag}"
    deployed = load(folder, Instance(network, network, tag))
    for what, names in (("takes several inputs", list(deployed.module.inputs)),
                        ("gives several results", list(deployed.module.outputs))):  # fmt: skip
        if len(names) > 1:
            raise UsageError(
                f"{name} {what} ({', '.join(names)}); a picture needs a network with one input and one output"
            )
    return Mapping(name, deployed)


def open_pair(folder: Folder, networks: str, tag: str) -> tuple[Mapping, Mapping]:
    """Encoder and decoder, named as `Encoder,Decoder`; raises UsageError as `open_mapping`."""
    names = names_of(networks)
    if len(names) != 2:
        raise UsageError(
            f"the picture shows two networks, such as Encoder,Decoder; found {len(names)}: {networks}"
        )
    return open_mapping(folder, names[0], tag), open_mapping(folder, names[1], tag)


# --------------------------------------------------------------------------------------------------- codes


@dataclass(frozen=True)
class Codes:
    """What an encoder makes of samples.

    Attributes:
        values: (b, z); the means, where the encoder gives a Gaussian.
        gaussian: whether they are means.
    """

    values: Floats
    gaussian: bool

    def __str__(self) -> str:
        return "means of the codes" if self.gaussian else "codes"


def encode(encoder: Mapping, samples: Tensor) -> Codes:
    """The codes of samples (b, ...)."""
    values = encoder(samples).reshape(len(samples), -1)
    if not np.isfinite(values).all():
        raise UsageError(f"{encoder.name} gives codes that are not finite; they have no place in a picture")
    if _gives_gaussian(encoder.deployed):
        return Codes(values[:, : values.shape[1] // 2], True)
    return Codes(values, False)


def decode(decoder: Mapping, codes: Floats, source: str) -> Floats:
    """What a decoder makes of codes (b, z), which `source` gave.

    Raises:
        UsageError: it takes more or fewer values.
    """
    if codes.shape[1] != decoder.takes:
        more = codes.shape[1] < decoder.takes
        why = "; it may be a conditional one, which is drawn by: dianne plot samples" if more else ""
        raise UsageError(
            f"{decoder.name} takes {decoder.takes} values, but {source} gives {codes.shape[1]}{why}"
        )
    return decoder(torch.from_numpy(codes))


def _gives_gaussian(deployed: Deployed) -> bool:
    """Whether a network's result is means, then deviations: its last module, however deep, is a Gaussian."""
    manifest = deployed.manifest
    network: Network | None = restore(
        manifest.text, manifest.network, manifest.parameters, manifest.texts, manifest.overrides
    )
    while network is not None:
        after = {node.name: node.after for node in network.nodes}
        last = after[next(iter(network.outputs))][0]  # `name.mean` is a half, and no Gaussian
        if isinstance(network.modules.get(last), MultivariateGaussian):
            return True
        network = network.inner.get(last)
    return False


# ------------------------------------------------------------------------------------------------- samples


def open_samples(folder: Folder, dataset: str, chosen: Range | None, fetching: Progress | None) -> Dataset:
    """The samples of a range, or of the test part."""
    described = describe(folder, dataset)
    return open_dataset(folder, described, fetching).select(chosen or whole(described, "test"))


def subset(dataset: Dataset, count: int, seed: int) -> Dataset:
    """At most `count` samples, chosen at random and left in their order."""
    if len(dataset) <= count:
        return dataset
    indices = np.sort(np.random.default_rng(seed).choice(len(dataset), count, replace=False))
    return dataset.select(Range(f"{count} samples", indices=tuple(indices.tolist())))


def inputs_of(dataset: Dataset) -> Tensor:
    """All samples (n, ...) as float32."""
    return dataset.batch(slice(None)).input


def classes_of(dataset: Dataset) -> NDArray[np.int64] | None:
    """(n,) the class of each sample, if there are classes."""
    return dataset.targets.numpy() if dataset.labels else None


def check_dims(name: str, dims: Sequence[int], size: int) -> None:
    """Raise UsageError unless there are such dimensions among `size`."""
    if max(dims) >= size:
        has = f"the dimensions 0 to {size - 1}" if size > 1 else "only the dimension 0"
        raise UsageError(f"dims={','.join(map(str, dims))}: {name} has {has}")


def like(results: Floats, source: str, data: Dataset) -> Floats:
    """Results that `source` gave, in the shape of the samples that they are compared with.

    Raises:
        UsageError: they have another number of values.
    """
    if prod(results.shape[1:]) != prod(data.input_dims):
        found, wanted = list(results.shape[1:]), list(data.input_dims)
        raise UsageError(f"{source} gives results of {found}, but {data.name} has samples of {wanted}")
    return results.reshape(-1, *data.input_dims)


def texts(values: Any, digits: int = 2) -> list[str]:
    """Numbers with a fixed number of digits, with the sign of mathematics, and no negative zero."""
    return [f"{round(float(value), digits) + 0.0:.{digits}f}".replace("-", "−") for value in values]
