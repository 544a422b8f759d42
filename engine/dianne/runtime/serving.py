"""The server beside the queue of a runtime, where the extra `serve` is installed."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pydantic import Field

from dianne.errors import DianneError
from dianne.jobs.queue import Queue
from dianne.options import NonNegativeInt, Options, PositiveInt
from dianne.workspace import Folder

if TYPE_CHECKING:
    from dianne.runtime.server.server import Server


class Listening(Options):
    """Where the runtime can be reached. Any request over TCP needs the token in `.dianne/token`."""

    host: str = "127.0.0.1"
    """Address to listen on; others than this machine's own are reached from elsewhere."""
    port: NonNegativeInt | None = Field(default=None, le=65535)
    """Of HTTP; 0 for any. If left out, 8080, or any if that is taken."""
    rpc_port: NonNegativeInt | None = Field(default=None, le=65535)
    """Of JSON-RPC; 0 for any. If left out, 9090, or any if that is taken."""
    max_body: PositiveInt = 64 * 1024 * 1024
    """The largest request, in bytes."""
    allow_source: bool = False
    """Take strategies as source text and from modules outside of the workspace."""


@contextmanager
def served(folder: Folder, listening: Listening, say: Callable[[str], None]) -> Iterator[None]:
    """Serve a workspace while something else is done. Jobs need not wait until all is imported and up.

    Args:
        folder: the workspace.
        listening: where it can be reached.
        say: is told where that is, or why it cannot be.
    """
    if importlib.util.find_spec("fastapi") is None:
        say("cannot be reached from programs; install the extra for that: pip install 'dianne[serve]'")
        yield
        return
    started: list[Server] = []

    def start() -> None:
        from dianne.runtime.server.server import Server

        server = Server(folder, Queue(folder), **listening.model_dump())
        try:
            server.start()
        except DianneError as error:
            say(f"error: {error}")
            return
        started.append(server)
        say(f"HTTP at {server.url}, JSON-RPC on port {server.rpc_port}, and .dianne/runtime.sock")

    starting = threading.Thread(target=start, name="start server")
    starting.start()
    try:
        yield
    finally:
        starting.join()
        for server in started:
            server.stop()
