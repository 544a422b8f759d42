"""The Python interface: what the commands do, for notebooks and programs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dianne.binding import TYPED, Given, bind
from dianne.data.dataset import Dataset
from dianne.data.descriptor import describe
from dianne.data.readers import open_dataset
from dianne.errors import UsageError, suggest
from dianne.evaluation.strategy import Evaluation
from dianne.interop import transfer
from dianne.interop.transfer import Arrived
from dianne.jobs import evaluate as evaluate_job
from dianne.jobs import learn as learn_job
from dianne.jobs import rerun as rerun_job
from dianne.jobs import resume as resume_job
from dianne.jobs.entry import Entry, Notification
from dianne.jobs.learn_run import LearnRun
from dianne.jobs.prepare import Member, module_keys, parameters_of, resolve_networks
from dianne.jobs.queue import Queue
from dianne.jobs.rerun import Rerun
from dianne.network.file import read
from dianne.network.library import Library
from dianne.network.network import Network
from dianne.runtime import control, instances
from dianne.runtime.generate import generate
from dianne.runtime.instances import Deployed
from dianne.seeds import new_seed
from dianne.store import Manifest, Store, addresses, history
from dianne.store.diff import Differences
from dianne.store.diff import diff as compare
from dianne.store.gc import Swept, collect
from dianne.store.transfer import Copied, copy
from dianne.store.verify import Verified, verify
from dianne.workspace import Folder

if TYPE_CHECKING:
    from dianne.jobs.sweep_run import SweepResult


class Workspace:
    """A folder with `networks/`, `strategies/`, `datasets/` and `models/`; any of them may be missing.

    Args:
        path: the folder; the working directory if left out.
    """

    def __init__(self, path: str | Path = "."):
        self.folder = Folder(Path(path))
        self.store = Store(self.folder.models)
        self.queue = Queue(self.folder)

    def learn(
        self,
        networks: str | Iterable[str],
        dataset: str,
        *,
        watcher: learn_job.LearnWatcher | None = None,
        stop: Callable[[], str] = lambda: "",
        **options: Any,
    ) -> learn_job.LearnResult:
        """Train networks together and store them under a tag.

        Args:
            networks: names, in the order of the strategy's roles: "Encoder,Decoder" or a list.
            dataset: name.
            watcher: is told how it goes.
            stop: asked before every iteration; a reason ends the job, its weights stored.
            options: as on the command line: strategy="VariationalAutoEncoder", latentDims=2, tag="vae".

        Raises:
            DianneError: something that was asked for does not exist or fit, or learning failed.
        """
        job = learn_job.prepare(self.folder, networks, dataset, options)
        return LearnRun(job, watcher or learn_job.LearnWatcher(), stop).run()

    def resume(
        self,
        job: str | None = None,
        watcher: learn_job.LearnWatcher | None = None,
        stop: Callable[[], str] = lambda: "",
    ) -> learn_job.LearnResult:
        """Go on with a job that was interrupted; it ends with the same bits as one that never was.

        Args:
            job: an identifier, the beginning of only one, or "NETWORK:TAG"; the newest if left out.
            watcher: is told how it goes.
            stop: as for `learn`.

        Raises:
            DianneError: there is no such job, it runs, is finished, or cannot be the same any more.
        """
        return resume_job.prepare(self.folder, job, watcher, stop).run()

    def rerun(
        self, weights: str, tag: str | None = None, watcher: learn_job.LearnWatcher | None = None
    ) -> Rerun:
        """Do the job again that made some weights ("NETWORK:TAG"), and compare what it gives.

        Raises:
            DianneError: there are no such weights, or their job cannot be done again.
        """
        again = rerun_job.prepare(self.folder, weights, tag)
        return rerun_job.run(again, watcher or learn_job.LearnWatcher())

    def evaluate(self, networks: str | Iterable[str], dataset: str, **options: Any) -> Evaluation:
        """Judge stored networks on a dataset; options as on the command line, `tag` among them.

        Raises:
            DianneError: something that was asked for does not exist or fit.
        """
        return evaluate_job.run(evaluate_job.prepare(self.folder, networks, dataset, options))

    def submit(self, networks: str | Iterable[str], dataset: str, kind: str = "learn", **options: Any) -> str:
        """Queue a job, for the workspace's runtime, which is started in the background if there is none.

        Args:
            networks: as for `learn`.
            dataset: name.
            kind: "learn" or "evaluate".
            options: as on the command line; `cpus`, `gpus` and `threads` say what the job takes.

        Returns:
            The job's identifier.

        Raises:
            DianneError: something that was asked for does not exist or fit; nothing was queued. Or the
                runtime does not start; this names the job, which is queued.
        """
        identifier = self.queue.submit(kind, networks, dataset, options)
        control.ensure_for(self.folder, identifier)
        return identifier

    def sweep(self, networks: str | Iterable[str], dataset: str, **options: Any) -> SweepResult:
        """Try a job with many options, and tag the best weights; returns once all trials are over.

        Args:
            networks: as for `learn`.
            dataset: name.
            options: as on the command line: learningRate="1e-4..1e-2:log", trials=20, split=0.8.

        Raises:
            DianneError: something that was asked for does not exist or fit; nothing was started.
        """
        from dianne.jobs import sweep, sweep_run

        prepared = sweep.prepare(self.folder, networks, dataset, options)
        return sweep_run.run(prepared, lambda: control.ensure(self.folder))

    def jobs(self, *statuses: str) -> list[Entry]:
        """All jobs in the order in which they came, or those that are "queued", "running", "finished", ..."""
        return self.queue.jobs(*statuses)

    def job(self, job: str) -> Entry:
        """A job: an identifier, the beginning of one, or "NETWORK:TAG"; raises UsageError for no job."""
        return self.queue.get(job)

    def stop(self, job: str) -> None:
        """Cancel a job that waits, or let one that runs store its weights and end; raises UsageError."""
        self.queue.stop(job)

    def result(self, job: str) -> dict[str, Any] | None:
        """What a job found, as its command prints with --json; None until it has ended well."""
        return self.queue.result(job)

    def notifications(self) -> list[Notification]:
        """What happened last, newest at the end."""
        return self.queue.notifications()

    def deploy(self, network: str, tag: str, name: str | None = None) -> Deployed:
        """Bring a network up with the weights of a tag and keep it as an instance of this workspace.

        Args:
            network: its name.
            tag: which weights.
            name: of the instance; the network's if left out.

        Raises:
            DianneError: there is no such tag, or its weights are spoilt.
        """
        return instances.deploy(self.folder, network, tag, name)

    def instance(self, name: str) -> Deployed:
        """An instance that was deployed before, with the newest weights of its tag."""
        return instances.load(self.folder, instances.find(self.folder, name))

    def generate(
        self,
        network: str,
        prompt: str,
        tag: str,
        n: int = 500,
        temperature: float = 1.0,
        seed: int | None = None,
    ) -> str:
        """The characters with which a network goes on from a prompt.

        Args:
            network: its name.
            prompt: at least one character.
            tag: which weights.
            n: how many characters.
            temperature: 0 takes the likeliest character every time.
            seed: of the draws; another each time if left out.

        Raises:
            DianneError: there is no such tag, or the network has not learned from text.
        """
        deployed = instances.load(self.folder, instances.Instance(network, network, tag))
        return "".join(generate(deployed, prompt, n, temperature, new_seed() if seed is None else seed))

    def describe(self, network: str, **parameters: Any) -> Network:
        """A network with its parameters filled in, its shapes known; raises as `learn`."""
        member = Member("network", read(self.folder.find("networks", network)))
        given = {key: Given(value, TYPED) for key, value in parameters.items()}
        library = Library(self.folder)
        bound = bind(
            "describe", parameters_of([member]), given, modules=module_keys([member], library, given)
        )
        return resolve_networks([member], bound, library)[network]

    def dataset(self, name: str, part: str | None = None) -> Dataset:
        """A dataset in memory: all of it, or the part that its descriptor names ("train", "test").

        Raises:
            DianneError: there is no such dataset or part, or its files are missing.
        """
        described = describe(self.folder, name)
        if part is not None and part not in described.descriptor.parts:
            hint = suggest(part, described.descriptor.parts, "parts")
            raise UsageError(f"{name} has no part '{part}'{hint}")
        dataset = open_dataset(self.folder, described)
        return dataset if part is None else dataset.select(described.descriptor.parts[part])

    def export(self, network: str, format: str, **options: Any) -> Path:
        """Write a stored network in the format of another program; options as on the command line.

        Raises:
            DianneError: there is no such tag or format, or the format cannot say what the network does.
        """
        return transfer.export(self.folder, network, format, options)

    def pack(self, network: str, **options: Any) -> Path:
        """Write a network with all that it needs into one file; options and errors as `export`."""
        return transfer.pack(self.folder, network, options)

    def import_(self, path: str | Path, **options: Any) -> list[Arrived]:
        """Bring networks and weights in; options as on the command line.

        Raises:
            DianneError: it is nothing known, spoilt, or in the way of what is there; nothing was written.
        """
        return transfer.import_(self.folder, Path(path), options)

    def tags(self, network: str) -> dict[str, Manifest]:
        """What is stored of a network, by tag."""
        return self.store.tags(network)

    # Weights are called as on the command line: "Encoder:vae", "Encoder,Decoder:vae~1", "Encoder:1a2b3c4".
    # All of these raise UsageError for what is not there, and StoreError for what is spoilt.

    def log(self, weights: str) -> list[history.Entry]:
        """The history of the weights of one network, the newest entry first."""
        return list(history.log(self.store, *addresses.parse_one(weights)))

    def diff(self, a: str, b: str) -> Differences:
        """What differs between the weights of two networks, and how far they are from each other."""
        return compare(self.store, addresses.parse_one(a), addresses.parse_one(b))

    def tag(self, weights: str, *tags: str) -> list[history.Moved]:
        """Give weights more tags."""
        return history.tag(self.store, *addresses.parse(weights), tags)

    def untag(self, weights: str) -> list[history.Moved]:
        """Take a tag away; the weights stay until `gc`, and for a day at least."""
        return history.untag(self.store, *addresses.parse(weights))

    def rollback(self, weights: str) -> list[history.Moved]:
        """Put earlier weights ("Encoder:vae~1") under their tag again, as one more entry of its history."""
        return history.rollback(self.store, *addresses.parse(weights))

    def gc(self, keep: int | None = None, dry_run: bool = False) -> Swept:
        """Remove what no tag reaches in its newest `keep` entries (all if left out), if older than a day."""
        return collect(self.store, keep, dry_run)

    def verify(self, weights: str | None = None) -> Verified:
        """Hash all that is stored, or the histories of one network or one tag, and list every fault."""
        return verify(self.store, weights)

    def push(self, weights: str, url: str, force: bool = False) -> list[Copied]:
        """Copy tags with their history to another store: a folder, or any URL that fsspec opens."""
        networks, name = addresses.parse(weights)
        return [copy(self.store, Store(url), network, name, force) for network in networks]

    def pull(self, weights: str, url: str, force: bool = False) -> list[Copied]:
        """Copy tags with their history from another store."""
        networks, name = addresses.parse(weights)
        return [copy(Store(url), self.store, network, name, force) for network in networks]
