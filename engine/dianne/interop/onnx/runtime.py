"""onnxruntime as the judge: does a model compute what a network computes?"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dianne.errors import DianneError, UsageError

TOLERANCE = 1e-5
SCOPES = "pkg.torch.onnx.name_scopes"  # where torch's exporter notes the modules around an operator


class JudgeError(DianneError):
    """onnxruntime cannot run a model."""


@dataclass(frozen=True)
class Difference:
    """How far two computations are from each other.

    Attributes:
        largest: of all values of all outputs, divided by the largest value of the output where that is
            above 1.
        batches: sizes of the batches that were compared.
    """

    largest: float
    batches: list[int]

    def __str__(self) -> str:
        sizes = " and ".join(str(size) for size in self.batches)
        return f"{self.largest:.1e} at most from onnxruntime, on random batches of {sizes}"


def needed(package: str) -> Any:
    """A package of the extra `onnx`.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise UsageError(f"needs {package}: pip install 'dianne[onnx]'") from error


def session(content: bytes) -> Any:
    """A model, ready to run on the CPU.

    Raises:
        JudgeError: onnxruntime does not take it.
    """
    runtime = needed("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # what it says is raised, too
    try:
        return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except refusals() as error:
        raise JudgeError(f"onnxruntime does not take the model: {reason(error)}") from error


def refusals() -> tuple[type[Exception], ...]:
    """What onnxruntime raises; its errors have no common base but these."""
    state = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    raised = [kind for kind in vars(state).values() if isinstance(kind, type)]
    return (*(kind for kind in raised if issubclass(kind, Exception)), RuntimeError, ValueError)


def reason(error: Exception) -> str:
    """The first line of what onnxruntime says, without its numbers."""
    return str(error).split("\n")[0].split(" : ")[-1].strip()


@torch.inference_mode()
def compare(judge: Any, module: nn.Module, batches: Sequence[Sequence[Tensor]], source: str) -> Difference:
    """Compare a network with a model on batches of inputs.

    Args:
        judge: from `session`.
        module: takes the same inputs, in the same order, and gives the same outputs.
        batches: the inputs, several times.
        source: how messages name the network.

    Raises:
        JudgeError: onnxruntime cannot run the model.
        DianneError: they differ by more than 1e-5.
    """
    largest = 0.0
    for inputs in batches:
        entries = zip(judge.get_inputs(), inputs, strict=True)
        given = {
            entry.name: value.numpy().astype(_TYPES.get(entry.type, "float32")) for entry, value in entries
        }
        try:
            theirs = judge.run(None, given)
        except refusals() as error:
            raise JudgeError(f"onnxruntime cannot run the model: {reason(error)}") from error
        result = module(*inputs)
        ours = result if isinstance(result, tuple) else (result,)
        for end, mine, other in zip(judge.get_outputs(), ours, theirs, strict=True):
            largest = max(largest, _distance(mine, torch.from_numpy(other), f"{source}: {end.name}"))
    return Difference(largest, [len(inputs[0]) for inputs in batches])


_TYPES = {
    "tensor(double)": "float64", "tensor(float16)": "float16", "tensor(int64)": "int64",
    "tensor(int32)": "int32",
}  # fmt: skip


def _distance(mine: Tensor, other: Tensor, what: str) -> float:
    if mine.shape != other.shape:
        raise DianneError(f"{what} is {list(mine.shape)} here, and {list(other.shape)} in onnxruntime")
    if not other.numel():
        return 0.0
    wide = other.double()
    found = float((mine.double() - wide).abs().max()) / max(1.0, float(wide.abs().max()))
    if not found <= TOLERANCE:
        raise DianneError(
            f"{what} differs by {found:.1e} from onnxruntime, more than {TOLERANCE:.0e}; nothing was written"
        )
    return found
