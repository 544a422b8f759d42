"""DIANNE's JSON-RPC methods, whatever carries them.

One object is one request: version 2.0, positional parameters. Its id comes back as text. `learn` and `eval`
answer with the job's identifier at once; with the option `wait` they answer with the result, when it is over.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio
import orjson
from anyio import to_thread

from dianne.errors import DianneError, UsageError, suggest
from dianne.jobs.entry import ENDED, RUNNING, WAITING
from dianne.runtime.server import dianne_forms as forms
from dianne.runtime.server.services import Services

PARSE, REQUEST, METHOD, PARAMS, INTERNAL = -32700, -32600, -32601, -32602, -32603
NOTHING = "null"  # how DIANNE says that there is nothing
_EVERY = 0.2  # seconds between looks at a job that somebody waits for


class RpcError(Exception):
    """A request that is answered with an error.

    Args:
        code: as JSON-RPC and DIANNE have it.
        message: what went wrong.
    """

    def __init__(self, code: int, message: str):
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Waiting:
    """A result that is there once a job is over."""

    job: str
    result: Callable[[str], Any]


class JsonRpc:
    """Answers requests.

    Args:
        services: what they work with.
    """

    def __init__(self, services: Services):
        self.services = services
        self.methods: dict[str, tuple[Callable[[list[Any]], Any], int]] = {
            "deploy": (self._deploy, PARAMS),
            "undeploy": (self._undeploy, PARAMS),
            "forward": (self._forward, INTERNAL),
            "learn": (partial(self._submit, "learn"), INTERNAL),
            "eval": (partial(self._submit, "evaluate"), INTERNAL),
            "act": (self._act, INTERNAL),
            "learnResult": (partial(self._about, self._learn_result), INTERNAL),
            "evaluationResult": (partial(self._about, self._evaluation_result), INTERNAL),
            "agentResult": (partial(self._about, lambda _: NOTHING), INTERNAL),
            "job": (partial(self._about, self._job), INTERNAL),
            "stop": (partial(self._about, self._stop), INTERNAL),
            "availableNeuralNetworks": (lambda _: sorted(services.folder.files("networks")), INTERNAL),
            "availableDatasets": (lambda _: sorted(services.folder.files("datasets")), INTERNAL),
            "queuedJobs": (lambda _: self._jobs(WAITING), INTERNAL),
            "runningJobs": (lambda _: self._jobs(RUNNING), INTERNAL),
            "finishedJobs": (lambda _: self._jobs(*ENDED, newest=10), INTERNAL),
            "notifications": (lambda _: [forms.note(n) for n in services.queue.notifications()], INTERNAL),
        }

    async def answer(self, text: bytes) -> bytes:
        """The response to one request; never raises for what somebody asks."""
        identifier: str | None = None
        try:
            request = parsed(text)
            identifier = _identifier(request)
            method, params, code = self._called(request)
            try:
                result = await to_thread.run_sync(method, params)
                if isinstance(result, Waiting):
                    result = await self._when_over(result)
            except DianneError as error:
                raise RpcError(code, str(error)) from error
        except RpcError as error:
            return refusal(error.code, str(error), identifier)
        return _packed({"jsonrpc": "2.0", "id": identifier, "result": result})

    def _called(self, request: Any) -> tuple[Callable[[list[Any]], Any], list[Any], int]:
        if not isinstance(request, dict):
            raise RpcError(REQUEST, "expected one request object")
        if request.get("jsonrpc") != "2.0":
            raise RpcError(REQUEST, 'expected "jsonrpc": "2.0"')
        name = request.get("method")
        if not isinstance(name, str):
            raise RpcError(REQUEST, "the method is missing")
        if name not in self.methods:
            raise RpcError(METHOD, f"there is no method '{name}'{suggest(name, self.methods, 'methods')}")
        params = request.get("params", [])
        if not isinstance(params, list):
            raise RpcError(PARAMS, "params: expected an array")
        method, code = self.methods[name]
        return method, params, code

    async def _when_over(self, waiting: Waiting) -> Any:
        queue, job = self.services.queue, waiting.job
        while not (entry := await to_thread.run_sync(queue.get, job)).over:
            if self.services.closing.is_set():
                raise RpcError(INTERNAL, f"the server stops; the job is {job}")
            await anyio.sleep(_EVERY)
        if entry.status == "failed":
            raise RpcError(INTERNAL, entry.error or "failed")
        return await to_thread.run_sync(waiting.result, job)

    # ----------------------------------------------------------------------------------------- instances

    def _deploy(self, params: list[Any]) -> str:
        network, tags = params[0] if params else None, params[3:]  # no use for a description and a runtime
        if isinstance(network, dict):
            raise RpcError(PARAMS, "deploy takes the name of a network, not its structure")
        if len(tags) != 1:
            raise RpcError(
                PARAMS, f"deploy needs one tag, found {len(tags)}: [name, description, runtime, tag]"
            )
        name, tag = _text(network, "the network's name"), _text(tags[0], "the tag")
        return self.services.instances.deploy(name, tag, str(uuid.uuid4())).deployed.instance.name

    def _undeploy(self, params: list[Any]) -> str:
        (name,) = _exactly(params, "an instance")
        self.services.instances.undeploy(_text(name, "the instance"))
        return str(name)

    def _forward(self, params: list[Any]) -> str:
        """The label of the largest value, as DIANNE gives it."""
        name, samples = _exactly(params, "an instance", "numbers")
        answer = self.services.instances.get(_text(name, "the instance")).forward(forms.numbers(samples))
        labels = answer.manifest.labels
        if not labels or not answer.single or len(labels) != answer.values.size:
            found = f"{len(labels)} labels" if labels else "no labels"
            raise UsageError(
                f"forward gives the label of one sample; {name} has {found} for {answer.values.shape}"
            )
        return labels[int(answer.values.argmax())]

    # ---------------------------------------------------------------------------------------------- jobs

    def _submit(self, kind: str, params: list[Any]) -> str | Waiting:
        networks, dataset, options = _exactly(params, "networks", "a dataset", "options")
        if isinstance(networks, dict):
            raise RpcError(PARAMS, "expected names of networks, not a structure")
        if not isinstance(options, dict) or any(isinstance(v, dict | list) for v in options.values()):
            raise RpcError(PARAMS, "options: expected an object of plain values")
        wait = str(options.pop("wait", False)).lower() == "true"
        names = _text(networks, "the networks' names")
        job = self.services.submit(kind, names, _text(dataset, "the dataset's name"), options)
        results = {"learn": self._learn_result, "evaluate": self._evaluation_result}
        return Waiting(job, results[kind]) if wait else job

    def _act(self, _: list[Any]) -> None:
        raise UsageError("act: there are no agents and environments here yet")

    def _about(self, method: Callable[[str], Any], params: list[Any]) -> Any:
        """A method whose parameter is a job."""
        (job,) = _exactly(params, "a job")
        return method(_text(job, "the job"))

    def _learn_result(self, job: str) -> Any:
        entry = self._known(job, "learn")
        return NOTHING if entry is None else forms.learn_result(self.services.queue.progress(job))

    def _evaluation_result(self, job: str) -> Any:
        entry = self._known(job, "evaluate")
        return NOTHING if entry is None else forms.evaluation_result(entry, self.services.queue.result(job))

    def _job(self, job: str) -> Any:
        entry = self._known(job)
        return NOTHING if entry is None else forms.job(entry)

    def _known(self, job: str, kind: str = "") -> Any:
        try:
            entry = self.services.queue.get(job)
        except UsageError:
            return None
        return entry if kind in ("", entry.kind) else None

    def _stop(self, job: str) -> str:
        return f"Job {self.services.queue.stop(job).id} stopped"

    def _jobs(self, *statuses: str, newest: int | None = None) -> list[dict[str, Any]]:
        return [forms.job(entry) for entry in self.services.queue.jobs(*statuses, newest=newest)]


def parsed(text: bytes) -> Any:
    """A request's JSON; raises RpcError if it is none."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise RpcError(PARSE, f"this is no JSON: {error}") from error


def refusal(code: int, message: str, identifier: str | None = None) -> bytes:
    """A response that says what went wrong."""
    return _packed({"jsonrpc": "2.0", "id": identifier, "error": {"code": code, "message": message}})


def _packed(response: dict[str, Any]) -> bytes:
    return json.dumps(response, default=str).encode() + b"\n"


def _identifier(request: Any) -> str | None:
    if not isinstance(request, dict):
        return None
    given = request.get("id")
    return given if isinstance(given, str) else json.dumps(given)


def _exactly(params: list[Any], *wanted: str) -> list[Any]:
    if len(params) != len(wanted):
        raise RpcError(PARAMS, f"expected [{', '.join(wanted)}], found {len(params)} parameters")
    return params


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= 1000:
        raise RpcError(PARAMS, f"expected {what}")
    return value
