"""Networks on their way to torch: code with weights, programs of torch.export, weights alone."""

from __future__ import annotations

import warnings
from pathlib import Path

import safetensors.torch
import torch

from dianne.errors import DianneError, UsageError
from dianne.interop.folders import write_all
from dianne.interop.formats import Outgoing, exports
from dianne.interop.package import example
from dianne.interop.torch_module import code_of, plain_weights
from dianne.store import named_weights


@exports("torch")
def write_code(leaving: Outgoing, out: Path) -> None:
    """Write a folder, or a zip, with `model.py` that needs torch alone, and `weights.safetensors`.

    Raises:
        ConfigError: the network holds classes of a user's own.
    """
    code, _, names = code_of(leaving.network)
    weights = safetensors.torch.save(plain_weights(leaving.module, names))
    write_all({"model.py": code.encode(), "weights.safetensors": weights}, out)


@exports("safetensors", ".safetensors")
def write_weights(leaving: Outgoing, out: Path) -> None:
    """Write the weights under the names that they have here."""
    manifest = leaving.manifest
    note = {"network": manifest.network, "tag": leaving.tag, "format": "pt"}
    tensors = {name: value.clone().contiguous() for name, value in named_weights(leaving.module).items()}
    out.write_bytes(safetensors.torch.save(tensors, note))


@exports("pt2", ".pt2")
def write_program(leaving: Outgoing, out: Path) -> None:
    """Write a program of torch.export that takes batches of any size.

    Raises:
        DianneError: the network runs step by step, or torch cannot trace it.
    """
    if leaving.module.recurrent:
        raise UsageError(
            f"{leaving.network.name} runs step by step, which a program of torch.export does not; "
            "--format torch writes it"
        )
    found = example(leaving.module)
    inputs = tuple(found[f"input.{name}"] for name in leaving.module.inputs)
    batch = torch.export.Dim("batch")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, about the weights of its own LSTM
            shapes = {"samples": tuple({0: batch} for _ in inputs)}
            program = torch.export.export(leaving.module, inputs, dynamic_shapes=shapes)
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise DianneError(f"{leaving.network.name}: torch.export cannot trace it: {reason}") from error
    torch.export.save(program, out)
