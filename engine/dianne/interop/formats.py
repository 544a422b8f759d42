"""Ways in and out: each registers itself under its name, with a line beside its function.

What comes in is recognised by its content, in the order of registration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator
from torch import Tensor

from dianne.errors import UsageError
from dianne.network.graph import Graph
from dianne.network.network import Network
from dianne.options import Options, PositiveInt
from dianne.registry import Registry
from dianne.store import Manifest

Shape = tuple[int, ...]


def _extents(value: object) -> object:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


def _several(value: object) -> object:
    return [_extents(part) for part in value.split(";")] if isinstance(value, str) else value


class ImportOptions(Options):
    """What a user can say about a file that comes in."""

    name: str | None = None
    """Of the network; what the file says if left out."""
    tag: str | None = None
    """Where the weights go; what the file says, or else `imported`, if left out."""
    into: str | None = None
    """The network that takes the weights of a file that holds nothing else."""
    shape: Annotated[list[PositiveInt] | None, BeforeValidator(_extents)] = None
    """Of one sample, such as 1,28,28, for files that do not say it."""
    shapes: Annotated[list[list[PositiveInt]] | None, BeforeValidator(_several)] = None
    """The same for several inputs, in their order: 1,28,28;10."""

    def given_shapes(self, source: str, inputs: Sequence[str]) -> dict[str, list[int]]:
        """The shapes that the user has said, by input; empty for nothing.

        Args:
            source: the file, for messages.
            inputs: their names, in order.

        Raises:
            UsageError: there are more or fewer shapes than inputs.
        """
        given = [*(self.shapes or []), *([self.shape] if self.shape else [])]
        if given and len(given) != len(inputs):
            has = "1 input" if len(inputs) == 1 else f"{len(inputs)} inputs"
            were = "1 shape was" if len(given) == 1 else f"{len(given)} shapes were"
            raise UsageError(f"{source}: has {has} ({', '.join(inputs)}), and {were} given")
        return dict(zip(inputs, given, strict=False))


def shape_option(inputs: int) -> str:
    """What a user gives for a file that leaves the shapes of samples open."""
    return "shape=1,28,28" if inputs == 1 else "shapes=1,28,28;10, one for each input"


@dataclass(frozen=True)
class Outgoing:
    """A network with the weights of a tag, on its way out.

    Attributes:
        tag: as the user gave it.
        manifest: where the weights came from.
        history: the manifests before it, the newest first.
        network: its modules, arguments and shapes.
        module: ready to run, in evaluation mode.
    """

    tag: str
    manifest: Manifest
    history: tuple[Manifest, ...]
    network: Network
    module: Graph


@dataclass
class Incoming:
    """A network on its way in: read and checked, nothing of it written yet.

    Attributes:
        name: of the network.
        files: the network files to be written, by name: its own, and those of networks inside it.
        weights: by tag, and then by name such as `hidden1.weight`; all of the network's for each tag.
        parameters: of the network file, where they are not its defaults.
        job: for the manifest: what it was, and what must be kept of it.
        labels: names of the classes.
        dataset: for the manifest.
        manifest: what else it says, such as iteration and loss.
        notes: what the user should know, a line each.
    """

    name: str
    files: dict[str, str]
    weights: dict[str, Mapping[str, Tensor]] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    job: dict[str, Any] = field(default_factory=dict)
    labels: list[str] | None = None
    dataset: dict[str, str] = field(default_factory=dict)
    manifest: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


Write = Callable[[Outgoing, Path], list[str] | None]


@dataclass(frozen=True)
class Export:
    """A format that networks can be written in.

    Attributes:
        write: writes a network to a path that is not there yet, and says what the user should know, a line
            each; raises DianneError.
        ending: of the file, `.onnx`; empty for a folder.
    """

    write: Write
    ending: str


@dataclass(frozen=True)
class Import:
    """A kind of file that can be read.

    Attributes:
        recognises: whether a path is of this kind; gets the first 64 bytes of a file, none of a folder.
        read: the networks in it; raises DianneError. Nothing in the file is ever executed.
    """

    recognises: Callable[[Path, bytes], bool]
    read: Callable[[Path, ImportOptions], Iterable[Incoming]]


EXPORTS: Registry[Export] = Registry("format")
IMPORTS: Registry[Import] = Registry("kind of file")


def exports(name: str, ending: str = "") -> Callable[[Write], Any]:
    """Decorator of a function that writes a format."""

    def register(write: Write) -> Any:
        EXPORTS.register(name)(Export(write, ending))
        return write

    return register


def imports(name: str, recognises: Callable[[Path, bytes], bool]) -> Callable[[Any], Any]:
    """Decorator of a function that reads a kind of file."""

    def register(read: Callable[[Path, ImportOptions], Iterable[Incoming]]) -> Any:
        IMPORTS.register(name)(Import(recognises, read))
        return read

    return register
