"""What a model computes without looking at samples: shapes, and weights put together from others.

Only arithmetic and moving about, with a bound on how many values all of it may make.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from dianne.interop.onnx.call import Call
from dianne.interop.onnx.file import array_of
from dianne.interop.onnx.values import Array, Unmappable

MOST_VALUES = 2**28  # in all constants that a model computes: 1 GiB
Fold = Callable[[Call, list[Array]], Any]


def _divide(one: Array, other: Array) -> Array:
    if np.issubdtype(one.dtype, np.integer):
        return np.asarray(np.trunc(one / other).astype(np.int64) if (other != 0).all() else one)
    return np.asarray(one / other)


_SINGLE: dict[str, Callable[..., Any]] = {
    "Abs": np.abs, "Add": np.add, "And": np.logical_and, "Ceil": np.ceil, "Div": _divide,
    "Equal": np.equal, "Floor": np.floor, "Greater": np.greater, "Identity": np.asarray, "Less": np.less,
    "Max": np.maximum, "Min": np.minimum, "Mul": np.multiply, "Neg": np.negative, "Not": np.logical_not,
    "Or": np.logical_or, "Reciprocal": np.reciprocal, "Sqrt": np.sqrt, "Sub": np.subtract, "Where": np.where,
}  # fmt: skip


def fold(call: Call) -> Array | tuple[Array, ...]:
    """The result of a node whose inputs are all constants.

    Raises:
        Unmappable: it is no operator for constants, or makes too many values.
    """
    values = [value for value in call.inputs if isinstance(value, np.ndarray)]
    function = _FOLDS.get(call.operator, _single)
    if function is _single and call.operator not in _SINGLE:
        raise Unmappable("computes with constants in a way that is not known here")
    try:
        with np.errstate(all="ignore"):
            found = function(call, values)
    except Unmappable:
        raise
    except (ValueError, TypeError, IndexError, OverflowError, MemoryError, KeyError) as error:
        raise Unmappable(f"its constants do not fit: {error}") from error
    return found  # type: ignore[no-any-return]


def _make_room(values: int, room: int) -> None:
    if values > room:
        raise Unmappable(f"makes {values:,} constant values, which is too many")


def made(values: Any) -> int:
    """How many values are new in a result, rather than seen again."""
    several = values if isinstance(values, tuple) else (values,)
    return sum(value.size for value in several if isinstance(value, np.ndarray) and value.base is None)


def _single(call: Call, values: list[Array]) -> Array:
    """Arithmetic value by value."""
    _make_room(prod(np.broadcast_shapes(*(value.shape for value in values))), call.room)
    return np.asarray(_SINGLE[call.operator](*values))


def _constant(call: Call, _values: list[Array]) -> Array:
    for key in ("value_float", "value_floats", "value_int", "value_ints"):
        if key in call.attributes:
            kind = np.float32 if "float" in key else np.int64
            return np.asarray(call.attributes[key], kind)
    if "value" not in call.attributes:
        raise Unmappable("is a constant of a kind that is not known here")
    return array_of(call.attributes["value"])


def _cast(call: Call, values: list[Array]) -> Array:
    _make_room(values[0].size, call.room)
    kinds = {1: np.float32, 6: np.int64, 7: np.int64, 9: np.bool_, 10: np.float32, 11: np.float32}
    return values[0].astype(kinds[int(call.attributes["to"])])


def _concat(call: Call, values: list[Array]) -> Array:
    _make_room(sum(value.size for value in values), call.room)
    return np.concatenate(values, axis=int(call.attributes.get("axis", 1)))


def _gather(call: Call, values: list[Array]) -> Array:
    axis = int(call.attributes.get("axis", 0))
    _make_room(values[0].size // max(values[0].shape[axis], 1) * values[1].size, call.room)
    return np.asarray(np.take(values[0], values[1].astype(np.int64), axis=axis))


def _slice(call: Call, values: list[Array]) -> Array:
    starts, ends = call.numbers("starts", 1) or [], call.numbers("ends", 2) or []
    axes = call.numbers("axes", 3) or list(range(len(starts)))
    steps = call.numbers("steps", 4) or [1] * len(starts)
    cuts: list[slice] = [slice(None)] * values[0].ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        below = step < 0 and end < -values[0].shape[axis]
        cuts[axis] = slice(start, None if below else end, step)
    return values[0][tuple(cuts)]


def _reshape(call: Call, values: list[Array]) -> Array:
    target = call.numbers("shape", 1) or []
    if not call.attributes.get("allowzero"):
        target = [values[0].shape[i] if n == 0 else n for i, n in enumerate(target)]
    if 0 in values[0].strides:
        _make_room(values[0].size, call.room)
    return values[0].reshape(target)


def _squeeze(call: Call, values: list[Array]) -> Array:
    axes = call.numbers("axes", 1)
    return values[0].squeeze(None if axes is None else tuple(axes))


def _unsqueeze(call: Call, values: list[Array]) -> Array:
    return np.expand_dims(values[0], tuple(call.numbers("axes", 1) or []))


def _transpose(call: Call, values: list[Array]) -> Array:
    return np.transpose(values[0], call.numbers("perm"))


def _expand(_call: Call, values: list[Array]) -> Array:
    target = [int(n) for n in values[1].ravel()]
    if min(target, default=0) < 0:
        raise Unmappable(f"expands to {target}")
    return np.broadcast_to(values[0], np.broadcast_shapes(values[0].shape, tuple(target)))


def _filled(call: Call, values: list[Array]) -> Array:
    shape = [int(n) for n in values[0].ravel()]
    if min(shape, default=0) < 0:
        raise Unmappable(f"makes a constant of {shape}")
    value = array_of(call.attributes["value"]) if "value" in call.attributes else np.zeros(1, np.float32)
    return np.broadcast_to(value.reshape(()), shape)


def _product(call: Call, values: list[Array]) -> Array:
    kept = bool(call.attributes.get("keepdims", 1))
    axes = call.numbers("axes", 1)
    _make_room(values[0].size, call.room)
    return np.asarray(np.prod(values[0], axis=None if axes is None else tuple(axes), keepdims=kept))


def _split(call: Call, values: list[Array]) -> tuple[Array, ...]:
    axis, count = int(call.attributes.get("axis", 0)), len(call.outputs)
    sizes = call.numbers("split", 1)
    return tuple(np.array_split(values[0], np.cumsum(sizes)[:-1] if sizes else count, axis=axis))


_FOLDS: dict[str, Fold] = {
    "Cast": _cast, "Concat": _concat, "Constant": _constant, "ConstantOfShape": _filled, "Expand": _expand,
    "Gather": _gather, "ReduceProd": _product, "Reshape": _reshape,
    "Shape": lambda _, values: np.array(values[0].shape, np.int64),
    "Size": lambda _, values: np.array(values[0].size, np.int64),
    "Slice": _slice, "Split": _split, "Squeeze": _squeeze, "Transpose": _transpose, "Unsqueeze": _unsqueeze,
}  # fmt: skip
