"""Checkpoints of jobs: one file with all that a job needs to go on, and the one before it.

    .dianne/jobs/<id>/checkpoint.safetensors    the newest
    .dianne/jobs/<id>/previous.safetensors      the one before, for when the newest is spoilt

Each is a safetensors file: the tensors, and beside them as JSON in its metadata the job, the iteration, and
the structure of the state, in which tensors are named. A checksum covers every byte. Nothing in it is run.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from dianne.document import display
from dianne.errors import DianneError

FORMAT = 1
NEWEST, PREVIOUS = "checkpoint.safetensors", "previous.safetensors"
_UNKNOWN = b"0" * 64  # in place of the checksum while it is computed
_MARK = b'"sha256":"'
_TYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8",
    torch.bool: "BOOL", torch.complex64: "C64", torch.uint16: "U16", torch.uint32: "U32",
    torch.uint64: "U64", torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2",
}  # fmt: skip


class CheckpointError(DianneError):
    """A checkpoint is missing, spoilt, or of a newer version."""


@dataclass(frozen=True)
class Checkpoint:
    """Where a job stood.

    Attributes:
        recipe: what the job is; see `dianne.jobs.recipe`.
        iteration: how many were done.
        state: of all its parts, in plain values and tensors; None before the first iteration, and at the end.
        finished: whether there is nothing left to do.
    """

    recipe: Mapping[str, Any]
    iteration: int = 0
    state: Mapping[str, Any] | None = None
    finished: bool = False


@dataclass(frozen=True)
class Snapshot:
    """A checkpoint whose tensors are copies, so that it can be written while the job goes on."""

    text: Callable[[], str]
    tensors: dict[str, Tensor]


def snapshot(checkpoint: Checkpoint) -> Snapshot:
    """Copy a checkpoint; quick, as all else is left to `write`."""
    tensors: dict[str, Tensor] = {}
    tree = _encode(checkpoint.state, tensors, {})
    entries = {
        "format": FORMAT,
        "recipe": checkpoint.recipe,
        "iteration": checkpoint.iteration,
        "finished": checkpoint.finished,
        "state": tree,
    }
    return Snapshot(lambda: json.dumps(entries), tensors)


def write(folder: Path, found: Snapshot) -> None:
    """Put a checkpoint into the folder of its job; the newest becomes the one before.

    Raises:
        OSError: it cannot be written; those that are there stay.
    """
    folder.mkdir(parents=True, exist_ok=True)
    newest, temporary = folder / NEWEST, folder / f"{NEWEST}.tmp"
    try:
        with temporary.open("wb") as file:
            for part in _parts(found):
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        if newest.exists():
            newest.replace(folder / PREVIOUS)
        temporary.replace(newest)
        _sync(folder)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def finish(folder: Path, recipe: Mapping[str, Any], iteration: int) -> None:
    """Leave a note that a job is finished in place of its checkpoints; raises as `write`."""
    write(folder, snapshot(Checkpoint(recipe, iteration, finished=True)))
    (folder / PREVIOUS).unlink(missing_ok=True)


def read(folder: Path, note: Callable[[str], None] = lambda _: None) -> Checkpoint:
    """The newest checkpoint of a job that is whole.

    Args:
        folder: of the job.
        note: told if it is not the newest.

    Raises:
        CheckpointError: there is none, or it was written by a newer dianne.
    """
    faults = []
    for name in (NEWEST, PREVIOUS):
        path = folder / name
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise CheckpointError(f"{display(path)}: cannot be read: {error.strerror}") from error
        try:
            found = _unpack(content, path)
        except (ValueError, KeyError, TypeError, SafetensorError):
            faults.append(f"{display(path)}: its content was changed")
            continue
        for fault in faults:
            note(f"{fault}; going on from the checkpoint before it, of iteration {found.iteration:,}")
        return found
    if faults:
        raise CheckpointError("; ".join(faults) + "; there is no other checkpoint to go on from")
    raise CheckpointError(
        f"there is no checkpoint in {display(folder)}/; jobs with checkpointInterval=0 write none"
    )


# ------------------------------------------------------------------------------------------------- the file


def _parts(found: Snapshot) -> list[bytes | memoryview]:
    """What the file is made of: header, then tensors, largest elements first, so that all are aligned."""
    header: dict[str, Any] = {"__metadata__": {"sha256": _UNKNOWN.decode(), "dianne": found.text()}}
    parts: list[memoryview] = []
    end = 0
    for name, tensor in sorted(found.tensors.items(), key=lambda item: -item[1].element_size()):
        start, end = end, end + tensor.numel() * tensor.element_size()
        kind = _TYPES[tensor.dtype]
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [start, end]}
        parts.append(tensor.reshape(-1).view(torch.uint8).numpy().data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    head = len(text).to_bytes(8, "little") + text
    digest = hashlib.sha256(head)
    for part in parts:
        digest.update(part)
    return [head.replace(_MARK + _UNKNOWN, _MARK + digest.hexdigest().encode(), 1), *parts]


def _unpack(content: bytes, path: Path) -> Checkpoint:
    """The checkpoint in a file; raises ValueError, KeyError or TypeError if a byte of it was changed."""
    size = 8 + int.from_bytes(content[:8], "little")
    head = content[:size]
    at = head.index(_MARK) + len(_MARK)
    digest = hashlib.sha256(head[:at] + _UNKNOWN + head[at + 64 :])
    digest.update(memoryview(content)[size:])
    if digest.hexdigest().encode() != head[at : at + 64]:
        raise ValueError("the checksum is another")
    entries = json.loads(json.loads(head[8:])["__metadata__"]["dianne"])
    if entries["format"] > FORMAT:
        raise CheckpointError(
            f"{display(path)}: was written by a newer dianne (format {entries['format']}, this one reads "
            f"up to {FORMAT}); upgrade dianne"
        )
    tensors = safetensors.torch.load(content)
    state = _decode(entries["state"], tensors)
    return Checkpoint(entries["recipe"], entries["iteration"], state, entries["finished"])


def _sync(folder: Path) -> None:
    """Let what was renamed outlive a loss of power, too, where the file system can do that."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# -------------------------------------------------------------------------------------------- the structure


