"""The weights with which the networks of a learn job start."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dianne.errors import UsageError
from dianne.jobs.learn import PreparedLearn
from dianne.jobs.prepare import Member
from dianne.network.graph import Graph
from dianne.store import MisfitError, Store, load_weights


class Start:
    """Builds the networks of a job, each with the weights of its initTag, else of the tag, else new ones.

    Args:
        job: prepared.
        store: where tags are.
        seed: of the job.
        note: tells the user something.
        known: by role the manifest of the weights that a network starts from, for a job that is made again;
            no tag counts then.

    Attributes:
        before: iterations that the weights have learned, of the network that learned most.
        manifests: by role, those of the weights that networks start from; None for new weights.
    """

    def __init__(
        self,
        job: PreparedLearn,
        store: Store,
        seed: int,
        note: Callable[[str], None],
        known: Mapping[str, str | None] | None = None,
    ):
        self.job = job
        self.store = store
        self.seed = seed
        self.note = note
        self.known = known
        self.before = 0
        self.manifests: dict[str, str | None] = {member.role: None for member in job.team}

    def graphs(self) -> dict[str, Graph]:
        """The networks by role.

        Raises:
            UsageError: a tag to start from does not exist, or a network that does not learn has no weights.
            StoreError: weights are spoilt or do not fit.
        """
        learning = [member for member in self.job.team if member.trains]
        graphs = {member.role: self._new(member) for member in learning}
        if self.known is not None:
            self._load_known(graphs, learning)
        elif not self.job.options.clean:
            self._load_learned(graphs, learning)
        for member in self.job.team:
            if not member.trains:
                graphs[member.role] = self._helper(member, graphs)
        return {member.role: graphs[member.role] for member in self.job.team}

    def blank(self) -> dict[str, Graph]:
        """The networks by role, with weights that do not count, as a checkpoint holds others."""
        graphs = {member.role: self._new(member) for member in self.job.team}
        for member in self.job.team:
            if not member.trains:
                graphs[member.role].requires_grad_(False).eval()
        return graphs

    def _load_known(self, graphs: dict[str, Graph], learning: list[Member]) -> None:
        """Fill the networks that learn with the weights that they started from."""
        learned: dict[str, int] = {}
        for member in learning:
            self._load_manifest(graphs[member.role], member, learned)
        self.before = max(learned.values(), default=0)

    def _load_manifest(self, graph: Graph, member: Member, learned: dict[str, int]) -> bool:
        """Fill a network with the weights of a known manifest; tells whether there is one."""
        identifier = (self.known or {}).get(member.role)
        if not identifier:
            return False
        manifest = self.store.read_manifest(identifier)
        load_weights(graph, self.store.weights(manifest), f"{member.name} ({identifier[:12]})")
        self.manifests[member.role] = identifier
        learned[identifier] = manifest.iteration
        return True

    def _load_learned(self, graphs: dict[str, Graph], learning: list[Member]) -> None:
        """Fill the networks that learn; say from which tags."""
        own = [member for member in learning if not self.job.origin(member)]
        stored = [member for member in own if self.store.has(member.name, self.job.tag)]
        learned: dict[str, int] = {}  # iterations by tag
        try:
            for member in stored:
                self._load(graphs[member.role], member, self.job.tag, learned)
        except MisfitError:
            self.manifests = dict.fromkeys(self.manifests)
            self.note(
                f"the weights under '{self.job.tag}' are of another shape; starting from new ones "
                "(the old ones stay in the tag's history)"
            )
            graphs |= {member.role: self._new(member) for member in own}
            stored, learned = [], {}
        for member in learning:
            if origin := self.job.origin(member):
                self._load(graphs[member.role], member, origin, learned)
        for tag, iterations in learned.items():
            self.note(f"starting from '{tag}', which has learned {iterations:,} iterations")
        for member in own:
            if stored and member not in stored:
                self.note(f"{member.name} has no weights under '{self.job.tag}'; it starts from new ones")
        self.before = max(learned.values(), default=0)

    def _helper(self, member: Member, graphs: dict[str, Graph]) -> Graph:
        """A network that does not learn: with the weights of its initTag, or as its twin starts."""
        graph = self._new(member)
        origin = self.job.origin(member)
        twin = next((m for m in self.job.team if m.trains and m.name == member.name), None)
        if self._load_manifest(graph, member, {}):
            pass
        elif origin and self.known is None:
            self._load(graph, member, origin, {})
        elif twin:
            graph.load_state_dict(graphs[twin.role].state_dict())
        else:
            raise UsageError(
                f"{member.name} does not learn here, so it needs weights: give {member.role}.initTag=TAG"
            )
        graph.requires_grad_(False)
        return graph.eval()

    def _new(self, member: Member) -> Graph:
        return self.job.networks[member.name].build(self.seed)

    def _load(self, graph: Graph, member: Member, tag: str, learned: dict[str, int]) -> None:
        self.manifests[member.role] = self.store.resolve(member.name, tag)
        manifest = self.store.manifest(member.name, tag)
        load_weights(graph, self.store.weights(manifest), f"{member.name}:{tag}")
        learned[tag] = max(learned.get(tag, 0), manifest.iteration)
