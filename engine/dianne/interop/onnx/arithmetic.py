"""Arithmetic value by value."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from dianne.interop.onnx.builder import Builder
from dianne.interop.onnx.call import Call, operator
from dianne.interop.onnx.formulas import formula
from dianne.interop.onnx.values import Array, Comparison, Formula, Result, Unmappable, Value


@operator("Add", "Sub", "Mul", "Div")
def binary(call: Call) -> Value:
    """Arithmetic of two results, or of one and a constant."""
    first, second = call.value(0), call.value(1)
    if isinstance(first, np.ndarray):
        return _reversed(call, first)
    if isinstance(second, np.ndarray):
        return _with_constant(call, call.operator, first, _placed(call, second), call.once[0])
    if isinstance(first, Formula) or isinstance(second, Formula):
        return _composed(call, first, second)
    one, other = _alike(call, call.result(0), call.result(1))
    if call.operator == "Sub":
        other = affine(call, other, np.float32(-1), np.float32(0))
    elif call.operator == "Div":
        raise Unmappable("there is no module that divides results by one another")
    return call.builder.add("Multiply" if call.operator == "Mul" else "Accumulate", call.hint, one, other)


@operator("Sum", "Mean")
def several(call: Call) -> Value:
    """The sum or the mean of results."""
    results = [call.result(place) for place in range(len(call.inputs))]
    if len(results) == 1:
        return results[0]
    return call.builder.add("Average" if call.operator == "Mean" else "Accumulate", call.hint, *results)


@operator("Greater", "GreaterOrEqual", "Less", "LessOrEqual")
def compare(call: Call) -> Value:
    """A comparison with a number, for a Where."""
    number = call.needed(1)
    if number.size != 1:
        raise Unmappable("compares with more than one number")
    return Comparison(call.result(), call.operator.startswith("Greater"), float(number.reshape(())))


@operator("Where")
def where(call: Call) -> Value:
    """What torch writes for a Threshold, and for a Softplus that is x where x is large."""
    test, yes, no = call.value(0), call.value(1), call.value(2)
    if not isinstance(test, Comparison):
        raise Unmappable("its condition is no comparison of a result with a number")
    kept, other = (yes, no) if test.above else (no, yes)
    if not isinstance(kept, Result):
        raise Unmappable("there is no module for it")
    if isinstance(other, np.ndarray) and other.size == 1 and kept == test.source:
        value = float(other.reshape(()))
        return call.builder.add("Threshold", call.hint, kept, thresh=test.number, val=value)
    beta = _softplus(call.builder, kept, other) if test.number >= 15 else None
    if beta is None:
        raise Unmappable("there is no module for it")
    return call.builder.add("SoftPlus", call.hint, kept, beta=beta if beta != 1 else None)


def _softplus(builder: Builder, source: Result, value: Any) -> float | None:
    """The beta with which a value is SoftPlus of a source, put together from scaling and Softplus."""
    if not isinstance(value, Result):
        return None
    scale, entry = 1.0, builder.entries.get(value.ref)
    if entry is None:
        return None
    if entry.type == "Affine" and entry.weights["weight"].size == 1:
        scale = float(entry.weights["weight"].reshape(()))
        entry = builder.entries[entry.after[0]]
    if entry.type != "SoftPlus":
        return None
    beta, before = 1.0, entry.after[0]
    if before != source.ref and before in builder.entries:
        inner = builder.entries[before]
        if inner.type != "Affine" or inner.weights["weight"].size != 1:
            return None
        beta, before = float(inner.weights["weight"].reshape(())), inner.after[0]
    return round(beta, 6) if before == source.ref and abs(beta * scale - 1) < 1e-5 else None


def _composed(call: Call, first: Any, second: Any) -> Value:
    """Arithmetic within a function of single values."""
    one, other = (formula(value, call.builder, call.operator) for value in (first, second))
    if one.source != other.source:
        unknown = first if isinstance(first, Formula) else second
        raise Unmappable(f"there is no module for what {unknown.text} is part of")
    apply = _NUMPY[call.operator]
    return Formula(one.source, lambda x: apply(one.compute(x), other.compute(x)), one.text)


_NUMPY = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide}


def _reversed(call: Call, constant: Array) -> Value:
    """A constant first."""
    value = call.value(1)
    if call.operator in ("Add", "Mul"):
        return _with_constant(call, call.operator, value, constant, call.once[1])
    if call.operator == "Div" or not isinstance(value, Result):
        if isinstance(value, Result | Formula) and constant.size == 1:
            number, before = float(constant.reshape(())), formula(value, call.builder, call.operator)
            apply = _NUMPY[call.operator]
            return Formula(before.source, lambda x: apply(number, before.compute(x)), before.text)
        raise Unmappable("there is no module that divides by a result")
    if constant.size == 1 and float(constant.reshape(())) == 1:
        return call.builder.add("Invert", call.hint, value)
    return affine(call, value, np.float32(-1), constant)


def _with_constant(call: Call, kind: str, value: Any, constant: Array, once: bool) -> Value:
    if isinstance(value, Formula) and constant.size == 1:
        number, apply = float(constant.reshape(())), _NUMPY[kind]
        return Formula(value.source, lambda x: apply(value.compute(x), number), value.text)
    source = call.known(value) if isinstance(value, Formula) else value
    if not isinstance(source, Result):
        raise Unmappable("input 0 is no result of a module")
    constant = constant.astype(np.float32)
    if kind in ("Mul", "Div"):
        with np.errstate(divide="ignore"):
            return affine(call, source, constant if kind == "Mul" else 1 / constant, np.float32(0))
    shift = constant if kind == "Add" else -constant
    if once and call.builder.shift(source, trimmed(source, shift)):
        return source
    return affine(call, source, np.float32(1), shift)


def affine(call: Call, source: Result, weight: Array | np.float32, bias: Array | np.float32) -> Result:
    """Weight x + bias."""
    weight, bias = (trimmed(source, np.asarray(value, np.float32)) for value in (weight, bias))
    if not np.isfinite(weight).all():
        raise Unmappable("divides by zero")
    shape = np.broadcast_shapes(weight.shape, bias.shape, (1,))
    larger = np.broadcast_shapes(shape, source.shape) != source.shape
    if not larger and (weight == 1).all() and (bias == 0).all():
        return source
    weights = {"weight": np.broadcast_to(weight, shape), "bias": np.broadcast_to(bias, shape)}
    return call.builder.add("Affine", call.hint, source, weights=weights, shape=list(shape))


def trimmed(source: Result, constant: Array) -> Array:
    """A constant without the dimension of the batch, and without leading ones."""
    rank = len(source.shape) + 1
    if constant.ndim > rank:
        if prod(constant.shape[: constant.ndim - rank]) != 1:
            raise Unmappable(f"a constant of {list(constant.shape)} meets samples of {list(source.shape)}")
        constant = constant.reshape(constant.shape[constant.ndim - rank :])
    place = source.batch - (rank - constant.ndim)
    if place >= 0:
        if constant.shape[place] != 1:
            raise Unmappable(f"a constant of {list(constant.shape)} holds values for each sample of a batch")
        constant = constant.squeeze(place)
    while constant.ndim > 1 and constant.shape[0] == 1:
        constant = constant.squeeze(0)
    return constant


def _placed(call: Call, constant: Array) -> Array:
    """A constant of version 6 and older, which says at which axis it begins."""
    first = call.value(0)
    if call.opset < 7 and "axis" in call.attributes and isinstance(first, Result):
        behind = len(first.shape) + 1 - int(call.attributes["axis"]) - constant.ndim
        return constant.reshape(*constant.shape, *[1] * max(behind, 0))
    return constant


def _alike(call: Call, one: Result, other: Result) -> tuple[Result, Result]:
    """Two results of one shape; single values are spread over images of the other's size."""
    if one.shape == other.shape and one.batch == other.batch:
        return one, other
    if len(one.shape) == len(other.shape) and one.batch == other.batch == 0:
        small, large = (one, other) if prod(one.shape) < prod(other.shape) else (other, one)
        fits = all(a in (b, 1) for a, b in zip(small.shape[1:], large.shape[1:], strict=True))
        if small.shape[0] == large.shape[0] and fits and len(small.shape) > 1:
            spread = call.builder.add(
                "torch.nn.Upsample", f"{call.hint}_spread", small, size=list(large.shape[1:])
            )
            return (spread, large) if small is one else (large, spread)
    found = f"{list(one.shape)} and {list(other.shape)}"
    raise Unmappable(f"there is no module that joins samples of {found}")
