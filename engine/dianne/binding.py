"""The one place where `key=value` meets the options that consumers declare.

Every consumer (the job, the strategy, the method, the data, a network's parameters) declares an `Options`
class. `bind` takes the consumers that one job involves, gives each key to all that declare it, refuses what
nobody declares, and remembers where every value came from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ValidationError, create_model

from dianne.document import read_scalar
from dianne.errors import ConfigError, Problem, UsageError, suggest
from dianne.options import Choice, Options, default_of, explain, keys

ModuleKeys = Mapping[str, list[tuple[str, str]]]
"""By key as a user writes it (`Dropout.rate`, `Encoder.hidden1.output`): networks, and the key inside."""
TYPED = "command line"  # the origin of what the user wrote, whether in a shell or in Python


def parse_pairs(words: Iterable[str]) -> dict[str, str]:
    """`key=value` words as a dict; split at the first `=`, the last of equal keys counts.

    Raises:
        UsageError: a word has no `=` or no key.
    """
    pairs = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not sign or not key.strip():
            raise UsageError(f"'{word}' is no option; write key=value")
        pairs[key.strip()] = value  # blanks may belong to a text; numbers are read with them
    return pairs


def native(value: Any) -> Any:
    """A single number of numpy or torch as Python's own; anything else as it is."""
    return value.item() if getattr(value, "ndim", None) == 0 else value


@dataclass(frozen=True)
class Given:
    """A value before it is bound.

    Attributes:
        value: as it was given.
        origin: where it came from: "command line", a strategy's name, a place in a file.
        key_origin: where its key stands, if that is another place.
    """

    value: Any
    origin: str
    key_origin: str = ""


@dataclass(frozen=True)
class Consumer:
    """Who reads options.

    Attributes:
        name: as users know it: a strategy's class name, "job", "data", a network's name.
        options: the class it declares.
        aims: prefixes under which a key can be meant for this consumer alone (`Encoder.learningRate`).
    """

    name: str
    options: type[BaseModel]
    aims: tuple[str, ...] = ()


@dataclass
class Setting:
    """One line of a resolved job."""

    key: str
    value: Any
    origin: str
    readers: list[str] = field(default_factory=list)


OptionsT = TypeVar("OptionsT", bound=BaseModel)


@dataclass
class Bound:
    """Every option of a job: typed objects for the consumers, and the settings for people."""

    settings: list[Setting]
    _objects: dict[str, BaseModel]
    overrides: dict[str, dict[str, Any]] = field(default_factory=dict)
    """For each network the keys of modules that were set, such as {"hidden1.output": 10}."""

    def of(self, consumer: str, options: type[OptionsT]) -> OptionsT:
        """The options of a consumer, as an object of the class that it declared."""
        found = self._objects[consumer]
        assert isinstance(found, options)
        return found

    def get(self, consumer: str) -> BaseModel:
        """The options of a consumer whose class was made on the fly."""
        return self._objects[consumer]

    def find(self, consumer: str) -> BaseModel | None:
        """The options of a consumer, if there is one of that name."""
        return self._objects.get(consumer)

    def given(self) -> dict[str, Any]:
        """What differs from the defaults: enough to run the same job again."""
        return {s.key: s.value for s in self.settings if s.origin != "default"}


def bind(
    source: str,
    consumers: Iterable[Consumer],
    given: Mapping[str, Given],
    networks: Iterable[tuple[str, ...]] = (),
    modules: ModuleKeys | None = None,
) -> Bound:
    """Give every consumer its options.

    A consumer whose field is a `Choice` brings in the chosen component's own options, as a consumer named
    after the component (`ADAM`). Where the choice is one for each network, there is a consumer for each of
    `networks`, named after its first aim (`encoder.ADAM`).

    Args:
        source: how messages name the whole, such as "learn".
        consumers: all that may read options.
        given: by key, plain or aimed (`Encoder.hidden`).
        networks: for each network the prefixes that aim at it: role and name.
        modules: the keys of modules inside networks that can be set, such as `Dropout.rate`.

    Raises:
        ConfigError: keys that nobody declares, values of the wrong kind; all of them at once.
    """
    binder = _Binder(source, dict(given), list(networks), modules or {})
    for consumer in consumers:
        binder.add(consumer)
    return binder.finish()


