"""Deployed networks held in memory: called by many at once, with the newest weights of their tags."""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic, perf_counter, thread_time
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from dianne import plugins
from dianne.errors import DianneError, UsageError
from dianne.runtime import deployments, instances
from dianne.runtime.batching import Batcher, Call
from dianne.runtime.deployments import Instance
from dianne.runtime.instances import Deployed
from dianne.store import Manifest, Store
from dianne.workspace import Folder

_EVERY = 0.1  # seconds between looks at the tags
_EVERY_REMOTE = 2.0  # where each look asks a server
_QUICK = 0.005  # seconds of computing that may hold up whoever asks
_AGAIN = 10.0  # seconds until weights that could not be loaded are tried again
_ALL = ""  # what is wrong with no single instance


@dataclass(frozen=True)
class Answer:
    """Results, and the version of the weights that gave them.

    Attributes:
        values: float, (b, ...); without the batch for a single sample.
        single: whether there was a single sample.
        version: the identifier of the manifest.
        manifest: where the weights came from.
    """

    values: NDArray[np.float32]
    single: bool
    version: str
    manifest: Manifest


@dataclass(frozen=True)
class _Failed:
    """A version of an instance's weights that does not load, why, and when to try again."""

    version: str
    message: str
    again: float


_Samples = tuple[Tensor, bool]  # (b, ...), and whether there was a single one
_Call = Call[_Samples, Answer]


class LiveWatcher:
    """Who follows live instances; every method may be left as it is. Called from several threads."""

    def note(self, level: str, message: str) -> None:
        """Something happened: "INFO" for new weights, "DANGER" for weights that cannot be used.

        May raise DianneError; what is wrong is then said in the next round, news of weights are lost.
        """

    def ran(self, instance: str, version: str, calls: int, seconds: float) -> None:
        """So many calls were answered together."""


class Live:
    """One deployed network in memory.

    Attributes:
        deployed: what is called, with its weights; replaced as a whole, and read once for a batch.
        batcher: puts calls together.
        quick: whether batches take so little that handing them to another thread would take longer.

    Args:
        deployed: its first weights.
        watcher: is told what happens.
    """

    def __init__(self, deployed: Deployed, watcher: LiveWatcher):
        self.deployed = deployed
        self.batcher: Batcher[_Samples, Answer] = Batcher(self._run, deployed.instance.name)
        self.quick = False
        self._costs: deque[float] = deque(maxlen=3)  # the first batch of a size takes longer
        self._watcher = watcher

    def submit(self, samples: ArrayLike, wake: bool = True) -> Future[Answer]:
        """Ask for the results of one sample or of a batch.

        Args:
            samples: of the input's shape, or (b, *shape).
            wake: see `Batcher.submit`.

        Raises:
            UsageError: the shape does not fit; or the answer raises it.
        """
        values = torch.from_numpy(np.array(samples, np.float32))  # a copy: the caller may go on with theirs
        answer = self.batcher.submit(self.deployed.batch_of(values), wake)
        if answer.cancelled():
            raise UsageError(f"'{self.deployed.instance.name}' was undeployed")
        return answer

    def forward(self, samples: ArrayLike) -> Answer:
        """The results of one sample or of a batch; raises as `submit`."""
        return self.submit(samples).result()

    def close(self) -> None:
        """Answer what was asked, and nothing more."""
        self.batcher.close()

    def _run(self, calls: list[_Call]) -> None:
        deployed, started = self.deployed, thread_time()
        groups: dict[Any, list[_Call]] = {}
        for call in calls:
            groups.setdefault(call.asked[0].shape[1:], []).append(call)
        for group in groups.values():
            self._answer(deployed, group)
        self._costs.append(thread_time() - started)
        self.quick = min(self._costs) < _QUICK

    def _answer(self, deployed: Deployed, calls: list[_Call]) -> None:
        """Answer calls whose samples are of one shape; each by itself if they cannot go together."""
        started = perf_counter()
        batches = [call.asked[0] for call in calls]
        try:
            with plugins.user_code(f"running {deployed.instance.network}"):
                if len(batches) == 1:
                    parts: Sequence[Tensor] = [deployed.run(batches[0])]
                else:
                    results = deployed.run(torch.cat(batches))
                    parts = torch.split(results, [len(batch) for batch in batches])
        except DianneError as error:
            if len(calls) == 1:
                calls[0].answer.set_exception(error)
                return
            for call in calls:
                self._answer(deployed, [call])
            return
        self._watcher.ran(deployed.instance.name, deployed.version, len(calls), perf_counter() - started)
        for call, part in zip(calls, parts, strict=True):
            single = call.asked[1]
            values = (part[0] if single else part).numpy()
            call.answer.set_result(Answer(values, single, deployed.version, deployed.manifest))


