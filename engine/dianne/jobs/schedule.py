"""Which jobs begin next: a pure function of what waits, what runs, and what there is.

Each kind of job has a queue and the whole machine to itself, so that long training never keeps an evaluation
waiting. Within a kind, jobs begin in the order in which they came: a large job is never overtaken for ever.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Need:
    """What a job takes.

    Attributes:
        job: its identifier.
        kind: of job.
        cpus: cores.
        gpus: how many graphics cards.
        cards: the numbers of those that it has; empty while it waits.
    """

    job: str
    kind: str
    cpus: float
    gpus: int
    cards: tuple[int, ...] = ()


@dataclass(frozen=True)
class Room:
    """What there is for the jobs of each kind: cores, and the numbers of graphics cards."""

    cpus: float
    cards: tuple[int, ...]

    def __str__(self) -> str:
        return f"cpus={self.cpus:g} gpus={len(self.cards)}"

    def holds(self, need: Need) -> bool:
        """Whether a job fits if nothing else runs."""
        return need.cpus <= self.cpus and need.gpus <= len(self.cards)


def choose(waiting: Iterable[Need], running: Iterable[Need], room: Room) -> list[Need]:
    """The jobs that begin now, in order, with their graphics cards.

    Args:
        waiting: in the order in which they came; each fits into an empty room.
        running: all that run.
        room: what there is.
    """
    taken = list(running)
    full: set[str] = set()  # kinds whose first job has to wait
    begin = []
    for need in waiting:
        if need.kind in full:
            continue
        beside = [other for other in taken if other.kind == need.kind]
        cards = [card for card in room.cards if not any(card in other.cards for other in beside)]
        if sum(other.cpus for other in beside) + need.cpus > room.cpus or need.gpus > len(cards):
            full.add(need.kind)
            continue
        placed = Need(need.job, need.kind, need.cpus, need.gpus, tuple(cards[: need.gpus]))
        taken.append(placed)
        begin.append(placed)
    return begin
