"""Where a network file finds the types it names: catalog, torch, a user's classes, other network files."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import nn

from dianne.document import parse
from dianne.errors import ConfigError, UsageError, suggest
from dianne.network.catalog import MODULES
from dianne.network.file import NetworkFile, read, read_document
from dianne.plugins import user_code
from dianne.workspace import Folder

Type = type[nn.Module] | NetworkFile


class Library:
    """Network files by name, each read once.

    Args:
        folder: the workspace whose files count; None for stored texts only.
        texts: network files as they were stored with weights; they hide those of the folder.
        user_classes: whether a type may be a user's own class, for which its module is imported.
    """

    def __init__(
        self,
        folder: Folder | None = None,
        texts: Mapping[str, str] | None = None,
        user_classes: bool = True,
    ):
        self.root = folder.root if folder else Path()
        self.user_classes = user_classes
        self._texts = dict(texts or {})
        self._paths = folder.files("networks") if folder else {}
        self._read: dict[str, NetworkFile] = {}

    def names(self) -> Iterable[str]:
        """All types that a file can name in one word."""
        return [*MODULES, *self.networks()]

    def networks(self) -> Iterable[str]:
        """The names of all network files."""
        return [*self._texts, *self._paths]

    def file(self, name: str) -> NetworkFile | None:
        """The network file of that name, if there is one."""
        if name not in self._read:
            if name in self._texts:
                self._read[name] = read_document(parse(self._texts[name], f"{name} (stored)"), name)
            elif name in self._paths:
                self._read[name] = read(self._paths[name])
        return self._read.get(name)

    def networks_by_name(self, name: str) -> NetworkFile | None:
        """The network file that a type means, if it means one that can be read."""
        if name in MODULES:
            return None
        try:
            return self.file(name)
        except ConfigError:
            return None  # said in full when the type is looked up

    def find(self, name: str) -> Type:
        """What a type name means.

        Raises:
            UsageError: nothing of that name; names the nearest.
            StrategyError: a user's module cannot be imported.
        """
        if name in MODULES:
            return MODULES.get(name)
        if name.startswith("torch.nn."):
            return _torch(name)
        if ":" in name:
            if not self.user_classes:
                raise UsageError(
                    f"'{name}' is a class of somebody's program, which a file from elsewhere may not name"
                )
            return self._of_user(*name.split(":", 1))
        found = self.file(name)
        if found is None:
            raise UsageError(f"unknown type '{name}'{suggest(name, self.names(), 'types')}")
        return found

    def _of_user(self, module: str, class_name: str) -> type[nn.Module]:
        root = str(self.root.resolve())
        if root not in sys.path:
            sys.path.insert(0, root)
        with user_code(f"importing {module}"):
            imported = importlib.import_module(module)
        if not hasattr(imported, class_name):
            classes = [key for key, value in vars(imported).items() if isinstance(value, type)]
            raise UsageError(f"{module} has no class '{class_name}'{suggest(class_name, classes, 'classes')}")
        return _checked(getattr(imported, class_name), f"{module}:{class_name}")


def _torch(name: str) -> type[nn.Module]:
    last = name.removeprefix("torch.nn.")
    found = getattr(nn, last, None)
    if found is None:
        classes = [key for key, value in vars(nn).items() if isinstance(value, type)]
        raise UsageError(f"torch.nn has no '{last}'{suggest(last, classes)}")
    return _checked(found, name)


def _checked(found: object, name: str) -> type[nn.Module]:
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise UsageError(f"{name} is no class of torch.nn.Module")
    return found
