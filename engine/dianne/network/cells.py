"""Cells of long short-term memory over a whole sequence in one call of torch's own layer.

`LSTMCell` is a network of thirteen modules, step by step. Where it learns on a CPU, the layer computes the
same twice as fast.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from dianne.network.graph import Graph, Wires

# The modules of networks/blocks/LSTMCell.yaml, and what each of them comes after.
_MODULES = {
    "x": ("Input",), "h": ("Memory", "hidden"), "c": ("Memory", "cell"), "both": ("Concat", "x", "h"),
    "gates": ("Linear", "both"), "parts": ("Split", "gates"), "forget": ("Sigmoid", "parts.0"),
    "show": ("Sigmoid", "parts.1"), "admit": ("Sigmoid", "parts.2"), "candidate": ("Tanh", "parts.3"),
    "kept": ("Multiply", "forget", "c"), "added": ("Multiply", "admit", "candidate"),
    "cell": ("Accumulate", "kept", "added"), "bounded": ("Tanh", "cell"),
    "hidden": ("Multiply", "show", "bounded"), "y": ("Output", "hidden"),
}  # fmt: skip
_ORDER = (2, 0, 3, 1)  # of the parts of its gates in torch's layer: admit, forget, candidate, show
_FEW = 4  # steps, for which putting the weights in order is not worth it


def is_cell(modules: Mapping[str, nn.Module], wires: Wires) -> bool:
    """Whether a network is the LSTMCell that ships."""
    found = {name: (type(module).__name__, *wires.after.get(name, ())) for name, module in modules.items()}
    ours = all(type(module).__module__.startswith("dianne.network.catalog.") for module in modules.values())
    return ours and found == _MODULES and vars(modules["parts"])["parts"] == 4


def can_run(cell: Graph, sequence: Tensor) -> bool:
    """Whether the layer may stand in: torch has it for such tensors, and nobody looks inside the cell."""
    plain = cell.get_parameter("gates.weight").dtype == torch.float32 and sequence.device.type == "cpu"
    if not plain or sequence.shape[1] <= _FEW:
        return False
    return not any(module._forward_hooks or module._forward_pre_hooks for module in cell.children())


def run(cell: Graph, sequence: Tensor, state: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """What `unroll` gives.

    Args:
        cell: an LSTMCell.
        sequence: (b, time, n).
        state: h and c, (b, size) each.

    Returns:
        (b, time, size), and the state after it.
    """
    gates: Any = cell.get_submodule("gates")
    size, incoming = state["h"].shape[1], sequence.shape[2]
    weights, biases = gates.weight.split(size), gates.bias.split(size)
    weight = torch.cat([weights[part] for part in _ORDER])
    bias = torch.cat([biases[part] for part in _ORDER])
    parameters = [weight[:, :incoming], weight[:, incoming:], bias, torch.zeros_like(bias)]
    before = [state["h"].float().unsqueeze(0), state["c"].float().unsqueeze(0)]
    with torch.autocast("cpu", enabled=False):  # in float32 the layer is faster than steps in bfloat16
        layer = torch.lstm(sequence.float(), before, parameters, True, 1, 0.0, cell.training, False, True)
    result, h, c = layer
    return result, {"h": h.squeeze(0), "c": c.squeeze(0)}