def _encode(value: Any, tensors: dict[str, Tensor], names: dict[int, str]) -> Any:
    """A value as JSON knows it; tensors are copied, and named in their places."""
    if isinstance(value, Tensor):
        return _named(value, tensors, names)
    if isinstance(value, dict):
        if all(type(key) is str for key in value) and "" not in value:
            return {key: _encode(item, tensors, names) for key, item in value.items()}
        items = [[_encode(key, tensors, names), _encode(item, tensors, names)] for key, item in value.items()]
        return {"": "dict", "items": items}
    if isinstance(value, tuple):
        return {"": "tuple", "items": [_encode(item, tensors, names) for item in value]}
    if isinstance(value, list):
        return [_encode(item, tensors, names) for item in value]
    return value


def _named(tensor: Tensor, tensors: dict[str, Tensor], names: dict[int, str]) -> dict[str, Any]:
    name = names.get(id(tensor))
    if name is None:
        name = names[id(tensor)] = str(len(tensors))
        tensors[name] = tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
    found = {"": "tensor", "name": name}
    if not tensor.is_contiguous() and tensor.is_contiguous(memory_format=torch.channels_last):
        found["order"] = "channels_last"  # so that kernels go through it as before
    return found


def _decode(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_decode(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    kind = value.get("")
    if kind == "tensor":
        order = torch.channels_last if "order" in value else torch.contiguous_format
        return tensors[value["name"]].clone(memory_format=order)
    if kind == "tuple":
        return tuple(_decode(item, tensors) for item in value["items"])
    if kind == "dict":
        return {_decode(key, tensors): _decode(item, tensors) for key, item in value["items"]}
    return {key: _decode(item, tensors) for key, item in value.items()}
