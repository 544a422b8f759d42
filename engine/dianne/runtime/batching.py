"""Calls that come together are answered together."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from time import monotonic
from typing import Generic, TypeVar

PATIENCE = 0.002  # seconds that a call waits for others, where there were others a moment ago
_MOST = 256  # calls answered together

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Call(Generic[Asked, Answer]):
    """What somebody asked, and where the answer goes."""

    asked: Asked
    answer: Future[Answer] = field(default_factory=Future)


class Batcher(Generic[Asked, Answer]):
    """Collects calls and answers as many at once as there are.

    A call that comes alone is answered at once. Those that come while others are answered go together next;
    and where several went together, the next wait up to 2 ms until as many are there again. A thread sees to
    that; or whoever has a better moment calls `answer_waiting`.

    Args:
        run: answers calls, each of them.
        name: of the thread.

    Attributes:
        together: how many calls were answered last.
    """

    def __init__(self, run: Callable[[list[Call[Asked, Answer]]], None], name: str):
        self.together = 1
        self._run = run
        self._running = threading.Lock()
        self._changed = threading.Condition()
        self._calls: list[Call[Asked, Answer]] = []
        self._wanted = 1  # so many calls wake the thread
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many calls wait."""
        return len(self._calls)

    def submit(self, asked: Asked, wake: bool = True) -> Future[Answer]:
        """Ask something; the answer comes later.

        Args:
            asked: what.
            wake: whether the thread sees to it; if not, call `answer_waiting`.
        """
        call: Call[Asked, Answer] = Call(asked)
        with self._changed:
            if self._closed:
                call.answer.cancel()
                return call.answer
            self._calls.append(call)
            if wake and len(self._calls) >= self._wanted:
                self._changed.notify()
        return call.answer

    def answer_waiting(self) -> None:
        """Answer in this thread what waits, unless the other one is at it: then it goes on with these."""
        if not self._running.acquire(blocking=False):
            with self._changed:
                self._changed.notify()
            return
        try:
            while calls := self._take():
                self._run(calls)
        finally:
            self._running.release()

    def close(self) -> None:
        """Answer what was asked, and nothing more."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while calls := self._next():
            with self._running:
                self._run(calls)

    def _next(self) -> list[Call[Asked, Answer]]:
        """The calls to answer next; none at the end."""
        with self._changed:
            while True:
                self._wait_for(1, None)
                self._wait_for(self.together, monotonic() + PATIENCE)
                calls = self._take()
                if calls or self._closed:
                    return calls

    def _take(self) -> list[Call[Asked, Answer]]:
        with self._changed:
            calls, self._calls = self._calls[:_MOST], self._calls[_MOST:]
            if calls:
                self.together = len(calls)
            return calls

    def _wait_for(self, wanted: int, until: float | None) -> None:
        self._wanted = wanted
        while len(self._calls) < wanted and not self._closed:
            left = None if until is None else until - monotonic()
            if left is not None and left <= 0:
                break
            self._changed.wait(left)
        self._wanted = 1
