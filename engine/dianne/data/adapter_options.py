"""What can be done to samples on their way into a batch: the keys of jobs and of `adapters` in descriptors.

Whoever wrote what: adapters always stand in the order of `STACK`. A descriptor's list makes one stack for
each of its entries, and the job's comes behind them.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, field_validator

from dianne.options import (
    FiniteFloat,
    Names,
    NonNegativeFloat,
    NonNegativeInt,
    Options,
    PositiveInt,
    Probability,
    WholeNumbers,
    keys,
)

STACK: dict[str, tuple[str, ...]] = {
    "labels": ("labels", "other"),
    "mask to class": ("mask_to_class", "mask_center"),
    "one-hot": ("one_hot",),
    "split": ("split", "split_seed"),
    "flip": ("vflip", "hflip"),
    "rotation": ("rotation", "rotation_theta", "rotation_center", "zeropad"),
    "crop": ("crop_width", "crop_height", "crop_padding"),
    "frame": ("frame",),
    "binarize": ("binarize",),
    "stochastic binarize": ("stochastic_binarize",),
    "normalise": ("normalise",),
    "autoencode": ("autoencode",),
    "noise": ("encoder_noise", "encoder_drop"),
}
"""Every adapter, in the order in which they are applied, and its options."""


def _interval(value: object) -> object:
    """`t` is -t to t; `a,b` is itself."""
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    if isinstance(value, int | float):
        value = [value]
    if isinstance(value, list) and len(value) == 1:
        try:
            return [-abs(float(value[0])), abs(float(value[0]))]
        except (TypeError, ValueError):
            return value  # pydantic says what is wrong with it
    return value


def _ascending(ends: list[float]) -> list[float]:
    if len(ends) != 2 or ends[0] > ends[1]:
        found = ",".join(f"{end:g}" for end in ends)
        raise ValueError(f"expected the largest angle, or the smallest and the largest, found '{found}'")
    return ends


Interval = Annotated[
    list[FiniteFloat],
    BeforeValidator(_interval),
    AfterValidator(_ascending),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string"}, {"type": "array"}]}),
]
"""Angles between which one is drawn."""


class AdapterOptions(Options):
    """What becomes of samples before they are in a batch."""

    labels: Names | None = None
    """Classes to keep, by name, in this order; samples of others are left out."""
    other: bool = False
    """With labels: keep samples of the other classes too, as those of one more class, `other`."""
    mask_to_class: FiniteFloat | None = None
    """Targets become the classes True and False: whether the sum of a mask is more than this."""
    mask_center: bool = False
    """With maskToClass: look at the mask's middle alone."""
    one_hot: PositiveInt | None = None
    """Targets are whole numbers below this, and become classes of that name."""
    split: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Learn from this share of the samples, drawn by splitSeed; validate and evaluate on the rest."""
    split_seed: NonNegativeInt = 0
    """Which samples are in which share."""
    vflip: Probability = 0.0
    """Turn images upside down with this probability."""
    hflip: Probability = 0.0
    """Mirror images left to right with this probability."""
    rotation: Interval | None = None
    """Turn images by an angle in degrees, drawn from -r to r, or from a,b; counter-clockwise."""
    rotation_theta: Interval | None = None
    """The same in radians."""
    rotation_center: str | None = None
    """Around which pixel they turn: x,y, or random; the middle if left out."""
    zeropad: bool = False
    """What is turned in from outside is black; else it is the nearest pixel of the border."""
    crop_width: PositiveInt | None = None
    """Cut a window of this width out of images, at a place that is drawn."""
    crop_height: PositiveInt | None = None
    """Height of the window; that of the image if left out."""
    crop_padding: NonNegativeInt = 0
    """Black pixels that are put around images before the window is cut out."""
    frame: WholeNumbers | None = None
    """Bring images to height,width or planes,height,width: cropped to the ratio of the sides, then scaled."""
    binarize: FiniteFloat | None = None
    """Inputs above this become 1, all others 0."""
    stochastic_binarize: bool = False
    """Inputs become 1 with themselves as the probability, else 0; drawn anew for every batch."""
    normalise: bool = False
    """Shift and scale every plane (or column) to mean 0 and deviation 1 over the samples learned from."""
    autoencode: bool = False
    """The target of each sample is the sample itself."""
    encoder_noise: NonNegativeFloat = 0.0
    """Deviation of the noise on inputs, not on targets, while learning."""
    encoder_drop: Probability = 0.0
    """Share of an input's values that are set to 0, not of a target's, while learning."""

    @field_validator("rotation_center", mode="before")
    @classmethod
    def _place(cls, value: object) -> object:
        text = ",".join(map(str, value)) if isinstance(value, list) else str(value).strip().lower()
        parts = text.split(",")
        numbers = len(parts) == 2 and all(part.strip().isdigit() for part in parts)
        if value is None or text in ("true", "random") or numbers:
            return None if value is None else text
        raise ValueError(f"expected x,y or random, found '{text}'")

    @field_validator("frame")
    @classmethod
    def _sides(cls, frame: list[int] | None) -> list[int] | None:
        if frame is not None and (len(frame) not in (2, 3) or not all(frame) or min(frame[-2:]) < 2):
            found = ",".join(map(str, frame))
            wanted = "height,width or planes,height,width, each side at least 2"
            raise ValueError(f"expected {wanted}, found '{found}'")
        return frame


def wanted(options: AdapterOptions) -> list[str]:
    """The adapters that options ask for, in their order, as `hflip=0.5`."""
    spelled = {name: info.alias for name, info in AdapterOptions.model_fields.items()}
    found = []
    for fields in STACK.values():
        asked = [
            f"{spelled[name]}={shown(getattr(options, name))}" for name in fields if given(options, name)
        ]
        if asked:
            found.append(" ".join(asked))
    return found


def given(options: AdapterOptions, field: str) -> bool:
    """Whether an option has another value than the one that asks for nothing."""
    return bool(getattr(options, field) != AdapterOptions.model_fields[field].default)


def adapter_keys() -> set[str]:
    """The keys of all adapters, as users write them."""
    return set(keys(AdapterOptions))


def labels_after(labels: list[str] | None, options: AdapterOptions) -> list[str] | None:
    """Names of the classes once samples are adapted; None if their targets are no classes any more."""
    if options.labels is not None and labels:
        labels = [*options.labels, *(["other"] if options.other else [])]
    if options.mask_to_class is not None:
        labels = ["True", "False"]
    if options.one_hot is not None:
        labels = [str(label) for label in range(options.one_hot)]
    return None if options.autoencode else labels


def shown(value: object) -> str:
    """A value as it is typed."""
    if isinstance(value, list):
        return ",".join(f"{item:g}" if isinstance(item, float) else str(item) for item in value)
    return str(value).lower() if isinstance(value, bool) else str(value)