class LiveInstances:
    """All instances of a workspace. What is deployed stands in its files; this follows them, and their tags.

    Args:
        folder: the workspace.
        watcher: is told what happens.
    """

    def __init__(self, folder: Folder, watcher: LiveWatcher | None = None):
        self.folder = folder
        self._store = Store(folder.models)
        self._watcher = watcher or LiveWatcher()
        self._live: dict[str, Live] = {}
        self._changing = threading.RLock()
        self._said: dict[str, tuple[str, str]] = {}  # what is wrong, by instance, and with which version
        self._failed: dict[str, _Failed] = {}  # by instance
        self._closing = threading.Event()
        self._follower = threading.Thread(target=self._follow, name="follow tags", daemon=True)

    def start(self) -> None:
        """Bring up what is deployed, and follow it from here on.

        For a process of its own: leaves half of the cores to those who ask, and lets threads wait less for
        each other.
        """
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // 2))
        sys.setswitchinterval(0.0005)
        self.refresh()
        self._follower.start()

    def close(self) -> None:
        """Answer what was asked, and let all go."""
        self._closing.set()
        if self._follower.is_alive():
            self._follower.join()
        with self._changing:
            for name in list(self._live):
                self._live.pop(name).close()

    def get(self, name: str) -> Live:
        """The instance of that name.

        Raises:
            UsageError: nothing of that name is deployed.
            StoreError: its weights are spoilt or do not fit.
        """
        return self.ready(name) or self._bring_up(deployments.find(self.folder, name))

    def ready(self, name: str) -> Live | None:
        """The instance of that name, if it is in memory already."""
        return self._live.get(name)

    def deploy(self, network: str, tag: str, name: str | None = None) -> Live:
        """Deploy a network, or deploy it again; raises as `instances.deploy`."""
        deployed = instances.deploy(self.folder, network, tag, name)
        with self._changing:
            return self._take(deployed)

    def undeploy(self, name: str) -> None:
        """Let an instance go.

        Raises:
            UsageError: nothing of that name is deployed.
        """
        deployments.undeploy(self.folder, name)
        self._drop(name)

    def refresh(self) -> None:
        """Look at what is deployed and where its tags are; take new weights."""
        try:
            deployed = deployments.names(self.folder)
            self._said.pop(_ALL, None)
        except DianneError as error:
            self._say_once(_ALL, f"no instance follows its tag: {error}")
            return
        for name in set(self._live) - set(deployed):
            self._drop(name)
        for name in deployed:
            try:
                self._look_at(name)
                self._said.pop(name, None)
            except DianneError as error:
                self._note_fault(name, str(error))

    def _follow(self) -> None:
        every = _EVERY if self._store.cache is None else _EVERY_REMOTE
        while not self._closing.wait(every):
            self.refresh()

    def _look_at(self, name: str) -> None:
        instance, live = deployments.find(self.folder, name), self._live.get(name)
        version = self._store.resolve(instance.network, instance.tag)
        before = (live.deployed.instance, live.deployed.version) if live else None
        if before == (instance, version):
            self._failed.pop(name, None)
            return
        failed = self._failed.get(name)
        if failed and failed.version == version and monotonic() < failed.again:
            raise DianneError(failed.message)
        try:
            after = self._bring_up(instance).deployed.version
        except DianneError as error:
            self._failed[name] = _Failed(version, str(error), monotonic() + _AGAIN)
            raise
        self._failed.pop(name, None)
        if before:
            source = f"{instance.network}:{instance.tag}"
            with suppress(DianneError):
                self._watcher.note(
                    "INFO", f"{name} took new weights of {source}: {_short(after)}, was {_short(before[1])}"
                )

    def _note_fault(self, name: str, message: str) -> None:
        """Say once what is wrong with an instance, or with a version of its weights."""
        failed, live = self._failed.get(name), self._live.get(name)
        state = f"keeps the weights {_short(live.deployed.version)}" if live else "cannot be brought up"
        self._say_once(name, f"{name} {state}: {message}", failed.version if failed else "")

    def _say_once(self, name: str, message: str, version: str = "") -> None:
        if self._said.get(name) != (message, version):
            with suppress(DianneError):
                self._watcher.note("DANGER", message)
                self._said[name] = (message, version)

    def _bring_up(self, instance: Instance) -> Live:
        """Load the newest weights, beside the old ones if there are some, and change over to them."""
        with self._changing:
            return self._take(instances.load(self.folder, instance))

    def _take(self, deployed: Deployed) -> Live:
        name = deployed.instance.name
        live = self._live.get(name)
        if live is None:
            live = self._live[name] = Live(deployed, self._watcher)
        else:
            live.deployed = deployed
        return live

    def _drop(self, name: str) -> None:
        with self._changing:
            live = self._live.pop(name, None)
        if live is not None:
            live.close()


def _short(version: str) -> str:
    return version[:12]
