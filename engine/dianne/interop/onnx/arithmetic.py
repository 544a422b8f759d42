"""Activations, and arithmetic value by value."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from dianne.interop.onnx.builder import Builder
from dianne.interop.onnx.call import Call, operator
from dianne.interop.onnx.formulas import UNARY, formula
from dianne.interop.onnx.values import Array, Comparison, Formula, Result, Unmappable, Value

_LARGEST = float(np.finfo(np.float32).max)
_PLAIN = {
    "Relu": "ReLU", "Sigmoid": "Sigmoid", "Tanh": "Tanh", "Softplus": "SoftPlus",
    "Softsign": "torch.nn.Softsign", "Mish": "torch.nn.Mish", "HardSwish": "torch.nn.Hardswish",
}  # fmt: skip


@operator(*_PLAIN)
def plain(call: Call) -> Value:
    """An activation without attributes."""
    if isinstance(call.value(0), Formula) and call.operator in UNARY:
        return _unary(call)
    return call.builder.add(_PLAIN[call.operator], call.hint, call.result())


@operator(*(set(UNARY) - set(_PLAIN)))
def unary(call: Call) -> Value:
    """A function without a module, which may be part of one that has."""
    found = call.value(0)
    if call.operator == "Neg" and isinstance(found, Result):
        return _affine(call, found, np.float32(-1), np.float32(0))
    return _unary(call)


def _unary(call: Call) -> Formula:
    found = call.value(0)
    if not isinstance(found, Result | Formula):
        raise Unmappable("input 0 is no result of a module")
    before, apply = formula(found, call.builder, call.operator), UNARY[call.operator]
    return Formula(before.source, lambda x: apply(before.compute(x)), before.text)


@operator("Pow")
def power(call: Call) -> Value:
    """A power; only as part of a larger function."""
    exponent, found = call.needed(1), call.value(0)
    if exponent.size != 1 or not isinstance(found, Result | Formula):
        raise Unmappable("there is no module for powers")
    number = float(exponent.reshape(()))
    before = formula(found, call.builder, "Pow")
    return Formula(before.source, lambda x: before.compute(x) ** number, before.text)


@operator("LeakyRelu")
def leaky(call: Call) -> Value:
    """X above 0, alpha x below."""
    return call.builder.add("LeakyReLU", call.hint, call.result(), leakyness=_real(call, "alpha", 0.01))


@operator("Elu")
def elu(call: Call) -> Value:
    """ELU."""
    return call.builder.add("ELU", call.hint, call.result(), alpha=_real(call, "alpha", 1.0))


@operator("Celu")
def celu(call: Call) -> Value:
    """CELU."""
    return call.builder.add("torch.nn.CELU", call.hint, call.result(), alpha=_real(call, "alpha", 1.0))


@operator("Selu")
def selu(call: Call) -> Value:
    """SELU; its two constants are those of the paper."""
    alpha, gamma = _real(call, "alpha", 1.6732632), _real(call, "gamma", 1.0507010)
    if abs(alpha - 1.6732632) > 1e-4 or abs(gamma - 1.0507010) > 1e-4:
        raise Unmappable(f"alpha {alpha} and gamma {gamma} are not those of SELU")
    return call.builder.add("SELU", call.hint, call.result())


@operator("Gelu")
def gelu(call: Call) -> Value:
    """GELU, or its approximation."""
    if call.text("approximate", "none") == "tanh":
        return call.builder.add("torch.nn.GELU", call.hint, call.result(), approximate="tanh")
    return call.builder.add("GELU", call.hint, call.result())


@operator("Swish")
def swish(call: Call) -> Value:
    """X sigmoid(x)."""
    if _real(call, "alpha", 1.0) != 1:
        raise Unmappable("alpha is not 1")
    return call.builder.add("SiLU", call.hint, call.result())


@operator("ThresholdedRelu")
def thresholded(call: Call) -> Value:
    """X above alpha, 0 elsewhere."""
    return call.builder.add("Threshold", call.hint, call.result(), thresh=_real(call, "alpha", 1.0), val=0.0)


@operator("HardSigmoid")
def hard_sigmoid(call: Call) -> Value:
    """max(0, min(1, alpha x + beta))."""
    alpha, beta = _real(call, "alpha", 0.2), _real(call, "beta", 0.5)
    if abs(alpha - 1 / 6) < 1e-6 and beta == 0.5:
        return call.builder.add("torch.nn.Hardsigmoid", call.hint, call.result())
    scaled = _affine(call, call.result(), np.float32(alpha), np.float32(beta))
    return call.builder.add("torch.nn.Hardtanh", call.hint, scaled, min_val=0.0, max_val=1.0)


@operator("PRelu")
def prelu(call: Call) -> Value:
    """X above 0, a x below, with one a or one for each plane."""
    source, slope = call.plain(), call.needed(1)
    if slope.size == 1:
        return call.builder.add("PReLU", call.hint, source, weights={"weight": slope.reshape(1)})
    planes = source.shape[0]
    if _trimmed(source, slope).shape != (planes, *[1] * (len(source.shape) - 1)):
        found = f"its slopes are {list(slope.shape)}"
        raise Unmappable(f"{found}; one, or one for each of {planes} planes is possible")
    weights = {"weight": slope.reshape(planes)}
    return call.builder.add("torch.nn.PReLU", call.hint, source, weights=weights, num_parameters=planes)


@operator("Clip")
def clip(call: Call) -> Value:
    """Values cut at a minimum and a maximum."""
    low, high = (call.option(key, place) for place, key in ((1, "min"), (2, "max")))
    return _clip(
        call, call.result(), *(None if end is None else float(end.reshape(())) for end in (low, high))
    )


def _clip(call: Call, source: Result, low: float | None, high: float | None) -> Result:
    low = None if low is not None and low <= -_LARGEST else low
    high = None if high is not None and high >= _LARGEST else high
    if low is None and high is None:
        return source
    if (low, high) == (0, None):
        return call.builder.add("ReLU", call.hint, source)
    if low is not None and high is None:
        return call.builder.add("Threshold", call.hint, source, thresh=low, val=low)
    if low is not None and high is not None and not low < high:
        raise Unmappable(f"cuts at {low} and {high}")
    low = -_LARGEST if low is None else low
    return call.builder.add("torch.nn.Hardtanh", call.hint, source, min_val=low, max_val=high)


@operator("Softmax", "LogSoftmax")
def softmax(call: Call) -> Value:
    """Softmax over one axis; before version 13 over all axes from one on."""
    old = call.opset < 13
    source = call.result()
    axis = source.axis(int(call.attributes.get("axis", 1 if old else -1)))
    rank = len(source.shape)
    if old and axis < rank - 1:
        if source.batch:
            raise Unmappable("works along the batch")
        flat = (*source.shape[:axis], prod(source.shape[axis:]))
        joined = call.builder.reshape(source, flat, 0, f"{call.hint}_flat")
        found = _softmax(call, joined, axis)
        return call.builder.reshape(found, source.shape, 0, f"{call.hint}_shape")
    return _softmax(call, source, axis)


def _softmax(call: Call, source: Result, axis: int) -> Result:
    if axis == 0:
        return call.builder.add(call.operator, call.hint, source)
    return call.builder.add(f"torch.nn.{call.operator}", call.hint, source, dim=axis - len(source.shape))


# ------------------------------------------------------------------------------------------ two and more


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
        other = _affine(call, other, np.float32(-1), np.float32(0))
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


@operator("Max", "Min")
def extreme(call: Call) -> Value:
    """The larger or smaller of a result and a number."""
    numbers = [v for v in call.inputs if isinstance(v, np.ndarray) and v.size == 1]
    places = [i for i, v in enumerate(call.inputs) if not isinstance(v, np.ndarray)]
    if len(call.inputs) != 2 or len(numbers) != 1 or len(places) != 1:
        raise Unmappable("takes one result and one number, or there is no module for it")
    number = float(numbers[0].reshape(()))
    ends = (number, None) if call.operator == "Max" else (None, number)
    return _clip(call, call.result(places[0]), *ends)


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
    return _affine(call, value, np.float32(-1), constant)


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
            return _affine(call, source, constant if kind == "Mul" else 1 / constant, np.float32(0))
    shift = constant if kind == "Add" else -constant
    if once and call.builder.shift(source, _trimmed(source, shift)):
        return source
    return _affine(call, source, np.float32(1), shift)


def _affine(call: Call, source: Result, weight: Array | np.float32, bias: Array | np.float32) -> Result:
    """Weight x + bias."""
    weight, bias = (_trimmed(source, np.asarray(value, np.float32)) for value in (weight, bias))
    if not np.isfinite(weight).all():
        raise Unmappable("divides by zero")
    shape = np.broadcast_shapes(weight.shape, bias.shape, (1,))
    larger = np.broadcast_shapes(shape, source.shape) != source.shape
    if not larger and (weight == 1).all() and (bias == 0).all():
        return source
    weights = {"weight": np.broadcast_to(weight, shape), "bias": np.broadcast_to(bias, shape)}
    return call.builder.add("Affine", call.hint, source, weights=weights, shape=list(shape))


def _trimmed(source: Result, constant: Array) -> Array:
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


def _real(call: Call, key: str, default: float) -> float:
    """A number as it was meant: attributes have the precision of float32."""
    return float(f"{float(call.attributes.get(key, default)):.7g}")


@operator("Identity", "Dropout", "Cast", "CastLike")
def passed(call: Call) -> Value:
    """What changes nothing in evaluation; a Dropout stays for learning."""
    value = call.value(0)
    if call.operator in ("Identity", "CastLike") or not isinstance(value, Result):
        if isinstance(value, Comparison) or value is None:
            raise Unmappable("there is no module for it")
        return value
    if call.operator == "Cast":
        kind = int(call.attributes.get("to", 1))
        if kind not in (1, 6, 7, 10, 11, 16):  # float, int32, int64, float16, double, bfloat16
            raise Unmappable("makes something else than numbers")
        return value
    call.only_first()
    given = call.option("ratio", 1)
    rate = 0.5 if given is None else float(f"{float(given.reshape(())):.7g}")
    if call.value(2) is not None and bool(call.needed(2).reshape(())):
        raise Unmappable("is in training mode")
    return replace(call.builder.add("Dropout", call.hint, value, rate=rate), batch=value.batch)
