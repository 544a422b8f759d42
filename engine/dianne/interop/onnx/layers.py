"""Affine maps, convolutions and normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np

from dianne.interop.onnx.call import Call, operator
from dianne.interop.onnx.pooling import Window, along, window
from dianne.interop.onnx.shapes import pad
from dianne.interop.onnx.values import Array, Result, Unmappable, Value


@operator("Gemm")
def gemm(call: Call) -> Value:
    """Alpha x B + beta C, with a constant B."""
    source, weight = call.plain(), call.needed(1).astype(np.float32)
    if call.attributes.get("transA") or len(source.shape) != 1 or weight.ndim != 2:
        raise Unmappable(f"multiplies samples of {list(source.shape)} with {list(weight.shape)}")
    weight = weight if call.attributes.get("transB") else weight.T
    weight = weight * np.float32(call.attributes.get("alpha", 1.0))
    bias = _bias(call, 2, len(weight)) * np.float32(call.attributes.get("beta", 1.0))
    return linear(call, source, weight, bias)


@operator("MatMul")
def matmul(call: Call) -> Value:
    """The product with a constant matrix."""
    source = call.result()
    weight = call.value(1)
    if not isinstance(weight, np.ndarray):
        raise Unmappable("there is no module that multiplies results as matrices")
    if weight.ndim != 2 or source.batch == len(source.shape):
        raise Unmappable(f"multiplies samples of {list(source.shape)} with {list(weight.shape)}")
    return linear(call, source, weight.T.astype(np.float32), np.zeros(weight.shape[1], np.float32))


def linear(call: Call, source: Result, weight: Array, bias: Array) -> Result:
    """W x + b for the last dimension of a sample; W is [out, in]."""
    weights = {"weight": weight, "bias": bias}
    if len(source.shape) == 1:
        return call.builder.add("Linear", call.hint, source, weights=weights, output=len(weight))
    keys: dict[str, Any] = {"in_features": weight.shape[1], "out_features": len(weight)}
    return call.builder.add("torch.nn.Linear", call.hint, source, weights=weights, **keys)


def _bias(call: Call, place: int, size: int) -> Array:
    """One value for each plane or feature; zeros where there are none."""
    given = call.constant(place)
    if given is None:
        return np.zeros(size, np.float32)
    if given.size not in (1, size) or max(given.shape, default=1) != given.size:
        raise Unmappable(f"its bias is {list(given.shape)}, where {size} values are expected")
    return np.broadcast_to(given.reshape(-1).astype(np.float32), (size,))


@operator("Conv")
def conv(call: Call) -> Value:
    """Convolution; unequal padding goes in front of it."""
    source, weight = call.plain(), call.needed(1).astype(np.float32)
    found = window(call, source, weight.shape[2:])
    groups = int(call.attributes.get("group", 1))
    weights = {"weight": weight, "bias": _bias(call, 2, len(weight))}
    if not found.symmetric:
        source = pad(call.builder, f"{call.hint}_pad", source, [(0, 0), *found.pads])
        found = Window(found.size, found.stride, found.dilation, [(0, 0)] * len(found.size))
    if len(found.size) > 1 and groups == 1 and max(found.dilation) == 1:
        keys = _kernel_keys(found)
        return call.builder.add(
            "Convolution", call.hint, source, weights=weights, no_output_planes=len(weight), **keys
        )
    return call.builder.add(
        f"torch.nn.Conv{len(found.size)}d", call.hint, source, weights=weights,
        **_torch_keys(found, groups), in_channels=weight.shape[1] * groups, out_channels=len(weight),
    )  # fmt: skip


@operator("ConvTranspose")
def conv_transpose(call: Call) -> Value:
    """Transposed convolution; unequal padding is cut off behind it."""
    source, weight = call.plain(), call.needed(1).astype(np.float32)
    groups = int(call.attributes.get("group", 1))
    planes = weight.shape[1] * groups
    size, axes = weight.shape[2:], len(weight.shape) - 2
    more = call.numbers("output_padding") or [0] * axes
    found = _transposed(call, source, size, more)
    weights = {"weight": weight, "bias": _bias(call, 2, planes)}
    crop = [(0, 0)] * axes
    if not found.symmetric:
        crop = [(-before, -behind) for before, behind in found.pads]
        found = Window(found.size, found.stride, found.dilation, [(0, 0)] * axes)
    if axes > 1 and groups == 1 and max(found.dilation) == 1 and not any(more):
        made = call.builder.add(
            "FullConvolution", call.hint, source, weights=weights, no_output_planes=planes,
            **_kernel_keys(found),
        )  # fmt: skip
    else:
        made = call.builder.add(
            f"torch.nn.ConvTranspose{axes}d", call.hint, source, weights=weights,
            **_torch_keys(found, groups), output_padding=more if any(more) else None,
            in_channels=len(weight), out_channels=planes,
        )  # fmt: skip
    return pad(call.builder, f"{call.hint}_crop", made, [(0, 0), *crop])


def _transposed(call: Call, source: Result, size: tuple[int, ...], more: list[int]) -> Window:
    """The window of a transposed convolution, whose pads may follow from the shape of its result."""
    auto = call.text("auto_pad", "NOTSET")
    wanted = call.numbers("output_shape")
    same = auto in ("SAME_UPPER", "SAME_LOWER")
    kept = {key: value for key, value in call.attributes.items() if key != "auto_pad" or not same}
    found = window(Call(**{**vars(call), "attributes": kept}), source, size)
    if wanted is None and not same:
        return found
    extent = source.shape[1:]
    if wanted is None:
        wanted = [n * stride for n, stride in zip(extent, found.stride, strict=True)]
    pads = []
    for n, target, stride, span, extra in zip(
        extent, wanted[-len(extent) :], found.stride, found.span, more, strict=True
    ):
        total = stride * (n - 1) + extra + span - target
        if total < 0:
            raise Unmappable(f"makes {wanted} of {list(extent)}, which is more than there is")
        half = total // 2
        pads.append((half, total - half) if auto == "SAME_UPPER" else (total - half, half))
    return Window(found.size, found.stride, found.dilation, pads)


def _kernel_keys(found: Window) -> dict[str, Any]:
    """The keys of a convolution of the catalog."""
    names = ("kernel_width", "kernel_height", "kernel_depth")
    sizes = dict(zip(names, found.size[::-1], strict=False))
    axes, pads = len(found.size), [before for before, _ in found.pads]
    return {**sizes, **along("stride", found.stride, [1] * axes), **along("pad", pads, [0] * axes)}


def _torch_keys(found: Window, groups: int) -> dict[str, Any]:
    """The keys of one of torch's convolutions, without those that are its defaults."""
    pads = [before for before, _ in found.pads]
    many = {"stride": list(found.stride), "padding": pads, "dilation": list(found.dilation)}
    keys: dict[str, Any] = {"kernel_size": list(found.size)}
    for (name, values), default in zip(many.items(), (1, 0, 1), strict=True):
        keys[name] = values if any(value != default for value in values) else None
    keys["groups"] = groups if groups > 1 else None
    if len(found.size) == 1:
        return {key: value[0] if isinstance(value, list) else value for key, value in keys.items()}
    return keys


