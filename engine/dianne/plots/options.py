"""What can be chosen for each kind of picture; importing this module imports neither torch nor matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from dianne.data.descriptor import RangeOption
from dianne.document import display
from dianne.options import NonNegativeInt, Options, PositiveInt

_ENDINGS = (".png", ".svg")


def _picture(out: str) -> str:
    path = Path(out)
    if path.suffix.lower() not in _ENDINGS:
        raise ValueError(f"expected a file that ends in {' or '.join(_ENDINGS)}, found '{out}'")
    if path.is_dir():
        raise ValueError(f"'{out}' is a folder; name a file")
    if not path.absolute().parent.is_dir():
        raise ValueError(f"there is no folder {display(path.absolute().parent)}")
    return out


def _two(value: object) -> object:
    if not isinstance(value, str):
        return value
    parts = value.split(",")
    if len(parts) != 2 or not all(part.strip().isdigit() for part in parts) or int(parts[0]) == int(parts[1]):
        raise ValueError(f"expected two different dimensions such as 0,1, found '{value}'")
    return int(parts[0]), int(parts[1])


Picture = Annotated[str, AfterValidator(_picture)]
Dims = Annotated[tuple[NonNegativeInt, NonNegativeInt], BeforeValidator(_two)]
Projection = Annotated[
    Literal["PCA", "TSNE"], BeforeValidator(lambda value: str(value).upper().replace("-", ""))
]


class PlotOptions(Options):
    """Options of every picture."""

    out: Picture
    """The picture's file, .png or .svg."""


class LossOptions(PlotOptions):
    """Options of loss curves."""

    out: Picture = "loss.png"
    """The picture's file, .png or .svg."""


class StoredOptions(PlotOptions):
    """Options of pictures of stored networks."""

    tag: str
    """Which weights."""


class CodeOptions(StoredOptions):
    """Options of pictures of an encoder's codes."""

    range: RangeOption | None = None
    """Samples of the dataset; its test part if left out."""
    seed: NonNegativeInt = 0
    """Which samples are drawn, where there are more than `samples`."""


class LatentOptions(CodeOptions):
    """Options of a map of codes."""

    out: Picture = "latent.png"
    """The picture's file, .png or .svg."""
    samples: PositiveInt | None = None
    """At most so many, chosen at random; 5,000, or 2,000 for TSNE, if left out."""
    projection: Projection | None = None
    """PCA or TSNE; PCA where codes have more than two dimensions, else none, if left out."""


class JointOptions(CodeOptions):
    """Options of two code dimensions against each other."""

    out: Picture = "joint.png"
    """The picture's file, .png or .svg."""
    samples: PositiveInt = 5000
    """At most so many, chosen at random."""
    dims: Dims = (0, 1)
    """The two dimensions, counted from 0."""


class ManifoldOptions(StoredOptions):
    """Options of what a decoder makes of all places of its latent space."""

    out: Picture = "manifold.png"
    """The picture's file, .png or .svg."""
    n: Annotated[int, Field(ge=2, le=100)] = 20
    """Points along each dimension."""
    dims: Dims | None = None
    """The dimensions that vary, counted from 0 (the others are 0); 0,1 if left out."""


class ReconstructOptions(StoredOptions):
    """Options of samples above their reconstructions."""

    out: Picture = "reconstruct.png"
    """The picture's file, .png or .svg."""
    samples: PositiveInt | None = None
    """So many from the beginning; 10 images, or 1,000 points, or the whole range, if left out."""
    range: RangeOption | None = None
    """Samples of the dataset; its test part if left out."""


class InterpolateOptions(StoredOptions):
    """Options of the way from one sample to another."""

    out: Picture = "interpolate.png"
    """The picture's file, .png or .svg."""
    range: RangeOption | None = None
    """Samples of the dataset that `from` and `to` count in; its test part if left out."""
    first: NonNegativeInt | None = Field(default=None, alias="from")
    """Index of the first sample, from 0; the first of the class of `to`, if left out."""
    last: NonNegativeInt | None = Field(default=None, alias="to")
    """Index of the last sample; the next one of the class of `from`, if left out."""
    steps: Annotated[int, Field(ge=2, le=100)] = 10
    """Images in a row, both ends included."""


class SamplesOptions(StoredOptions):
    """Options of what a conditional decoder makes of noise and a class."""

    out: Picture = "samples.png"
    """The picture's file, .png or .svg."""
    each: Annotated[int, Field(ge=1, le=100)] = 10
    """Samples of each class."""
    classes: PositiveInt | None = None
    """Values of the decoder's input that name the class; if left out, what latentDims leaves, or as many as
    the dataset learned from has."""
    latent_dims: PositiveInt | None = None
    """Values of the decoder's input in front of the class; what `classes` leaves, if left out."""
    seed: NonNegativeInt = 0
    """Where the noise comes from."""


class ConfusionOptions(StoredOptions):
    """Options of a classifier's confusions."""

    out: Picture = "confusion.png"
    """The picture's file, .png or .svg."""
    range: RangeOption | None = None
    """Samples of the dataset; its test part if left out."""
