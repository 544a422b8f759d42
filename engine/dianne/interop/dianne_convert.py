"""A DIANNE network as network files of ours, and which tensors its flat vectors of weights are."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dianne.errors import UsageError, suggest
from dianne.interop.dianne_built_ins import BUILT_INS, BuiltIn
from dianne.interop.dianne_text import (
    Module,
    Structure,
    filled_in,
    hash_order,
    read_parameters,
    read_structure,
)
from dianne.interop.dianne_types import TYPES, arguments, kind_of, labels_of, whole_numbers
from dianne.interop.dianne_weights import Place
from dianne.interop.dianne_wires import run_order, sources, targets
from dianne.interop.yaml_text import network_text, unique
from dianne.network.file import NAME
from dianne.workspace import shipped

Shape = Sequence[int]
Vector = list[tuple[str, list[str]]]
"""The names of the tensors in a module's vector, in order; of a composite by inner ids, else by ""."""
_MOST_INSIDE = 8  # networks inside networks
_WORDS = {"ReLU": "relu", "PReLU": "prelu", "LeakyReLU": "leakyRelu", "MultivariateGaussian": "gaussian"}
_NAMES = uuid.UUID("d1a77e00-0000-4000-8000-000000000000")  # of modules that a file leaves out


@dataclass(frozen=True)
class Converted:
    """A network as it is written here.

    Attributes:
        name: of the network.
        text: of its file.
        names: of its modules, by id.
        vectors: by id, for those that have weights.
        inputs: the ids of its inputs, in their order.
        labels: of its first output that has some.
    """

    name: str
    text: str
    names: Mapping[str, str]
    vectors: Mapping[str, Vector]
    inputs: list[str]
    labels: list[str] | None


