"""Dataset descriptors: small YAML files that say what a dataset is and where its files come from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from dianne.data.adapter_options import AdapterOptions
from dianne.data.archives import holds
from dianne.data.reference import translated
from dianne.document import Document, load, parse
from dianne.errors import suggest
from dianne.options import Label, NonNegativeInt, Options, PositiveInt, explain, keys
from dianne.workspace import Folder

_HEXADECIMAL = re.compile(r"[0-9a-fA-F]*")
_SLICE = re.compile(r"\s*(\d*)\s*:\s*(\d*)\s*")


@dataclass(frozen=True)
class Range:
    """Which samples of a dataset: `start:stop` (half-open), or an explicit list of indices.

    Attributes:
        text: as the user wrote it.
        start: first index.
        stop: one past the last; None for the end of the dataset.
        indices: the explicit list, else None.
    """

    text: str
    start: int = 0
    stop: int | None = None
    indices: tuple[int, ...] | None = None

    def __str__(self) -> str:
        return self.text


def parse_range(value: object) -> Range:
    """A range from text or a list of indices.

    `0,59999` includes both ends; `0:60000` is half-open and either side may be left out; `1000` is the
    first thousand; three and more numbers with commas are indices.

    Raises:
        ValueError: it is none of these.
    """
    if isinstance(value, Range):
        return value
    text = ",".join(str(part) for part in value) if isinstance(value, list | tuple) else str(value)
    sides = _SLICE.fullmatch(text)
    if sides:
        start, stop = int(sides[1] or 0), int(sides[2]) if sides[2] else None
    else:
        try:
            numbers = [int(part) for part in text.split(",")]
        except ValueError:
            raise ValueError(f"expected a range such as 0,59999 or 0:60000, found '{text}'") from None
        if any(number < 0 for number in numbers):
            raise ValueError(f"a range counts from 0, found '{text}'")
        if len(numbers) > 2:
            return Range(text, indices=tuple(numbers))
        start, stop = (0, numbers[0]) if len(numbers) == 1 else (numbers[0], numbers[1] + 1)
    if stop is not None and stop <= start:
        raise ValueError(f"the range '{text}' is empty")
    return Range(text, start, stop)


RangeOption = Annotated[
    Range,
    BeforeValidator(parse_range),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "array"}]}),
]


def _checksum(digits: int) -> Any:
    """The type of a checksum of so many hexadecimal digits."""

    def check(text: str) -> str:
        if len(text) != digits or not _HEXADECIMAL.fullmatch(text):
            raise ValueError(f"expected {digits} hexadecimal digits, found '{text}'")
        return text.lower()

    return AfterValidator(check)


def _sign(text: str) -> str:
    if len(text) != 1 or text in '"\r\n':
        raise ValueError(f"expected one character that separates columns, found {text!r}")
    return text


class Source(Options):
    """Where one file of a dataset comes from."""

    urls: list[str] = Field(min_length=1)
    """Mirrors, tried in this order."""
    sha256: Annotated[str, _checksum(64), WithJsonSchema({"pattern": "^[0-9a-fA-F]{64}$"})] | None = None
    """Checksum of the file's content, after a .gz around it is taken off; of an archive as it is."""
    md5: Annotated[str, _checksum(32), WithJsonSchema({"pattern": "^[0-9a-fA-F]{32}$"})] | None = None
    """Checksum of the file as it is downloaded; one of the two is needed."""

    @model_validator(mode="after")
    def _has_a_checksum(self) -> Source:
        if not self.sha256 and not self.md5:
            raise ValueError("needs a checksum: sha256 or md5")
        return self


_WITHOUT_FILES = ("sklearn", "python", "huggingface")
_TABLES = ("csv", "csvdataset", "parquet")  # their inputs and targets are columns
_FILES = {
    "charsequencedataset": "input.txt",
    "imageclassificationdataset": "images",
    "imagesegmentationdataset": "images",
}  # where `file` is left out


