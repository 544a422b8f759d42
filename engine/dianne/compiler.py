"""torch's compiler, and the algebra of sizes that it needs, loaded only where something is compiled.

Optimizers load the compiler to tell it that it must not look inside them, tensors without data the algebra,
to see that their sizes are numbers. Every command that learns or looks at a network would begin with more
than a second of that.
"""

from __future__ import annotations

import importlib
import operator
import sys
from collections.abc import Callable, Mapping
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

Answer = Callable[..., Any]


def _same(value: Any, *_: Any, **__: Any) -> Any:
    return value


_DECIDED = ("expect_true", "guard_or_false", "guard_or_true", "guard_size_oblivious", "statically_known_true")
_OF_NUMBERS: dict[str, Answer] = {
    **dict.fromkeys((*_DECIDED, "guard_int", "guarding_hint_or_throw"), _same),
    "has_guarding_hint": lambda _: True,
    "is_nested_int": lambda _: False,
    "sym_and": lambda *found: all(found),
    "sym_or": lambda *found: any(found),
    "sym_eq": operator.eq,
}


def put_off() -> None:
    """Load these when they are first needed, in a process that is ours alone."""
    compiler = {"disable": _same, "graph_break": lambda: None}
    formula = type("Basic", (), {})  # nothing is one before the algebra is loaded
    for later in (
        _Later("torch._dynamo", compiler),
        _Later("torch.fx.experimental.symbolic_shapes", _OF_NUMBERS, package=False),
        _Later("sympy", {"Basic": formula}),
    ):
        sys.modules.setdefault(later.__name__, later)


class _Later(ModuleType):
    """Stands where a module will.

    Args:
        name: of the module.
        known: the functions and classes that are asked for where nothing is compiled; all else loads it.
        package: whether there are modules inside.
    """

    def __init__(self, name: str, known: Mapping[str, Any], package: bool = True):
        super().__init__(name)
        self.__spec__ = ModuleSpec(name, None, is_package=package)  # for those who ask whether it is there
        self._known = known
        self._package = package

    def __getattr__(self, name: str) -> Any:
        waiting = sys.modules.get(self.__name__) is self
        if waiting and name in self._known:
            known = self._known[name]
            return known if isinstance(known, type) else self._answer(name, known)
        if name.startswith("__") and not (name in ("__path__", "__version__") and self._package):
            raise AttributeError(name)  # asked of all modules, by `inspect` for one
        if waiting:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)

    def _answer(self, name: str, known: Answer) -> Answer:
        """A function that whoever keeps it can go on calling once the module is loaded."""

        def answer(*arguments: Any, **named: Any) -> Any:
            found = sys.modules.get(self.__name__)
            chosen = known if found is self or found is None else getattr(found, name)
            return chosen(*arguments, **named)

        return answer