class Converter:
    """Writes networks, and the composites that they use.

    Args:
        searched: where composites may be, besides those that come with DIANNE.

    Attributes:
        files: the composites' texts, by the names that they have here.
        originals: what was read of them, by place and name of the file.
        notes: what was left out.
    """

    def __init__(self, searched: Iterable[Place]):
        self.files: dict[str, str] = {}
        self.originals: dict[str, dict[str, str]] = {}
        self.notes: list[str] = []
        found = [place for place in searched if "modules.txt" in place.files]
        self.library: dict[str, Place] = {}
        for place in sorted(found, key=lambda place: "composite.txt" not in place.files):
            self.library.setdefault(place.name, place)
        self._known: dict[str, Converted] = {}

    def network(
        self,
        structure: Structure,
        name: str,
        shapes: Mapping[str, Shape] | None = None,
        inside: tuple[str, ...] = (),
    ) -> Converted:
        """Write a network.

        Args:
            structure: as read; see `completed`.
            name: that it gets.
            shapes: of samples, by the ids of inputs; what is left out stays open.
            inside: the types of the networks around it.

        Raises:
            UsageError: an unknown type, a property that cannot be read, a circle.
        """
        coming = sources(structure, self.notes)
        order = run_order(structure, coming)
        kinds = {module.id: self._module(module, inside) for module in order}
        names = _named(order, structure, {id_: kind for id_, (kind, _, _) in kinds.items()})
        rows: dict[str, dict[str, Any]] = {}
        above = ""
        for module in order:
            kind, keys, _ = kinds[module.id]
            row = {"type": kind, **keys}
            if kind == "Input" and shapes and module.id in shapes:
                row["shape"] = list(shapes[module.id])
            refs = [names[source] + (f".{part}" if part else "") for source, part in coming[module.id]]
            if kind == "Split" and "split" not in keys:
                row["parts"] = max(len(module.next), 1)
            if refs and (refs != [above] or kind == "Memory"):
                row["after"] = refs if len(refs) > 1 else refs[0]
            rows[names[module.id]] = row
            above = names[module.id]
        text = network_text(f"Imported from DIANNE, where it is called {structure.name or name}.", rows)
        vectors = {
            module.id: [(inner, [f"{names[module.id]}.{last}" for last in lasts]) for inner, lasts in vector]
            for module in order
            if (vector := kinds[module.id][2])
        }
        labels = [row["labels"] for row in rows.values() if row.get("labels")]
        inputs = [module.id for module in order if kinds[module.id][0] == "Input"]
        return Converted(name, text, names, vectors, inputs, labels[0] if labels else None)

    def _module(self, module: Module, inside: tuple[str, ...]) -> tuple[str, dict[str, Any], Vector]:
        """Type, keys and tensors of one module."""
        kind = kind_of(module.type)
        if kind:
            ours, keys = arguments(module)
            if ours == "Output" and module.given("labels"):
                keys["labels"] = labels_of(module.properties["labels"])
            if ours == "Concat" and not keys.get("dim"):
                keys.pop("dim", None)
            return ours, keys, [("", list(kind.weights))] if kind.weights else []
        if module.type in BUILT_INS:
            return self._built_in(module, BUILT_INS[module.type])
        if module.type in self.library:
            found = self._composite(module, self.library[module.type], inside)
            order = hash_order(found.names)
            inner = [(id_, tensors_of(found.vectors[id_])) for id_ in order if id_ in found.vectors]
            return found.name, {}, [(id_, names) for id_, names in inner if not _counts_as_none(names)]
        hint = suggest(module.type, [*TYPES, *BUILT_INS, *self.library], "types")
        raise UsageError(f"{module.where}: unknown type '{module.type}'{hint}")

    def _built_in(self, module: Module, found: BuiltIn) -> tuple[str, dict[str, Any], Vector]:
        keys: dict[str, Any] = {}
        for key, blank in found.keys.items():
            text = module.given(key)
            if text is None and blank is None:
                raise UsageError(f"{module.where}: {module.type} needs '{key}'")
            value = (
                _activation(module) if key == "activation" else _whole(module, key, text) if text else blank
            )
            if value != blank:
                keys[key] = value
        if module.type == "ConvLayer" and not keys.keys() & {"kernelHeight", "kernelDepth"}:
            keys.pop("padX", None)  # means nothing in one dimension
        self.files |= _texts(found.type)
        vector = []
        for name, id_ in found.weights.items():
            batch = "bn" in name.lower()
            parts = TYPES["BatchNormalization" if batch else "Linear"].weights
            if name == "activation":
                parts = kind.weights if (kind := kind_of(module.properties["activation"])) else ()
            vector.append((id_, [f"{name}.{part}" for part in parts]))
        return found.type, keys, [(id_, names) for id_, names in vector if names]

    def inside(self, module: Module) -> Structure | None:
        """The network that a module stands for, with the values of this use; None for any other module."""
        if kind_of(module.type) or module.type in BUILT_INS or module.type not in self.library:
            return None
        place = self.library[module.type]
        values = _values(module, place)
        read = read_structure(place.text("modules.txt"), f"{place.source}/modules.txt")
        modules = (
            tuple(filled_in(m, values, whole_numbers(m.type)) for m in read.modules)
            if values
            else read.modules
        )
        return completed(replace(read, modules=modules))

    def _composite(self, module: Module, place: Place, inside: tuple[str, ...]) -> Converted:
        if module.type in inside or len(inside) >= _MOST_INSIDE:
            raise UsageError(f"{module.where}: contains itself: {' -> '.join([*inside, module.type])}")
        values = _values(module, place)
        known = repr((module.type, values))
        if known not in self._known:
            structure = self.inside(module)
            assert structure
            name = _word("_".join([module.type, *(value for value in values.values() if value)]))
            name = unique(name, self.files)
            self._known[known] = self.network(structure, name, inside=(*inside, module.type))
            self.files[name] = self._known[known].text
            self.originals[module.type] = {
                file: place.text(file) for file in ("modules.txt", "composite.txt") if file in place.files
            }
        return self._known[known]


def _values(module: Module, place: Place) -> dict[str, str]:
    """The values of a composite's parameters, blank ones too; raises UsageError if one is missing."""
    keys = read_parameters(place.text("composite.txt")) if "composite.txt" in place.files else []
    missing = [key for key in keys if key not in module.properties]
    if missing:
        raise UsageError(f"{module.where}: {module.type} needs '{missing[0]}'")
    return {key: module.properties[key] for key in keys}


def _counts_as_none(names: list[str]) -> bool:
    """Whether tensors are those of a Normalization, which inside a composite has none in DIANNE."""
    return [name.rpartition(".")[2] for name in names] == ["mean", "stdev"]


