"""Operators that move values about, or leave some out."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from dianne.interop.onnx.builder import Builder
from dianne.interop.onnx.call import BATCH, Call, operator
from dianne.interop.onnx.values import Result, Unmappable, Value

_PADS = {"reflect": "ReflectionPad", "edge": "ReplicationPad", "wrap": "CircularPad"}
Pads = list[tuple[int, int]]


@operator("Shape")
def shape_of(call: Call) -> Value:
    """The shape as a constant, with a number of its own for the batch."""
    dims = call.result().dims(BATCH)
    start, end = int(call.attributes.get("start", 0)), call.attributes.get("end")
    return np.array(dims[start : None if end is None else int(end)], np.int64)


@operator("Reshape")
def reshape(call: Call) -> Value:
    """The same values in another shape, with the batch still a dimension of its own."""
    target = call.numbers("shape", 1)
    if target is None:
        raise Unmappable("has no shape")
    source = call.result()
    if not call.attributes.get("allowzero"):
        dims = source.dims(BATCH)
        target = [dims[i] if n == 0 and i < len(dims) else n for i, n in enumerate(target)]
    return _reshaped(call, source, target)


@operator("Flatten")
def flatten(call: Call) -> Value:
    """All dimensions before an axis as one, and all from there on."""
    source, axis = call.result(), int(call.attributes.get("axis", 1))
    dims = source.dims(BATCH)
    axis += len(dims) if axis < 0 else 0
    return _reshaped(call, source, [prod(dims[:axis]), prod(dims[axis:])])


@operator("Squeeze")
def squeeze(call: Call) -> Value:
    """Without dimensions of extent 1."""
    source, axes = call.result(), call.numbers("axes", 1)
    dims = source.dims(BATCH)
    chosen = [i for i, n in enumerate(dims) if n == 1] if axes is None else [_place(a, dims) for a in axes]
    if any(dims[axis] != 1 for axis in chosen):
        raise Unmappable(f"leaves out dimension {chosen} of samples of {list(source.shape)}")
    return _reshaped(call, source, [n for i, n in enumerate(dims) if i not in chosen])


@operator("Unsqueeze")
def unsqueeze(call: Call) -> Value:
    """With more dimensions of extent 1."""
    source, axes = call.result(), call.numbers("axes", 1) or []
    rank = len(source.shape) + 1 + len(axes)
    places = {axis % rank for axis in axes}
    rest = iter(source.dims(BATCH))
    return _reshaped(call, source, [1 if i in places else next(rest) for i in range(rank)])


def _place(axis: int, dims: list[int]) -> int:
    if not -len(dims) <= axis < len(dims):
        raise Unmappable(f"axis {axis} of {len(dims)} dimensions")
    return axis % len(dims)


def _reshaped(call: Call, source: Result, target: list[int]) -> Result:
    place = _batch_place(target, prod(source.shape), call.fixed)
    sample = target[:place] + target[place + 1 :]
    if -1 in sample:
        known = prod(n for n in sample if n != -1)
        sample[sample.index(-1)] = prod(source.shape) // known if known > 0 else 0
    shape = tuple(sample)
    if prod(shape) != prod(source.shape) or prod(shape[:place]) != prod(source.shape[: source.batch]):
        raise Unmappable("mixes the batch with other dimensions")
    return call.builder.reshape(source, shape, place, call.hint)


def _batch_place(target: list[int], values: int, fixed: int | None) -> int:
    """Where a new shape has the batch: named, or what is left over, or a first dimension of a fixed size."""
    if BATCH in target:
        return target.index(BATCH)
    if target.count(-1) == 1 and prod(n for n in target if n != -1) == values:
        return target.index(-1)
    if fixed is not None and target and target[0] == fixed:
        return 0
    raise Unmappable("mixes the batch with other dimensions")


@operator("Transpose")
def transpose(call: Call) -> Value:
    """Dimensions in another order; the batch moves without a module."""
    source = call.result()
    rank = len(source.shape) + 1
    order = [int(axis) for axis in call.attributes.get("perm", range(rank)[::-1])]
    if sorted(order) != list(range(rank)):
        raise Unmappable(f"the order {order} of {rank} dimensions")
    inner = [axis - (axis > source.batch) for axis in order if axis != source.batch]
    made = call.builder.permute(source, inner, call.hint)
    return replace(made, batch=order.index(source.batch))


@operator("Concat")
def concat(call: Call) -> Value:
    """Results side by side along an axis."""
    results = [call.result(place) for place in range(len(call.inputs))]
    first = results[0]
    if len(results) == 1:
        return first
    if len({(len(one.shape), one.batch) for one in results}) > 1:
        raise Unmappable("joins results of different dimensions")
    axis = first.axis(int(call.attributes.get("axis", 1)))
    return call.builder.add("Concat", call.hint, *results, dim=len(first.shape) - 1 - axis or None)


@operator("Split")
def split(call: Call) -> Any:
    """Parts along an axis."""
    source = call.result()
    axis = source.axis(int(call.attributes.get("axis", 0)))
    extent, count = source.shape[axis], len(call.outputs)
    size = -(-extent // count)
    sizes = call.numbers("split", 1) or [min(size, extent - size * i) for i in range(count)]
    if sum(sizes) != extent or min(sizes) < 1 or len(sizes) != count:
        raise Unmappable(f"cuts {extent} values into parts of {sizes}")
    if count == 1:
        return source
    ends = np.cumsum(sizes)[:-1].tolist()
    made = call.builder.add("Split", call.hint, source, split=ends, dim=len(source.shape) - 1 - axis or None)
    shapes = ((*source.shape[:axis], n, *source.shape[axis + 1 :]) for n in sizes)
    return tuple(Result(f"{made.ref}.{i}", shape, source.batch) for i, shape in enumerate(shapes))


@operator("Slice")
def cut(call: Call) -> Value:
    """A part of a result, without gaps."""
    source = call.result()
    starts, ends = call.numbers("starts", 1) or [], call.numbers("ends", 2) or []
    axes = call.numbers("axes", 3) or list(range(len(starts)))
    steps = call.numbers("steps", 4) or [1] * len(starts)
    parts = [(0, extent) for extent in source.shape]
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if _place(axis, source.dims(BATCH)) == source.batch and (start, step) == (0, 1) and end >= BATCH:
            continue
        place = source.axis(axis)
        found = range(*slice(start, end, step).indices(source.shape[place]))
        if step != 1 or not found:
            raise Unmappable("takes nothing" if step == 1 else f"takes values in steps of {step}")
        parts[place] = (found.start, len(found))
    return narrow(call.builder, call.hint, source, parts)


@operator("Gather")
def gather(call: Call) -> Value:
    """Neighbours along an axis; or rows of a table, which is an Embedding."""
    table, axis = call.value(0), int(call.attributes.get("axis", 0))
    if isinstance(table, np.ndarray):
        if table.ndim != 2 or axis != 0:
            raise Unmappable(f"looks up in a table of {list(table.shape)}; [entries, values] is possible")
        entries, size = table.shape
        weights = {"weight": table.astype(np.float32)}
        return call.builder.add(
            "Embedding", call.hint, call.plain(1), weights=weights, entries=entries, output=size
        )
    source, indices = call.result(), call.needed(1)
    place = source.axis(axis)
    extent = source.shape[place]
    chosen = [int(i) + (extent if i < 0 else 0) for i in indices.ravel()]
    if indices.ndim > 1 or not chosen or chosen != list(range(chosen[0], chosen[0] + len(chosen))):
        raise Unmappable("takes values that are no neighbours")
    if not 0 <= chosen[0] <= chosen[-1] < extent:
        raise Unmappable(f"takes values {chosen[0]} to {chosen[-1]} of {extent}")
    parts = [(0, n) for n in source.shape]
    parts[place] = (chosen[0], len(chosen))
    found = narrow(call.builder, call.hint, source, parts)
    if indices.ndim:
        return found
    batch = source.batch - (place < source.batch)
    shape = (*found.shape[:place], *found.shape[place + 1 :])
    return call.builder.reshape(found, shape, batch, f"{call.hint}_shape")


def narrow(builder: Builder, hint: str, source: Result, parts: Pads) -> Result:
    """The parts (index, size) of a sample along its dimensions."""
    changed = [i for i, part in enumerate(parts) if part != (0, source.shape[i])]
    if not changed:
        return source
    if changed[-1] > 2:
        raise Unmappable("takes a part along the fourth dimension of a sample; three are possible")
    keys: dict[str, Any] = {}
    for place, (index, size) in enumerate(parts[: changed[-1] + 1]):
        keys |= {f"index{place}": index, f"size{place}": size}
    return builder.add("Narrow", hint, source, **keys)


@operator("Expand", "Tile")
def expand(call: Call) -> Value:
    """What repeats nothing."""
    source, target = call.result(), [int(n) for n in call.needed(1).ravel()]
    dims = source.dims(BATCH)
    if call.operator == "Tile":
        same = all(n == 1 for n in target)
    else:
        behind = target[-len(dims) :]
        same = len(target) <= len(dims) and all(
            n in (1, dim) for n, dim in zip(behind, dims[len(dims) - len(behind) :], strict=True)
        )
    if not same:
        raise Unmappable("there is no module that repeats values")
    return source


@operator("Pad")
def pad_with(call: Call) -> Value:
    """More cells on the sides."""
    source = call.plain()
    rank = len(source.shape) + 1
    given = call.numbers("pads", 1) or call.numbers("paddings") or [0] * (2 * rank)
    axes = call.numbers("axes", 3) or list(range(rank))
    if len(given) != 2 * len(axes):
        raise Unmappable(f"has {len(given)} pads for {len(axes)} dimensions")
    pads = [(0, 0)] * rank
    for place, axis in enumerate(axes):
        pads[_place(axis, source.dims(BATCH))] = (given[place], given[place + len(axes)])
    if pads[0] != (0, 0):
        raise Unmappable("works along the batch")
    value = call.option("value", 2)
    number = 0.0 if value is None or not value.size else float(value.reshape(()))
    return pad(call.builder, call.hint, source, pads[1:], number, call.text("mode", "constant"))


def pad(
    builder: Builder, hint: str, source: Result, pads: Pads, value: float = 0.0, mode: str = "constant"
) -> Result:
    """More cells before and behind each dimension of a sample; fewer, where a number is negative."""
    padded = [place for place, sides in enumerate(pads) if sides != (0, 0)]
    if not padded:
        return source
    behind = pads[padded[0] :]
    if len(behind) > 3:
        raise Unmappable("pads a dimension that is not among the last three")
    if mode == "constant" and value == 0 and all(a == b >= 0 for a, b in behind):
        dims: dict[str, Any] = {f"dim{i}": before for i, (before, _) in enumerate(behind)}
        return builder.add("Zeropad", hint, source, **dims)
    if mode != "constant" and (mode not in _PADS or len(behind) != len(source.shape) - 1):
        raise Unmappable(f"pads in the mode '{mode}' along {len(behind)} of {len(source.shape)} dimensions")
    sides = [side for before_after in reversed(behind) for side in before_after]
    kind = f"torch.nn.{_PADS.get(mode, 'ConstantPad')}{len(behind)}d"
    keys: dict[str, Any] = {"value": value} if mode == "constant" else {}
    return builder.add(kind, hint, source, padding=sides, **keys)


@operator("DepthToSpace")
def depth_to_space(call: Call) -> Value:
    """Planes side by side as pixels."""
    if call.text("mode", "DCR") != "CRD":
        raise Unmappable("takes planes in the order DCR; CRD is possible")
    size = int(call.attributes["blocksize"])
    return call.builder.add("torch.nn.PixelShuffle", call.hint, call.plain(), upscale_factor=size)


@operator("Upsample", "Resize")
def resize(call: Call) -> Value:
    """Images in another size, where torch has the same rule for what is between the pixels."""
    source = call.plain()
    size = _new_size(call, source)
    mode = call.text("mode", "nearest")
    if mode == "nearest":
        how = _nearest_rule(call, source, size)
        keys: dict[str, Any] = {}
    else:
        how, corners = _linear_rule(call, size)
        keys = {"align_corners": corners}
        mode = ("linear", "bilinear", "trilinear")[len(size) - 1] if mode == "linear" else mode
    if not how or mode not in ("nearest", "linear", "bilinear", "trilinear"):
        rule = call.text("coordinate_transformation_mode", "half_pixel")
        raise Unmappable(f"there is no module for the mode '{mode}' with '{rule}'")
    return call.builder.add("torch.nn.Upsample", call.hint, source, size=size, mode=mode, **keys)


def _new_size(call: Call, source: Result) -> list[int]:
    """Of the image: from sizes, or from factors, which leave out what is not whole."""
    place = 1 if call.operator == "Upsample" or call.opset < 11 else 2
    sizes = call.constant(3) if call.opset >= 11 else None
    factors = call.option("scales", place)
    if call.attributes.get("axes") or call.text("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise Unmappable("only some of its dimensions are given")
    if sizes is not None and sizes.size:
        found = [int(n) for n in sizes.ravel()[1:]]
    elif factors is not None and factors.size == len(source.shape) + 1:
        if factors.ravel()[0] != 1:
            raise Unmappable("works along the batch")
        found = [int(np.floor(n * f)) for n, f in zip(source.shape, factors.ravel()[1:], strict=True)]
    else:
        raise Unmappable("its sizes are not known")
    if len(found) != len(source.shape) or found[0] != source.shape[0]:
        raise Unmappable(f"makes {found} of {list(source.shape)}; planes stay as they are")
    return found[1:]


def _nearest_rule(call: Call, source: Result, size: list[int]) -> bool:
    if call.operator == "Upsample" or call.opset < 11:
        return True
    rule = call.text("coordinate_transformation_mode", "half_pixel")
    if rule == "asymmetric" and call.text("nearest_mode", "round_prefer_floor") == "floor":
        return True
    whole = all(new % old == 0 for new, old in zip(size, source.shape[1:], strict=True))
    return whole and rule in ("half_pixel", "pytorch_half_pixel")


def _linear_rule(call: Call, size: list[int]) -> tuple[bool, bool]:
    """Whether torch has the rule, and whether it is that of aligned corners."""
    if call.operator == "Upsample" or call.opset < 11:
        return False, False
    rule = call.text("coordinate_transformation_mode", "half_pixel")
    known = ("half_pixel", "align_corners", *(["pytorch_half_pixel"] if min(size) > 1 else []))
    return rule in known and not call.attributes.get("antialias"), rule == "align_corners"
