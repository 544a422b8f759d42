"""`POST /instances/{name}/forward`: samples in, results out, in the kinds of body that were agreed on."""

from __future__ import annotations

import asyncio
from typing import Any

from anyio import to_thread
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from dianne.errors import UsageError
from dianne.runtime.batching import PATIENCE
from dianne.runtime.live import Answer, Live, LiveInstances
from dianne.runtime.server.bodies import (
    GIVES,
    JSON,
    NPY,
    PNG,
    TAKES,
    UnknownKindError,
    decode,
    encode,
    wanted,
)
from dianne.runtime.server.replies import looked_up

PATH = "/instances/{name}/forward"
MANIFEST = "Dianne-Manifest"  # the header that says which weights gave a result
_QUICK = 100_000  # bytes that are read or written at once; more goes to a thread beside


class Forward:
    """The one route that is called thousands of times a second, so it is a bare ASGI application.

    Args:
        instances: those that can be called.
    """

    path = PATH

    def __init__(self, instances: LiveInstances):
        self.instances = instances
        self._planned: dict[Live, asyncio.Handle] = {}  # when calls will be answered here

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; raises HTTPException and UsageError for what cannot be answered."""
        headers = Headers(scope=scope)
        name: str = scope["path_params"]["name"]
        scope["route"] = self  # as FastAPI's own routes do
        live = self.instances.ready(name)
        if live is None:
            live = await to_thread.run_sync(self._found, name)
        try:
            kind = wanted(headers.get("accept", "*/*"))
        except UnknownKindError as error:
            raise HTTPException(406, str(error)) from error
        samples = await self._samples(live, await _body(receive), headers.get("content-type", JSON))
        answer = await self._asked(live, samples)
        if kind != PNG and answer.values.nbytes <= _QUICK:
            body = encode(answer.values, answer.single, kind)
        else:
            body = await to_thread.run_sync(encode, answer.values, answer.single, kind)
        described = [
            (b"content-type", kind.encode()),
            (b"content-length", str(len(body)).encode()),
            (MANIFEST.lower().encode(), answer.version.encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": described})
        await send({"type": "http.response.body", "body": body})

    async def _asked(self, live: Live, samples: Any) -> Answer:
        """The answer of a network.

        Threads of one Python process hand its lock to each other several times in each forward, and wait for
        it every time. So what a quick network is asked is answered here, when as many calls have come as went
        together last, or after 2 ms; only slow ones compute beside.
        """
        if not live.quick:
            return await asyncio.wrap_future(live.submit(samples))
        answer = live.submit(samples, wake=False)
        loop, planned = asyncio.get_running_loop(), self._planned.get(live)
        if live.batcher.waiting >= live.batcher.together:
            if planned is not None:
                planned.cancel()
            self._planned[live] = loop.call_soon(self._answer, live)
        elif planned is None:
            self._planned[live] = loop.call_later(PATIENCE, self._answer, live)
        return await asyncio.wrap_future(answer)

    def _answer(self, live: Live) -> None:
        del self._planned[live]
        live.batcher.answer_waiting()

    def _found(self, name: str) -> Live:
        with looked_up():
            return self.instances.get(name)

    async def _samples(self, live: Live, body: bytes, kind: str) -> Any:
        try:
            if kind in (JSON, NPY) and len(body) <= _QUICK:
                return decode(body, kind, live.deployed.input_dims)
            return await to_thread.run_sync(decode, body, kind, live.deployed.input_dims)
        except UnknownKindError as error:
            raise HTTPException(415, str(error)) from error
        except UsageError as error:
            raise HTTPException(400, str(error)) from error


async def _body(receive: Receive) -> bytes:
    message = await receive()
    parts: list[bytes] = [message.get("body", b"")]
    while message.get("more_body", False):
        message = await receive()
        parts.append(message.get("body", b""))
    return b"".join(parts)


def documented() -> dict[str, Any]:
    """The route's part of the OpenAPI document."""
    numbers: dict[str, Any] = {"type": "array", "items": {}, "minItems": 1}
    binary = {"type": "string", "format": "binary"}
    fault = {"content": {JSON: {"schema": {"$ref": "#/components/schemas/Fault"}}}}
    faults = {
        "400": "the body is not what its kind says", "401": "no token", "404": "no such instance",
        "406": "no such kind of results", "409": "the network cannot be run",
        "413": "the body is too large", "415": "no such kind of body", "422": "samples do not fit",
    }  # fmt: skip
    return {
        "post": {
            "tags": ["instances"],
            "operationId": "forward",
            "summary": "Forward samples through a deployed network.",
            "description": (
                "One sample or a batch, as nested arrays in JSON, a `.npy` file or a picture of exactly the "
                "size that the network takes. `Accept` chooses what comes back. Concurrent requests are "
                f"answered together. The header `{MANIFEST}` names the weights that gave the results. In "
                "JSON, what is not finite is null; it is not taken (NaN is no JSON)."
            ),
            "parameters": [{"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}],
            "requestBody": {
                "required": True,
                "content": {kind: {"schema": numbers if kind == JSON else binary} for kind in TAKES},
            },
            "responses": {
                "200": {
                    "description": "the results, without the batch for a single sample",
                    "headers": {MANIFEST: {"schema": {"type": "string"}}},
                    "content": {kind: {"schema": {} if kind == JSON else binary} for kind in GIVES},
                },
                **{code: {"description": text, **fault} for code, text in faults.items()},
            },
        }
    }
