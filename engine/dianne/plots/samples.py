"""What a conditional decoder makes of noise and a class."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dianne.data.descriptor import describe
from dianne.errors import UsageError
from dianne.plots.mosaic import as_images, mosaic, show
from dianne.plots.options import SamplesOptions
from dianne.plots.stored import Mapping, open_mapping
from dianne.plots.style import look
from dianne.workspace import Folder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CLASSES = 10
_GAP = 2


@look()
def draw(folder: Folder, decoder: str, options: SamplesOptions) -> Figure:
    """A row of images for each class; the images of a column have the same latent point.

    Raises:
        DianneError: network or tag are missing, the decoder takes something else, or gives no pictures.
    """
    network = open_mapping(folder, decoder, options.tag)
    labels = _labels(folder, network)
    latent, classes = parts(network, options, len(labels) if labels else _CLASSES)
    results = network(conditions(latent, classes, options.each, options.seed))
    images = as_images(results, network.name)
    made = mosaic(images.reshape(classes, options.each, *images.shape[1:]), _GAP)
    picture, axes = show(
        made,
        f"{network.name}: samples of each class",
        f"the same {latent} latent value{'s' * (latent > 1)} in a column",
    )
    names = labels if labels and len(labels) == classes else [str(number) for number in range(classes)]
    axes.set_yticks(made.rows, names)
    axes.set_ylabel("class")
    axes.set_xticks(made.columns, [str(number + 1) for number in range(options.each)])
    axes.set_xlabel("latent point")
    return picture


def parts(network: Mapping, options: SamplesOptions, known: int) -> tuple[int, int]:
    """How many values of the decoder's input are latent, and how many name the class.

    Raises:
        UsageError: they are not as many as the decoder takes.
    """
    classes = options.classes or (network.takes - options.latent_dims if options.latent_dims else known)
    latent = options.latent_dims or network.takes - classes
    if latent < 1 or classes < 1:
        raise UsageError(
            f"{network.name} takes {network.takes} values, which leaves none for "
            f"{'the class' if options.latent_dims else f'noise beside {classes} classes'}; "
            f"draw a decoder without classes by: dianne plot manifold"
        )
    if latent + classes != network.takes:
        raise UsageError(
            f"{network.name} takes {network.takes} values, but latentDims={latent} and classes={classes} "
            f"make {latent + classes}"
        )
    return latent, classes


def conditions(latent: int, classes: int, each: int, seed: int) -> Tensor:
    """(classes * each, latent + classes): the same `each` points of noise for every class, then one-hot."""
    noise = torch.randn(each, latent, generator=torch.Generator().manual_seed(seed))
    names = torch.eye(classes).repeat_interleave(each, dim=0)
    return torch.cat((noise.repeat(classes, 1), names), dim=1)


def _labels(folder: Folder, network: Mapping) -> list[str] | None:
    """The classes of the data that the weights learned from, as their manifest or that data's file says."""
    manifest = network.deployed.manifest
    if manifest.labels:
        return manifest.labels
    with suppress(UsageError):  # weights of an older version; the dataset may be gone
        return describe(folder, manifest.dataset.get("name", "")).labels
    return None
