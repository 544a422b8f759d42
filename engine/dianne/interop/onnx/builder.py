"""A network file in the making: modules are added one by one, their shapes known at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np
import torch
from pydantic.alias_generators import to_camel
from torch import Tensor, nn

from dianne.interop.onnx.values import Array, Result, Shape, Unmappable
from dianne.interop.yaml_text import network_text
from dianne.network.catalog import MODULES, infer, pick
from dianne.network.library import Library

MOST_VALUES = 2**28  # of one sample behind a module: 1 GiB
_BIASED = (
    "Affine", "Convolution", "FullConvolution", "Linear", "torch.nn.Conv1d", "torch.nn.Conv2d",
    "torch.nn.Conv3d", "torch.nn.Linear",
)  # fmt: skip
_DIGITS = re.compile(r"[\d_.]*")


@dataclass
class Entry:
    """One module of the file."""

    name: str
    type: str
    keys: dict[str, Any]
    after: tuple[str, ...]
    weights: dict[str, Array] = field(default_factory=dict)


class Builder:
    """Collects modules."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self._taken: set[str] = set()
        self._reshaped: dict[str, Result] = {}  # what went into each Reshape
        self._permuted: dict[str, tuple[Result, list[int]]] = {}  # what went into each Permute, and its order
        self._results: dict[str, Result] = {}
        self._library = Library()

    def reserve(self, words: str, otherwise: str) -> str:
        """A name for a module: readable, allowed in a file, and not taken yet."""
        plain = re.sub(r"[^A-Za-z0-9_-]+", "_", words).strip("_-")
        if _DIGITS.fullmatch(plain):
            plain = otherwise
        elif not re.match(r"[A-Za-z_]", plain):
            plain = f"{otherwise}_{plain}"
        name, number = plain[:80], 1
        while name in self._taken:
            number += 1
            name = f"{plain[:80]}_{number}"
        self._taken.add(name)
        return name

    def add(
        self,
        type_: str,
        hint: str,
        *sources: Result,
        weights: Mapping[str, Array] | None = None,
        name: str = "",
        **keys: Any,
    ) -> Result:
        """Add a module behind others.

        Args:
            type_: of the catalog, or of torch by its dotted name.
            hint: for its name.
            sources: what it takes.
            weights: by name, as the module has them.
            name: reserved before; in place of a hint.
            keys: arguments of its constructor; None for those that are left out.

        Raises:
            Unmappable: the module does not take what comes in, or these arguments.
        """
        keys = {key: value for key, value in keys.items() if value is not None}
        kind: Any = self._library.find(type_)
        shapes = [source.shape for source in sources]
        try:
            with torch.device("meta"):
                module = kind(**{**infer(kind, *shapes), **keys})
            samples = [torch.empty(2, *shape, device="meta") for shape in shapes]
            with torch.no_grad():
                result = module(*samples or [torch.empty(2, *keys["shape"], device="meta")])
        except (ValueError, TypeError, RuntimeError, IndexError, AssertionError, OverflowError) as error:
            reason = str(error).strip().split("\n")[0]
            raise Unmappable(f"{type_} does not fit: {reason}") from error
        shape = tuple(pick(module, result, "").shape[1:])
        if prod(shape) > MOST_VALUES:
            raise Unmappable(
                f"gives {prod(shape):,} values for each sample; at most {MOST_VALUES:,} are possible"
            )
        name = name or self.reserve(hint, type_.rpartition(".")[2].lower())
        held = _held(module, dict(weights or {}))
        self.entries[name] = Entry(name, type_, keys, tuple(source.ref for source in sources), held)
        self._results[name] = Result(name, shape, sources[0].batch if sources else 0)
        return self._results[name]

    def source(self, result: Result) -> Result:
        """What came into the module of a result that has the same shape as that."""
        before = self.entries[result.ref].after[0]
        return replace(self._results.get(before, result), ref=before, batch=result.batch)

    def shift(self, result: Result, constant: Array) -> bool:
        """Add a constant to the bias of the module of a result, if that has one that can hold it."""
        entry = self.entries.get(result.ref)
        if entry is None or entry.type not in _BIASED:
            return False
        bias = entry.weights["bias"]
        if constant.size > 1 and entry.type != "Affine":
            planes = "onv" in entry.type  # the first dimension of a sample has them, else the last
            if constant.size != len(bias) or constant.shape[0 if planes else -1] != len(bias):
                return False
            if planes and constant.ndim != len(result.shape):
                return False
            constant = constant.reshape(-1)
        if np.broadcast_shapes(constant.shape, bias.shape) != bias.shape:
            return False
        entry.weights["bias"] = bias + constant
        return True

    def reshape(self, source: Result, shape: Shape, batch: int, hint: str) -> Result:
        """The same values in another shape; none or one module, however often they were reshaped before."""
        if prod(shape) != prod(source.shape):
            raise Unmappable(f"makes {list(shape)} of {list(source.shape)}")
        while source.ref in self._reshaped and source.shape != shape:
            source = self._reshaped[source.ref]
        if source.shape == shape:
            return replace(source, batch=batch)
        if not shape:
            raise Unmappable("gives samples without a dimension")
        made = self.add("Reshape", hint, source, shape=list(shape))
        self._reshaped[made.ref] = source
        return replace(made, batch=batch)

    def permute(self, source: Result, order: list[int], hint: str) -> Result:
        """The dimensions of samples in another order; none or one module, however often they changed."""
        before, earlier = self._permuted.get(source.ref, (source, list(range(len(order)))))
        order = [earlier[axis] for axis in order]
        if order == sorted(order):
            return before
        made = self.add("Permute", hint, before, order=order)
        self._permuted[made.ref] = (before, order)
        return made

    def stacked(self, result: Result, axis: int) -> list[Result]:
        """The results that were put side by side along a new axis; none if that is not how it was made."""
        entry = self.entries.get(result.ref)
        shape = (*result.shape[:axis], *result.shape[axis + 1 :])
        if entry is None or entry.type != "Concat" or entry.keys.get("dim", 0) != len(shape) - axis:
            return []
        parts = [self._reshaped.get(ref) for ref in entry.after]
        return [part for part in parts if part and part.shape == shape] if all(parts) else []

    # --------------------------------------------------------------------------------------------- results

    def prune(self, outputs: list[str]) -> None:
        """Drop the modules that lead to no output; Inputs stay."""
        used: set[str] = set()
        waiting = list(outputs)
        while waiting:
            name = waiting.pop().split(".")[0]
            if name not in used:
                used.add(name)
                waiting += self.entries[name].after
        kept = {k: e for k, e in self.entries.items() if k in used or e.type == "Input"}
        self.entries = kept

    def text(self, description: str) -> str:
        """The network file."""
        modules, before = {}, ""
        for entry in self.entries.values():
            keys = {"type": entry.type, **{_spelt(entry.type, k): v for k, v in entry.keys.items()}}
            if entry.after not in ((), (before,)):
                keys["after"] = list(entry.after) if len(entry.after) > 1 else entry.after[0]
            modules[entry.name] = keys
            before = entry.name
        return network_text(description, modules)

    def weights(self) -> dict[str, Tensor]:
        """All weights, by the names that they have in the network."""
        return {
            f"{entry.name}.{key}": torch.from_numpy(np.array(value))
            for entry in self.entries.values()
            for key, value in entry.weights.items()
        }


def _held(module: nn.Module, given: dict[str, Array]) -> dict[str, Array]:
    """The weights of a module: those that are given, and the counters that torch's layers have."""
    wanted = module.state_dict()
    counters = {
        key: np.zeros(tuple(v.shape), np.int64) for key, v in wanted.items() if not v.is_floating_point()
    }
    held = {**counters, **given}
    for key, value in wanted.items():
        if key not in held:
            raise Unmappable(f"has no {key}")
        if held[key].shape != tuple(value.shape):
            raise Unmappable(f"its {key} is {list(held[key].shape)}, where {list(value.shape)} is expected")
    return {key: held[key] for key in wanted}


def _spelt(type_: str, key: str) -> str:
    return to_camel(key) if type_ in MODULES else key
