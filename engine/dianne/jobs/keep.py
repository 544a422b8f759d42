"""What a learn job puts into the store: its weights, and where they come from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from dianne.data.adapters.stack import Statistics
from dianne.jobs.learn import PreparedLearn
from dianne.jobs.prepare import Member
from dianne.learning.loop import Weights
from dianne.store import Manifest, Store


class Keep:
    """Stores the weights of one job under its tags.

    Args:
        job: prepared.
        store: where tags are.
        recipe: what the job is; goes into every manifest.
        before: iterations that its weights had learned when it began.
        labels: names of the classes of its data.
        statistics: those with which `normalise` works.
        resumed: whether the job goes on; then its tags may have weights that it will come to again.
    """

    def __init__(
        self,
        job: PreparedLearn,
        store: Store,
        recipe: Mapping[str, Any],
        before: int,
        labels: list[str] | None,
        statistics: Statistics | None,
        resumed: bool,
    ):
        self.job = job
        self.store = store
        self.recipe = dict(recipe)
        self.before = before
        self.labels = labels
        self.statistics = statistics
        self.resumed = resumed
        self.reached: set[tuple[str, str]] = set()  # networks and tags that are as far as they had been

    def store_weights(
        self,
        weights: Weights,
        iteration: int,
        terms: dict[str, float],
        suffix: str,
        metrics: dict[str, float] | None = None,
    ) -> int | None:
        """Put weights under the job's tags; gives the iteration of what these have then, None for nothing."""
        job = self.job
        if iteration == 0 and (self.before or any(self.store.has(name, job.tag) for name in weights)):
            has = self.before and all(self.store.has(name, job.tag) for name in weights)
            return 0 if has and not job.options.clean else None  # they have learned nothing in this job
        newest = total = self.before + iteration
        if suffix == f"@{iteration}":
            suffix = f"@{total}"
        for member in job.team:
            if member.trains and member.name in weights:
                manifest = self._manifest(member, total, terms, metrics or {})
                for tag in job.tags:
                    found = self._found(member.name, tag + suffix, total, weights[member.name])
                    newest = max(newest, found or 0)
                    if found is None:
                        self.store.put(tag + suffix, manifest, weights[member.name])
        return newest - self.before

    def _found(self, network: str, tag: str, iteration: int, weights: Mapping[str, Tensor]) -> int | None:
        """The iteration of a tag's weights, if they are these of this job already, or later ones.

        A job that went on after its checkpoint comes to all of them again; then the tag moves as ever.
        """
        if not self.resumed or (network, tag) in self.reached or not self.store.has(network, tag):
            return None
        manifest = self.store.manifest(network, tag)
        if manifest.job.get("id") == self.job.identifier and manifest.iteration > iteration:
            return manifest.iteration
        self.reached.add((network, tag))
        if manifest.job.get("id") != self.job.identifier or manifest.iteration < iteration:
            return None
        stored = self.store.weights(manifest)
        same = all(stored[name].equal(value.cpu()) for name, value in weights.items())
        return iteration if same else None

    def _manifest(
        self, member: Member, iteration: int, terms: dict[str, float], metrics: dict[str, float]
    ) -> Manifest:
        job, network = self.job, self.job.networks[member.name]
        first = job.origin(member) and not job.options.clean
        return Manifest(
            network=network.name,
            text=network.file.document.text,
            parameters=network.parameters,
            texts=network.texts(),
            overrides=network.overrides,
            job=self.recipe,
            iteration=iteration,
            loss=terms,
            metrics=metrics,
            labels=self.labels,
            dataset=self._data(),
            versions=self.recipe["versions"],
            parent=self.recipe["starts"].get(member.role) if first else None,
        )

    def _data(self) -> dict[str, str]:
        """What the manifest says of the data; with `normalise` its statistics, for evaluations."""
        found = {"name": self.job.described.name, "fingerprint": self.recipe["data"]}
        if self.job.data.normalise:
            found["normalise"] = json.dumps(self.statistics)
        return found
