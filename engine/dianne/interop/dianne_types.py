"""DIANNE's module types beside ours: names, keys, and what their flat vectors of weights hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite, nan
from typing import Any

from dianne.errors import UsageError, suggest
from dianne.interop.dianne_text import Module

_WHOLE = re.compile(r"[-+]?[0-9]{1,10}")
_PLACES = ("X", "Y", "Z")


@dataclass(frozen=True)
class Kind:
    """How a type of DIANNE is written here.

    Attributes:
        type: ours.
        category: as DIANNE's editor sorts it.
        keys: its properties that count, which are called the same here, and their kinds.
        required: those that must be there.
        weights: names of the tensors of ours, in the order of its vector.
        joins: whether it takes several results.
    """

    type: str
    category: str = "Layer"
    keys: Mapping[str, Callable[[str], Any]] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    joins: bool = False


def _ints(*keys: str) -> dict[str, Callable[[str], Any]]:
    return dict.fromkeys(keys, int)


_STEPS = _ints(*(f"{what}{axis}" for what in ("stride", "pad") for axis in _PLACES))
_KERNEL = _ints("noInputPlanes", "noOutputPlanes", "kernelWidth", "kernelHeight", "kernelDepth") | _STEPS
_WINDOW = _ints("width", "height", "depth") | _STEPS
_AFFINE = ("weight", "bias")


def _convolution(kind: str) -> Kind:
    required = ("noInputPlanes", "noOutputPlanes", "kernelWidth")
    return Kind(kind, "Layer", {**_KERNEL, "pad": bool}, required, _AFFINE)


TYPES: dict[str, Kind] = {
    "Input": Kind("Input", "Input-Output"),
    "Output": Kind("Output", "Input-Output"),
    "Linear": Kind("Linear", "Layer", _ints("input", "output"), ("input", "output"), _AFFINE),
    "Convolution": _convolution("Convolution"),
    "FullConvolution": _convolution("FullConvolution"),
    "MaxPooling": Kind("MaxPooling", "Layer", _WINDOW, ("width",)),
    "MaxUnpooling": Kind("MaxUnpooling", "Layer", _WINDOW, ("width",), joins=True),
    "AvgPooling": Kind("AvgPooling", "Layer", _WINDOW, ("width",)),
    "Masked MaxPooling": Kind(
        "MaskedMaxPooling", "Layer", {"noInputs": int, "masks": str}, ("noInputs", "masks")
    ),
    "Reshape": Kind("Reshape", "Layer", _ints("dim0", "dim1", "dim2"), ("dim0",)),
    "Narrow": Kind(
        "Narrow", "Layer", _ints("index0", "size0", "index1", "size1", "index2", "size2"), ("index0", "size0")
    ),
    "Zeropad": Kind("Zeropad", "Layer", _ints("dim0", "dim1", "dim2"), ("dim0",)),
    "Invert": Kind("Invert"),
    "Sigmoid": Kind("Sigmoid", "Activation"),
    "Tanh": Kind("Tanh", "Activation"),
    "Softmax": Kind("Softmax", "Activation"),
    "LogSoftmax": Kind("LogSoftmax", "Activation"),
    "ReLU": Kind("ReLU", "Activation"),
    "SELU": Kind("SELU", "Activation"),
    "SoftPlus": Kind("SoftPlus", "Activation", {"beta": float}),
    "ELU": Kind("ELU", "Activation", {"alpha": float}),
    "LeakyReLU": Kind("LeakyReLU", "Activation", {"leakyness": float}),
    "PReLU": Kind("PReLU", "Activation", weights=("weight",)),
    "Threshold": Kind("Threshold", "Activation", {"thresh": float, "val": float}, ("thresh", "val")),
    "Duplicate": Kind("Duplicate", "Fork"),
    "Split": Kind("Split", "Fork", {"dim": int, "split": str}, ("dim",)),
    "Grid": Kind("Grid", "Fork", _ints("x", "y", "strideX", "strideY"), ("x", "y")),
    "Accumulate": Kind("Accumulate", "Join", joins=True),
    "Average": Kind("Average", "Join", joins=True),
    "Multiply": Kind("Multiply", "Join", joins=True),
    "Concat": Kind("Concat", "Join", _ints("dim"), ("dim",), joins=True),
    "Normalization": Kind(
        "Normalization", "Preprocessing", {"mean": float, "stdev": float}, weights=("mean", "stdev")
    ),
    "Denormalization": Kind(
        "Denormalization", "Preprocessing", {"mean": float, "stdev": float}, weights=("mean", "stdev")
    ),
    "Scale": Kind(
        "Scale",
        "Preprocessing",
        _ints("dim0", "dim1", "dim2") | dict.fromkeys(("factor0", "factor1", "factor2"), float),
    ),
    "Frame": Kind("Frame", "Preprocessing", _ints("dim0", "dim1", "dim2"), ("dim0", "dim1")),
    "BatchNormalization": Kind(
        "BatchNormalization",
        "Regularization",
        _ints("size"),
        ("size",),
        (*_AFFINE, "running_mean", "running_var"),
    ),
    "Dropout": Kind("Dropout", "Regularization", {"rate": float}, ("rate",)),
    "DropPath": Kind("DropPath", "Regularization", {"rate": float}, ("rate",)),
    "LRN": Kind("LRN", "Regularization", {"size": int, "alpha": float, "beta": float, "k": float}, ("size",)),
    "Multivariate Gaussian": Kind(
        "MultivariateGaussian",
        "Variational",
        {"size": int, "meanActivation": str, "stdevActivation": str},
        ("size",),
        joins=True,
    ),
    "Gaussian Sampler": Kind("GaussianSampler", "Variational", _ints("size"), ("size",)),
    "Memory": Kind("Memory", "Memory", _ints("size"), ("size",)),
    "DuelJoin": Kind("DuelJoin", "Join", joins=True),
    "NormalizedAdvantageFunction": Kind(
        "NormalizedAdvantageFunction", "Layer", _ints("actionDims"), ("actionDims",), joins=True
    ),
}
ALIASES = {
    "Masked Maxpooling": "Masked MaxPooling",
    "MaskedMaxPooling": "Masked MaxPooling",
    "Softplus": "SoftPlus",  # written by the importer of ONNX files
}
OURS = {kind.type: name for name, kind in TYPES.items()}


def kind_of(type_: str) -> Kind | None:
    """What a type of DIANNE is, if it is one of its simple ones."""
    return TYPES.get(ALIASES.get(type_, type_))


def whole_numbers(type_: str) -> list[str]:
    """The properties of a type that are whole numbers."""
    kind = kind_of(type_)
    return [key for key, of in kind.keys.items() if of is int] if kind else []


# ------------------------------------------------------------------------------------------------- arguments


def arguments(module: Module) -> tuple[str, dict[str, Any]]:
    """The type of a module here, and its keys.

    Raises:
        UsageError: a property is missing or no number.
    """
    kind = kind_of(module.type)
    if kind is None:
        hint = suggest(module.type, TYPES, "types")
        raise UsageError(f"{module.where}: unknown type '{module.type}'{hint}")
    _check_blanks(module)
    for key in kind.required:
        if module.given(key) is None:
            raise UsageError(f"{module.where}: {module.type} needs '{key}'")
    values = {key: _value(module, key, of) for key, of in kind.keys.items() if module.given(key) is not None}
    reader = _READERS.get(kind.type)
    return reader(module, values) if reader else (kind.type, values)


def _check_blanks(module: Module) -> None:
    for type_, key in (("LRN", "alpha"), ("LeakyReLU", "leakyness")):
        if module.type == type_ and key in module.properties and module.given(key) is None:
            raise UsageError(f"{module.where}: {key} of {type_} is blank; write a number or leave it out")


def _value(module: Module, key: str, of: Callable[[str], Any]) -> Any:
    text = module.properties[key]
    if of is str:
        return text
    if of is bool:
        return text.lower() == "true"
    try:
        value = of(text) if of is float or _WHOLE.fullmatch(text) else nan
    except ValueError:
        value = nan
    if not isfinite(value):
        what = "a whole number" if of is int else "a number"
        message = f"{key} of {module.type}: expected {what}, found '{text[:50]}'"
        raise UsageError(f"{module.where}: {message}")
    return value


def _row(values: dict[str, Any], *names: str) -> list[Any]:
    """The values of `dim0`, `dim1`, ... up to the first that is absent."""
    found = []
    for name in names:
        if name not in values:
            break
        found.append(values[name])
    return found


def _window(module: Module, values: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Keys of convolution and pooling along the axes that there are; in time, pads mean nothing."""
    prefix = "kernel" if "kernelWidth" in values else ""
    height, depth = (f"{prefix}{word}" if prefix else word.lower() for word in ("Height", "Depth"))
    axes = 3 if depth in values else 2 if height in values else 1
    type_ = kind_of(module.type).type  # type: ignore[union-attr]  # it is one that has windows
    if axes == 1 and type_ in ("FullConvolution", "MaxUnpooling"):
        raise UsageError(f"{module.where}: {type_} needs '{height}'; DIANNE has none in one dimension")
    padless = axes == 1 or (axes == 3 and type_ == "AvgPooling")
    spare = {f"{what}{axis}" for what in ("stride", "pad") for axis in _PLACES[axes:]}
    kept = {
        key: value
        for key, value in values.items()
        if key not in spare and not (padless and key.startswith("pad"))
    }
    if axes == 1 and type_ == "AvgPooling":  # the one that goes along the last dimension
        if kept["width"] == -1:
            return "torch.nn.AdaptiveAvgPool1d", {"output_size": 1}
        return "torch.nn.AvgPool1d", {
            "kernel_size": kept["width"],
            "stride": kept.get("strideX", kept["width"]),
        }
    return type_, kept


