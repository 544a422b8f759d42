"""Weights of torch on their way into a network: a mapping of names is found, shown, and then applied."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from dianne.document import display
from dianne.errors import DataError, UsageError
from dianne.interop.archive import is_zip, names_in
from dianne.interop.formats import ImportOptions, Incoming, imports
from dianne.network.network import Network
from dianne.store import named_weights

KIND = "weights of torch"
_PREFIXES = ("module.", "model.", "_orig_mod.", "network.")
_WRAPPERS = ("state_dict", "model_state_dict", "model")
_PARTS = ("weight", "bias", "running_mean", "running_var")  # in the order of torch's layers
_STATES = "expected a model's state_dict(), as torch.save writes it"
_LONGEST = 100_000_000  # bytes of the head of a safetensors file, as its library has it


@dataclass(frozen=True)
class Match:
    """Which tensor of a file becomes which weight, and how that was found: by name, order or shape."""

    weight: str
    source: str
    shape: tuple[int, ...]
    by: str


# What a spoilt file ends in, deep in the libraries that read it.
_SPOILT = (
    SafetensorError, zipfile.BadZipFile, RuntimeError, ValueError, EOFError, KeyError, TypeError,
    AttributeError, IndexError,
)  # fmt: skip


def _is_weights(path: Path, head: bytes) -> bool:
    if is_zip(head):
        return any(name.rpartition("/")[2] == "data.pkl" for name in names_in(path))
    length = int.from_bytes(head[:8], "little")
    return head[:2] == b"\x80\x02" or (head[8:9] == b"{" and 2 <= length < _LONGEST)


@imports(KIND, _is_weights)
def read(path: Path, _: ImportOptions) -> list[Incoming]:
    """Refuse: weights alone are no network; `into_network` takes them."""
    raise UsageError(
        f"{display(path)}: holds weights alone; name the network that takes them, such as into=MLP"
    )


def into_network(path: Path, network: Network, tag: str) -> tuple[Incoming, list[Match]]:
    """The weights of a file as those of a network.

    Args:
        path: a safetensors file, or a state dict that torch.save has written.
        network: with all shapes.
        tag: for the weights.

    Raises:
        DianneError: the file is spoilt, or it cannot be told which tensor is which weight.
    """
    found, ordered = _tensors(path)
    weights = named_weights(network.build(0))
    wanted = {
        name: tuple(value.shape)
        for name, value in weights.items()
        if name in found or not name.endswith(".fitted")
    }
    matches = match(
        wanted, {name: tuple(value.shape) for name, value in found.items()}, display(path), ordered
    )
    for one in matches:
        weights[one.weight] = found[one.source].to(weights[one.weight].dtype)
        if one.weight.endswith(".stdev"):
            weights[one.weight.removesuffix("stdev") + "fitted"] = torch.tensor(True)
    incoming = Incoming(
        network.name,
        {network.name: network.file.document.text, **network.texts()},
        {tag: weights},
        parameters=network.parameters,
        job={
            "format": "torch",
            "source": display(path),
            "mapping": {one.weight: one.source for one in matches},
        },
        labels=network.labels,
    )
    return incoming, matches


def _tensors(path: Path) -> tuple[dict[str, Tensor], bool]:
    """The tensors of a file, and whether their order says anything.

    A pickle in it may hold tensors and plain values, and nothing is called. A safetensors file does not keep
    the order, but numbers in names (those of a Sequential) tell it.
    """
    with path.open("rb") as file:
        head = file.read(9)
    if is_zip(head) and any("/code/" in name for name in names_in(path)):
        raise DataError(f"{display(path)}: holds a program of TorchScript; {_STATES}")
    try:
        if head[8:9] == b"{":
            found: Any = safetensors.torch.load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = f"it holds more than tensors; {_STATES}"
        raise DataError(f"{display(path)}: cannot be read as weights: {reason}") from error
    except _SPOILT as error:
        raise DataError(f"{display(path)}: cannot be read as weights: it is cut off or spoilt") from error
    for key in _WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    entries = found if isinstance(found, Mapping) else {}
    kept = {str(name): value for name, value in entries.items() if isinstance(value, Tensor)}
    kept = {name: value for name, value in kept.items() if not name.endswith("num_batches_tracked")}
    for prefix in _PREFIXES:
        if kept and all(name.startswith(prefix) for name in kept):
            kept = {name.removeprefix(prefix): value for name, value in kept.items()}
    if not kept:
        raise DataError(f"{display(path)}: holds no tensors by name; {_STATES}")
    numbered = all(re.fullmatch(r"(\d+\.)+\w+", name) for name in kept)
    if numbered:
        kept = dict(sorted(kept.items(), key=lambda item: _place(item[0])))
    return kept, numbered or head[8:9] != b"{"


def _place(name: str) -> tuple[list[int], int, str]:
    *numbers, last = name.split(".")
    return [int(number) for number in numbers], _PARTS.index(last) if last in _PARTS else len(_PARTS), last


def match(
    wanted: Mapping[str, tuple[int, ...]],
    found: Mapping[str, tuple[int, ...]],
    source: str,
    ordered: bool = True,
) -> list[Match]:
    """Which tensor is which weight: by name; what is left by order, if all shapes agree, or by unique shapes.

    Args:
        wanted: shapes of weights by name.
        found: shapes of tensors by name.
        source: the file, for messages.
        ordered: whether the order of tensors says anything.

    Raises:
        UsageError: something is left over, or could be one as well as another; lists all of it.
    """
    by = {name: (name, "name") for name, shape in wanted.items() if found.get(name) == shape}
    left = [name for name in wanted if name not in by]
    spare = [name for name in found if name not in by]
    if ordered and [wanted[name] for name in left] == [found[name] for name in spare]:
        by |= {name: (other, "order") for name, other in zip(left, spare, strict=True)}
    else:
        shapes = {found[name]: name for name in spare}
        own = [wanted[name] for name in left]
        unique = len(shapes) == len(spare) == len(left) == len(set(own))
        if not unique or set(own) != shapes.keys():
            _refuse(wanted, found, left, spare, source)
        by |= {name: (shapes[wanted[name]], "shape") for name in left}
    return [Match(name, by[name][0], shape, by[name][1]) for name, shape in wanted.items()]


def _refuse(
    wanted: Mapping[str, tuple[int, ...]],
    found: Mapping[str, tuple[int, ...]],
    left: list[str],
    spare: list[str],
    source: str,
) -> None:
    lines = [f"  {name} {list(wanted[name])}: has no tensor" for name in left]
    lines += [f"  {name} {list(found[name])}: is no weight of the network" for name in spare]
    text = "\n".join(lines)
    raise UsageError(f"{source}: cannot tell which tensor is which weight; nothing was stored\n{text}")
