"""Functions of single values that exporters write out in several operators, recognised by their values.

`x / sqrt(2)`, `Erf`, `+ 1`, `* x`, `* 0.5` is GELU; how it is put together differs from exporter to exporter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from dianne.interop.onnx.builder import Builder
from dianne.interop.onnx.values import Array, Formula, Result, Unmappable

_POINTS = np.linspace(-12, 12, 4801)
_NEAR = 1e-6
UNARY: dict[str, Callable[[Array], Array]] = {
    "Abs": np.abs,
    "Erf": lambda x: np.asarray(torch.erf(torch.from_numpy(x))),
    "Exp": np.exp,
    "Log": np.log,
    "Neg": np.negative,
    "Reciprocal": np.reciprocal,
    "Relu": lambda x: np.maximum(x, 0),
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "Softplus": lambda x: np.logaddexp(0, x),
    "Sqrt": np.sqrt,
    "Tanh": np.tanh,
}
COMPOSED = {"Add", "Div", "Mul", "Pow", "Sub", *UNARY}  # the operators of which formulas are made
_KNOWN: list[tuple[str, dict[str, Any], Callable[[torch.Tensor], torch.Tensor]]] = [
    ("GELU", {}, functional.gelu),
    ("torch.nn.GELU", {"approximate": "tanh"}, lambda x: functional.gelu(x, approximate="tanh")),
    ("torch.nn.Mish", {}, functional.mish),
    ("torch.nn.Softsign", {}, functional.softsign),
    ("torch.nn.LogSigmoid", {}, functional.logsigmoid),
    ("torch.nn.Tanhshrink", {}, functional.tanhshrink),
]


def formula(value: Result | Formula, builder: Builder, text: str) -> Formula:
    """A result as the beginning of a formula: of what came before, where that only scales and shifts."""
    if isinstance(value, Formula):
        return value
    entry = builder.entries.get(value.ref)
    if entry is None:  # one of several results of a module
        return Formula(value, lambda x: x, text)
    if entry.type == "Affine" and entry.weights["weight"].size == 1:
        weight, bias = (float(entry.weights[key].reshape(())) for key in ("weight", "bias"))
        before = formula(builder.source(value), builder, text)
        return Formula(before.source, lambda x: weight * before.compute(x) + bias, text)
    if entry.type in ("Sigmoid", "Tanh"):
        before, apply = formula(builder.source(value), builder, text), UNARY[entry.type]
        return Formula(before.source, lambda x: apply(before.compute(x)), text)
    return Formula(value, lambda x: x, text)


def recognise(found: Formula, builder: Builder, hint: str) -> Result:
    """The module that computes a formula.

    Raises:
        Unmappable: there is none.
    """
    with np.errstate(all="ignore"):
        values = found.compute(_POINTS)
    points = torch.from_numpy(_POINTS)
    for type_, keys, function in _KNOWN:
        expected = function(points).numpy()
        if np.shape(values) == expected.shape and np.allclose(values, expected, rtol=_NEAR, atol=_NEAR):
            return builder.add(type_, hint, found.source, **keys)
    raise Unmappable(f"there is no module for what {found.text} is part of")
