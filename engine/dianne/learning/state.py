"""The state of a strategy and of modules, taken and given back with no code in them.

A strategy is an object with attributes that its `setup` makes. Those that change are its state: numbers,
texts, tensors, generators, containers of these, modules of its own, and whatever has `state_dict` and
`load_state_dict`. What belongs to the engine (networks, batches, updates) is only named, as the engine
restores it. So the state is read off the attributes, and put back over those that `setup` made again.
"""

from __future__ import annotations

import random
import re
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterable, Mapping
from enum import Enum
from functools import partial
from pathlib import PurePath
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel
from torch import Tensor, nn

from dianne.criteria import Criterion
from dianne.data.dataset import Batch, Dataset
from dianne.errors import DianneError
from dianne.learning.strategy import LearningStrategy

_PLAIN = (bool, int, float, str, type(None))
_KEPT = (
    FunctionType, MethodType, BuiltinFunctionType, partial, type, ModuleType, Criterion, BaseModel, Dataset,
    torch.dtype, torch.device, PurePath, Enum, re.Pattern,
)  # fmt: skip
"""What never changes: `setup` makes it again."""
_LISTS: dict[type, str] = {list: "list", tuple: "tuple", set: "set", frozenset: "frozenset", Batch: "batch"}
_DICTS = (dict, OrderedDict, defaultdict, Counter)
_MAKERS: dict[str, Any] = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}


class StateError(DianneError):
    """A state does not fit the strategy that should take it."""


