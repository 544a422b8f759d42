"""Doing a job again from what a manifest says of it, to see that it gives the same weights."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from dianne.errors import UsageError
from dianne.jobs.checkpoint import Checkpoint
from dianne.jobs.learn import LearnResult, LearnWatcher, PreparedLearn
from dianne.jobs.learn_run import LearnRun
from dianne.jobs.recipe import other_code, other_versions, prepared
from dianne.store import Manifest, Store, StoreError
from dianne.workspace import Folder


@dataclass
class Rerun:
    """A job that is done again.

    Attributes:
        job: prepared; it stores under a tag of its own.
        network: whose weights were asked for.
        tag: where these are.
        manifest: of these weights.
        iterations: to do until they are reached.
        reasons: why the bits may differ, as far as that is known before.
        result: what learning gave, once it is done.
        same: then, for each network whether its weights have the same bits.
    """

    job: PreparedLearn
    network: str
    tag: str
    manifest: Manifest
    iterations: int
    reasons: list[str]
    result: LearnResult | None = None
    same: dict[str, bool] = field(default_factory=dict)


def prepare(folder: Folder, weights: str, tag: str | None = None) -> Rerun:
    """Make the job ready that made some weights.

    Args:
        folder: the workspace.
        weights: `NETWORK:TAG`.
        tag: where to store what it gives; `rerun-TAG` if left out.

    Raises:
        UsageError: there are no such weights, or their job cannot be done again.
    """
    network, colon, origin = weights.partition(":")
    if not colon:
        raise UsageError(f"'{weights}' names no weights; write NETWORK:TAG, such as Encoder:vae")
    store = Store(folder.models)
    manifest = store.manifest(network, origin)
    recipe = manifest.job
    if "given" not in recipe:
        maker = recipe.get("command", "nobody knows what")
        why = (
            "an older dianne, which wrote down too little"
            if maker == "learn"
            else f"{maker}, not by learning"
        )
        raise UsageError(f"{weights} cannot be made again: it was made by {why}")
    starts = _starts(store, recipe["starts"], weights)
    job = prepared(folder, recipe, tag=tag or f"rerun-{re.split('[@~]', origin)[0]}")
    trained = [member.role for member in job.team if member.trains]
    before = max((found.iteration for role, found in starts.items() if role in trained), default=0)
    reasons = [f"another version: {change}" for change in other_versions(recipe)]
    reasons += [f"{file} is another now" for file in other_code(recipe, job)]
    return Rerun(job, network, origin, manifest, manifest.iteration - before, reasons)


def _starts(store: Store, starts: dict[str, str | None], weights: str) -> dict[str, Manifest]:
    try:
        return {role: store.read_manifest(found) for role, found in starts.items() if found}
    except StoreError as error:
        raise UsageError(
            f"{weights} cannot be made again: the weights that it started from are gone ({error})"
        ) from error


def run(again: Rerun, watcher: LearnWatcher, stop: Callable[[], str] = lambda: "") -> Rerun:
    """Do the job again, up to the same iteration, and compare the weights; raises as learning does."""
    made = LearnRun(again.job, watcher, stop, Checkpoint(again.manifest.job), again.iterations)
    again.result = made.run()
    if made.interrupted:
        return again
    store = Store(again.job.folder.models)
    suffix = "".join(again.tag.partition("~")[0].partition("@")[1:])
    made_at = again.manifest.job["id"], again.manifest.iteration
    for name in again.result.networks:
        then = again.manifest if name == again.network else _found(store, name, again.tag)
        if then and (then.job.get("id"), then.iteration) == made_at:
            tag = again.job.tag + suffix
            now = store.manifest(name, tag if store.has(name, tag) else again.job.tag)
            again.same[name] = now.blob == then.blob
    return again


def _found(store: Store, network: str, tag: str) -> Manifest | None:
    try:
        return store.manifest(network, tag)
    except UsageError:  # it has no such tag, or a shorter history
        return None
