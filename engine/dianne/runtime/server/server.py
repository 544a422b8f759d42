"""The server of a workspace: HTTP on loopback and on a socket of the user's own, JSON-RPC on a port."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import uvicorn
import uvloop

from dianne.document import display
from dianne.errors import DianneError, UsageError
from dianne.jobs.queue import Queue
from dianne.runtime.places import LONGEST, socket_of
from dianne.runtime.server.app import make_app
from dianne.runtime.server.auth import Guard, token_of
from dianne.runtime.server.jsonrpc import JsonRpc
from dianne.runtime.server.services import Services
from dianne.runtime.server.tcp import Connections
from dianne.workspace import Folder

HTTP_PORT, RPC_PORT = 8080, 9090  # as DIANNE has them
_BACKLOG = 1024


class Server:
    """Serves a workspace in a thread of its own.

    Args:
        folder: the workspace.
        queue: its jobs.
        host: where to listen; beyond loopback too a request needs the token.
        port: of HTTP; 0 for any. If left out, 8080, or any if that is taken.
        rpc_port: of JSON-RPC; 0 for any. If left out, 9090, or any if that is taken.
        allow_source: take strategies as source text and from modules outside the workspace.
        max_body: the largest request, in bytes.
    """

    def __init__(
        self,
        folder: Folder,
        queue: Queue,
        *,
        host: str = "127.0.0.1",
        port: int | None = None,
        rpc_port: int | None = None,
        allow_source: bool = False,
        max_body: int = 64 * 1024 * 1024,
    ):
        self.folder = folder
        self.host = host
        self.services = Services(folder, queue, allow_source)
        self._ports = port, rpc_port
        self._limit = max_body
        self._sockets: list[socket.socket] = []
        self._servers: list[uvicorn.Server] = []
        self._ready = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where HTTP is."""
        return f"http://{self.host}:{self._port(0)}"

    @property
    def rpc_port(self) -> int:
        """Where JSON-RPC is."""
        return self._port(1)

    def _port(self, number: int) -> int:
        return int(self._sockets[number].getsockname()[1])

    def start(self) -> None:
        """Listen, bring up what is deployed, and answer from then on.

        Raises:
            DianneError: a port that was asked for is taken, another runtime listens, or the token is spoilt.
        """
        token = token_of(self.folder)
        try:
            for wanted, usual in zip(self._ports, (HTTP_PORT, RPC_PORT), strict=True):
                self._sockets.append(_listening(self.host, wanted, usual))
            self._sockets.append(_own_socket(socket_of(self.folder)))
        except BaseException:
            self._close_sockets()
            raise
        self.services.instances.start()
        self._thread = threading.Thread(target=self._run, args=(token,), name="server", daemon=True)
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        """Answer what was asked, and end."""
        self.services.closing.set()
        for server in self._servers:
            server.should_exit = True
        if self._thread is not None:
            self._thread.join()
        self.services.instances.close()
        self._close_sockets()
        socket_of(self.folder).unlink(missing_ok=True)

    def _close_sockets(self) -> None:
        for opened in self._sockets:
            opened.close()

    def _run(self, token: str) -> None:
        app = make_app(self.services)
        guards: list[Any] = [Guard(app, token, self._limit, self.host), Guard(app, None, self._limit)]
        settings: dict[str, Any] = {
            "lifespan": "off", "log_config": None, "access_log": False, "server_header": False,
            "timeout_graceful_shutdown": 2, "ws": "none",
        }  # fmt: skip
        configs = [uvicorn.Config(guard, **settings) for guard in guards]
        self._servers = [uvicorn.Server(config) for config in configs]
        loop = uvloop.new_event_loop()
        try:
            loop.run_until_complete(self._serve(token))
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            loop.close()

    async def _serve(self, token: str) -> None:
        http, rpc, own = self._sockets
        connections = Connections(JsonRpc(self.services), token, self._limit)
        await connections.start(rpc)
        self._ready.set()
        await asyncio.gather(self._servers[0].serve([http]), self._servers[1].serve([own]))
        await connections.close()


def _listening(host: str, wanted: int | None, usual: int) -> socket.socket:
    """A socket on the port that is wanted; on the usual one or any if none is."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.socket(family)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        try:
            opened.bind((host, usual if wanted is None else wanted))
        except OSError:
            if wanted is not None:
                raise
            opened.bind((host, 0))
        opened.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        opened.close()
        reason = error.strerror if isinstance(error, OSError) else "ports go up to 65535"
        raise DianneError(
            f"cannot listen on {host}:{wanted or usual}: {reason}; name another host or port"
        ) from error
    return opened


def _own_socket(path: Path) -> socket.socket:
    """A socket in the file system that only its owner can use."""
    if len(str(path)) > LONGEST:
        raise UsageError(
            f"{display(path)}: the path is too long for a socket; work in the workspace's folder"
        )
    with socket.socket(socket.AF_UNIX) as other, suppress(OSError):
        other.connect(str(path))
        raise DianneError(f"{display(path)}: another runtime listens here")
    opened = socket.socket(socket.AF_UNIX)
    try:
        path.unlink(missing_ok=True)
        opened.bind(str(path))
        path.chmod(0o600)  # before anybody can connect
        opened.listen(_BACKLOG)
    except OSError as error:
        opened.close()
        raise DianneError(f"{display(path)}: cannot be listened on: {error.strerror}") from error
    return opened
