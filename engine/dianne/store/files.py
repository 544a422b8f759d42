"""What a store needs of the place where its files lie: a folder on disk, or anything that fsspec opens.

Blobs and manifests are written once and never change. The files of tags do, and they alone: `update` moves
one from what it holds to what follows from that, so no writer ever takes another's update away. Readers never
wait.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

GRACE = 24 * 60 * 60  # seconds for which nothing is removed: whoever has just written a file will name it
Change = Callable[[bytes | None], bytes | None]
"""From what a file holds (None: there is none) to what it shall hold (None: nothing)."""


@dataclass(frozen=True)
class Found:
    """A file in a store.

    Attributes:
        path: below the store, with `/`.
        size: in bytes.
        modified: when it was written, in seconds since 1970.
    """

    path: str
    size: int
    modified: float


class Files(Protocol):
    """Files by their paths below one place. All methods raise OSError where the place does."""

    def name(self, path: str = "") -> str:
        """What messages call a file, or the place itself."""

    def read(self, path: str) -> bytes:
        """The content of a file."""

    def digest(self, path: str) -> str:
        """The sha256 of a file, read in pieces."""

    def has(self, path: str) -> bool:
        """Whether there is such a file."""

    def below(self, folder: str) -> list[Found]:
        """All files in a folder and its folders by path; none if there is no such folder."""

    def write(self, path: str, content: bytes) -> None:
        """Put a file that never changes in place, in one step; one that is there becomes young again."""

    def update(self, path: str, change: Change) -> None:
        """Change a file in one step; `change` is called again where another writer was quicker."""

    def remove(self, path: str, before: float) -> bool:
        """Remove a file unless it was written after `before`; whether it is gone."""

    def alone(self) -> AbstractContextManager[None]:
        """Hold off others that ask for this, where the place can."""
