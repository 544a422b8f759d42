"""A real server of a workspace, in a thread of the tests' process, and clients of it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest
import torch
from served import LIMIT, MIRROR, put

from dianne.jobs.queue import Queue
from dianne.runtime.instances import deploy
from dianne.runtime.server.server import Server
from dianne.store import Manifest, Store
from dianne.workspace import Folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Folder:
    found = Folder(tmp_path_factory.mktemp("served"))
    put(found)
    deploy(found, "Sum", "t")
    for name, shape in (("Grey", "1, 4, 6"), ("Colour", "3, 4, 6"), ("Plain", "4, 6")):
        Store(found.models).put("t", Manifest(name, MIRROR % shape, {}), {})
        deploy(found, name, "t")
    return found


@pytest.fixture(scope="module")
def server(folder) -> Iterator[Server]:
    threads = torch.get_num_threads()
    found = Server(folder, Queue(folder), port=0, rpc_port=0, max_body=LIMIT)
    found.start()
    yield found
    found.stop()
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def token(server) -> str:
    return (server.folder.state / "token").read_text().strip()


@pytest.fixture(scope="module")
def http(server, token) -> Iterator[httpx2.Client]:
    """Somebody who knows the token."""
    with httpx2.Client(
        base_url=server.url, headers={"Authorization": f"Bearer {token}"}, timeout=30
    ) as found:
        yield found


@pytest.fixture(scope="module")
def own(server) -> Iterator[httpx2.Client]:
    """Somebody on the user's own socket."""
    transport = httpx2.HTTPTransport(uds=str(server.folder.state / "runtime.sock"))
    with httpx2.Client(base_url="http://localhost", transport=transport, timeout=30) as found:
        yield found