class _Binder:
    def __init__(
        self, source: str, given: dict[str, Given], networks: list[tuple[str, ...]], modules: ModuleKeys
    ):
        self.source = source
        self.modules = modules
        self.overrides: dict[str, dict[str, Any]] = {}
        self.given = given
        self.networks = networks
        self.known: dict[str, None] = {}
        self.not_chosen: set[str] = set()  # keys of components that a choice left out
        self.consumers: set[str] = set()
        self.readers: dict[str, dict[str, None]] = {}
        self.aims: dict[str, None] = {}
        self.used: set[str] = set()
        self.settings: dict[str, Setting] = {}
        self.objects: dict[str, BaseModel] = {}
        self.problems: dict[Problem, None] = {}

    def add(self, consumer: Consumer) -> None:
        self.consumers.add(consumer.name)
        self.aims.update(dict.fromkeys(consumer.aims))
        fields = keys(consumer.options)
        self.known.update(dict.fromkeys(fields))
        for key in fields:
            if consumer.aims:
                self.readers.setdefault(key, {})[consumer.aims[0]] = None
        source = {key: self._lookup(key, consumer) for key in fields}
        values = {key: self.given[name].value for key, name in source.items() if name}
        bound: BaseModel | None = None
        try:
            bound = consumer.options.model_validate(values)
        except ValidationError as error:
            for detail in error.errors():
                key = str(detail["loc"][0])
                self.problems[Problem(self._where(source[key] or key), explain(detail))] = None
        else:
            self.objects[consumer.name] = bound
        for key, info in fields.items():
            value = getattr(bound, _field(consumer.options, key)) if bound else default_of(info)
            if bound:
                self._note(key, value, source[key], consumer)
            for mark in info.metadata:
                if isinstance(mark, Choice):
                    self._add_choice(key, value, mark, consumer)

    def _add_choice(self, key: str, value: Any, mark: Choice, consumer: Consumer) -> None:
        for name in mark.registry:
            self.not_chosen.update(keys(mark.registry.get(name).Options))
        if not mark.each_network:
            name = f"{consumer.aims[0]}.{value}" if consumer.aims else value
            self.add(Consumer(name, mark.registry.get(value).Options, consumer.aims))
            return
        for aims in self.networks:
            one = _single(key, Choice(mark.registry), value)
            self.add(Consumer(f"{aims[0]}.{key}", one, aims))

    def _lookup(self, key: str, consumer: Consumer) -> str | None:
        """The given key that this consumer reads for its own `key`: an aimed one before the plain one."""
        spellings = (key, _field(consumer.options, key))
        candidates = [f"{aim}.{last}" for aim in consumer.aims for last in spellings] + list(spellings)
        present = [name for name in candidates if name in self.given]
        self.used.update(present)
        aimed = [name for name in present if "." in name]
        order = list(self.given)
        return max(aimed or present, key=order.index, default=None)  # of equals the later counts

    def _note(self, key: str, value: Any, source: str | None, consumer: Consumer) -> None:
        origin = self.given[source].origin if source else "default"
        name = source or key
        if name in self.settings and self.settings[name].value != value:
            name = f"{consumer.aims[0] if consumer.aims else consumer.name}.{key}"
        self.settings.setdefault(name, Setting(name, value, origin)).readers.append(consumer.name)

    def finish(self) -> Bound:
        overridden: list[str] = []
        for key in self.given:
            if key in self.used or self._only_a_default(key):
                continue
            if key in self.modules:
                overridden.append(key)
                continue
            aim, dot, last = key.rpartition(".")
            inside = {known.rpartition(".")[2] for known in self.modules if known.startswith(f"{aim}.")}
            if dot and inside and aim not in self.aims:
                message = f"{aim} has no key '{last}'{suggest(last, inside, 'keys')}"
            elif dot and aim not in self.aims:
                names = {known.rpartition(".")[0] for known in self.modules}
                message = f"nothing here is called '{aim}'{suggest(aim, {*self.aims, *names})}"
            elif dot and last in self.known:
                other = next((found for found in self.readers.get(last, {}) if found != aim), None)
                remedy = f"'{other}' does" if other else f"write it without '{aim}.'"
                message = f"nothing of '{aim}' reads '{last}'; {remedy}"
            else:
                message = f"nothing here reads '{last}'{suggest(last, self.known, 'options')}"
            self.problems[Problem(self._where(key, of_key=True), message)] = None
        if self.problems:
            raise ConfigError(self.source, self.problems)
        # A key for one network counts more than one for all, in whatever order they were given.
        for key in sorted(overridden, key=lambda key: -len(self.modules[key])):
            self._override(key, self.given[key])
        return Bound(list(self.settings.values()), self.objects, self.overrides)

    def _only_a_default(self, key: str) -> bool:
        """Whether a consumer set this for a component that was not chosen, such as ADAM's beta1."""
        return key in self.not_chosen and self.given[key].origin in self.consumers

    def _where(self, key: str, of_key: bool = False) -> str:
        given = self.given.get(key, Given(None, TYPED))
        origin = given.key_origin or given.origin if of_key else given.origin
        return f"option '{key}'" if origin == TYPED else f"option '{key}' ({origin})"

    def _override(self, key: str, given: Given) -> None:
        """Note a key of modules; whether the value fits is seen when the network is checked."""
        value = read_scalar(given.value) if isinstance(given.value, str) else given.value
        readers = []
        for network, inside in self.modules[key]:
            self.overrides.setdefault(network, {})[inside] = value
            readers.append(network)
        self.settings[key] = Setting(key, value, given.origin, readers)


def _single(key: str, choice: Choice, default: str) -> type[BaseModel]:
    """An options class with one field."""
    fields: dict[str, Any] = {key: (Annotated[str, choice], default)}
    return create_model("Single", __base__=Options, **fields)


def _field(options: type[BaseModel], key: str) -> str:
    return next(name for name, info in options.model_fields.items() if key in (info.alias, name))
