"""Packages: a network with all that it needs in one file, `Decoder-vae.dianne`.

    package.json            the version of this form, the network's name and tag
    manifest.json           where the weights came from: job, iteration, loss, labels, dataset
    networks/Decoder.yaml   the network, and those inside it
    weights.safetensors     the weights
    example.safetensors     samples, and what the network makes of them
    dataset.yaml            the descriptor of the data, to be read by people

Nothing in a package is ever executed: it names types of the catalog, of torch.nn and of its own networks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from pydantic import BaseModel, TypeAdapter, ValidationError
from safetensors import SafetensorError
from torch import Tensor

from dianne.data.descriptor import describe
from dianne.document import display
from dianne.errors import ConfigError, DataError, UsageError
from dianne.interop.archive import contents, is_zip, names_in
from dianne.interop.folders import write_all
from dianne.interop.formats import Outgoing
from dianne.network.graph import Graph
from dianne.network.library import Library
from dianne.network.network import Network
from dianne.network.resolve import resolve
from dianne.runtime.instances import Deployed, Instance
from dianne.store import Manifest, check_tag, load_weights, named_weights
from dianne.workspace import Folder

ENDING = ".dianne"
FORMAT = 1
_EXAMPLES = 2  # samples in a package
_STEPS = 4  # of each, for a network that runs step by step
_NETWORK = re.compile(r"networks/([A-Za-z0-9_-]{1,100})\.yaml")


class _Head(BaseModel):
    """The content of package.json."""

    format: int
    network: str
    tag: str


@dataclass(frozen=True)
class Package:
    """What a package holds.

    Attributes:
        tag: that the weights had.
        manifest: with the network's text, and those of networks inside.
        weights: by name.
        example: `input.NAME` and `output.NAME`.
        network: with all shapes.
    """

    tag: str
    manifest: Manifest
    weights: Mapping[str, Tensor]
    example: Mapping[str, Tensor]
    network: Network

    def module(self) -> Graph:
        """The network with its weights, in evaluation mode; raises MisfitError."""
        graph = self.network.build(0)
        load_weights(graph, self.weights, "the package")
        return graph.eval()


# --------------------------------------------------------------------------------------------------- writing


def write(folder: Folder, leaving: Outgoing, out: Path) -> None:
    """Write a package; raises DianneError."""
    manifest = leaving.manifest
    entries = asdict(manifest)
    text, texts = entries.pop("text"), entries.pop("texts")
    head = _Head(format=FORMAT, network=manifest.network, tag=leaving.tag)
    files = {
        "package.json": head.model_dump_json(indent=1).encode(),
        "manifest.json": json.dumps({**entries, "parent": None}, indent=1, default=str).encode(),
        **{f"networks/{n}.yaml": t.encode() for n, t in {manifest.network: text, **texts}.items()},
        "weights.safetensors": safetensors.torch.save(_contiguous(named_weights(leaving.module))),
        "example.safetensors": safetensors.torch.save(_contiguous(example(leaving.module))),
    }
    name = manifest.dataset.get("name")
    if name and name in folder.files("datasets"):
        files["dataset.yaml"] = describe(folder, name).document.text.encode()
    write_all(files, out)


def _contiguous(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: value.detach().clone(memory_format=torch.contiguous_format) for name, value in tensors.items()
    }


def example(module: Graph) -> dict[str, Tensor]:
    """Samples from 0 to 1 for each input, always the same, and the results for them."""
    generator = torch.Generator().manual_seed(0)
    time = (_STEPS,) if module.recurrent else ()
    inputs = {
        name: torch.rand(_EXAMPLES, *time, *shape, generator=generator)
        for name, shape in module.inputs.items()
    }
    with torch.inference_mode():
        found = module(*inputs.values())
    results = found if isinstance(found, tuple) else (found,)
    outputs = dict(zip(module.outputs, results, strict=True))
    return {
        **{f"input.{name}": value for name, value in inputs.items()},
        **{f"output.{name}": value for name, value in outputs.items()},
    }


# --------------------------------------------------------------------------------------------------- reading


def is_package(path: Path, head: bytes) -> bool:
    """Whether a file is a package."""
    return is_zip(head) and "package.json" in names_in(path)


def read(path: Path) -> Package:
    """Open a package.

    Raises:
        DianneError: it is spoilt, of a newer version, or names what is not in it.
    """
    shown = display(path)
    if not path.is_file():
        raise UsageError(f"there is no {shown}")
    files = contents(path)
    for name in ("package.json", "manifest.json", "weights.safetensors", "example.safetensors"):
        if name not in files:
            raise DataError(f"{shown}: has no {name}; it is no package, or cut off")
    try:
        head = _Head.model_validate_json(files["package.json"])
        if head.format > FORMAT:
            newer = f"format {head.format}, this one reads up to {FORMAT}"
            raise DataError(f"{shown}: was written by a newer dianne ({newer}); upgrade dianne")
        texts = {
            found[1]: content.decode()
            for name, content in files.items()
            if (found := _NETWORK.fullmatch(name))
        }
        entries = json.loads(files["manifest.json"])
        if not isinstance(entries, dict) or head.network not in texts:
            raise DataError(f"{shown}: has no networks/{head.network}.yaml, or no manifest")
        own = {"network": head.network, "text": texts.pop(head.network), "texts": texts, "parent": None}
        manifest = TypeAdapter(Manifest).validate_python({**entries, **own})
    except (ValidationError, ValueError, RecursionError) as error:
        raise DataError(f"{shown}: its manifest is spoilt: {str(error).splitlines()[0]}") from error
    weights, samples = (
        _tensors(files[f"{name}.safetensors"], f"{shown}/{name}") for name in ("weights", "example")
    )
    network = _resolved(manifest, shown)
    if network.weights > sum(value.numel() for value in weights.values()):
        raise DataError(f"{shown}: {head.network} has {network.weights:,} weights, more than are in it")
    manifest = replace(manifest, texts=network.texts())  # what it does not use is left behind
    return Package(check_tag(head.tag), manifest, weights, samples, network)


def _tensors(content: bytes, source: str) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise DataError(f"{source}.safetensors: is spoilt: {error}") from error


def _resolved(manifest: Manifest, shown: str) -> Network:
    library = Library(texts={**manifest.texts, manifest.network: manifest.text}, user_classes=False)
    try:
        file = library.file(manifest.network)
        assert file is not None
        return resolve(file, manifest.parameters, library, manifest.overrides)
    except ConfigError as error:
        lines = "\n".join(f"  {problem}" for problem in error.problems)
        raise UsageError(f"{shown}: its network cannot be built\n{lines}") from error


def deployed(path: Path) -> Deployed:
    """The network of a package, ready to be called; nothing is written. Raises as `read`."""
    found = read(path)
    instance = Instance(path.stem, found.manifest.network, found.tag)
    return Deployed(instance, "", found.manifest, found.module())


def renamed(package: Package, name: str) -> Package:
    """The same package with another name for its network."""
    text = re.sub(r"^name:.*$", f"name: {name}", package.manifest.text, flags=re.MULTILINE)
    return replace(package, manifest=replace(package.manifest, network=name, text=text))


def differs(package: Package) -> str:
    """What is wrong with the results for the example; "" if they are what they should be."""
    module = package.module()
    inputs = [package.example.get(f"input.{name}") for name in module.inputs]
    if not all(isinstance(value, Tensor) for value in inputs):
        return "it has no example for each input"
    with torch.inference_mode():
        found: Any = module(*inputs)
    for name, value in zip(module.outputs, found if isinstance(found, tuple) else (found,), strict=True):
        wanted = package.example.get(f"output.{name}")
        if wanted is None or wanted.shape != value.shape or not torch.allclose(wanted, value, 1e-4, 1e-5):
            return f"its example gives something else at {name}"
    return ""
