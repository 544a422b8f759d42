"""What an ONNX model's inputs take: where the batch is, and the shape of a sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dianne.interop.formats import shape_option
from dianne.interop.onnx import recurrent
from dianne.interop.onnx.values import Shape, Unmappable

if TYPE_CHECKING:
    from onnx import NodeProto, ValueInfoProto


def extents(entry: ValueInfoProto) -> list[int | None]:
    """The extents of all dimensions, None where they are open."""
    return [size.dim_value if size.dim_value > 0 else None for size in entry.type.tensor_type.shape.dim]


def batch_place(entry: ValueInfoProto, nodes: Sequence[NodeProto]) -> int:
    """Which dimension is the batch: the only open one; or the second before recurrent layers."""
    open_ones = [place for place, size in enumerate(extents(entry)) if size is None]
    if len(open_ones) == 1 and open_ones[0] < 2:
        return open_ones[0]
    takers = [node for node in nodes if entry.name in node.input]
    kinds = {node.op_type for node in takers}
    layouts = {a.i for node in takers for a in node.attribute if a.name == "layout"}
    return 1 if kinds and kinds <= recurrent.KINDS.keys() and layouts <= {0} else 0


def sample_shape(
    entry: ValueInfoProto, batch: int, said: list[int] | None, usual: list[int] | None, inputs: int
) -> Shape:
    """The shape of one sample.

    Args:
        entry: the input.
        batch: which of its dimensions is the batch.
        said: by the user.
        usual: where the model was exported from here.
        inputs: how many the model has.

    Raises:
        Unmappable: the user said something else than the model, or nobody says it.
    """
    sizes = extents(entry)
    names = [size.dim_param or f"dimension {i}" for i, size in enumerate(entry.type.tensor_type.shape.dim)]
    del sizes[batch], names[batch]
    if said and not _fits(said, sizes):
        shown = ", ".join(str(size or name) for size, name in zip(sizes, names, strict=True))
        raise Unmappable(f"takes samples of [{shown}], not of {said}")
    shape = said or (usual if usual and _fits(usual, sizes) else sizes)
    open_ones = [name for size, name in zip(shape, names, strict=True) if size is None]
    if open_ones:
        raise Unmappable(
            f"the extent of {', '.join(open_ones)} is not known; give the shape of a sample, such as "
            f"{shape_option(inputs)}"
        )
    return tuple(size for size in shape if size is not None)


def _fits(shape: list[int], sizes: list[int | None]) -> bool:
    return len(shape) == len(sizes) and all(
        size in (None, extent) for extent, size in zip(shape, sizes, strict=True)
    )
