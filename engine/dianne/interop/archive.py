"""A zip or a folder that came from elsewhere, read in memory with limits."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path

from dianne.data.archives import read_members
from dianne.document import display
from dianne.errors import DataError

_MOST = 256 << 20  # bytes in an archive, if it is small
_RATIO = 20  # weights are noise; whatever shrinks more than that was made to


def is_zip(head: bytes) -> bool:
    """Whether a file that begins so is a zip."""
    return head[:4] in (b"PK\3\4", b"PK\5\6")


def names_in(path: Path) -> list[str]:
    """The names of the files in a zip; raises DataError as `contents`."""
    found: list[str] = []

    def note(name: str) -> bool:
        found.append(name)
        return False

    deque(read_members(path, note, most=_limit(path)), maxlen=0)
    return found


def contents(path: Path, wanted: Callable[[str], bool] = lambda _: True) -> dict[str, bytes]:
    """The files in a zip by name.

    Raises:
        DataError: it is spoilt, holds one name twice, names that leave its folder, or far more than its size.
    """
    found: dict[str, bytes] = {}
    for name, content in read_members(path, wanted, most=_limit(path)):
        if name in found:
            raise DataError(f"{display(path)}: holds '{name}' twice; nothing of it was read")
        found[name] = content
    return found


def _limit(path: Path) -> int:
    return max(_MOST, _RATIO * path.stat().st_size)
