"""Named components: a decorator beside the class is all it takes to be found, listed and tested."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from dianne.errors import UsageError, suggest

T = TypeVar("T")
C = TypeVar("C")


class Registry(Generic[T]):
    """Components of one kind by name; names are found whatever their case and spaces.

    Args:
        kind: what the components are, as a message calls one ("criterion").
        foreign: makes a component of a dotted name, such as `torch.optim.RAdam`; raises UsageError.
    """

    def __init__(self, kind: str, foreign: Callable[[str], T] | None = None):
        self.kind = kind
        self.foreign = foreign
        self._components: dict[str, T] = {}
        self._spelling: dict[str, str] = {}

    def register(self, name: str) -> Callable[[C], C]:
        """Decorator that files a component under `name`.

        Raises:
            ValueError: the name is taken.
        """

        def file(component: C) -> C:
            if _key(name) in self._spelling:
                raise ValueError(f"{self.kind} '{name}' is registered twice")
            self._spelling[_key(name)] = name
            self._components[name] = component  # type: ignore[assignment]  # a class stands for its protocol
            return component

        return file

    def spelling(self, name: str) -> str:
        """The registered spelling of a name, so that `adam` gives `ADAM`.

        Raises:
            UsageError: there is no such component; names the nearest.
        """
        if self.foreign and "." in name and _key(name) not in self._spelling:
            self.foreign(name)
            return name
        try:
            return self._spelling[_key(name)]
        except KeyError:
            raise UsageError(f"unknown {self.kind} '{name}'{suggest(name, self)}") from None

    def get(self, name: str) -> T:
        """The component of that name; raises as `spelling` does."""
        spelling = self.spelling(name)
        if self.foreign and spelling not in self._components:
            return self.foreign(name)
        return self._components[spelling]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and _key(name) in self._spelling

    def __iter__(self) -> Iterator[str]:
        return iter(self._components)

    def items(self) -> Iterator[tuple[str, T]]:
        """Names and components, in the order of registration."""
        return iter(self._components.items())


def _key(name: str) -> str:
    return name.replace(" ", "").lower()
