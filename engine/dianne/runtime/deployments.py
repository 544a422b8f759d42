"""Which networks are deployed in a workspace, and under which names. Imports no torch."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from dianne.document import display
from dianne.errors import DianneError, UsageError, suggest
from dianne.workspace import Folder

_LONGEST = 200  # bytes of a name


@dataclass(frozen=True)
class Instance:
    """A deployed network: its name in the workspace, the network, and the tag that it follows."""

    name: str
    network: str
    tag: str


def keep(folder: Folder, instance: Instance) -> None:
    """Note an instance, in place of another of its name; raises DianneError if it cannot be written."""
    path = _path(folder, instance.name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(instance)) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise DianneError(f"{display(path)}: cannot be written: {error.strerror}") from error


def find(folder: Folder, name: str) -> Instance:
    """The instance of that name.

    Raises:
        UsageError: nothing of that name is deployed.
    """
    path = _path(folder, name)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(data, dict) or not all(isinstance(value, str) for value in data.values()):
            raise TypeError  # noqa: TRY301 - one sentence for all that can be wrong
        return Instance(**data)
    except FileNotFoundError:
        raise _missing(path, name) from None
    except OSError as error:
        raise DianneError(f"{display(path)}: cannot be read: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise DianneError(f"{display(path)}: its content was changed; deploy {name} again") from error


def names(folder: Folder) -> list[str]:
    """The names of all instances; raises DianneError if they cannot be listed."""
    place = _place(folder)
    try:
        return sorted(path.stem for path in place.iterdir() if path.suffix == ".json")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DianneError(f"{display(place)}: cannot be read: {error.strerror}") from error


def undeploy(folder: Folder, name: str) -> None:
    """Forget an instance; the weights stay under their tag.

    Raises:
        UsageError: nothing of that name is deployed.
    """
    path = _path(folder, name)
    try:
        path.unlink()
    except FileNotFoundError:
        raise _missing(path, name) from None
    except OSError as error:
        raise DianneError(f"{display(path)}: cannot be removed: {error.strerror}") from error


def _missing(path: Path, name: str) -> UsageError:
    hint = suggest(name, [other.stem for other in path.parent.glob("*.json")], "instances")
    return UsageError(f"'{name}' is not deployed{hint}\n  deploy it with: dianne deploy {name} tag=...")


def _place(folder: Folder) -> Path:
    return folder.state / "instances"


def _path(folder: Folder, name: str) -> Path:
    strange = any(sign in name for sign in "/\\") or name.startswith(".") or not name.isprintable()
    if not name or strange or len(name.encode()) > _LONGEST:
        raise UsageError(f"'{name}' cannot name an instance: write letters, digits, - and _")
    return _place(folder) / f"{name}.json"