def _activation(module: Module) -> str:
    kind = kind_of(module.properties["activation"])
    if kind is None:
        raise UsageError(f"{module.where}: unknown type '{module.properties['activation']}'")
    return kind.type


def _whole(module: Module, key: str, text: str) -> int:
    if not re.fullmatch(r"[-+]?[0-9]{1,10}", text):
        raise UsageError(f"{module.where}: {key}: expected a whole number, found '{text[:50]}'")
    return int(text)


def _texts(name: str) -> dict[str, str]:
    """The file of a block that ships, and of the one inside it."""
    if name.startswith("Dianne"):
        return {name: _unpadded(_shipped(name.removeprefix("Dianne")))}
    inner = ["ConvLayer"] if name == "Fractal-3" else []
    return {one: _shipped(one) for one in (name, *inner)}


def _shipped(name: str) -> str:
    return (shipped("networks") / "blocks" / f"{name}.yaml").read_text(encoding="utf-8")


def _unpadded(text: str) -> str:
    """An Inception block as DIANNE has it: the pooling is not padded, but the convolution behind it is."""
    pool = "strideX: 1, strideY: 1, padX: 1, padY: 1, after: input}"
    conv = 'noOutputPlanes: "${poolproj}", kernelWidth: 1, kernelHeight: 1}'
    assert pool in text
    assert conv in text
    text = text.replace(pool, "strideX: 1, strideY: 1, after: input}")
    return text.replace(conv, conv.removesuffix("}") + ", padX: 1, padY: 1}")


def completed(structure: Structure) -> Structure:
    """A network with inputs and outputs where, as in the oldest files, it has none at all."""
    modules = list(structure.modules)
    types = [kind.type for module in modules if (kind := kind_of(module.type))]
    fed = {target for module in modules for target, _ in targets(module)}
    if "Input" not in types:
        for module in structure.modules:
            if module.id not in fed and (module.next or len(modules) == 1):
                id_ = str(uuid.uuid5(_NAMES, f"input {module.id}"))
                modules.insert(0, Module(id_, "Input", (module.id,), where=module.where))
                fed.add(module.id)
    if "Output" not in types:
        for place, module in enumerate(modules):
            if not module.next and module.id in fed:
                id_ = str(uuid.uuid5(_NAMES, f"output {module.id}"))
                modules[place] = replace(module, next=(id_,))
                modules.append(Module(id_, "Output", (), (module.id,), where=module.where))
    return replace(structure, modules=tuple(modules))


# ---------------------------------------------------------------------------------------------------- names


def _word(text: str) -> str:
    """What can name a network or a module, as close to a text as possible."""
    word = re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_-")
    return word if NAME.fullmatch(word) else f"_{word}"


def _named(order: list[Module], structure: Structure, kinds: Mapping[str, str]) -> dict[str, str]:
    """Names of modules by id: labels that a user has given, else their types with numbers.

    Of equal labels, the module that DIANNE finds first keeps it as it is.
    """
    names: dict[str, str] = {}
    running = {module.id: module for module in order}
    for id_ in hash_order(module.id for module in structure.modules):
        label = running[id_].given("name") if id_ in running else None
        if label and _folded(label) not in (_folded(running[id_].type), _folded(kinds[id_])):
            names[id_] = unique(_word(label)[:80], names.values())
    rest = [(module.id, _base(kinds[module.id])) for module in order if module.id not in names]
    bases = [base for _, base in rest]
    for id_, base in rest:
        names[id_] = unique(base, names.values(), first=bases.count(base) == 1)
    return {module.id: names[module.id] for module in order}


def _folded(text: str) -> str:
    return text.replace(" ", "").lower()


def _base(kind: str) -> str:
    last = kind.rpartition(".")[2]
    if last in _WORDS:
        return _WORDS[last]
    return re.sub(r"^([A-Z]+(?![a-z])|[A-Z])", lambda found: found[0].lower(), last)


def inner_ids(vector: Vector) -> list[str]:
    """The ids inside a composite; empty for a plain module."""
    return [id_ for id_, _ in vector if id_]


def tensors_of(vector: Vector) -> list[str]:
    """The names of all tensors in a vector."""
    return [name for _, names in vector for name in names]