def _reshape(module: Module, _: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    count = 0
    while module.given(f"dim{count}") is not None and count < 16:
        count += 1
    return "Reshape", {"shape": [_value(module, f"dim{index}", int) for index in range(count)]}


def _narrow(module: Module, values: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    pairs = len(_row(values, "index0", "index1", "index2"))
    for index in range(pairs):
        if f"size{index}" not in values:
            raise UsageError(f"{module.where}: Narrow needs 'size{index}' to 'index{index}'")
    return "Narrow", {f"{key}{i}": values[f"{key}{i}"] for i in range(pairs) for key in ("index", "size")}


def _pads(_: Module, values: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    row = _row(values, "dim0", "dim1", "dim2")
    return "Zeropad", {f"dim{index}": value for index, value in enumerate(row)}


def _scale(_: Module, values: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    word = "dim" if "dim0" in values else "factor"
    row = _row(values, *(f"{word}{index}" for index in range(3)))
    return "Scale", {f"{word}{index}": value for index, value in enumerate(row)}


def _lrn(module: Module, values: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    if "alpha" not in values:
        return "LRN", {"size": values["size"]}
    for key in ("beta", "k"):
        if key not in values:
            raise UsageError(f"{module.where}: LRN with 'alpha' needs '{key}', too")
    return "LRN", values


_READERS: dict[str, Callable[[Module, dict[str, Any]], tuple[str, dict[str, Any]]]] = {
    **dict.fromkeys(("Convolution", "FullConvolution", "MaxPooling", "MaxUnpooling", "AvgPooling"), _window),
    "Reshape": _reshape,
    "Narrow": _narrow,
    "Zeropad": _pads,
    "Scale": _scale,
    "LRN": _lrn,
}


def labels_of(text: str) -> list[str]:
    """The labels in `[cat, dog]`; every bracket goes, and what is empty at the end."""
    parts = text.replace("[", "").replace("]", "").split(", ")
    while parts and not parts[-1]:
        parts.pop()
    return parts
