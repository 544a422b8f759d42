"""torch's compiler, loaded only where something is compiled.

Optimizers and tensors without data load it to tell it that it must not look inside them. Every command that
learns or looks at a network would begin with a second of that.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

NAME = "torch._dynamo"


def put_off() -> None:
    """Load the compiler when it is first used, in a process that is ours alone."""
    sys.modules.setdefault(NAME, _Later(NAME))


class _Later(ModuleType):
    """Stands where the compiler will."""

    def __getattr__(self, name: str) -> Any:
        """What is asked for where nothing is compiled; anything else comes from the compiler."""
        loaded = sys.modules.get(NAME) is not self
        if not loaded and name == "disable":
            return lambda function, *_, **__: function
        if not loaded and name == "graph_break":
            return lambda: None
        if name.startswith("__") and name != "__path__":  # asked of all modules, by `inspect` for one
            raise AttributeError(name)
        if not loaded:
            del sys.modules[NAME]
        return getattr(importlib.import_module(NAME), name)