# ---------------------------------------------------------------------------------------- normalisation


@operator("BatchNormalization")
def batch_normalization(call: Call) -> Value:
    """With running statistics, for each plane; very old ones may have them for each value."""
    call.only_first()
    source = call.plain()
    if call.attributes.get("training_mode"):
        raise Unmappable("is in training mode")
    scale, bias, mean, variance = (call.needed(place).astype(np.float32) for place in range(1, 5))
    epsilon = call.real("epsilon", 1e-5)
    if not call.attributes.get("spatial", 1) and len(source.shape) > 1:
        factor = scale / np.sqrt(variance + np.float32(epsilon))
        weights = {"weight": factor, "bias": bias - mean * factor}
        return call.builder.add("Affine", call.hint, source, weights=weights, shape=list(factor.shape))
    weights = {"weight": scale, "bias": bias, "running_mean": mean, "running_var": variance}
    if abs(epsilon - 1e-5) < 1e-9:
        return call.builder.add("BatchNormalization", call.hint, source, weights=weights)
    kind = f"torch.nn.BatchNorm{max(len(source.shape) - 1, 1)}d"
    return call.builder.add(kind, call.hint, source, weights=weights, num_features=len(scale), eps=epsilon)


@operator("LayerNormalization")
def layer_normalization(call: Call) -> Value:
    """Over the last dimensions of each sample."""
    call.only_first()
    source = call.result()
    axis = source.axis(int(call.attributes.get("axis", -1)))
    if axis < source.batch:
        raise Unmappable("works along the batch")
    shape, scale = source.shape[axis:], call.needed(1)
    given = call.constant(2)
    bias = np.zeros(shape, np.float32) if given is None else given
    weights = {
        "weight": np.broadcast_to(scale.astype(np.float32), shape),
        "bias": np.broadcast_to(bias.astype(np.float32), shape),
    }
    epsilon = call.real("epsilon", 1e-5)
    if len(shape) == 1:
        return call.builder.add("LayerNorm", call.hint, source, weights=weights, epsilon=epsilon)
    return call.builder.add(
        "torch.nn.LayerNorm", call.hint, source, weights=weights, normalized_shape=list(shape), eps=epsilon
    )


@operator("InstanceNormalization")
def instance_normalization(call: Call) -> Value:
    """Over the places of each plane."""
    source, size = call.plain(), call.needed(1).size
    weights = {"weight": call.needed(1).astype(np.float32), "bias": call.needed(2).astype(np.float32)}
    kind = f"torch.nn.InstanceNorm{len(source.shape) - 1}d"
    keys: dict[str, Any] = {"num_features": size, "eps": call.real("epsilon", 1e-5), "affine": True}
    return call.builder.add(kind, call.hint, source, weights=weights, **keys)


@operator("GroupNormalization")
def group_normalization(call: Call) -> Value:
    """Over the places of groups of planes."""
    source, groups = call.plain(), int(call.attributes["num_groups"])
    planes = source.shape[0]
    weights = {}
    for place, name in ((1, "weight"), (2, "bias")):
        given = call.needed(place).astype(np.float32)
        weights[name] = np.repeat(given, planes // groups) if given.size != planes else given
    keys: dict[str, Any] = {"num_groups": groups, "num_channels": planes, "eps": call.real("epsilon", 1e-5)}
    return call.builder.add("torch.nn.GroupNorm", call.hint, source, weights=weights, **keys)


@operator("LRN")
def lrn(call: Call) -> Value:
    """Across planes."""
    return call.builder.add(
        "LRN", call.hint, call.plain(), size=int(call.attributes["size"]), alpha=call.real("alpha", 1e-4),
        beta=call.real("beta", 0.75), k=call.real("bias", 1.0),
    )  # fmt: skip
