"""What differs between two sets of weights: how they came about, and how far they are from each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dianne.document import parse
from dianne.errors import ConfigError
from dianne.store.manifest import Manifest
from dianne.store.store import Store

MISSING = ""
_JOB = ("strategy", "networks", "seed", "options")


@dataclass(frozen=True)
class Difference:
    """A fact that is another one in B than in A; "" where one of them has none."""

    key: str
    a: Any
    b: Any


@dataclass(frozen=True)
class Distance:
    """The weights of one module.

    Attributes:
        module: its name.
        a: Euclidean norm in A; None if it is not there.
        b: the same in B.
        between: norm of the difference; None where shapes differ.
    """

    module: str
    a: float | None
    b: float | None
    between: float | None


@dataclass(frozen=True)
class Differences:
    """All that differs, and all modules.

    Attributes:
        structure: modules, parameters and overrides.
        job: strategy, options and seed.
        data: name, fingerprint and statistics.
        versions: of dianne, torch and python.
        norms: by module, sorted by name.
    """

    structure: list[Difference] = field(default_factory=list)
    job: list[Difference] = field(default_factory=list)
    data: list[Difference] = field(default_factory=list)
    versions: list[Difference] = field(default_factory=list)
    norms: list[Distance] = field(default_factory=list)


def diff(store: Store, a: tuple[str, str], b: tuple[str, str]) -> Differences:
    """Compare two sets of weights.

    Args:
        store: where both are.
        a: network and address.
        b: the same.

    Raises:
        UsageError: there are no such weights.
        StoreError: they are spoilt.
    """
    one, other = store.manifest(*a), store.manifest(*b)
    return Differences(
        _compare(_structure(one), _structure(other)),
        _compare(_chosen(one), _chosen(other)),
        _compare(one.dataset, other.dataset),
        _compare(one.versions, other.versions),
        _norms(store, one, other),
    )


def _structure(manifest: Manifest) -> dict[str, Any]:
    found: dict[str, Any] = {"network": manifest.network}
    texts = {"": manifest.text, **{f"{name}.": text for name, text in manifest.texts.items()}}
    for prefix, text in texts.items():
        try:
            document = parse(text, manifest.network).data
        except ConfigError:
            document = {"text": text}
        document.pop("parameters", None)  # what they are is below
        found |= _flat(document, prefix)
    return {**found, **_flat(manifest.parameters, "parameters."), **_flat(manifest.overrides, "")}


def _chosen(manifest: Manifest) -> dict[str, Any]:
    job = {key: manifest.job[key] for key in _JOB if key in manifest.job}
    options = job.pop("options", {})
    return {**job, **_flat(options, ""), "iteration": manifest.iteration, **_flat(manifest.loss, "loss.")}


def _flat(data: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Keys of keys, joined by dots."""
    found: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{key}.") or {f"{prefix}{key}": {}}
        else:
            found[f"{prefix}{key}"] = value
    return found


def _compare(a: dict[str, Any], b: dict[str, Any]) -> list[Difference]:
    return [
        Difference(key, a.get(key, MISSING), b.get(key, MISSING))
        for key in {**a, **b}
        if a.get(key, MISSING) != b.get(key, MISSING)
    ]


def _norms(store: Store, a: Manifest, b: Manifest) -> list[Distance]:
    """Norms by module, in double precision; the name of a weight is that of its module and one more part."""
    import torch

    one, other = store.weights(a), store.weights(b)
    squares: dict[str, list[float | None]] = {}
    for name in sorted({**one, **other}):
        sums = squares.setdefault(name.rpartition(".")[0] or name, [None, None, 0.0])
        left, right = one.get(name), other.get(name)
        for place, weight in enumerate((left, right)):
            if weight is not None:
                sums[place] = (sums[place] or 0.0) + float(weight.double().square().sum())
        if left is None or right is None or left.shape != right.shape:
            sums[2] = None
        elif sums[2] is not None:
            sums[2] += float(torch.sub(left.double(), right.double()).square().sum())
    roots = {
        module: [None if found is None else found**0.5 for found in sums] for module, sums in squares.items()
    }
    return [Distance(module, *found) for module, found in roots.items()]
