"""Recurrent layers. ONNX has time before the batch, and its gates in another order than torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dianne.interop.onnx.call import Call, operator
from dianne.interop.onnx.values import Array, Result, Unmappable


@dataclass(frozen=True)
class Kind:
    """One kind of recurrent layer.

    Attributes:
        gates: where ONNX has the gates that torch has first, second, ...
        activations: that torch's layer has, in each direction.
        ports: the parts of the state, in the order of ONNX's results.
    """

    gates: tuple[int, ...]
    activations: tuple[str, ...]
    ports: tuple[str, ...]


KINDS = {
    "LSTM": Kind((0, 2, 3, 1), ("Sigmoid", "Tanh", "Tanh"), ("hidden", "cell")),  # iofc -> ifco
    "GRU": Kind((1, 0, 2), ("Sigmoid", "Tanh"), ("hidden",)),  # zrh -> rzh
    "RNN": Kind((0,), ("Tanh",), ()),
}


@operator(*KINDS)
def recurrent(call: Call) -> Any:
    """A recurrent layer, in one direction or both."""
    kind = KINDS[call.operator]
    weight, again = call.needed(1).astype(np.float32), call.needed(2).astype(np.float32)
    if weight.ndim != 3 or again.ndim != 3 or len(weight) != len(again):
        raise Unmappable(f"its weights are {list(weight.shape)} and {list(again.shape)}")
    directions, size = len(weight), again.shape[2]
    source = _sequence(call)
    _check(call, kind, directions, size)
    weights = _weights(call, kind, weight, again, size)
    both = True if directions == 2 else None
    layout = int(call.attributes.get("layout", 0))
    if call.operator == "RNN":
        made = call.builder.add(
            "torch.nn.RNN", call.hint, source, weights=weights, input_size=source.shape[1], hidden_size=size,
            bidirectional=both, batch_first=True,
        )  # fmt: skip
    else:
        prefixed = {f"cell.{key}": value for key, value in weights.items()}
        made = call.builder.add(
            call.operator, call.hint, source, weights=prefixed, output=size, bidirectional=both
        )
    return _results(call, kind, replace(made, batch=0), directions, size, layout)


def _sequence(call: Call) -> Result:
    """The input, [time, features]."""
    source, layout = call.result(), int(call.attributes.get("layout", 0))
    if len(source.shape) != 2 or source.batch != 1 - layout:
        place = "second" if layout == 0 else "first"
        raise Unmappable(f"takes sequences with the batch as the {place} of three dimensions")
    return replace(source, batch=0)


def _check(call: Call, kind: Kind, directions: int, size: int) -> None:
    """Refuse what a layer of torch does not have."""
    if call.text("direction", "forward") == "reverse":
        raise Unmappable("runs backwards in time only")
    if directions != (2 if call.text("direction", "forward") == "bidirectional" else 1):
        raise Unmappable(f"has the weights of {directions} directions")
    if int(call.attributes.get("hidden_size", size)) != size:
        raise Unmappable(f"hidden_size is {call.attributes['hidden_size']}, and its weights are for {size}")
    given = [a.decode() if isinstance(a, bytes) else str(a) for a in call.attributes.get("activations", ())]
    usual = [name.lower() for name in kind.activations * directions]
    if given and [a.lower() for a in given] != usual:
        raise Unmappable(f"has the activations {', '.join(given)}")
    if call.attributes.get("clip") or call.attributes.get("input_forget"):
        raise Unmappable("cuts its values, or couples its gates")
    if call.operator == "GRU" and not call.attributes.get("linear_before_reset"):
        raise Unmappable("resets before it multiplies (linear_before_reset is 0)")
    for place in (4, 5, 6, 7):
        given_array = call.constant(place)
        if given_array is None or (place == 4 and (given_array == call.result().shape[0]).all()):
            continue
        if place == 4:
            raise Unmappable("has sequences of several lengths")
        if not _zero(given_array):
            raise Unmappable("starts from a state, or has peepholes, that are not zero")


def _zero(values: Array) -> bool:
    """Whether all values are 0; those for each sample of a batch are one value, seen many times."""
    once = values[tuple(slice(0, 1) if stride == 0 else slice(None) for stride in values.strides)]
    return not once.any()


def _weights(call: Call, kind: Kind, weight: Array, again: Array, size: int) -> dict[str, Array]:
    """By the names that torch has; both biases of ONNX stay apart."""
    directions, gates = len(weight), len(kind.gates)
    bias = call.constant(3)
    if bias is None:
        bias = np.zeros((directions, 2 * gates * size), np.float32)
    if bias.shape != (directions, 2 * gates * size) or weight.shape[1] != gates * size:
        raise Unmappable(f"its bias is {list(bias.shape)}, and its weights {list(weight.shape)}")
    found = {}
    for direction, suffix in zip(range(directions), ("", "_reverse"), strict=False):
        halves = bias[direction].astype(np.float32).reshape(2, gates * size)
        parts = (weight[direction], again[direction], *halves)
        for name, part in zip(("weight_ih", "weight_hh", "bias_ih", "bias_hh"), parts, strict=True):
            blocks = part.reshape(gates, size, *part.shape[1:])
            found[f"{name}_l0{suffix}"] = blocks[list(kind.gates)].reshape(part.shape)
    return found


def _results(call: Call, kind: Kind, made: Result, directions: int, size: int, layout: int) -> Any:
    """The sequence, which ONNX has with a dimension for the directions, and the state behind it."""
    time = made.shape[0]
    builder = call.builder
    if directions == 1:
        apart = builder.reshape(made, (time, 1, size), 0, f"{call.hint}_apart")
    else:
        apart = builder.reshape(made, (time, 2, size), 0, f"{call.hint}_apart")
    sequence = replace(apart, batch=0 if layout else 2)
    states: list[Any] = [
        Result(f"{made.ref}.{port}", (directions, size), 0 if layout else 1) for port in kind.ports
    ]
    if call.operator == "RNN" and any(call.outputs[1:]):
        if directions == 2:
            raise Unmappable("the state behind it is taken, of both directions")
        last = builder.add("Narrow", f"{call.hint}_last", made, index0=time - 1, size0=1)
        states = [replace(last, batch=0 if layout else 1)]
    return (sequence, *states)
