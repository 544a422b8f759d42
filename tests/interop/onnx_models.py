"""ONNX models that a test makes by hand, and the networks that become of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import dianne
from dianne.network.graph import Graph

Dims = list[int | str | None]
IMAGE: Dims = ["n", 2, 6, 7]


def values(*shape: int, seed: int = 1) -> np.ndarray:
    """Random weights."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def ints(*numbers: int) -> np.ndarray:
    """Whole numbers, as later versions have them in place of attributes."""
    return np.array(numbers, np.int64)


def node(operator: str, takes: str, gives: str, **attributes: Any) -> onnx.NodeProto:
    """A node; names are separated by blanks, `_` is one that is left out."""
    inputs, outputs = ([name.strip("_") for name in names.split()] for names in (takes, gives))
    domain = attributes.pop("domain", "")
    return helper.make_node(
        operator, inputs, outputs, f"{operator}_{outputs[0]}", domain=domain, **attributes
    )


def model(
    *nodes: onnx.NodeProto,
    x: Dims | Mapping[str, Dims] = ("n", 3),
    weights: Mapping[str, np.ndarray] | None = None,
    gives: str = "y",
    opset: int = 17,
    kind: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """A model with the input `x`, or several by name."""
    inputs = x if isinstance(x, Mapping) else {"x": x}
    graph = helper.make_graph(
        list(nodes),
        "Net",
        [helper.make_tensor_value_info(name, kind, list(dims)) for name, dims in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in gives.split()],
        [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )
    versions = [helper.make_opsetid("", opset), helper.make_opsetid("custom", 1)]
    made = helper.make_model(graph, opset_imports=versions[: 1 + any(n.domain for n in nodes)])
    made.ir_version = 3 if opset < 9 else 8
    if made.ir_version == 3:  # in which all weights are inputs, too
        made.graph.input.extend(
            helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in graph.initializer
        )
    shaped = onnx.shape_inference.infer_shapes(made)
    del made.graph.output[:]
    for end in shaped.graph.output:
        known = end.type.tensor_type.HasField("shape")
        made.graph.output.append(
            end if known else helper.make_tensor_value_info(end.name, TensorProto.FLOAT, inputs["x"])
        )
    return made


def put(folder: Path, made: onnx.ModelProto | bytes, name: str = "net.onnx") -> Path:
    """The file of a model."""
    folder.mkdir(parents=True, exist_ok=True)
    content = made if isinstance(made, bytes) else made.SerializeToString()
    (folder / name).write_bytes(content)
    return folder / name


def brought_in(folder: Path, made: onnx.ModelProto | Path, **options: Any) -> tuple[Graph, list[str], str]:
    """The network that a model becomes, the types of its modules, and how it compares with onnxruntime."""
    workspace = dianne.Workspace(folder)
    path = made if isinstance(made, Path) else put(folder, made)
    (arrived,) = workspace.import_(path, **options)
    deployed = workspace.deploy(arrived.name, arrived.tags[0])
    network = workspace.describe(arrived.name)
    types = [entry.type for entry in network.nodes if entry.type not in ("Input", "Output")]
    return deployed.module, types, " ".join(arrived.notes)


def same(folder: Path, made: onnx.ModelProto | Path, **options: Any) -> list[str]:
    """The types of the modules of a network that computes what onnxruntime does."""
    _, types, note = brought_in(folder, made, **options)
    assert note.startswith("differs by ")
    return types


def words(names: Iterable[str]) -> str:
    """Types in a row, without the package of those that are torch's."""
    return " ".join(name.removeprefix("torch.nn.") for name in names)
