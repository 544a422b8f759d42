"""The module types that a network file can name.

A type is a `torch.nn.Module` with `@MODULES.register("Name")` beside it. Its constructor's signature is the
schema of its keys. More can be said by the class:

* `inferred`: names of arguments that may be left out of a file;
* `infer(*shapes)`: a class method that gives these from the shapes of what comes in (samples, without the
  batch), and raises `ValueError` for shapes that the module does not take, in words that continue
  "module (Type): ...";
* `joins = True`: `forward` takes several tensors;
* `ports`: names for the parts of a result that is a tuple, or that `port(result, name)` takes apart;
  `use_ports()` is called where a file uses one;
* `stateful = True`: it runs over sequences [time, ...] of any length and can go on where one ended:
  `zero_state(batch, like)` gives the state before a sequence, tensors by name with the batch first, and
  `unroll(*sequences, state=state)` the result and the state behind it.

All modules compute on batches: the first dimension of every tensor is the batch. In docstrings `b` is the
batch; shapes leave it out unless it is written.
"""

from torch import nn

from dianne.network.catalog import (
    activations,
    combine,
    convolution,
    layers,
    pooling,
    regularization,
    sequences,
    shapes,
    variational,
)
from dianne.network.catalog.registry import MODULES, infer, inferable, joins, pick, port_names

__all__ = ["FAMILIES", "MODULES", "infer", "inferable", "joins", "pick", "port_names", "samplewise"]
FAMILIES = (
    layers, convolution, pooling, shapes, activations, combine, regularization, sequences, variational,
)  # fmt: skip
"""The files of the catalog, in the order in which they are told about; importing one registers its types."""
_SAMPLEWISE = {family.__name__ for family in FAMILIES if family not in (regularization, variational)}


def samplewise(module: nn.Module) -> bool:
    """Whether a module treats each sample by itself and always alike: it knows no batch, and no chance."""
    return type(module).__module__ in _SAMPLEWISE
