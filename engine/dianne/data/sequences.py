"""How sequences are drawn from samples that follow each other in time."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor

from dianne.data.dataset import Batch, Dataset
from dianne.data.feeding import Feed, State
from dianne.errors import UsageError


class Sequences(Iterator[Batch]):
    """Endless batches of sequences: input and target are (b, time, ...).

    Attributes:
        fresh: whether the sequences of the last batch go on from nowhere. If not, each of them begins where
            the one in its place in the batch before ended, and a state can be carried from there.
    """

    fresh: bool = True

    @abstractmethod
    def __next__(self) -> Batch: ...


class SequenceSampler(Feed, Sequences):
    """Sequences from one dataset.

    By default they start anywhere, uniformly and independently. Carried ones are windows of `batch_size`
    tracks that run side by side through the samples. At their end all of them start anew, shifted at
    random by what does not fill a window, so that every sample has its turn.

    Args:
        dataset: samples that follow each other in time.
        batch_size: sequences in a batch.
        length: samples in a sequence.
        seed: of the stream for the order of data.
        carry: whether sequences go on where those of the batch before ended.
        from_start: every sequence starts at the first sample.

    Raises:
        UsageError: the samples do not follow each other, or they are too few.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        length: int,
        seed: int,
        carry: bool = False,
        from_start: bool = False,
    ):
        check_sequences(dataset, length, batch_size if carry else 1)
        super().__init__(dataset)
        self.batch_size = batch_size
        self.length = length
        self.carry = carry
        self.from_start = from_start
        self.generator = torch.Generator().manual_seed(seed)
        self.starts = torch.zeros(batch_size, dtype=torch.int64)  # (b,) of the sequences drawn next
        self._anew = True  # whether the sequences drawn last go on from nowhere
        self.left = 0  # windows before the tracks start anew

    def __next__(self) -> Batch:
        batch = super().__next__()
        self.fresh = self.position()["fresh"]
        return batch

    def draw(self) -> Tensor:
        """(b, time) int64."""
        self._anew = not self.carry or self.left == 0
        starts = self._tracks() if self.carry else self._anywhere()
        return starts.unsqueeze(1) + torch.arange(self.length)

    def order_state(self) -> State:
        """Random numbers, where tracks are, and whether they started anew."""
        return {
            "generator": self.generator.get_state(), "starts": self.starts, "left": self.left,
            "fresh": self._anew,
        }  # fmt: skip

    def load_order_state(self, state: State) -> None:
        """Go on along the same tracks."""
        self.generator.set_state(state["generator"])
        self.starts, self.left, self._anew = state["starts"], state["left"], bool(state["fresh"])

    def _anywhere(self) -> Tensor:
        """(b,) starts."""
        if self.from_start:
            return self.starts
        return self._random(len(self.dataset) - self.length, self.batch_size)

    def _tracks(self) -> Tensor:
        """(b,) starts of the next window of each track."""
        if self.left:
            self.starts = self.starts + self.length
        else:
            self.left = len(self.dataset) // (self.batch_size * self.length)
            track = self.left * self.length
            first = self._random(len(self.dataset) - self.batch_size * track, 1)
            self.starts = first + torch.arange(self.batch_size) * track
        self.left -= 1
        return self.starts

    def _random(self, last: int, count: int) -> Tensor:
        """(count,) from 0 to `last`, which is included."""
        return torch.randint(last + 1, (count,), generator=self.generator)


def check_sequences(dataset: Dataset, length: int, tracks: int = 1) -> None:
    """Refuse a dataset that sequences cannot be drawn from.

    Args:
        dataset: of samples.
        length: samples in a sequence.
        tracks: how many sequences must find their place side by side.

    Raises:
        UsageError: the samples do not follow each other, or they are too few.
    """
    if not dataset.sequential:
        raise UsageError(
            f"the samples of {dataset.name} do not follow each other in time, so there are no sequences of "
            "them; take a dataset of text or of measurements in time (sequential: true), and a range of "
            "neighbours"
        )
    if len(dataset) < tracks * length:
        wanted = f"sequences of {length:,}" if tracks == 1 else f"{tracks:,} tracks of at least {length:,}"
        raise UsageError(f"{dataset.name} has {len(dataset):,} samples, too few for {wanted}")
