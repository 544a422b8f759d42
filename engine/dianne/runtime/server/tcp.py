"""JSON-RPC over TCP: JSON objects one after the other, without frames, on a connection that is kept.

The first object is `{"token": "..."}`, and is not answered; or the first request has a member `token`. The
requests of one connection are answered in their order.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

import orjson

from dianne.runtime.server.auth import fits
from dianne.runtime.server.jsonrpc import PARSE, JsonRpc, refusal

UNAUTHORIZED = -32001
_SIGNS = re.compile(rb'["{}\[\]]')
_STRING_ENDS = re.compile(rb'["\\]')
_CHUNK = 65536  # bytes that are read at once


class Splitter:
    """Cuts a stream of bytes into JSON texts: objects, arrays, and what lies between them.

    Attributes:
        waiting: how many bytes of an unfinished text there are.
    """

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._seen = 0  # bytes that were looked at
        self._depth = 0
        self._in_string = False

    @property
    def waiting(self) -> int:
        """Bytes that no text was made of yet."""
        return len(self._bytes)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The texts that end in what came. What is neither object nor array ends at the end of its line."""
        self._bytes += data
        while (end := self._end()) is not None:
            text = bytes(self._bytes[:end]).strip()
            del self._bytes[:end]
            self._seen = 0
            if text:
                yield text

    def _end(self) -> int | None:
        """Where the first text ends, if it ends."""
        if not self._depth and not self._seen:
            blank = len(self._bytes) - len(self._bytes.lstrip())
            del self._bytes[:blank]
            if not self._bytes.startswith((b"{", b"[")):
                return self._end_of_garbage()
        while found := (_STRING_ENDS if self._in_string else _SIGNS).search(self._bytes, self._seen):
            sign = found.group()
            if sign == b"\\":
                if found.end() == len(self._bytes):  # what it escapes has not come yet
                    self._seen = found.start()
                    return None
                self._seen = found.end() + 1
                continue
            self._seen = found.end()
            if sign == b'"':
                self._in_string = not self._in_string
            else:
                self._depth += 1 if sign in b"{[" else -1
                if self._depth == 0:
                    return self._seen
        self._seen = len(self._bytes)
        return None

    def _end_of_garbage(self) -> int | None:
        found = re.search(rb"[\n{\[]", self._bytes)
        return None if found is None else found.start()


class Connections:
    """The clients of a port.

    Args:
        rpc: answers their requests.
        token: that they must know.
        limit: of one request, in bytes.
    """

    def __init__(self, rpc: JsonRpc, token: str, limit: int):
        self._rpc = rpc
        self._token = token
        self._limit = limit
        self._open: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}

    async def start(self, port: socket.socket) -> None:
        """Take clients from here on."""
        self._server = await asyncio.start_server(self._serve, sock=port)

    async def close(self) -> None:
        """Take no more clients, and let those go that are here."""
        self._server.close()
        tasks = [task for task in self._open.values() if task is not None]
        for writer in self._open:
            writer.close()
        await asyncio.wait(tasks, timeout=2) if tasks else None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open[writer] = asyncio.current_task()
        try:
            with suppress(ConnectionError):
                async for response in self._answers(reader):
                    writer.write(response)
                    await writer.drain()
        finally:
            del self._open[writer]
            writer.close()

    async def _answers(self, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
        """Responses to what one client sends, until it goes or is refused."""
        splitter, known = Splitter(), False
        while data := await reader.read(_CHUNK):
            for text in splitter.feed(data):
                members = _members(text)
                given = members.get("token")
                known = known or (isinstance(given, str) and fits(self._token, given.encode()))
                if not known:
                    yield refusal(UNAUTHORIZED, 'send {"token": "..."} first; the token is in .dianne/token')
                    return
                if members.keys() != {"token"}:
                    yield await self._rpc.answer(text)
            if splitter.waiting > self._limit:
                yield refusal(PARSE, f"the request is larger than {self._limit:,} bytes")
                return


def _members(text: bytes) -> dict[str, object]:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
