"""Who may come in: the bearer token, and the guard before every request."""

from __future__ import annotations

import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dianne.document import display
from dianne.errors import DianneError
from dianne.runtime.server.replies import fault
from dianne.workspace import Folder

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def token_of(folder: Folder) -> str:
    """The token of a workspace, in a file that only its owner reads; made when first asked for.

    Raises:
        DianneError: the file cannot be read or written, others can read it, or it holds no token.
    """
    path = folder.state / "token"
    try:
        if not path.exists():
            _make(path)
        if path.stat().st_mode & 0o077:
            raise DianneError(f"{display(path)}: others can read it; remove it, and a new one is made")
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise DianneError(f"{display(path)}: cannot be used: {reason}") from error
    if len(token) < 20 or not token.isascii():
        raise DianneError(f"{display(path)}: holds no token; remove it, and a new one is made")
    return token


def _make(path: Path) -> None:
    """Put a new token in place, whole; if another process was faster, its token stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".token.{secrets.token_hex(8)}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
        with suppress(FileExistsError):
            path.hardlink_to(temporary)
    finally:
        temporary.unlink()


def fits(token: str, given: bytes) -> bool:
    """Whether somebody gave the token; takes as long for a wrong one."""
    return hmac.compare_digest(token.encode(), given)


class Guard:
    """Lets in who may come in, and bodies that are not too large.

    Args:
        app: what is guarded.
        token: that every request must bear; None for the user's own socket, which the file system guards.
        limit: the largest body, in bytes.
        host: where it listens. On loopback, a request for another host is refused: a web page may have led a
            browser here.
    """

    def __init__(self, app: ASGIApp, token: str | None, limit: int, host: str = "localhost"):
        self.app = app
        self.token = token
        self.limit = limit
        self.local = host in LOOPBACK

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a refusal, or hand on."""
        if scope["type"] != "http":  # no web sockets here
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = Headers(scope=scope)
        refused = self._refusal(headers)
        if refused is not None:
            status, message = refused
            more = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
            await fault(status, message, more)(scope, receive, send)
            return
        await self.app(scope, _limited(receive, self.limit), send)

    def _refusal(self, headers: Headers) -> tuple[int, str] | None:
        """Why a request is refused, if it is."""
        length = headers.get("content-length", "0")
        if length.isdigit() and int(length) > self.limit:
            return 413, _too_large(self.limit)
        if self.token is None:
            return None
        host = _name(headers.get("host", ""))
        if self.local and host not in LOOPBACK:
            return 403, f"this server answers to localhost and 127.0.0.1, not to '{host}'"
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != headers.get("host"):
            return 403, f"a page of '{origin}' may not ask this server"
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not fits(self.token, given.strip().encode("latin-1")):
            return 401, "send the header 'Authorization: Bearer TOKEN'; the token is in .dianne/token"
        return None


def _name(host: str) -> str:
    """A host without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


def _too_large(limit: int) -> str:
    return f"the body is larger than {limit:,} bytes"


def _limited(receive: Receive, limit: int) -> Receive:
    """Count the bytes of a body that did not say how large it is."""
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise HTTPException(413, _too_large(limit))
        return message

    return counted