class Attributes:
    """The attributes of a strategy, as its state.

    Args:
        strategy: just set up.
        owned: what belongs to the engine, by a name that is the same in every run of the job.
    """

    def __init__(self, strategy: LearningStrategy, owned: Mapping[str, Any]):
        self.strategy = strategy
        self.owned = owned
        self.made = set(vars(strategy))
        self.problems: dict[str, None] = {}
        """Why the strategy cannot be resumed exactly, as far as that was seen."""

    def state_dict(self) -> dict[str, Any]:
        """The attributes as a nest of plain values and tensors; notes what has no known state."""
        giver = _Giver(self)
        if _stateful(self.strategy):
            attributes = {"": giver.give(self.strategy.state_dict(), "state_dict()")}  # type: ignore[attr-defined]
        else:
            attributes = {name: giver.give(value, name) for name, value in vars(self.strategy).items()}
        return {"attributes": attributes, "memory": giver.memory}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put the attributes back.

        Raises:
            StateError: `setup` did not make what should take a state.
        """
        taker = _Taker(self, state["memory"])
        if _stateful(self.strategy):
            self.strategy.load_state_dict(taker.take(state["attributes"][""], None, "state_dict()"))  # type: ignore[attr-defined]
            return
        own = self.strategy.__dict__
        found = {name: taker.take(node, own.get(name), name) for name, node in state["attributes"].items()}
        own.clear()
        own.update(found)


def module_state(module: nn.Module) -> dict[str, Any]:
    """All weights and buffers, those too that are not stored, and plain attributes of the modules inside."""
    return {
        "values": {name: value.detach() for name, value in _values(module)},
        "attributes": {
            name: {key: value for key, value in vars(inner).items() if type(value) in _PLAIN}
            for name, inner in module.named_modules()
        },
    }


def load_module_state(module: nn.Module, state: Mapping[str, Any]) -> None:
    """Put back what `module_state` took, into the same tensors.

    Raises:
        StateError: the module has others.
    """
    inside = dict(module.named_modules())
    own = dict(_values(module))
    if own.keys() != state["values"].keys() or inside.keys() != state["attributes"].keys():
        raise StateError("has other modules or weights than when its state was taken")
    with torch.no_grad():
        for name, value in state["values"].items():
            if own[name].shape == value.shape:
                own[name].copy_(value)
            else:  # a buffer that grew
                path, _, last = name.rpartition(".")
                inside[path]._buffers[last] = value.to(own[name].device)
    for name, attributes in state["attributes"].items():
        inside[name].__dict__.update(attributes)


def _values(module: nn.Module) -> Iterable[tuple[str, Tensor]]:
    yield from module.named_parameters()
    yield from module.named_buffers()


def _stateful(value: object) -> bool:
    return callable(getattr(value, "state_dict", None)) and callable(getattr(value, "load_state_dict", None))


def _place(tensor: Tensor) -> int:
    """Where the memory of a tensor is."""
    return tensor.untyped_storage().data_ptr()


class _Giver:
    """Turns values into nodes: plain values as they are, all else as a dict with a `kind`."""

    def __init__(self, attributes: Attributes):
        self.attributes = attributes
        self.names = {id(one): name for name, one in attributes.owned.items()}
        tensors = {name: one for name, one in attributes.owned.items() if isinstance(one, Tensor)}
        self.of_engine = {_place(one): (name, one.dtype) for name, one in tensors.items() if one.numel()}
        self.memory: list[Tensor] = []  # bytes
        self.places: dict[int, int] = {}  # in memory
        self.seen: dict[int, int] = {}
        self.alive: list[object] = []  # so that no two of `seen` have one identity

    def give(self, value: Any, place: str) -> Any:
        """The node of a value; `place` is the attribute in which it is."""
        if type(value) in _PLAIN:
            return value
        if id(value) in self.names:
            return {"kind": "owned", "name": self.names[id(value)]}
        if id(value) in self.seen:
            return {"kind": "same", "number": self.seen[id(value)]}
        if isinstance(value, _KEPT):
            return {"kind": "kept"}
        number = self.seen[id(value)] = len(self.seen)
        self.alive.append(value)
        return {**self._node(value, place), "number": number}

    def _node(self, value: Any, place: str) -> dict[str, Any]:
        if isinstance(value, Tensor):
            return self._tensor(value, place)
        if isinstance(value, np.ndarray | np.generic) and value.dtype != object:
            array = np.asarray(value)
            values = torch.from_numpy(array.copy().reshape(-1).view(np.uint8))
            return {
                "kind": "array", "values": values, "type": array.dtype.str, "shape": list(array.shape),
                "scalar": isinstance(value, np.generic),
            }  # fmt: skip
        if type(value) in _LISTS:
            return {"kind": _LISTS[type(value)], "items": [self.give(item, place) for item in value]}
        if type(value) is deque:
            items = [self.give(item, place) for item in value]
            return {"kind": "deque", "items": items, "longest": value.maxlen}
        if type(value) in _DICTS:
            items = [[self.give(key, place), self.give(item, place)] for key, item in value.items()]
            return {"kind": "dict", "items": items}
        return self._with_state(value, place)

    def _with_state(self, value: Any, place: str) -> dict[str, Any]:
        """Objects whose state can be taken, and given back to the object in the same place."""
        made = place in self.attributes.made or _stateful(self.attributes.strategy)
        if isinstance(value, torch.Generator):
            return {"kind": "generator", "state": value.get_state(), "device": str(value.device)}
        state: Any = None
        if isinstance(value, nn.Module):
            state = module_state(value)
        elif _stateful(value):
            state = self.give(value.state_dict(), place)
        elif isinstance(value, random.Random):
            state = self.give(value.getstate(), place)
        elif isinstance(value, np.random.RandomState):
            state = self.give(value.get_state(), place)
        elif isinstance(value, np.random.Generator):
            state = self.give(value.bit_generator.state, place)
        if state is None:
            kind = type(value).__qualname__
            self._problem(
                f"'{place}' holds a {kind}, whose state is unknown; give {kind} the methods state_dict() and "
                "load_state_dict(), or keep its state in numbers and tensors"
            )
            return {"kind": "kept"}
        if not made:
            self._problem(f"'{place}' is made after setup; make it in setup")
        return {"kind": "object", "state": state}

    def _problem(self, what: str) -> None:
        name = type(self.attributes.strategy).__name__
        self.attributes.problems[f"this job cannot be resumed exactly: {name}: {what}"] = None

    def _tensor(self, value: Tensor, place: str) -> dict[str, Any]:
        """A place in some memory, so that tensors which share it go on doing so."""
        if value.layout != torch.strided or value.device.type == "meta":
            self._problem(f"'{place}' holds a tensor that is {value.layout} on {value.device}; store another")
            return {"kind": "kept"}
        data = value.detach()
        name, kind = self.of_engine.get(_place(data), ("", None))
        if name and kind == value.dtype and value.numel():
            memory: Any = name
        else:
            storage = data.untyped_storage()
            memory = self.places.setdefault(_place(data) or -len(self.memory) - 1, len(self.memory))
            if memory == len(self.memory):
                self.memory.append(torch.empty(0, dtype=torch.uint8, device=value.device).set_(storage))
        return {
            "kind": "tensor", "memory": memory, "device": str(value.device),
            "type": str(value.dtype).removeprefix("torch."), "offset": data.storage_offset(),
            "shape": list(value.shape), "stride": list(value.stride()),
            "learns": value.requires_grad and value.is_leaf, "parameter": isinstance(value, nn.Parameter),
            "grad": self.give(value.grad, place) if value.is_leaf else None,
        }  # fmt: skip


class _Taker:
    """Turns nodes into values; takes what `setup` made wherever that has an identity which counts."""

    def __init__(self, attributes: Attributes, memory: list[Tensor]):
        self.owned = attributes.owned
        self.strategy = type(attributes.strategy).__name__
        self.memory = memory
        self.made: dict[int, Any] = {}
        self.used: set[int] = set()

    def take(self, node: Any, existing: Any, place: str) -> Any:
        """The value of a node; `existing` is what is in its place now."""
        if not isinstance(node, dict):
            return node
        kind = node["kind"]
        if kind == "owned":
            if node["name"] not in self.owned:
                raise self._misfit(place)
            return self.owned[node["name"]]
        if kind == "same":
            return self.made[node["number"]]
        if kind == "kept":
            return existing
        if id(existing) in self.used:
            existing = None  # two values were made one and the same by setup, and are not any more
        self.used.add(id(existing))
        found = self._value(kind, node, existing, place)
        self.made[node["number"]] = found
        return found

    def _value(self, kind: str, node: dict[str, Any], existing: Any, place: str) -> Any:
        if kind == "tensor":
            return self._tensor(node, existing, place)
        if kind == "array":
            values = node["values"].numpy().view(np.dtype(node["type"])).reshape(node["shape"]).copy()
            return values[()] if node["scalar"] else values
        if kind == "generator":
            fits = isinstance(existing, torch.Generator) and str(existing.device) == node["device"]
            generator = existing if fits else torch.Generator(node["device"])
            generator.set_state(node["state"])
            return generator
        if kind == "object":
            return self._object(node["state"], existing, place)
        return self._container(kind, node, existing, place)

    def _container(self, kind: str, node: dict[str, Any], existing: Any, place: str) -> Any:
        if kind == "dict":
            old = existing if isinstance(existing, dict) else {}
            found = {}
            for key_node, item in node["items"]:
                key = self.take(key_node, None, place)
                found[key] = self.take(item, old.get(key), place)
            if not isinstance(existing, dict):
                return found
            existing.clear()
            existing.update(found)
            return existing
        ordered = list(existing) if isinstance(existing, list | tuple | deque) else []
        old_items = [*ordered, *[None] * len(node["items"])]
        items = [self.take(item, old, place) for item, old in zip(node["items"], old_items, strict=False)]
        if kind == "batch":
            return Batch(*items)
        if kind == "deque":
            return deque(items, node["longest"])
        if kind == "list" and isinstance(existing, list):
            existing[:] = items
            return existing
        return _MAKERS[kind](items)

    def _object(self, node: Any, existing: Any, place: str) -> Any:
        if isinstance(existing, nn.Module):
            try:
                load_module_state(existing, node)
            except StateError:
                raise self._misfit(place) from None
            return existing
        if not (
            _stateful(existing)
            or isinstance(existing, random.Random | np.random.RandomState | np.random.Generator)
        ):
            raise self._misfit(place)
        state = self.take(node, None, place)
        if isinstance(existing, random.Random):
            existing.setstate(state)
        elif isinstance(existing, np.random.RandomState):
            existing.set_state(state)
        elif isinstance(existing, np.random.Generator):
            existing.bit_generator.state = state
        else:
            existing.load_state_dict(state)
        return existing

    def _tensor(self, node: dict[str, Any], existing: Any, place: str) -> Any:
        device, of_engine = torch.device(node["device"]), isinstance(node["memory"], str)
        if of_engine and node["memory"] not in self.owned:
            raise self._misfit(place)
        base: Tensor = self.owned[node["memory"]].detach() if of_engine else self.memory[node["memory"]]
        if not of_engine and base.device != device:
            base = self.memory[node["memory"]] = base.to(device)
        made = torch.empty(0, dtype=getattr(torch, node["type"]), device=base.device)
        made.set_(base.untyped_storage(), node["offset"], node["shape"], node["stride"])
        grad = self.take(node["grad"], None, place)
        learns = node["learns"] or node["parameter"]
        if learns and isinstance(existing, Tensor) and existing.shape == made.shape and existing.is_leaf:
            existing.data.copy_(made)  # an optimizer may know it
        elif learns:
            existing = nn.Parameter(made, node["learns"]) if node["parameter"] else made.requires_grad_()
        else:
            return made
        existing.grad = grad
        return existing

    def _misfit(self, place: str) -> StateError:
        return StateError(
            f"{self.strategy} cannot take its state back: setup does not make '{place}' as it was when the "
            "state was taken"
        )
