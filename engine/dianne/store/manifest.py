"""Where some weights came from."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from dianne.store.errors import StoreError

FORMAT = 3  # 1 had no metrics and no labels, 2 no note


@dataclass(frozen=True)
class Manifest:
    """Where some weights came from; enough to build their network again.

    Attributes:
        network: its name.
        text: its YAML.
        parameters: the values of its parameters.
        texts: the YAML of the networks inside it, by name.
        overrides: keys of modules that were set for the job, such as `Dropout.rate`.
        blob: sha256 of the weights.
        job: identifier, command, networks, dataset, options and seed of the job.
        iteration: how many iterations these weights have learned.
        loss: the last loss and its terms, by name.
        metrics: what an evaluation found, by name; the first is the one by which TAG@best is chosen.
        labels: names of the classes, or the characters, of the data.
        dataset: name and fingerprint of the data.
        versions: of dianne, torch and python.
        created: when, ISO 8601 in UTC.
        parent: the manifest that the tag named before, or the one that the weights started from.
        note: how the tag came to these weights, if no job stored them.
        format: of this file.
    """

    network: str
    text: str
    parameters: dict[str, Any]
    texts: dict[str, str] = field(default_factory=dict)
    overrides: dict[str, Any] = field(default_factory=dict)
    blob: str = ""
    job: dict[str, Any] = field(default_factory=dict)
    iteration: int = 0
    loss: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    labels: list[str] | None = None
    dataset: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    created: str = ""
    parent: str | None = None
    note: str = ""
    format: int = FORMAT

    def repeats(self, other: Manifest) -> bool:
        """Whether this is what a resumed job stores again of what it stored before it was killed."""
        return bool(self.job.get("id")) and (self.job.get("id"), self.iteration, self.blob, self.metrics) == (
            other.job.get("id"), other.iteration, other.blob, other.metrics
        )  # fmt: skip


def encode(manifest: Manifest) -> bytes:
    """The content of a manifest's file."""
    return (json.dumps(asdict(manifest), indent=1, default=str) + "\n").encode()


def decode(content: bytes, name: Callable[[], str]) -> Manifest:
    """What a manifest's file says.

    Args:
        content: of the file, its hash checked.
        name: gives what messages call the file.

    Raises:
        StoreError: it was written by a newer dianne, or by something else.
    """
    try:
        data = json.loads(content)
        found = int(data.get("format", 0))
        if found > FORMAT:
            raise StoreError(
                f"{name()}: was written by a newer dianne (format {found}, this one reads up to {FORMAT}); "
                "upgrade dianne"
            )
        return Manifest(**data)
    except (ValueError, TypeError, AttributeError) as error:
        raise StoreError(f"{name()}: is no manifest") from error
