"""Pooling, with all the ways that ONNX has of padding; and means over whole dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dianne.interop.onnx.call import Call, operator
from dianne.interop.onnx.shapes import Pads, narrow, pad
from dianne.interop.onnx.values import Result, Shape, Unmappable, Value

_LOWEST = float(np.finfo(np.float32).min)  # a cell of padding never wins


@dataclass(frozen=True)
class Window:
    """A window that slides along the dimensions of an image.

    Attributes:
        size: of the window.
        stride: from one place to the next.
        dilation: between its cells.
        pads: cells before and behind each dimension.
        ceil: whether a window may stick out at the end.
    """

    size: Shape
    stride: Shape
    dilation: Shape
    pads: Pads
    ceil: bool = False

    @property
    def span(self) -> Shape:
        """From the first cell to the last."""
        return tuple((n - 1) * d + 1 for n, d in zip(self.size, self.dilation, strict=True))

    @property
    def symmetric(self) -> bool:
        """Whether both sides are padded alike."""
        return all(before == behind for before, behind in self.pads)


def window(call: Call, source: Result, size: Shape) -> Window:
    """The window of a convolution or pooling, its automatic padding computed."""
    extent = source.shape[1:]
    axes = len(extent)
    if len(size) != axes or not 1 <= axes <= 3:
        raise Unmappable(f"a window of {list(size)} meets samples of {list(source.shape)}")
    stride = tuple(call.numbers("strides") or [1] * axes)
    dilation = tuple(call.numbers("dilations") or [1] * axes)
    given = call.numbers("pads") or [0] * (2 * axes)
    pads = list(zip(given[:axes], given[axes:], strict=False))
    if min(*size, *stride, *dilation) < 1 or len(pads) != axes or min(given) < 0:
        raise Unmappable(f"has strides {list(stride)}, dilations {list(dilation)} and pads {given}")
    if not len(stride) == len(dilation) == axes:
        raise Unmappable(f"has {len(stride)} strides and {len(dilation)} dilations for {axes} dimensions")
    found = Window(size, stride, dilation, pads, bool(call.attributes.get("ceil_mode", 0)))
    auto = call.text("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        return Window(size, stride, dilation, _same(found, extent, auto == "SAME_UPPER"))
    if auto == "VALID":
        return Window(size, stride, dilation, [(0, 0)] * axes, found.ceil)
    return found


def _same(found: Window, extent: Shape, upper: bool) -> Pads:
    """Pads with which there are as many windows as strides fit into an extent."""
    pads = []
    for n, stride, span in zip(extent, found.stride, found.span, strict=True):
        total = max((-(-n // stride) - 1) * stride + span - n, 0)
        half = total // 2
        pads.append((half, total - half) if upper else (total - half, half))
    return pads


def _places(found: Window, extent: Shape) -> Shape:
    """How many windows there are along each dimension."""
    counts = []
    for n, stride, span, (before, behind) in zip(extent, found.stride, found.span, found.pads, strict=True):
        room = n + before + behind - span
        if room < 0:
            raise Unmappable(f"a window of {list(found.size)} does not fit into {list(extent)}")
        count = (-(-room // stride) if found.ceil else room // stride) + 1
        if found.ceil and (count - 1) * stride >= n + before:
            count -= 1  # it would begin behind the image
        counts.append(count)
    return tuple(counts)


@operator("MaxPool")
def max_pool(call: Call) -> Value:
    """The largest value of each window."""
    call.only_first()
    source = call.plain()
    found = window(call, source, tuple(call.numbers("kernel_shape") or []))
    counts = _places(found, source.shape[1:])
    pads = [
        (before, (count - 1) * stride + span - n - before)  # without what no window reaches
        for n, stride, span, (before, _), count in
        zip(source.shape[1:], found.stride, found.span, found.pads, counts, strict=True)
    ]  # fmt: skip
    pads = [(before, max(behind, 0)) for before, behind in pads]
    halves = [n // 2 for n in found.size]
    own = [max(sides) for sides in pads]
    spill = [n + 2 * p - span for n, p, span in zip(source.shape[1:], own, found.span, strict=True)]
    same = all(before == p for (before, _), p in zip(pads, own, strict=True)) and counts == tuple(
        s // stride + 1 for s, stride in zip(spill, found.stride, strict=True)
    )
    if not same or any(p > half for p, half in zip(own, halves, strict=True)):
        source = pad(call.builder, f"{call.hint}_pad", source, [(0, 0), *pads], _LOWEST)
        own = [0] * len(own)
    if len(own) == 1 or max(found.dilation) > 1:
        return call.builder.add(
            f"torch.nn.MaxPool{len(own)}d", call.hint, source, kernel_size=_one(found.size),
            stride=_one(found.stride), padding=_one(own), dilation=_one(found.dilation),
        )  # fmt: skip
    return call.builder.add("MaxPooling", call.hint, source, **window_keys(found, own))


@operator("AveragePool")
def average_pool(call: Call) -> Value:
    """The mean of each window; whether cells of padding count is an attribute."""
    source = call.plain()
    found = window(call, source, tuple(call.numbers("kernel_shape") or []))
    if max(found.dilation) > 1:
        raise Unmappable("there is no module that averages with dilation")
    counts = _places(found, source.shape[1:])
    if call.attributes.get("count_include_pad") and any(sides != (0, 0) for sides in found.pads):
        source = pad(call.builder, f"{call.hint}_pad", source, [(0, 0), *found.pads])
        found = Window(found.size, found.stride, found.dilation, [(0, 0)] * len(found.size))
    pads = [before for before, _ in found.pads]
    fitting = (ceil for ceil in (False, True) if _reaches(found, source.shape[1:], counts, ceil))
    ceil = next(fitting, None)
    if ceil is None or any(p > k // 2 for p, k in zip(pads, found.size, strict=True)):
        return _weighed_average(call, source, found, counts)
    if len(pads) > 1 and not ceil:
        made = call.builder.add("AvgPooling", call.hint, source, **window_keys(found, pads))
    else:
        made = call.builder.add(
            f"torch.nn.AvgPool{len(pads)}d", call.hint, source, kernel_size=_one(found.size),
            stride=_one(found.stride), padding=_one(pads), ceil_mode=True if ceil else None,
            count_include_pad=False,
        )  # fmt: skip
    cropped = [(0, made.shape[0]), *((0, count) for count in counts)]
    return narrow(call.builder, f"{call.hint}_crop", made, cropped)


def _reaches(found: Window, extent: Shape, counts: Shape, ceil: bool) -> bool:
    """Whether pads like those in front, behind too, give enough windows, and not too many to cut off."""
    alike = Window(found.size, found.stride, found.dilation, [(p, p) for p, _ in found.pads], ceil)
    try:
        there = _places(alike, extent)
    except Unmappable:
        return False
    return there == counts or (
        len(extent) < 3 and all(n >= count for n, count in zip(there, counts, strict=True))
    )


def _weighed_average(call: Call, source: Result, found: Window, counts: Shape) -> Result:
    """Means that count zeros, multiplied by what share of each window is no padding."""
    pads: Pads = [(0, 0)]
    weight = np.ones((1,) * len(counts), np.float32)
    for axis, (n, k, s, (before, _), count) in enumerate(
        zip(source.shape[1:], found.size, found.stride, found.pads, counts, strict=True)
    ):
        starts = np.arange(count) * s - before
        cells = np.minimum(starts + k, n) - np.maximum(starts, 0)
        if min(cells) < 1:
            raise Unmappable("has windows of nothing but padding")
        shape = [1] * len(counts)
        shape[axis] = count
        weight = weight * (k / cells).astype(np.float32).reshape(shape)
        pads.append((before, max(int(starts[-1]) + k - n, 0)))
    padded = pad(call.builder, f"{call.hint}_pad", source, pads)
    keys = {"kernel_size": _one(found.size), "stride": _one(found.stride)}
    made = call.builder.add(f"torch.nn.AvgPool{len(counts)}d", call.hint, padded, **keys)
    weights = {"weight": weight[None], "bias": np.zeros((1, *counts), np.float32)}
    return call.builder.add("Affine", f"{call.hint}_share", made, weights=weights, shape=[1, *counts])


def window_keys(found: Window, pads: list[int]) -> dict[str, Any]:
    """The keys of a pooling of the catalog in two or three dimensions."""
    sizes = dict(zip(("width", "height", "depth"), found.size[::-1], strict=False))
    default = found.size  # of the stride
    return {**sizes, **along("stride", found.stride, default), **along("pad", pads, [0] * len(pads))}


def along(what: str, values: Any, default: Any) -> dict[str, Any]:
    """Keys such as `stride_x`; without those whose value is the default."""
    rows = zip("xyz", values[::-1], default[::-1], strict=False)
    return {f"{what}_{axis}": value for axis, value, usual in rows if value != usual}


def _one(values: Any) -> Any:
    """A list, or its only value."""
    return values[0] if len(values) == 1 else list(values)


@operator("GlobalAveragePool", "GlobalMaxPool")
def whole(call: Call) -> Value:
    """The mean or the largest value of each plane."""
    return _over_planes(call, call.plain(), "Average" in call.operator)


def _over_planes(call: Call, source: Result, mean: bool) -> Result:
    axes = len(source.shape) - 1
    if not 1 <= axes <= 3:
        raise Unmappable(f"meets samples of {list(source.shape)}")
    if axes == 1:
        kind = f"torch.nn.Adaptive{'Avg' if mean else 'Max'}Pool1d"
        return call.builder.add(kind, call.hint, source, output_size=1)
    keys: dict[str, Any] = dict.fromkeys(("width", "height", "depth")[:axes], -1)
    return call.builder.add("AvgPooling" if mean else "MaxPooling", call.hint, source, **keys)


@operator("ReduceMean", "ReduceMax", "ReduceSum", "ReduceProd")
def reduce(call: Call) -> Value:
    """Means and maxima over the places of planes or the steps of time; and joins written as reductions."""
    source = call.result()
    given = call.numbers("axes", 1)
    axes = sorted(
        source.axis(axis) for axis in (given if given is not None else range(1, len(source.shape) + 1))
    )
    kept = bool(call.attributes.get("keepdims", 1))
    join = {"ReduceMean": "Average", "ReduceSum": "Accumulate", "ReduceProd": "Multiply"}.get(call.operator)
    parts = call.builder.stacked(source, axes[0]) if join and len(axes) == 1 and not kept else []
    if parts and join:
        made = call.builder.add(join, call.hint, *parts)
        return Result(made.ref, made.shape, source.batch - (axes[0] < source.batch))
    rank, mean = len(source.shape), call.operator == "ReduceMean"
    if call.operator not in ("ReduceMean", "ReduceMax") or source.batch:
        raise Unmappable("there is no module for it")
    if axes == list(range(1, rank)) and rank > 1:
        made = _over_planes(call, source, mean)
    elif axes == [0] and rank == 2:  # over time
        made = call.builder.add("AvgPooling" if mean else "MaxPooling", call.hint, source, width=-1)
    else:
        raise Unmappable(f"there is no module for it along {axes} of samples of {list(source.shape)}")
    shape = tuple(n for axis, n in enumerate(source.shape) if axis not in axes)
    return made if kept else call.builder.reshape(made, shape, 0, f"{call.hint}_shape")
