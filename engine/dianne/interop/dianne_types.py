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


@dataclass(frozen=True)
class BuiltIn:
    """A composite that comes with DIANNE, and the network here that computes the same.

    Attributes:
        type: the network's name.
        keys: its parameters that count, with what a blank one means; None for one that must be given.
        weights: the modules with weights by our names, in the order of the composite's vector, and their ids.
    """

    type: str
    keys: Mapping[str, int | str | None]
    weights: Mapping[str, str]


_INCEPTION = dict.fromkeys(("noInputPlanes", "1x1", "3x3reduce", "3x3", "5x5reduce", "5x5", "poolproj"))
BUILT_INS: dict[str, BuiltIn] = {
    "Residual": BuiltIn(
        "Residual",
        dict.fromkeys(("noInputPlanes", "noOutputPlanes")),
        {
            "bn2": "ff31285b-7337-23c3-26c3-1f6b9428a9b6",
            "conv2": "015e1346-790f-4204-e20b-bee76032fbd4",
            "conv1": "50857d99-74c7-a324-7231-ae0c8ce005f9",
            "bn1": "08f8f598-cf34-3c99-7aec-543a67c12c45",
        },
    ),
    "Residual_b": BuiltIn(
        "Residual_b",
        dict.fromkeys(("noInputPlanes", "noFilters", "noOutputPlanes")),
        {
            "conv1": "635c9ad6-09fa-2cca-46b4-0969654d7c23",
            "bn3": "19cd74a5-9e4e-6f83-eeb2-411589c3d82c",
            "conv2": "22ef2762-e861-87da-10d4-9bb4171068a9",
            "bn1": "79460a5d-9d19-5638-73ea-bac9b639b056",
            "conv3": "139f641a-e46a-ca86-c9c1-e58125698337",
            "bn2": "ea75f9d9-6853-bf12-6fa0-14235bc95c5b",
        },
    ),
    "ConvLayer": BuiltIn(
        "ConvLayer",
        {
            "activation": None, "noInputPlanes": None, "noOutputPlanes": None, "kernelWidth": None,
            "kernelHeight": 0, "kernelDepth": 0, "strideX": 1, "strideY": 1, "strideZ": 1,
            "padX": 0, "padY": 0, "padZ": 0,
        },
        {
            "activation": "da3995ca-3fc0-3e5f-fc90-568c8ccf487f",
            "bn": "c871f226-772f-3b96-bd4e-6537ff345132",
            "conv": "a4745ffd-401c-96d8-9e1a-1b8baa457060",
        },
    ),
    "Inception_v1": BuiltIn(
        "DianneInception_v1",
        _INCEPTION,
        {
            "conv3": "93964d41-25ab-be58-f41f-14e5770a7bb4",
            "reduceBn3": "2291b462-223c-f738-ce28-3e458a589143",
            "conv5": "ffbae280-adb4-3652-ec0d-0968e8ea0bd6",
            "reduceBn5": "aaa92ec4-4d7b-ed79-46c8-8c90bad20b0f",
            "reduce5": "45f5ea18-8dcd-2563-39f6-d2cb7a37a991",
            "conv1": "863c1560-9e71-053b-a7f7-634ba0bbaea8",
            "reduce3": "38346778-636b-bbd2-e6f4-31ca49630135",
            "convPool": "d273445a-2056-fb11-5b5b-c465a6fcdc32",
        },
    ),
    "Inception_v2": BuiltIn(
        "DianneInception_v2",
        _INCEPTION,
        {
            "conv3": "93964d41-25ab-be58-f41f-14e5770a7bb4",
            "reduceBn3": "2291b462-223c-f738-ce28-3e458a589143",
            "conv5": "ffbae280-adb4-3652-ec0d-0968e8ea0bd6",
            "reduceBn5": "aaa92ec4-4d7b-ed79-46c8-8c90bad20b0f",
            "bn5": "85598796-adc9-45f0-fa55-92e04387738e",
            "bn3": "ab455c37-8574-bb41-ad72-0b61c49a5a61",
            "bnPool": "d603e872-5b3e-a8d0-8d86-c4ab088bbe6f",
            "reduce5": "45f5ea18-8dcd-2563-39f6-d2cb7a37a991",
            "conv1": "863c1560-9e71-053b-a7f7-634ba0bbaea8",
            "reduce3": "38346778-636b-bbd2-e6f4-31ca49630135",
            "bn1": "d9dd9006-2c7a-bd15-46ec-a286a3e71b44",
            "convPool": "d273445a-2056-fb11-5b5b-c465a6fcdc32",
        },
    ),
    "Fractal-3": BuiltIn(
        "Fractal-3",
        dict.fromkeys(("noInputPlanes", "noOutputPlanes")),
        {
            "b.bn": "76da7981-5183-c336-9ae2-d31eec6e913a",
            "c1.conv": "a1f3e961-eded-5262-bd2d-65dca17b62d1",
            "c2.conv": "c0a9f90a-30c6-d659-e885-7ee9691ca0c7",
            "c2.bn": "fd44ab75-1862-601c-5e78-1e217a93e1d4",
            "a.bn": "17c2af55-d95d-effe-45e1-1c966c362021",
            "c1.bn": "b85c4a74-3db6-5235-cba5-3311f83c6f7b",
            "d.conv": "713d9d1c-84d2-39ae-8485-daa2374cd8ae",
            "e1.bn": "3fdf423d-5d29-2edd-3a3b-f7896e86f9c0",
            "e1.conv": "010a3cda-717f-85cb-e250-3f8447af9fbb",
            "b.conv": "4c679da6-498c-2c4e-b26a-1ae79edd76f5",
            "a.conv": "b4e62a78-0f13-a6b7-15e1-aa89632a2992",
            "e2.bn": "7182c3da-e304-f2ce-84d8-52d13766428e",
            "e2.conv": "2681951e-f7aa-59e8-417e-21f1d02740c1",
            "d.bn": "f39d6101-c3c9-5000-4fc8-8dc6888546ab",
        },
    ),
    "LSTM": BuiltIn("LSTMCell", {"output": None}, {"gates": "83b911ff-a309-1664-549b-7de8bfe4823a"}),
    "GRU": BuiltIn(
        "GRUCell",
        {"output": None},
        {
            "proposal": "22d899aa-0f2f-8722-3834-ed43b5ea17a9",
            "gates": "0ed35e10-1182-17e9-fc74-5ec3006afeae",
        },
    ),
}  # fmt: skip


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
        hint = suggest(module.type, [*TYPES, *BUILT_INS], "types")
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
