"""Activations, and what changes nothing in evaluation."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from dianne.interop.onnx.arithmetic import affine, trimmed
from dianne.interop.onnx.call import Call, operator
from dianne.interop.onnx.formulas import UNARY, formula
from dianne.interop.onnx.values import Comparison, Formula, Result, Unmappable, Value

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
        return affine(call, found, np.float32(-1), np.float32(0))
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
    return call.builder.add("LeakyReLU", call.hint, call.result(), leakyness=call.real("alpha", 0.01))


@operator("Elu")
def elu(call: Call) -> Value:
    """ELU."""
    return call.builder.add("ELU", call.hint, call.result(), alpha=call.real("alpha", 1.0))


@operator("Celu")
def celu(call: Call) -> Value:
    """CELU."""
    return call.builder.add("torch.nn.CELU", call.hint, call.result(), alpha=call.real("alpha", 1.0))


@operator("Selu")
def selu(call: Call) -> Value:
    """SELU; its two constants are those of the paper."""
    alpha, gamma = call.real("alpha", 1.6732632), call.real("gamma", 1.0507010)
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
    if call.real("alpha", 1.0) != 1:
        raise Unmappable("alpha is not 1")
    return call.builder.add("SiLU", call.hint, call.result())


@operator("ThresholdedRelu")
def thresholded(call: Call) -> Value:
    """X above alpha, 0 elsewhere."""
    return call.builder.add("Threshold", call.hint, call.result(), thresh=call.real("alpha", 1.0), val=0.0)


@operator("HardSigmoid")
def hard_sigmoid(call: Call) -> Value:
    """max(0, min(1, alpha x + beta))."""
    alpha, beta = call.real("alpha", 0.2), call.real("beta", 0.5)
    if abs(alpha - 1 / 6) < 1e-6 and beta == 0.5:
        return call.builder.add("torch.nn.Hardsigmoid", call.hint, call.result())
    scaled = affine(call, call.result(), np.float32(alpha), np.float32(beta))
    return call.builder.add("torch.nn.Hardtanh", call.hint, scaled, min_val=0.0, max_val=1.0)


@operator("PRelu")
def prelu(call: Call) -> Value:
    """X above 0, a x below, with one a or one for each plane."""
    source, slope = call.plain(), call.needed(1)
    if slope.size == 1:
        return call.builder.add("PReLU", call.hint, source, weights={"weight": slope.reshape(1)})
    planes = source.shape[0]
    if trimmed(source, slope).shape != (planes, *[1] * (len(source.shape) - 1)):
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
