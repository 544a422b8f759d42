"""Who sends results to whom in a DIANNE network, and the order in which modules run here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dianne.errors import UsageError
from dianne.interop.dianne_built_ins import BUILT_INS
from dianne.interop.dianne_text import Module, Structure, hash_order
from dianne.interop.dianne_types import kind_of

Ref = tuple[str, str]
"""The result of a module, by its id, and the part of it; "" for the whole."""
_PARTS = {"MaxPooling": ("", "indices"), "MultivariateGaussian": ("mean", "stdev")}


def targets(module: Module) -> list[tuple[str, str]]:
    """Where a module's results go: ids, each with the part that goes there."""
    kind = kind_of(module.type)
    ours = kind.type if kind else ""
    if ours == "Output":
        return []
    if ours == "Split":
        return [(id_, str(place)) for place, id_ in enumerate(module.next)]
    if ours == "Duplicate":
        return [(id_, "") for id_ in module.next]
    if ours in _PARTS and len(module.next) == 2:
        return list(zip(module.next, _PARTS[ours], strict=True))
    return [(id_, "") for id_ in module.next[:1]]


def sources(structure: Structure, notes: list[str]) -> dict[str, list[Ref]]:
    """What comes into each module that ever runs, in the order in which it takes it.

    A result goes where the sender's `next` says; `prev` of the receiver gives the order. Modules that nothing
    reaches never run, and are left out.

    Raises:
        UsageError: a module that takes one result gets several.
    """
    modules = {module.id: module for module in structure.modules}
    coming: dict[str, list[Ref]] = {id_: [] for id_ in modules}
    for module in structure.modules:
        for target, part in targets(module):
            if target not in modules:
                notes.append(f"{module.where}: {module.type} sends to {target}, which is not there")
            elif not _is(modules[target], "Input"):
                coming[target].append((module.id, part))
        lost = [other for other in module.prev if other not in modules]
        notes += [f"{module.where}: {module.type} takes from {other}, which is not there" for other in lost]
    for id_, refs in coming.items():
        order = {other: place for place, other in enumerate(modules[id_].prev)}
        refs.sort(key=lambda ref: order.get(ref[0], len(order)))
    running = _reached(modules, coming)
    idle = [module for module in structure.modules if module.id not in running]
    notes += [f"{m.where}: {m.type} gets nothing and never runs; it is left out" for m in idle]
    kept = {id_: [ref for ref in coming[id_] if ref[0] in running] for id_ in modules if id_ in running}
    return {id_: _taken(modules[id_], refs) for id_, refs in kept.items()}


def _is(module: Module, ours: str) -> bool:
    kind = kind_of(module.type)
    return kind is not None and kind.type == ours


def _reached(modules: Mapping[str, Module], coming: Mapping[str, Sequence[Ref]]) -> set[str]:
    waiting = [id_ for id_, module in modules.items() if _is(module, "Input") or _is(module, "Memory")]
    if not any(_is(module, "Input") for module in modules.values()):
        waiting += [id_ for id_, refs in coming.items() if not refs]  # old files have none
    onward: dict[str, list[str]] = {id_: [] for id_ in modules}
    for id_, refs in coming.items():
        for source, _ in refs:
            onward[source].append(id_)
    found: set[str] = set()
    while waiting:
        id_ = waiting.pop()
        if id_ not in found:
            found.add(id_)
            waiting += onward[id_]
    return found


def _taken(module: Module, refs: list[Ref]) -> list[Ref]:
    kind = kind_of(module.type)
    if len(refs) < 2 or (kind and kind.joins):
        return refs
    listed = [ref for ref in refs if ref[0] in module.prev]
    if len(listed) == 1:
        return listed
    if kind is None and module.type not in BUILT_INS:
        return refs  # a network inside may have several inputs
    raise UsageError(f"{module.where}: {module.type} takes one result, but gets {len(refs)}")


def run_order(structure: Structure, coming: Mapping[str, Sequence[Ref]]) -> list[Module]:
    """The modules so that each stands behind what it takes, along chains; inputs first.

    Raises:
        UsageError: some go in a circle without a Memory.
    """
    modules = {module.id: module for module in structure.modules if module.id in coming}
    waits = {id_: set() if _is(modules[id_], "Memory") else {s for s, _ in coming[id_]} for id_ in modules}
    onward: dict[str, list[str]] = {id_: [] for id_ in modules}
    for id_, module in modules.items():
        known = {id_ for id_, _ in targets(module)}
        onward[id_] = [t for t in module.next if t in known and t in modules and id_ in waits[t]]
    inputs = hash_order(id_ for id_, module in modules.items() if _is(module, "Input"))
    free = [id_ for id_ in modules if not waits[id_] and id_ not in inputs]
    done: dict[str, Module] = {id_: modules[id_] for id_ in inputs}
    ready = [*reversed(free)]
    left = {id_: len(found) for id_, found in waits.items()}

    def release(id_: str) -> None:
        for target in reversed(onward[id_]):
            left[target] -= 1
            if not left[target]:
                ready.append(target)

    for id_ in reversed(inputs):
        release(id_)
    while ready:
        id_ = ready.pop()
        done[id_] = modules[id_]
        release(id_)
    if len(done) < len(modules):
        _refuse_circle(modules, waits, done)
    return list(done.values())


def _refuse_circle(
    modules: Mapping[str, Module], waits: Mapping[str, set[str]], done: Mapping[str, object]
) -> None:
    path = [next(id_ for id_ in modules if id_ not in done)]
    while path[-1] not in path[:-1]:
        path.append(next(id_ for id_ in sorted(waits[path[-1]]) if id_ not in done))
    circle = path[path.index(path[-1]) :][::-1]
    shown = " -> ".join(f"{modules[id_].type} {id_}" for id_ in circle[:6])
    more = " -> ..." if len(circle) > 6 else ""
    raise UsageError(f"{modules[circle[0]].where}: goes in a circle without a Memory: {shown}{more}")
