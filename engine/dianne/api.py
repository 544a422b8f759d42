"""The Python interface: what the commands do, for notebooks and programs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

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
from dianne.jobs.learn_run import LearnRun
from dianne.jobs.prepare import Member, module_keys, parameters_of, resolve_networks
from dianne.network.file import read
from dianne.network.library import Library
from dianne.network.network import Network
from dianne.runtime import instances
from dianne.runtime.generate import generate
from dianne.runtime.instances import Deployed
from dianne.seeds import new_seed
from dianne.store import Manifest, Store
from dianne.workspace import Folder


class Workspace:
    """A folder with `networks/`, `strategies/`, `datasets/` and `models/`; any of them may be missing.

    Args:
        path: the folder; the working directory if left out.
    """

    def __init__(self, path: str | Path = "."):
        self.folder = Folder(Path(path))
        self.store = Store(self.folder.models)

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

    def evaluate(self, networks: str | Iterable[str], dataset: str, **options: Any) -> Evaluation:
        """Judge stored networks on a dataset; options as on the command line, `tag` among them.

        Raises:
            DianneError: something that was asked for does not exist or fit.
        """
        return evaluate_job.run(evaluate_job.prepare(self.folder, networks, dataset, options))

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

    def import_(self, path: str | Path, **options: Any) -> list[Arrived]:
        """Bring networks and weights in; options as on the command line.

        Raises:
            DianneError: it is nothing known, spoilt, or in the way of what is there; nothing was written.
        """
        return transfer.import_(self.folder, Path(path), options)

    def tags(self, network: str) -> dict[str, Manifest]:
        """What is stored of a network, by tag."""
        return self.store.tags(network)
