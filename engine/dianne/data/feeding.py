"""How batches come from a dataset without anybody waiting for them."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

from torch import Tensor

from dianne.data.adapters.adapter import Pair
from dianne.data.dataset import Batch, Dataset
from dianne.data.rows import Rows

AHEAD = 4  # batches that are read before they are asked for
State = dict[str, Any]


class Feed(Iterator[Batch]):
    """Endless batches: indices are drawn in order, and their samples read.

    Where samples do not lie in memory, one thread draws and reads ahead. What is drawn for adapters is drawn
    when a batch is asked for, so the batches are the same with and without that thread.

    Args:
        dataset: where samples come from.
    """

    def __init__(self, dataset: Dataset):
        self.dataset = dataset
        self._pending: deque[Future[tuple[State, Pair, Tensor]]] = deque()
        self._consumed: State | None = None  # state of the order behind the last batch that was given
        rows = isinstance(dataset.inputs, Rows) or isinstance(dataset.targets, Rows)
        self._reader = ThreadPoolExecutor(1, "dianne-reader") if rows else None

    @abstractmethod
    def draw(self) -> Tensor:
        """The next (b,) or (b, time) int64 indices."""

    @abstractmethod
    def order_state(self) -> State:
        """What decides the indices to come."""

    @abstractmethod
    def load_order_state(self, state: State) -> None:
        """Draw what would have been drawn next when the state was taken."""

    def __next__(self) -> Batch:
        if self._reader is None:
            return self.dataset.batch(self.draw())
        if self._consumed is None:
            self._consumed = self.order_state()
        while len(self._pending) <= AHEAD:
            self._pending.append(self._reader.submit(self._read))
        self._consumed, stored, indices = self._pending.popleft().result()
        batch = self.dataset.finish(stored)
        if indices.dim() == 1:
            return batch
        return Batch(*(values.view(*indices.shape, *values.shape[1:]) for values in batch))

    def _read(self) -> tuple[State, Pair, Tensor]:
        indices = self.draw()
        return self.order_state(), self.dataset.stored(indices.flatten()), indices

    def position(self) -> State:
        """State of the order behind the last batch that was given, whatever was drawn ahead."""
        return self.order_state() if self._consumed is None else self._consumed

    def state_dict(self) -> State:
        """What decides the batches to come: the order of samples, and the draws of adapters."""
        return {"order": self.position(), "draws": self.dataset.draws_state()}

    def load_state_dict(self, state: State) -> None:
        """Give the batches that would have been given next when the state was taken."""
        for ahead in self._pending:
            ahead.cancel()
        wait(self._pending)
        self._pending.clear()
        self._consumed = None
        self.load_order_state(state["order"])
        self.dataset.load_draws_state(state["draws"])
