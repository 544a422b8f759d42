"""Reading an ONNX file that nobody vouches for: a checked model, with all its weights in memory."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dianne.document import display
from dianne.errors import DianneError, UsageError
from dianne.interop.onnx.runtime import needed

if TYPE_CHECKING:
    from onnx import ModelProto, TensorProto

MOST_BYTES = 2**31  # a message of protocol buffers is smaller
MOST_NODES = 20_000
_FLOATS = ("FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE")
_KINDS = (*_FLOATS, "BOOL", *(f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)))


def read_model(path: Path) -> ModelProto:
    """The model in a file; weights in files beside it are read, and nothing in it is executed.

    Raises:
        UsageError: the package onnx is missing, or the model is not valid.
        DianneError: the file cannot be read.
    """
    onnx = needed("onnx")
    message = needed("google.protobuf.message")
    source = display(path)
    try:
        if path.stat().st_size >= MOST_BYTES:
            raise UsageError(f"{source}: is larger than 2 GiB, which no ONNX file is")
        model: ModelProto = onnx.load_model(path, load_external_data=False)
    except message.DecodeError as error:
        raise UsageError(f"{source}: is no ONNX file, or a part of one: it cannot be parsed") from error
    except OSError as error:
        raise DianneError(f"{source}: cannot be read: {error.strerror}") from error
    count = len(model.graph.node)
    if not count and not model.graph.output:
        raise UsageError(f"{source}: is no ONNX file: there is no graph in it")
    if count > MOST_NODES:
        raise UsageError(f"{source}: holds {count:,} nodes; at most {MOST_NODES:,} are possible")
    if any(isinstance(word, bytes) for word in _words(model)):
        raise UsageError(f"{source}: is no ONNX file, or a spoilt one: it holds names that are no text")
    for tensor in _tensors(model):
        _take_in(path, tensor)
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError, MemoryError) as error:
        reason = str(error).strip().split("\n")[0].rstrip(".")
        raise UsageError(f"{source}: is no valid ONNX: {reason}") from error
    return model


def array_of(tensor: TensorProto) -> NDArray[Any]:
    """The values of a tensor: float32 for all kinds of floats, int64 for all integers.

    Raises:
        ValueError: it is of another kind, or does not hold as many values as it says.
    """
    onnx = needed("onnx")
    kind = onnx.TensorProto.DataType.Name(tensor.data_type)
    if not kind.startswith(("FLOAT", "DOUBLE", "BFLOAT16", "INT", "UINT", "BOOL")) or kind.startswith(
        "FLOAT8"
    ):
        raise ValueError(f"the values of '{tensor.name}' are of the kind {kind}")
    if any(extent < 0 for extent in tensor.dims):
        raise ValueError(f"'{tensor.name}' has the shape {list(tensor.dims)}")
    try:
        found: NDArray[Any] = onnx.numpy_helper.to_array(tensor)
    except (ValueError, TypeError, MemoryError) as error:
        count = f"{prod(tensor.dims):,}"
        raise ValueError(f"'{tensor.name}' should hold {count} values, and does not") from error
    if found.dtype == bool:
        return found
    return found.astype(np.int64 if np.issubdtype(found.dtype, np.integer) else np.float32)


def _words(model: ModelProto) -> Iterator[str | bytes]:
    """All names; those that are not UTF-8 are bytes."""
    graph = model.graph
    yield from (model.producer_name, graph.name)
    for node in graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        yield from (attribute.name for attribute in node.attribute)
    named: list[Any] = [*graph.input, *graph.output, *graph.initializer]
    yield from (entry.name for entry in named)
    owners: list[Any] = [model, *graph.node]
    for owner in owners:
        yield from (word for entry in owner.metadata_props for word in (entry.key, entry.value))
    for entry in graph.input:
        yield from (size.dim_param for size in entry.type.tensor_type.shape.dim)
    for tensor in _tensors(model):
        yield from (word for entry in tensor.external_data for word in (entry.key, entry.value))
    yield from (entry.domain for entry in model.opset_import)


def _tensors(model: ModelProto) -> Iterator[TensorProto]:
    """All tensors of the main graph; operators with graphs of their own are refused later on."""
    yield from model.graph.initializer
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def _take_in(path: Path, tensor: TensorProto) -> None:
    """Read values that are in another file, which must be in the model's own folder."""
    onnx = needed("onnx")
    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        return
    told = {entry.key: entry.value for entry in tensor.external_data}
    folder, location = path.resolve().parent, told.get("location", "")
    what = f"{display(path)}: the values of '{tensor.name}' are said to be in '{location}'"
    file = (folder / location).resolve()
    if not location or not file.is_relative_to(folder) or file == folder:
        raise UsageError(f"{what}, which is outside of the file's own folder; nothing was read")
    try:
        offset, length = int(told.get("offset", 0)), int(told.get("length", -1))
        size = file.stat().st_size
        length = size - offset if length == -1 else length
        if not 0 <= offset <= offset + length <= size:
            raise UsageError(f"{what}, at {offset:,} to {offset + length:,}, but that has {size:,} bytes")
        with file.open("rb") as data:
            data.seek(offset)
            tensor.raw_data = data.read(length)
    except ValueError as error:
        raise UsageError(f"{what}, at a place that is no number") from error
    except OSError as error:
        raise DianneError(f"{what}, which cannot be read: {error.strerror}") from error
    del tensor.external_data[:]
    tensor.data_location = onnx.TensorProto.DEFAULT