class Descriptor(Options):
    """The keys of a dataset file."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    name: str = ""
    """What jobs call the dataset; the file's own name."""
    type: str
    """Which reader understands its files; docs/datasets.md lists them."""
    description: str = ""
    """One sentence for people."""
    labels: list[Label] | None = None
    """Names of the classes, by index; a set with labels is a classification set."""
    input_dims: list[PositiveInt] | None = None
    """Shape of one input sample."""
    parts: dict[str, RangeOption] = Field(default_factory=dict)
    """Named ranges; learning takes `train`, evaluation `test`, where they are declared."""
    no_samples: PositiveInt | None = None
    """How many samples there are; files that hold another number are refused."""
    dir: str | None = None
    """The folder in which files are looked for first, seen from the descriptor's own (the default)."""
    inputs: list[Label] = Field(default_factory=list)
    """Files with samples, one behind the other. Tables: the columns of inputs, by name or number from 0."""
    targets: list[Label] = Field(default_factory=list)
    """Files with targets, in the order of `inputs`. Tables: the columns of targets."""
    file: str | None = None
    """CSV, Parquet, Numpy: the file. Images: their folder or archive. CharSequenceDataset: the text,
    input.txt if left out."""
    labels_file: str | None = None
    """A file with a label a line. CharSequenceDataset: the vocabulary, one character behind the other."""
    targets_file: str | None = None
    """ImageClassificationDataset: a file with the number of a class a line."""
    size: Annotated[list[PositiveInt], Field(min_length=2, max_length=2)] | None = None
    """Images: scale every one to this height and width as it is read (bilinear; masks by nearest pixel)."""
    grey: bool | None = None
    """Images: one plane (true) or three (false); if left out, three if any image has colours."""
    transposed: bool = False
    """IDX: images are stored column by column, as those of EMNIST."""
    repository: str | None = None
    """HuggingFace: the name of a dataset there, such as ylecun/mnist, or a local folder that holds one."""
    split: str = "train"
    """HuggingFace: which of its splits."""
    separator: Annotated[str, AfterValidator(_sign)] | None = None
    """CSV: the character between two columns; a tab for files that end in .tsv, else a comma."""
    header: bool | None = None
    """CSV: whether the first row names the columns; if left out, it does if it holds no number."""
    input_offset: NonNegativeInt = 0
    """CSV: columns in front of the inputs."""
    target_offset: NonNegativeInt = 0
    """CSV: columns between inputs and targets."""
    target_dims: list[PositiveInt] | None = None
    """CSV: shape of one target; one number if left out."""
    files: dict[str, Source] = Field(default_factory=dict)
    """Where files can be fetched from, by name."""
    loader: str | None = None
    """sklearn: the function of sklearn.datasets that gives the data, such as load_digits."""
    function: str | None = None
    """Python: what gives the data, as datasets/mine.py:samples or package.module:samples."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Python: what the function is called with."""
    standardize: bool = False
    """Shift and scale each column of a table to mean 0 and deviation 1, over all its samples."""
    sequential: bool = False
    """The samples follow each other in time, so that sequences can be drawn from them."""
    shuffle: NonNegativeInt | None = None
    """Put the samples into a random order once, the same for the same number; `parts` are of that order."""
    frame: Annotated[list[PositiveInt], Field(min_length=2, max_length=2)] | None = None
    """Scale every image to this height and width (bilinear, cropped to the ratio of the sides first)."""
    pad: NonNegativeInt = 0
    """Then put as many black pixels around it on every side."""

    adapters: list[AdapterOptions] = Field(default_factory=list)
    """What is done to samples on their way into a batch, one behind the other: [{frame: [32, 32]}]."""

    @field_validator("files")
    @classmethod
    def _stays_inside(cls, files: dict[str, Source]) -> dict[str, Source]:
        for name in files:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts:
                raise ValueError(f"expected the name of a file below this folder, found '{name}'")
        return files

    def needs(self) -> list[str]:
        """The files that its data come from; of what is in an archive, the archive."""
        kind = self.type.lower()
        if kind in _WITHOUT_FILES:
            return []
        names = [self.file or _FILES.get(kind)]
        if kind not in _TABLES and not self.file:
            names += [*self.inputs, *self.targets]
        names += [self.labels_file, self.targets_file]
        return list(dict.fromkeys(holds(name)[0] for name in names if name))


@dataclass(frozen=True)
class Described:
    """A descriptor and the file that it stands in."""

    descriptor: Descriptor
    path: Path
    document: Document

    @property
    def name(self) -> str:
        """What jobs call the dataset."""
        return self.descriptor.name

    @property
    def labels(self) -> list[str] | None:
        """Names of the classes, if it is a classification set."""
        return self.descriptor.labels or None


def describe(folder: Folder, name: str) -> Described:
    """The descriptor of a dataset.

    Raises:
        UsageError: there is none of that name.
        ConfigError: what is wrong with its file, with line and column.
    """
    return read(folder.find("datasets", name))


def read(path: Path, text: str | None = None) -> Described:
    """Read a descriptor file, or the text that it once had; raises ConfigError as `describe`."""
    document = load(path) if text is None else parse(text, f"{path.stem} (stored)")
    known = keys(Descriptor)
    values: dict[str, Any] = {"name": path.stem}
    of_reference = path.suffix == ".json"
    for key, value in (translated(document) if of_reference else document.data).items():
        if key in known:
            values[key] = value
        elif not of_reference:  # which keeps keys that it doesn't know, as properties
            document.report((key,), f"unknown key '{key}'{suggest(key, known, 'keys')}", of_key=True)
    descriptor = None
    try:
        descriptor = Descriptor.model_validate(values)
    except ValidationError as error:
        for detail in error.errors():
            place = tuple(part for part in detail["loc"] if isinstance(part, str | int))
            if detail["type"] == "extra_forbidden":
                inside = keys(AdapterOptions if place[0] == "adapters" else Source)
                message = f"unknown key '{place[-1]}'{suggest(str(place[-1]), inside, 'keys')}"
                document.report(place, message, of_key=True)
                continue
            document.report(place, f"{'.'.join(map(str, place))}: {explain(detail)}")
    document.close()
    assert descriptor is not None
    return Described(descriptor, path, document)
