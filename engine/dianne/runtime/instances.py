"""Instances: networks that a workspace keeps ready under a name, with the weights of a tag."""

from __future__ import annotations

from functools import cached_property
from math import prod
from typing import overload

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from dianne.errors import UsageError
from dianne.jobs.evaluate import stored_network
from dianne.network.graph import Graph, Result
from dianne.network.network import Network
from dianne.network.resolve import restore
from dianne.options import Options
from dianne.plugins import user_code
from dianne.runtime.deployments import Instance as Instance
from dianne.runtime.deployments import find as find
from dianne.runtime.deployments import keep
from dianne.store import Manifest, Store
from dianne.workspace import Folder


class DeployOptions(Options):
    """Which weights, and what to call the instance."""

    tag: str
    """Weights that the instance follows."""
    name: str | None = None
    """Of the instance; the network's name if left out."""


class Deployed:
    """A network with its weights, ready to be called.

    Args:
        instance: what it is.
        version: the identifier of the manifest; "" out of a package, which is in no store.
        manifest: where its weights came from.
        module: the network, in evaluation mode.
    """

    def __init__(self, instance: Instance, version: str, manifest: Manifest, module: Graph):
        self.instance = instance
        self.version = version
        self.manifest = manifest
        self.module = module

    @property
    def input_dims(self) -> tuple[int, ...]:
        """Shape of one sample of the (first) input."""
        return next(iter(self.module.inputs.values()))

    @cached_property
    def output_dims(self) -> list[tuple[int, ...]]:
        """Shape of one result for each output; raises StrategyError if the network cannot be run."""
        time = (1,) if self.module.recurrent else ()
        result = self._call(*(torch.zeros(1, *time, *shape) for shape in self.module.inputs.values()))
        results = result if isinstance(result, tuple) else (result,)
        return [tuple(value.shape[1 + len(time) :]) for value in results]

    @overload
    def forward(self, samples: Tensor) -> Tensor: ...
    @overload
    def forward(self, samples: ArrayLike) -> NDArray[np.float32]: ...
    def forward(self, samples: Tensor | ArrayLike) -> Tensor | NDArray[np.float32]:
        """The network's result for one sample or for a batch.

        Args:
            samples: of the input's shape, or (b, *shape); a tensor, an array or nested lists.

        Returns:
            A tensor for a tensor, else an array; without the batch if there was none.

        Raises:
            UsageError: the shape does not fit.
            StrategyError: a user's own module raises.
        """
        values = samples if isinstance(samples, Tensor) else torch.from_numpy(np.asarray(samples, np.float32))
        batch, single = self.batch_of(values)
        result = self.run(batch)
        result = result[0] if single else result
        return result if isinstance(samples, Tensor) else result.numpy()

    def batch_of(self, values: Tensor) -> tuple[Tensor, bool]:
        """Samples as a batch (b, ...), and whether they were a single one; raises as `forward`."""
        values = values.to(torch.float32)
        single = values.shape == self.input_dims
        batch = prod(values.shape[1:]) == prod(self.input_dims)
        if values.dim() <= len(self.input_dims) and not single and not batch:
            name = f"{self.instance.network}.{next(iter(self.module.inputs))}"
            raise UsageError(f"{name} takes samples of {list(self.input_dims)}, got {list(values.shape)}")
        return (values.unsqueeze(0) if single else values), single

    def run(self, batch: Tensor) -> Tensor:
        """Results (b, ...) for a batch; raises as `forward`."""
        result = self._call(batch)
        if not isinstance(result, Tensor):
            raise UsageError(f"{self.instance.network} has several outputs; call its module")
        return result

    def _call(self, *samples: Tensor) -> Result:
        with user_code(f"running {self.instance.network}"), torch.inference_mode():
            result: Result = self.module(*samples)
        return result


def deploy(folder: Folder, network: str, tag: str, name: str | None = None) -> Deployed:
    """Build a network with the weights of a tag, check them, and keep it as an instance.

    Raises:
        UsageError: there is no such tag.
        StoreError: the weights are spoilt or do not fit.
        StrategyError: a user's own module raises.
    """
    instance = Instance(name or network, network, tag)
    deployed = load(folder, instance)
    _ = deployed.output_dims  # what cannot be run is not kept
    keep(folder, instance)
    return deployed


def load(folder: Folder, instance: Instance) -> Deployed:
    """Bring an instance up with the newest weights of its tag; raises as `deploy`."""
    store = Store(folder.models)
    version = store.resolve(instance.network, instance.tag)
    manifest = store.read_manifest(version)
    source = f"{instance.network}:{instance.tag}"
    with user_code(f"bringing up {source}"):
        module = stored_network(store, manifest, source)
    return Deployed(instance, version, manifest, module)


def network_of(folder: Folder, instance: Instance) -> Network:
    """The network of an instance as it was when its weights were learned; raises as `deploy`."""
    manifest = Store(folder.models).manifest(instance.network, instance.tag)
    return restore(manifest.text, manifest.network, manifest.parameters, manifest.texts, manifest.overrides)
