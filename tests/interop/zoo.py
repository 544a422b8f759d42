"""A small network for each module type of the catalog, and every network that ships."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

import dianne
from dianne.network.catalog import MODULES
from dianne.network.file import read
from dianne.network.graph import Graph
from dianne.network.network import Network
from dianne.store import Manifest, Store, named_weights
from dianne.workspace import shipped

_VECTOR = "x: {type: Input, shape: [6]}"
_IMAGE = "x: {type: Input, shape: [2, 6, 6]}"
_TIME = "x: {type: Input, shape: [5, 6]}"
ONE = {
    "Input": (_VECTOR,),
    "Output": (_VECTOR,),
    "Linear": (_IMAGE, "m: {type: Linear, output: 3}"),
    "Affine": (_IMAGE, "m: {type: Affine, shape: [2, 1, 1]}"),
    "Permute": (_IMAGE, "m: {type: Permute, order: [2, 0, 1]}"),
    "Memory": (_VECTOR, "m: {type: Memory, size: 6, after: sum}", "sum: {type: Accumulate, after: [x, m]}"),
    "Convolution": (
        _IMAGE,
        "m: {type: Convolution, noOutputPlanes: 3, kernelWidth: 3, kernelHeight: 2, strideX: 2, padY: 1}",
    ),
    "FullConvolution": (
        _IMAGE,
        "m: {type: FullConvolution, noOutputPlanes: 3, kernelWidth: 3, kernelHeight: 3, strideX: 2, padX: 1}",
    ),
    "MaxPooling": (_IMAGE, "m: {type: MaxPooling, width: 2, height: -1, strideX: 1}"),
    "MaxUnpooling": (
        _IMAGE,
        "pool: {type: MaxPooling, width: 2, height: 2}",
        "n: {type: Tanh}",
        "m: {type: MaxUnpooling, width: 2, height: 2, after: [n, pool.indices]}",
    ),
    "AvgPooling": (_IMAGE, "m: {type: AvgPooling, width: 3, height: 2, padX: 1}"),
    "MaskedMaxPooling": (_VECTOR, "m: {type: MaskedMaxPooling, masks: '0,2;1,3'}"),
    "Reshape": (_IMAGE, "m: {type: Reshape, shape: [3, 4, 6]}"),
    "Narrow": (_IMAGE, "m: {type: Narrow, index0: 0, size0: 1, index1: 2, size1: 3}"),
    "Zeropad": (_IMAGE, "m: {type: Zeropad, dim0: 1, dim1: 2}"),
    "Invert": (_VECTOR, "m: {type: Invert}"),
    "Scale": (_IMAGE, "m: {type: Scale, dim0: 4, dim1: 9}"),
    "Frame": (_IMAGE, "m: {type: Frame, dim0: 2, dim1: 3, dim2: 4}"),
    "LeakyReLU": (_VECTOR, "m: {type: LeakyReLU, leakyness: 0.3}"),
    "ELU": (_VECTOR, "m: {type: ELU, alpha: 0.5}"),
    "SoftPlus": (_VECTOR, "m: {type: SoftPlus, beta: 2.0}"),
    "Threshold": (_VECTOR, "m: {type: Threshold, thresh: 0.5, val: -1.0}"),
    "Softmax": (_VECTOR, "m: {type: Softmax}"),
    "Accumulate": (_VECTOR, "a: {type: Tanh}", "m: {type: Accumulate, after: [x, a, x]}"),
    "Average": (_VECTOR, "a: {type: Tanh}", "m: {type: Average, after: [a, x]}"),
    "Multiply": (_VECTOR, "a: {type: Tanh}", "m: {type: Multiply, after: [a, x]}"),
    "Concat": (_IMAGE, "a: {type: Tanh}", "m: {type: Concat, dim: 2, after: [x, a]}"),
    "Split": (
        _VECTOR,
        "m: {type: Split, split: [2, 3]}",
        "a: {type: Tanh, after: m.2}",
        "b: {type: Concat, after: [a, m.0]}",
    ),
    "Grid": (_IMAGE, "m: {type: Grid, x: 3, y: 2, strideX: 2}"),
    "DuelJoin": (
        _VECTOR,
        "v: {type: Linear, output: 1}",
        "a: {type: Linear, output: 4, after: x}",
        "m: {type: DuelJoin, after: [v, a]}",
    ),
    "NormalizedAdvantageFunction": (
        _VECTOR,
        "action: {type: Linear, output: 2}",
        "mu: {type: Linear, output: 2, after: x}",
        "flat: {type: Linear, output: 4, after: x}",
        "matrix: {type: Reshape, shape: [2, 2]}",
        "m: {type: NormalizedAdvantageFunction, after: [action, mu, matrix]}",
    ),
    "Dropout": (_VECTOR, "m: {type: Dropout, rate: 0.5}"),
    "DropPath": (_VECTOR, "m: {type: DropPath, rate: 0.5}"),
    "LRN": (_IMAGE, "m: {type: LRN, size: 3, alpha: 0.1, k: 2.0}"),
    "BatchNormalization": (_IMAGE, "m: {type: BatchNormalization}"),
    "Normalization": (_IMAGE, "m: {type: Normalization, mean: 0.5, stdev: 2.0}"),
    "Denormalization": (_VECTOR, "m: {type: Denormalization, mean: 0.5, stdev: 2.0}"),
    "LSTM": (_TIME, "m: {type: LSTM, output: 3, layers: 2}", "last: {type: Tanh, after: m.hidden}"),
    "GRU": (_TIME, "m: {type: GRU, output: 3, bidirectional: true}"),
    "LayerNorm": (_TIME, "m: {type: LayerNorm}"),
    "Embedding": (
        "x: {type: Input, shape: [4]}",
        "r: {type: ReLU}",
        "m: {type: Embedding, entries: 9, output: 3}",
    ),
    "MultiheadAttention": (
        _TIME,
        "m: {type: MultiheadAttention, heads: 2}",
        "w: {type: Tanh, after: m.weights}",
    ),
    "MultivariateGaussian": (
        _VECTOR,
        "m: {type: MultivariateGaussian, stdevActivation: SoftPlus}",
        "a: {type: Tanh, after: m.mean}",
        "b: {type: Concat, after: [m, a, m.stdev]}",
    ),
    "GaussianSampler": (_VECTOR, "m: {type: GaussianSampler}"),
}
RANDOM = {"GaussianSampler"}  # draw in evaluation, too
BLOCKS = {
    "ConvLayer": ("noOutputPlanes: 4, kernelWidth: 3, kernelHeight: 3", [2, 6, 6]),
    "Fractal-3": ("noInputPlanes: 2, noOutputPlanes: 2", [2, 6, 6]),
    "GRUCell": ("output: 4", [6]),
    "Inception_v1": ("1x1: 2, 3x3reduce: 2, 3x3: 3, 5x5reduce: 2, 5x5: 3, poolproj: 2", [2, 6, 6]),
    "Inception_v2": ("1x1: 2, 3x3reduce: 2, 3x3: 3, 5x5reduce: 2, 5x5: 3, poolproj: 2", [2, 6, 6]),
    "LSTMCell": ("output: 4", [6]),
    "Residual": ("noInputPlanes: 2, noOutputPlanes: 4", [2, 6, 6]),
    "Residual_b": ("noInputPlanes: 2, noFilters: 3, noOutputPlanes: 4", [2, 6, 6]),
}
TYPES = sorted(MODULES)
SHIPPED = sorted(path.stem for path in shipped("networks").rglob("*.yaml"))
ALL = [*TYPES, *(f"network {name}" for name in SHIPPED)]


def text_of(name: str) -> str:
    """A network file for a type of the catalog, or for a block that ships."""
    if name in BLOCKS:
        keys, shape = BLOCKS[name]
        rows: tuple[str, ...] = (f"x: {{type: Input, shape: {shape}}}", f"m: {{type: {name}, {keys}}}")
    else:
        rows = ONE.get(name, (_VECTOR, f"m: {{type: {name}}}"))
    return "modules:\n" + "".join(f"  {row}\n" for row in (*rows, "y: {type: Output}"))


def network(folder: Path, which: str) -> Network:
    """The network of one of `ALL`, in a workspace, with small sizes."""
    name = which.removeprefix("network ")
    if which.startswith("network ") and name not in BLOCKS:
        small = {"hidden": 8, "planes": 4, "vocabulary": 7, "sequenceLength": 5, "blocks": 2}
        known = read(dianne.Workspace(folder).folder.find("networks", name)).parameters
        return dianne.Workspace(folder).describe(name, **{k: v for k, v in small.items() if k in known})
    path = folder / "networks" / "Mine.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text_of(name), encoding="utf-8")
    return dianne.Workspace(folder).describe("Mine")


def stored(folder: Path, found: Network, tag: str = "t") -> Graph:
    """A network with weights that are all different, under a tag; ready to run."""
    graph = found.build(1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for key, value in named_weights(graph).items():
            if value.is_floating_point():
                value.copy_(
                    torch.rand(value.shape, generator=generator) * 0.5
                    + (0.1 if "running_var" in key else -0.2)
                )
                if key.endswith((".running_var", ".stdev")):
                    value.abs_().add_(0.5)
    manifest = Manifest(found.name, found.file.document.text, found.parameters, found.texts())
    Store(folder / "models").put(tag, manifest, named_weights(graph))
    return graph.eval()


def samples(found: Network, graph: Graph, batch: int = 3) -> list[Tensor]:
    """Samples for each input."""
    generator = torch.Generator().manual_seed(3)
    time = (4,) if graph.recurrent else ()
    return [torch.randn(batch, *time, *shape, generator=generator) for shape in found.inputs.values()]


def results(module: torch.nn.Module, given: list[Tensor]) -> list[Tensor]:
    """All results of a network, as a list."""
    torch.manual_seed(4)
    with torch.no_grad():
        found = module(*given)
    return list(found) if isinstance(found, tuple) else [found]
