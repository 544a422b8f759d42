"""The HTTP application: its routes, and how faults are answered."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import Response
from starlette.middleware import Middleware
from starlette.routing import Route

from dianne.runtime.server import forwarding
from dianne.runtime.server.forms import Fault
from dianne.runtime.server.jsonrpc import JsonRpc
from dianne.runtime.server.metrics import Counted
from dianne.runtime.server.replies import HANDLERS
from dianne.runtime.server.routes import catalogue, instances, jobs
from dianne.runtime.server.services import Services

VERSION = version("dianne")
ABOUT = """Jobs, weights and deployed networks of one workspace.

Over TCP every request needs `Authorization: Bearer TOKEN`; the token is in `.dianne/token`. The socket
`.dianne/runtime.sock` needs none. Faults are `{"error": "..."}` with a status of 4xx."""


def make_app(services: Services) -> FastAPI:
    """The application of a workspace. Without a guard: see `auth.Guard`."""
    app = FastAPI(
        title="dianne",
        version=VERSION,
        description=ABOUT,
        docs_url=None,  # these pages load scripts from elsewhere, and cannot send a token
        redoc_url=None,
        routes=[Route(forwarding.PATH, forwarding.Forward(services.instances), methods=["POST"])],
        exception_handlers=HANDLERS,
        middleware=[Middleware(Counted, metrics=services.metrics)],
        responses={422: {"model": Fault}, 404: {"model": Fault}, 409: {"model": Fault}},
    )
    for topic in (jobs, catalogue, instances):
        app.include_router(topic.routes(services))
    app.include_router(_rest(services))
    made = app.openapi

    def documented() -> dict[str, Any]:
        document = made()
        document["paths"].setdefault(forwarding.PATH, forwarding.documented())
        return document

    app.openapi = documented  # type: ignore[method-assign]
    return app


def _rest(services: Services) -> APIRouter:
    router = APIRouter(tags=["server"])
    rpc = JsonRpc(services)

    @router.get("/health")
    def health() -> dict[str, str]:
        """Whether the server answers, and which version it is."""
        return {"status": "ok", "version": VERSION}

    @router.get("/metrics")
    def metrics() -> Response:
        """Counts for Prometheus."""
        return Response(
            services.metrics.text(services.queue.counts()), media_type="text/plain; version=0.0.4"
        )

    @router.post("/jsonrpc")
    @router.post("/dianne/jsonrpc")
    async def jsonrpc(request: Request) -> Response:
        """The methods of DIANNE's JSON-RPC: one request object."""
        return Response(await rpc.answer(await request.body()), media_type="application/json")

    return router
