"""The client of a runtime: what a `Workspace` does, done by the process that serves it. Imports no torch."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dianne.binding import native
from dianne.errors import DianneError, UsageError
from dianne.jobs.entry import Entry, Notification
from dianne.runtime.places import socket_of
from dianne.workspace import Folder

if TYPE_CHECKING:
    import httpx2

_EVERY = 0.2  # seconds between looks at a job that is waited for
_NPY = "application/x-npy"


def connect(url: str | Path | None = None, token: str | None = None) -> Client:
    """A client of a running runtime.

    Args:
        url: where it is, such as "http://127.0.0.1:8080"; or the folder of its workspace, whose own socket
            needs no token. The working directory if left out.
        token: what stands in the workspace's `.dianne/token`; for a URL only.

    Raises:
        UsageError: there is no runtime, a URL without a token, or the extra `serve` is not installed.
    """
    try:
        import httpx2
    except ImportError as error:
        raise UsageError("connect needs the extra `serve`: pip install 'dianne[serve]'") from error
    if isinstance(url, str) and url.startswith(("http://", "https://")):
        if token is None:
            raise UsageError(f"{url} asks for a token; it stands in .dianne/token of its workspace")
        headers = {"Authorization": f"Bearer {token}"}
        return Client(httpx2.Client(base_url=url, headers=headers, timeout=None), url)
    folder = Folder(Path(url or "."))
    path = socket_of(folder)
    if not path.exists():
        raise UsageError(f"no runtime serves {folder.root.absolute()}; start one with: dianne serve")
    transport = httpx2.HTTPTransport(uds=str(path))
    return Client(httpx2.Client(base_url="http://localhost", transport=transport, timeout=None), str(path))


class Client:
    """A workspace that another process serves. Several threads may use it at once.

    Args:
        http: sends requests.
        place: how messages name the runtime.
    """

    def __init__(self, http: httpx2.Client, place: str):
        self._http = http
        self._place = place

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    # ---------------------------------------------------------------------------------------------- jobs

    def learn(self, networks: str | Iterable[str], dataset: str, **options: Any) -> dict[str, Any]:
        """Submit a learn job, wait until it is over, and give its result.

        Raises:
            DianneError: something that was asked for does not exist or fit, or learning failed.
        """
        return self._awaited(self.submit(networks, dataset, **options))

    def evaluate(self, networks: str | Iterable[str], dataset: str, **options: Any) -> dict[str, Any]:
        """Submit an evaluation, wait until it is over, and give its result; raises as `learn`."""
        return self._awaited(self.submit(networks, dataset, "evaluate", **options))

    def submit(self, networks: str | Iterable[str], dataset: str, kind: str = "learn", **options: Any) -> str:
        """Queue a job; gives its identifier. Raises as `Workspace.submit`."""
        names = networks if isinstance(networks, str) else list(networks)
        given = {key: native(value) for key, value in options.items()}
        job = {"kind": kind, "networks": names, "dataset": dataset, "options": given}
        return str(self._json("POST", "/jobs", json=job)["id"])

    def jobs(self, *statuses: str) -> list[Entry]:
        """The newest jobs in the order in which they came: all, or those of some statuses."""
        found = self._json("GET", "/jobs", params={"status": list(statuses), "newest": 1000})
        return [Entry(**entry) for entry in found]

    def job(self, job: str) -> Entry:
        """A job: an identifier, the beginning of one, or "NETWORK:TAG"; raises UsageError for no job."""
        return Entry(**self._json("GET", f"/jobs/{_quoted(job)}"))

    def stop(self, job: str) -> None:
        """Cancel a job that waits, or let one that runs store its weights and end; raises UsageError."""
        self._json("POST", f"/jobs/{_quoted(job)}/stop")

    def result(self, job: str) -> dict[str, Any] | None:
        """What a job found; None until it has ended well."""
        found: dict[str, Any] | None = self._json("GET", f"/jobs/{_quoted(job)}/result")
        return found

    def notifications(self) -> list[Notification]:
        """What happened last, newest at the end."""
        return [Notification(**note) for note in self._json("GET", "/notifications")]

    def events(self, job: str | None = None) -> Iterator[dict[str, Any]]:
        """Progress and notifications as they come: of all jobs, or of one until it ends."""
        params = {"job": job} if job else {}
        with self._reached(), self._http.stream("GET", "/events", params=params) as response:
            if response.is_error:
                response.read()
            _check(response)
            for line in response.iter_lines():
                if line.startswith("data: "):
                    yield json.loads(line.removeprefix("data: "))

    def _awaited(self, job: str) -> dict[str, Any]:
        while not (entry := self.job(job)).over:
            time.sleep(_EVERY)
        found = self.result(job)
        if found is None:
            raise DianneError(f"the job {job} {entry.status}: {entry.error or 'without a result'}")
        return found

    # ------------------------------------------------------------------------------------------ networks

    def deploy(self, network: str, tag: str, name: str | None = None) -> RemoteInstance:
        """Bring a network up with the weights of a tag, which it follows; raises as `Workspace.deploy`."""
        wanted = {"network": network, "tag": tag, "name": name}
        return RemoteInstance(self, self._json("POST", "/instances", json=wanted)["name"])

    def undeploy(self, name: str) -> None:
        """Let a deployed network go; raises UsageError if there is none of that name."""
        self._answer("DELETE", f"/instances/{_quoted(name)}")

    def instance(self, name: str) -> RemoteInstance:
        """A deployed network; raises UsageError if there is none of that name."""
        return RemoteInstance(self, self._json("GET", f"/instances/{_quoted(name)}")["name"])

    def forward(self, name: str, samples: ArrayLike) -> NDArray[np.float32]:
        """Results of a deployed network for one sample or for a batch; raises as `RemoteInstance.forward`."""
        return RemoteInstance(self, name).forward(samples)

    def models(self) -> list[dict[str, Any]]:
        """The networks, as `dianne models --json` lists them."""
        return list(self._json("GET", "/models"))

    def tags(self, network: str) -> dict[str, dict[str, Any]]:
        """What is stored of a network, by tag."""
        return {entry["tag"]: entry for entry in self._json("GET", f"/models/{_quoted(network)}/tags")}

    def datasets(self) -> list[dict[str, Any]]:
        """The datasets, as `dianne datasets --json` lists them."""
        return list(self._json("GET", "/datasets"))

    # ------------------------------------------------------------------------------------------ requests

    def _json(self, method: str, path: str, **more: Any) -> Any:
        return self._answer(method, path, **more).json()

    def _answer(self, method: str, path: str, **more: Any) -> httpx2.Response:
        with self._reached():
            response = self._http.request(method, path, **more)
        _check(response)
        return response

    @contextmanager
    def _reached(self) -> Iterator[None]:
        import httpx2

        try:
            yield
        except httpx2.TransportError as error:
            raise DianneError(f"no runtime answers at {self._place}: {error}") from error


class RemoteInstance:
    """A deployed network in the runtime.

    Args:
        client: reaches it.
        name: of the instance.

    Attributes:
        manifest: identifies the weights that gave the last results.
    """

    def __init__(self, client: Client, name: str):
        self.name = name
        self.manifest = ""
        self._client = client

    def forward(self, samples: ArrayLike) -> NDArray[np.float32]:
        """The network's result for one sample or for a batch; raises UsageError if the shape does not fit."""
        packed = io.BytesIO()
        np.save(packed, np.asarray(samples, np.float32), allow_pickle=False)
        response = self._client._answer(
            "POST", f"/instances/{_quoted(self.name)}/forward", content=packed.getvalue(),
            headers={"Content-Type": _NPY, "Accept": _NPY},
        )  # fmt: skip
        self.manifest = response.headers["dianne-manifest"]
        found: NDArray[np.float32] = np.load(io.BytesIO(response.content), allow_pickle=False)
        return found


def _check(response: httpx2.Response) -> None:
    """Raise what a runtime refuses, in its own words."""
    if response.is_success:
        return
    try:
        message = str(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        message = f"{response.url} answers {response.status_code}; is it a runtime?"
    raise (DianneError if response.status_code in (401, 403, 409) else UsageError)(message)


def _quoted(name: str) -> str:
    return quote(name, safe="")
