"""What jobs take of a machine, and what the machine has. Imports no torch."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydantic import Field

from dianne.options import NonNegativeFloat, NonNegativeInt, Options, Threads

VISIBLE = "CUDA_VISIBLE_DEVICES"
SHARE = 4  # jobs of one kind that run at once, unless they say what they take


@dataclass(frozen=True)
class Machine:
    """What there is to share out.

    Attributes:
        cpus: cores that this process may use.
        gpus: names of the graphics cards, as far as CUDA_VISIBLE_DEVICES allows them.
        memory: bytes.
    """

    cpus: int
    gpus: tuple[str, ...]
    memory: int


def machine() -> Machine:
    """The machine on which this runs; graphics cards as `nvidia-smi` lists them."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Machine(cores, _gpus(), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def _gpus() -> tuple[str, ...]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    listed = subprocess.run(
        [program, "--query-gpu=name,uuid", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        check=False,
    )
    rows = listed.stdout.splitlines() if listed.returncode == 0 else []
    return visible([row.rpartition(", ")[::2] for row in rows], os.environ.get(VISIBLE))


def visible(cards: Sequence[tuple[str, str]], allowed: str | None) -> tuple[str, ...]:
    """The names of the graphics cards that a process sees.

    Args:
        cards: name and UUID of all that there are.
        allowed: the value of CUDA_VISIBLE_DEVICES, numbers or beginnings of UUIDs; None if it is not set.
    """
    if allowed is None:
        return tuple(name for name, _ in cards)
    found: dict[str, str] = {}
    for word in _words(allowed):
        named = [
            name
            for number, (name, uuid) in enumerate(cards)
            if word == str(number) or (word.startswith("GPU-") and uuid.startswith(word))
        ]
        if word.startswith("MIG-"):  # a part of a card, which is not listed
            named = [word]
        if len(named) != 1 or word in found:
            break  # CUDA, too, sees nothing from the first on that it does not know
        found[word] = named[0]
    return tuple(found.values())


def narrowed(cards: Iterable[int], allowed: str | None) -> str:
    """CUDA_VISIBLE_DEVICES of a process that sees only some of the cards that this one sees.

    Args:
        cards: their numbers here.
        allowed: the value of CUDA_VISIBLE_DEVICES here; None if it is not set.
    """
    return ",".join(str(card) if allowed is None else _words(allowed)[card] for card in cards)


def _words(allowed: str) -> list[str]:
    return [word.strip() for word in allowed.split(",")]


class Resources(Options):
    """What a submitted job takes of the machine."""

    cpus: NonNegativeFloat | None = None
    """Cores that it takes from what other jobs of its kind may use; a quarter of the machine if left out."""
    gpus: NonNegativeInt | None = None
    """Graphics cards that it gets for itself, and it sees no others; to learn, one if there is any."""
    threads: Threads | None = None
    """Threads that compute; as many as it takes cores if left out."""


class Capacity(Options):
    """What the runtime may use; the whole machine if left out."""

    cpus: NonNegativeFloat | None = Field(default=None, gt=0)
    """Cores that jobs of one kind share."""
    gpus: NonNegativeInt | None = None
    """Graphics cards, the first ones."""


def filled(asked: Resources, has: Machine, learns: bool) -> Resources:
    """Resources in which nothing is left out.

    Args:
        asked: by the user.
        has: what there is.
        learns: whether it is a job that computes on a graphics card.
    """
    cpus = asked.cpus if asked.cpus is not None else max(1, has.cpus // SHARE)
    threads = asked.threads or max(1, int(cpus))
    gpus = asked.gpus if asked.gpus is not None else int(learns and len(has.gpus) > 0)
    return Resources(cpus=cpus, gpus=gpus, threads=threads)
