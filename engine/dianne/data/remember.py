"""What took long to find out about files, kept in the user's cache until one of them changes."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable

from dianne.data.files import cache

SETTLED = 2_000_000_000  # ns; the coarsest clock of a file system in use has ticks of 2 seconds
_FOLDER = ".remembered"


def remembered(what: str, identity: str, find: Callable[[], str], changed: int = 0) -> str:
    """The answer that was found before for the same files, else the one found now.

    Args:
        what: the question.
        identity: paths, sizes and times of the files, and all else that the answer depends on; nothing is
            kept if it is "".
        find: finds the answer.
        changed: when the last of the files changed, in ns. What is found within moments of that is not
            kept: another change within the same tick of the clock would not show.
    """
    if not identity:
        return find()
    path = cache() / _FOLDER / hashlib.sha256(f"{what}\n{identity}".encode()).hexdigest()
    try:
        answer = path.read_text(encoding="utf-8")
        if answer.endswith("\n"):  # whole
            return answer[:-1]
    except OSError:
        pass
    begun = time.time_ns()
    answer = find()
    if begun - changed > SETTLED:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f"{path.name}.{os.getpid()}")
            part.write_text(f"{answer}\n", encoding="utf-8")
            part.replace(path)
        except OSError:
            pass  # a cache that cannot be written costs time, and nothing else
    return answer
