"""What every kind of job does first: find what was named, and check all of it before anything runs."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic.alias_generators import to_snake

from dianne.binding import TYPED, Bound, Consumer, Given, ModuleKeys, native
from dianne.criteria import CRITERIA, Criterion
from dianne.data.adapter_options import AdapterOptions, adapter_keys, labels_after
from dianne.data.descriptor import Described, Range
from dianne.data.descriptor import read as read_descriptor
from dianne.errors import ConfigError, DianneError, Problem, UsageError
from dianne.learning.strategy import LearningStrategy
from dianne.network.arguments import schema
from dianne.network.file import NetworkFile, Node, read
from dianne.network.library import Library
from dianne.network.network import Network
from dianne.network.resolve import resolve
from dianne.options import keys
from dianne.workspace import Folder


@dataclass(frozen=True)
class Recorded:
    """What the files of a job said when it began; they count in place of those that are there now.

    Attributes:
        texts: of its networks and those inside them, by name.
        descriptor: of its dataset.
    """

    texts: Mapping[str, str]
    descriptor: str

    def described(self, folder: Folder, dataset: str) -> Described:
        """The dataset as it was described; its files are looked for where its descriptor is now."""
        return read_descriptor(folder.find("datasets", dataset), self.descriptor)


@dataclass(frozen=True)
class Member:
    """A network of a job, its role, its file as read, and whether it learns."""

    role: str
    file: NetworkFile

    trains: bool = True

    @property
    def name(self) -> str:
        """The network's name."""
        return self.file.name

    @property
    def training(self) -> str:
        """The consumer of the options of its training."""
        return f"{self.role}.training"


def new_identifier() -> str:
    """A name for a job that no other has."""
    return uuid.uuid4().hex[:12]


def names_of(networks: str | Iterable[str]) -> list[str]:
    """Network names from `Encoder,Decoder` or from a list."""
    parts = networks.split(",") if isinstance(networks, str) else list(networks)
    names = [part.strip() for part in parts]
    if not all(names):
        raise UsageError(f"'{','.join(names)}' has an empty network name; write Encoder,Decoder")
    return names


def check_number(strategy: type, roles: tuple[str, ...], names: list[str]) -> None:
    """Raise UsageError if there are more or fewer networks than roles."""
    if len(names) != len(roles):
        wanted = f"{len(roles)} network{'s' if len(roles) > 1 else ''} ({', '.join(roles)})"
        raise UsageError(f"{strategy.__name__} takes {wanted}, found {len(names)}: {', '.join(names)}")


def members(strategy: type[LearningStrategy], files: list[NetworkFile]) -> list[Member]:
    """Give each network its role.

    Raises:
        UsageError: there are more or fewer networks than roles, or one network learns in two of them.
    """
    check_number(strategy, strategy.roles, [file.name for file in files])
    roles = zip(strategy.roles, files, strict=True)
    team = [Member(role, file, role not in strategy.untrained) for role, file in roles]
    learning = [member.name for member in team if member.trains]
    twice = [name for n, name in enumerate(learning) if name in learning[:n]]
    if twice:
        raise UsageError(f"{twice[0]} is named twice; every role that learns needs a network of its own")
    return team


def parameters_of(team: list[Member]) -> list[Consumer]:
    """Who reads the parameters of networks; options can be aimed at each by its name and its roles."""
    files = {member.name: member.file for member in team}
    roles = {name: [member.role for member in team if member.name == name] for name in files}
    return [Consumer(name, file.options(), (name, *roles[name])) for name, file in files.items()]


def read_networks(folder: Folder, names: list[str], library: Library | None = None) -> list[NetworkFile]:
    """The files of networks by name, those of a library first; raises UsageError for one that is nowhere."""
    known = {name: library.file(name) for name in names} if library else {}
    return [known.get(name) or read(folder.find("networks", name)) for name in names]


