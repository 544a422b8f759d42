"""Proof on a user's own job and machine that it can be killed and resumed, and ends with the same bits."""

from __future__ import annotations

import multiprocessing
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from dianne.errors import DianneError
from dianne.jobs import resume
from dianne.jobs.checkpoint import read
from dianne.jobs.learn import LearnWatcher, PreparedLearn, prepare
from dianne.jobs.learn_run import LearnRun
from dianne.seeds import new_seed
from dianne.store import Store
from dianne.store.transfer import copy_newest
from dianne.workspace import Folder

ITERATIONS, KILLS = 300, 5
CHECKPOINTS = 8  # between two kills, so that most have a new one to go on from
PRELOAD = ["dianne.jobs.resume", "torch._dynamo"]  # imported once for all processes


@dataclass(frozen=True)
class Aside(Folder):
    """A workspace that keeps weights and state somewhere else; nothing in it is touched.

    Attributes:
        place: where they are kept.
    """

    place: Path = Path()

    @property
    def models(self) -> Path:
        """Where weights are stored."""
        return self.place / "models"

    @property
    def state(self) -> Path:
        """Where the rest is kept."""
        return self.place / ".dianne"


@dataclass
class Proof:
    """What a self-test found.

    Attributes:
        job: what was learned, in words.
        iterations: of each run.
        kills: for each, the iteration from which the job was resumed; None if it had to begin again.
        seconds: that the uninterrupted run learned.
        same: for each network and tag whether both runs gave the same bits.
        differences: the first tensor that differs of each that is not the same.
    """

    job: str
    iterations: int
    kills: list[int | None] = field(default_factory=list)
    seconds: float = 0.0
    same: dict[str, bool] = field(default_factory=dict)
    differences: dict[str, str] = field(default_factory=dict)

    @property
    def fine(self) -> bool:
        """Whether all is the same."""
        return all(self.same.values())


def selftest(
    folder: Folder,
    networks: str,
    dataset: str,
    options: Mapping[str, Any],
    kills: int = KILLS,
    told: Callable[[str], None] = lambda _: None,
) -> Proof:
    """Run a job twice, once killed with SIGKILL at random instants and resumed, and compare the weights.

    Args:
        folder: the workspace; its weights and jobs are left alone.
        networks: names.
        dataset: its name.
        options: of the job; it has 300 iterations unless they say otherwise.
        kills: how often.
        told: is told how it goes.

    Raises:
        DianneError: the job cannot be prepared, or fails.
    """
    chosen = {"maxIterations": ITERATIONS, "tag": "selftest", "seed": new_seed(), **options}
    chosen.pop("track", None)  # it is of no interest to others
    job = prepare(folder, networks, dataset, chosen)
    words = f"{', '.join(job.networks)} on {dataset} with {job.strategy.__name__}"
    proof = Proof(words, job.options.max_iterations)
    with tempfile.TemporaryDirectory(prefix="dianne-") as temporary:
        whole, killed = (Aside(folder.root, Path(temporary) / name) for name in ("whole", "killed"))
        for aside in (whole, killed):
            _copy_starts(job, Store(aside.models))
        told(f"{words}: {proof.iterations:,} iterations without a stop")
        attempt = _Attempt((whole, networks, dataset, chosen))
        proof.seconds = attempt.finish()
        told(f"the same, killed {kills} times")
        usual = proof.seconds / kills  # between two kills
        chosen["checkpointInterval"] = usual / CHECKPOINTS
        while len(proof.kills) < kills:
            attempt = _Attempt((killed, networks, dataset, chosen))
            if attempt.kill_after(random.uniform(0, 1.5 * usual)):
                break
            proof.kills.append(_stands_at(killed))
            told(f"killed; {_words(proof.kills[-1])}")
        else:
            _Attempt((killed, networks, dataset, chosen)).finish()
        _compare(Store(whole.models), Store(killed.models), proof)
    return proof


class _Attempt:
    """A process that begins a job, or goes on with the one that was interrupted."""

    def __init__(self, job: tuple[Aside, str, str, Mapping[str, Any]]):
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOAD)
        self.ours, theirs = context.Pipe(duplex=False)
        self.process = context.Process(target=_attempt, args=(*job, theirs))
        self.process.start()
        theirs.close()
        self.begun = self._hear() == "begun"

    def _hear(self) -> Any:
        try:
            said = self.ours.recv()
        except EOFError:
            self.process.join()
            raise DianneError(f"the job's process ended with exit code {self.process.exitcode}") from None
        if isinstance(said, DianneError):
            raise said
        return said

    def finish(self) -> float:
        """Wait for the end; gives the seconds that it learned."""
        seconds: float = self._hear()
        self.process.join()
        return seconds

    def kill_after(self, seconds: float) -> bool:
        """Kill it after some time of learning; tells whether it was done before."""
        time.sleep(seconds)
        self.process.kill()
        self.process.join()
        return self.process.exitcode == 0


def _attempt(
    folder: Aside, networks: str, dataset: str, options: Mapping[str, Any], connection: Connection
) -> None:
    class Watcher(LearnWatcher):
        def start(self, job: PreparedLearn, batch_size: int) -> None:  # noqa: ARG002
            connection.send("begun")

    try:
        if _stands_at(folder) is None:
            shutil.rmtree(folder.state, ignore_errors=True)
            run = LearnRun(prepare(folder, networks, dataset, options), Watcher())
        else:
            run = resume.prepare(folder, None, Watcher())
        connection.send(run.run().seconds)
    except DianneError as error:
        connection.send(DianneError(str(error)))


def _stands_at(folder: Folder) -> int | None:
    """The iteration of the newest checkpoint in a workspace with one job; None if there is none."""
    kept = resume.kept(folder)
    return read(kept[0]).iteration if kept else None


def _words(iteration: int | None) -> str:
    return "beginning again" if iteration is None else f"going on after iteration {iteration:,}"


def _copy_starts(job: PreparedLearn, target: Store) -> None:
    """Give another store the weights from which the networks of a job start."""
    store = Store(job.folder.models)
    for member in job.team:
        if store.has(member.name, job.tag):
            copy_newest(store, target, member.name, job.tag)
        if origin := job.origin(member):
            copy_newest(store, target, member.name, origin)


def _compare(whole: Store, killed: Store, proof: Proof) -> None:
    for network in whole.networks():
        for tag, manifest in whole.tags(network).items():
            name = f"{network}:{tag}"
            other = killed.manifest(network, tag)
            proof.same[name] = manifest.blob == other.blob
            if manifest.blob != other.blob:
                ours, theirs = whole.weights(manifest), killed.weights(other)
                differing = [key for key in ours if not ours[key].equal(theirs[key])]
                proof.differences[name] = differing[0]
