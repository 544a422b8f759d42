"""Faults as JSON: `{"error": "what, where, and what to do"}`."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from dianne.errors import DianneError, UsageError


def fault(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """A response that says what went wrong; any text can be in it."""
    body = json.dumps({"error": message}) + "\n"
    return Response(body, status, {**(headers or {})}, "application/json")


async def on_http(_: Request, error: HTTPException) -> Response:
    """What was refused by the server."""
    return fault(error.status_code, str(error.detail), error.headers)


async def on_dianne(_: Request, error: DianneError) -> Response:
    """What was refused by dianne: 422 for what was asked, 409 for what is there and cannot be used."""
    return fault(422 if isinstance(error, UsageError) else 409, str(error))


async def on_validation(_: Request, error: RequestValidationError) -> Response:
    """What does not have the form that is documented."""
    lines = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
    return fault(422, "\n".join(lines))


@contextmanager
def looked_up() -> Iterator[None]:
    """What is named in a path and does not exist is a 404."""
    try:
        yield
    except UsageError as error:
        raise HTTPException(404, str(error)) from error


HANDLERS: dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]] = {
    HTTPException: on_http,
    RequestValidationError: on_validation,
    DianneError: on_dianne,
}