def module_keys(team: list[Member], library: Library, given: Mapping[str, Any]) -> ModuleKeys:
    """The keys of modules that options can set: by a module's name or type, maybe behind its network's."""
    found: dict[str, list[tuple[str, str]]] = {}
    if not any("." in key for key in given):
        return found
    for member in team:
        for node in member.file.nodes:
            for key in _keys_of(node, library):
                for who in dict.fromkeys((node.name, node.type)):
                    for prefix in ("", f"{member.name}.", f"{member.role}."):
                        targets = found.setdefault(f"{prefix}{who}.{key}", [])
                        if (member.name, f"{who}.{key}") not in targets:
                            targets.append((member.name, f"{who}.{key}"))
    return found


def _keys_of(node: Node, library: Library) -> Iterable[str]:
    try:
        kind = library.find(node.type)
    except DianneError:
        return []  # said in full when the network is checked
    return keys(kind.options() if isinstance(kind, NetworkFile) else schema(kind))  # type: ignore[arg-type]


def resolve_networks(team: list[Member], bound: Bound, library: Library) -> dict[str, Network]:
    """All networks with their parameters filled in.

    Raises:
        ConfigError: what is wrong with any of their files, together.
    """
    resolved: dict[str, Network] = {}
    faults: list[ConfigError] = []
    for member in {member.name: member for member in team}.values():
        try:
            resolved[member.name] = resolve(
                member.file,
                bound.get(member.name).model_dump(),
                library,
                bound.overrides.get(member.name),
            )
        except ConfigError as error:
            faults.append(error)
    if len(faults) == 1:
        raise faults[0]
    if faults:
        problems: list[Problem] = [problem for fault in faults for problem in fault.problems]
        raise ConfigError(" and ".join(fault.source for fault in faults), problems)
    return resolved


def layered(*layers: tuple[str, Mapping[str, Any]]) -> dict[str, Given]:
    """Values of several origins in one; later layers win."""
    return {
        key: value if isinstance(value, Given) else Given(value, origin)
        for origin, values in layers
        for key, value in values.items()
    }


def plain(value: Any) -> Any:
    """A value without its origin."""
    return value.value if isinstance(value, Given) else value


def typed(options: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The layer of what the user gave."""
    return (TYPED, {key: native(value) for key, value in options.items() if value is not None})


def choose_range(bound: Bound, described: Described, word: str, part_name: str) -> Range:
    """The samples of a job: `range`, or the `word` that means the same, or a part that the dataset names.

    What was chosen for the user is written into the settings.

    Raises:
        UsageError: both options are given.
    """
    data = bound.get("data")
    given: list[Range] = [found for key in ("range", to_snake(word)) if (found := getattr(data, key))]
    if len(given) == 2:
        raise UsageError(f"range and {word} mean the same; give one of them")
    if given:
        return given[0]
    settings = {setting.key: setting for setting in bound.settings}
    part = described.descriptor.parts.get(part_name)
    if part is None:
        return Range("all")
    settings["range"].value = part
    settings["range"].origin = f"part '{part_name}' of {described.name}"
    return part


def criterion_of(bound: Bound, options: Any) -> Criterion | None:
    """The criterion that a strategy's options name, with its own options; None if they name none."""
    name = getattr(options, "criterion", None)
    return CRITERIA.get(name)(bound.find(name)) if name else None


def labels_of(described: Described, options: Mapping[str, Any]) -> list[str] | None:
    """The classes that targets name, once the samples are adapted as descriptor and job ask."""
    found = described.labels
    for adapters in described.descriptor.adapters:
        found = labels_after(found, adapters)
    known = {key: plain(options[key]) for key in adapter_keys() if key in options}
    try:
        return labels_after(found, AdapterOptions.model_validate(known))
    except ValidationError:
        return found  # binding says what is wrong


def as_written(bound: Bound) -> dict[str, Any]:
    """The options that differ from their defaults, whoever chose them, as a user writes them."""
    return {key: written(value) for key, value in bound.given().items()}


def given_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that a user gave, as they are written to run the job again; the strategy stands apart."""
    found = {key: plain(value) for key, value in options.items() if key != "strategy"}
    return {key: written(value) for key, value in found.items() if value is not None}


def written(value: Any) -> Any:
    """A value as a user writes it."""
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    value = native(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)
