"""Datasets: compact samples, in memory or larger than it, that become batches."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dianne.data.adapters.adapter import Adapter, Draws, Pair, Shape, as_floats
from dianne.data.descriptor import Described, Range
from dianne.data.ragged import Ragged, differing
from dianne.data.remember import remembered
from dianne.data.rows import Rows, Samples, chosen, chunks_of
from dianne.errors import UsageError


class Batch(NamedTuple):
    """Samples side by side; `b` of them.

    Attributes:
        input: (b, *input_dims) float32, or (b, time, *input_dims) for sequences.
        target: (b, *target_dims) float32, or with time as the input: one-hot for classes, the input itself
            for an autoencoder.
    """

    input: Tensor
    target: Tensor


@dataclass(frozen=True)
class Dataset:
    """Samples and their targets, stored as compactly as they came: tensors, or rows that are read later.

    Attributes:
        name: of the dataset.
        inputs: (n, *input_dims); uint8 stands for 0 to 1 in steps of 1/255, floats for themselves. With a
            vocabulary (n,) whole numbers, which are indices into it.
        targets: (n,) whole numbers, the class indices, or (n, *target_dims) float32.
        labels: names of the classes, if it is a classification set.
        autoencode: whether a batch's target is its input.
        vocabulary: names of what the inputs stand for; in a batch they are one-hot.
        sequential: whether the samples follow each other in time.
        adapters: what is done to a batch, in this order.
        noises: what is done to its inputs once an autoencoder's targets are taken.
        draws: where random adapters take their numbers from; where there is none nothing is augmented, and
            what has to be drawn is drawn from one stream for each batch.
        device: of its batches; the samples are there, too, unless adapters change them on the CPU first.
    """

    name: str
    inputs: Samples
    targets: Samples
    labels: list[str] | None = None
    autoencode: bool = False
    vocabulary: list[str] | None = None
    sequential: bool = False
    adapters: tuple[Adapter, ...] = ()
    noises: tuple[Adapter, ...] = ()
    draws: Draws | None = None
    device: torch.device | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def input_dims(self) -> Shape:
        """Shape of one input."""
        if self.adapters:
            return self.adapters[-1].dims
        if isinstance(self.inputs, Ragged):
            raise differing(self.name, self.inputs.sizes)
        return (len(self.vocabulary),) if self.vocabulary else tuple(self.inputs.shape[1:])

    @property
    def target_dims(self) -> Shape:
        """Shape of one target in a batch."""
        if self.autoencode:
            return self.input_dims
        if self.labels:
            return (len(self.labels),)
        moved = [adapter.dims for adapter in self.adapters if getattr(adapter, "both", False)]
        if isinstance(self.targets, Ragged) and not moved:
            raise differing(self.name, self.targets.sizes)
        return moved[-1] if moved else tuple(self.targets.shape[1:])

    def drawing(self, seed: int, learning: bool) -> Dataset:
        """The dataset with random numbers of its own for its adapters.

        Args:
            seed: of the stream of augmentation.
            learning: whether samples are augmented.
        """
        if not (self.adapters or self.noises):
            return self
        return replace(self, draws=Draws(torch.Generator().manual_seed(seed), learning))

    def draws_state(self) -> Tensor | None:
        """State of the stream of augmentation, if there is one."""
        return self.draws.generator.get_state() if self.draws else None

    def load_draws_state(self, state: Tensor | None) -> None:
        """Go on with the stream of augmentation where a state was taken."""
        if self.draws and state is not None:
            self.draws.generator.set_state(state)

    def on(self, device: torch.device) -> Dataset:
        """The dataset with batches on a device; its samples, too, unless they are in files or adapted."""
        if device.type == "cpu":
            return self
        if self.adapters or self.noises or not isinstance(self.inputs, Tensor):
            return replace(self, device=device)
        targets = self.targets if isinstance(self.targets, Rows) else self.targets.to(device)
        return replace(self, inputs=self.inputs.to(device), targets=targets, device=device)

    def batch(self, indices: Tensor | slice) -> Batch:
        """The samples at (b,) int64 `indices`, as float32; (b, time) indices give (b, time, ...) samples."""
        if isinstance(indices, Tensor) and indices.dim() > 1:
            flat = self.batch(indices.flatten())
            return Batch(*(values.view(*indices.shape, *values.shape[1:]) for values in flat))
        return self.finish(self.stored(indices))

    def stored(self, indices: Tensor | slice) -> Pair:
        """The first half of `batch`: samples as they are stored. Draws nothing, so it can be done ahead."""
        inputs = _taken(self.inputs, indices)
        return Pair(inputs, inputs if self.autoencode else _taken(self.targets, indices))

    def finish(self, stored: Pair) -> Batch:
        """The second half of `batch`: what `stored` gave, through all adapters, as float32."""
        if self.adapters or self.noises:
            batch = self._adapted(stored)
            return Batch(*(values.to(self.device) for values in batch)) if self.device else batch
        if isinstance(self.inputs, Ragged):
            raise differing(self.name, self.inputs.sizes)
        if self.device:  # bytes travel, not the floats that they become
            stored = Pair(*(values.to(self.device, non_blocking=True) for values in stored))
        inputs = stored.inputs
        if self.vocabulary:
            inputs = _one_hot(inputs, len(self.vocabulary))
        else:
            inputs = _floats(inputs)
            if stored.inputs.dtype == torch.uint8:
                inputs.div_(255)
        if self.autoencode:
            return Batch(inputs, inputs)
        targets = stored.targets
        return Batch(inputs, _one_hot(targets, len(self.labels)) if self.labels else _floats(targets))

    def _adapted(self, stored: Pair) -> Batch:
        """`finish` through all adapters; uint8 stays uint8 while only pixels move."""
        draws = self.draws or Draws(torch.Generator().manual_seed(0), learning=False)
        pair = stored
        if self.vocabulary:
            pair = Pair(_one_hot(stored.inputs, len(self.vocabulary)), stored.targets)
        for adapter in self.adapters:
            pair = adapter(pair, draws)
        inputs = as_floats(pair.inputs)
        if isinstance(stored.inputs, Tensor) and inputs.data_ptr() == stored.inputs.data_ptr():
            inputs = inputs.clone()
        targets = inputs
        if not self.autoencode:
            targets = _one_hot(pair.targets, len(self.labels)) if self.labels else _floats(pair.targets)
        for noise in self.noises:
            inputs = noise(Pair(inputs, targets), draws).inputs
        return Batch(inputs, targets)

    def without_data(self, size: int, length: int | None = None) -> Batch:
        """A batch on torch's meta device: shapes, but no values; of sequences if a length is given."""
        shape = (size,) if length is None else (size, length)
        with torch.device("meta"):
            inputs = torch.empty(*shape, *self.input_dims)
            return Batch(inputs, inputs if self.autoencode else torch.empty(*shape, *self.target_dims))

    def select(self, chosen: Range) -> Dataset:
        """The dataset of the samples in a range; contiguous ranges share the memory, and stay sequential.

        Raises:
            UsageError: the range reaches beyond the dataset.
        """
        size = len(self)
        last = max(chosen.indices) if chosen.indices else (chosen.stop or chosen.start + 1) - 1
        if last >= size:
            hint = ""
            if chosen.start < size and chosen.stop == size + 1 and "," in chosen.text:
                both = f"{chosen.start},{size - 1} or {chosen.start}:{size}"
                hint = f"; a comma includes both ends: write {both}"
            raise UsageError(
                f"the range {chosen.text} reaches to sample {last:,}, but {self.name} has the samples "
                f"0 to {size - 1:,}{hint}"
            )
        index = list(chosen.indices) if chosen.indices else slice(chosen.start, chosen.stop)
        sequential = self.sequential and isinstance(index, slice)
        return self.choose(index, sequential)

    def choose(self, index: Tensor | slice | list[int], sequential: bool = False) -> Dataset:
        """The dataset of the samples at some indices; those that are not in memory are not read."""
        inputs, targets = chosen(self.inputs, index), chosen(self.targets, index)
        return replace(self, inputs=inputs, targets=targets, sequential=sequential)

    def fingerprint(self) -> str:
        """sha256 over shapes and bytes of inputs and targets: which data some weights were trained on.

        Of samples that are not in memory it is remembered until their files change.
        """
        parts = self.inputs, self.targets
        rows = [part for part in parts if isinstance(part, Rows)]
        if not rows:
            return self._digest(*parts)
        own = [part.identity() if isinstance(part, Rows) else self._digest(part) for part in parts]
        identity = "\n".join([*own, *(self.vocabulary or [])]) if all(own) else ""
        return remembered("fingerprint", identity, lambda: self._digest(*parts), max(r.changed for r in rows))

    def _digest(self, *parts: Samples) -> str:
        digest = hashlib.sha256(repr(self.vocabulary).encode() if self.vocabulary else b"")
        for part in parts:
            digest.update(f"{part.dtype} {tuple(part.shape)} ".encode())
            for chunk in chunks_of(part):
                digest.update(np.ascontiguousarray(chunk.numpy()).data)
        return digest.hexdigest()


def _taken(values: Samples, indices: Tensor | slice) -> Tensor:
    """`values[indices]`, (b,); samples are copied whole, which takes a sixth of the time."""
    if isinstance(indices, slice) or isinstance(values, Rows):
        return values[indices]
    return values.index_select(0, indices.to(values.device, non_blocking=True))


def _floats(values: Tensor) -> Tensor:
    """float32 values in memory of their own, so that a batch can be changed without touching the dataset."""
    return values.to(torch.float32, copy=values._base is not None)


def _one_hot(indices: Tensor, size: int) -> Tensor:
    """(...) whole numbers -> (..., size) float32."""
    return functional.one_hot(indices.long(), size).float()


def part(described: Described, name: str) -> Range | None:
    """The range that a descriptor names, if it does."""
    return described.descriptor.parts.get(name)
