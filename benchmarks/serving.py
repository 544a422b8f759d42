"""A deployed Decoder beside the same network behind a plain FastAPI handler.

    python -m benchmarks.serving [SECONDS [CLIENTS]]

Each server runs in a process of its own, in turn: ours, plain, plain, ours; both with uvicorn on the same
event loop and HTTP parser, one thread for torch, JSON in and out. 32 clients on kept connections ask for one
latent each and wait for the image. Then ours once more, while the network is trained over and over under its
tag: every response is compared with what the weights that it names give.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Any

import numpy as np
import orjson
import torch
import uvicorn
import uvloop
from fastapi import FastAPI
from rich.console import Console
from rich.table import Table

from dianne import Workspace
from dianne.jobs.evaluate import stored_network
from dianne.jobs.queue import Queue
from dianne.runtime.server.server import Server
from dianne.store import Store
from dianne.workspace import Folder

SECONDS, CLIENTS = 30.0, 32
LATENTS = np.random.default_rng(0).normal(size=(64, 2)).round(3).astype(np.float32)
PIXELS = range(7, 784, 97)  # of each image, compared under retraining
LEARN = {"strategy": "VariationalAutoEncoder", "latentDims": 2, "tag": "vae"}


# -------------------------------------------------------------------------------------------------- servers


def serve_ours(folder: Path) -> None:
    """The runtime's server; says where it is."""
    workspace = Folder(folder)
    server = Server(workspace, Queue(workspace), port=0, rpc_port=0)
    server.start()
    print(server.url, flush=True)
    sys.stdin.read()
    server.stop()


def serve_plain(folder: Path) -> None:
    """What one writes by hand."""
    torch.set_num_threads(1)
    store = Store(folder / "models")
    decoder = stored_network(store, store.manifest("Decoder", "vae"), "Decoder:vae")
    app = FastAPI()

    @app.post("/forward")
    def forward(latent: list[float]) -> list[list[float]]:
        with torch.inference_mode():
            images: torch.Tensor = decoder(torch.tensor([latent]))
            return images[0].tolist()  # type: ignore[no-any-return]

    config = uvicorn.Config(app, port=0, log_level="warning", access_log=False, ws="none", lifespan="off")
    socket = config.bind_socket()
    socket.listen(1024)
    print(f"http://127.0.0.1:{socket.getsockname()[1]}", flush=True)
    uvicorn.Server(config).run([socket])


def retrain(folder: Path) -> None:
    """Train under the tag again and again."""
    torch.set_num_threads(1)
    os.nice(5)  # as one would beside a service
    while True:
        Workspace(folder).learn("Encoder,Decoder", "Digits", maxIterations=20, **LEARN)
        print("trained", flush=True)


@contextmanager
def process(role: Callable[[Path], None], folder: Path) -> Iterator[str]:
    """Run a function of this module in a process of its own; gives the first line that it prints."""
    command = [sys.executable, "-m", "benchmarks.serving", role.__name__, str(folder)]
    started = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    try:
        yield started.stdout.readline().strip()
    finally:
        started.terminate()
        started.communicate()


# -------------------------------------------------------------------------------------------------- clients


@dataclass
class Seen:
    """What the clients saw.

    Attributes:
        times: seconds from each request to the end of its response.
        errors: responses that were no results.
        images: the manifest, the latent's number and some pixels of each response, if they were asked for.
    """

    times: list[float] = field(default_factory=list)
    errors: int = 0
    images: list[tuple[bytes, int, list[float]]] = field(default_factory=list)


class Client(asyncio.Protocol):
    """Asks on one connection, the next latent once the image has come; no more work than that.

    Args:
        requests: the bytes of all requests.
        number: of this client.
        seen: takes what comes.
        keep: whether pixels are kept.
    """

    def __init__(self, requests: list[bytes], number: int, seen: Seen, keep: bool):
        self.requests, self.number, self.seen, self.keep = requests, number, seen, keep
        self.received = bytearray()
        self.over = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        self.number = (self.number + 1) % len(self.requests)
        self.started = time.perf_counter()
        self.transport.write(self.requests[self.number])

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, found, body = self.received.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        self.seen.times.append(time.perf_counter() - self.started)
        if not head.startswith(b"HTTP/1.1 200"):
            self.seen.errors += 1
        elif self.keep:
            manifest = bytes(head.partition(b"dianne-manifest: ")[2].partition(b"\r\n")[0])
            pixels = np.ravel(orjson.loads(body))
            self.seen.images.append((manifest, self.number, [float(pixels[n]) for n in PIXELS]))
        self.received.clear()
        if not self.over:
            self.ask()


async def ask(url: str, path: str, token: str, clients: int, seconds: float, keep: bool = False) -> Seen:
    """Let clients ask for some time, after a moment to warm up."""
    host, port = url.removeprefix("http://").split(":")
    seen = Seen()
    requests = []
    for latent in LATENTS.tolist():
        body = orjson.dumps(latent)
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        requests.append(head.encode() + body)
    loop = asyncio.get_running_loop()
    made = [
        (await loop.create_connection(lambda n=number: Client(requests, n, seen, keep), host, int(port)))[1]  # type: ignore[misc]
        for number in range(clients)
    ]
    await asyncio.sleep(1)
    seen.times.clear()
    seen.images.clear()
    await asyncio.sleep(seconds)
    for client in made:
        client.over = True
    await asyncio.sleep(0.5)
    for client in made:
        client.transport.close()
    return seen


def mixed(folder: Path, seen: Seen) -> int:
    """Responses that are not what the weights that they name give."""
    store = Store(folder / "models")
    expected = {}
    for version in {manifest for manifest, _, _ in seen.images}:
        manifest = store.read_manifest(version.decode())
        with torch.inference_mode():
            images = stored_network(store, manifest, "Decoder")(torch.from_numpy(LATENTS))
        expected[version] = images.reshape(len(LATENTS), -1)[:, list(PIXELS)].numpy()
    return sum(
        not np.allclose(pixels, expected[version][number], atol=1e-5)
        for version, number, pixels in seen.images
    )


# --------------------------------------------------------------------------------------------------- tables


def row(table: Table, name: str, seen: Seen, seconds: float) -> float:
    """Add what was seen; gives requests a second."""
    cuts = quantiles(seen.times, n=100)
    load = os.getloadavg()[0]
    rate = len(seen.times) / seconds
    numbers = (f"{rate:,.0f}", f"{cuts[49] * 1e3:.1f}", f"{cuts[98] * 1e3:.1f}", seen.errors, f"{load:.1f}")
    table.add_row(name, *map(str, numbers))
    return rate


def main(seconds: float, clients: int) -> None:
    """Measure, and print."""
    table = Table("server", "requests/s", "p50 ms", "p99 ms", "errors", "load", box=None)
    rates: dict[str, float] = {"ours": 0.0, "plain": 0.0}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        workspace = Workspace(folder)
        workspace.learn("Encoder,Decoder", "Digits", maxIterations=20, **LEARN)
        workspace.deploy("Decoder", "vae")
        for name in ("ours", "plain", "plain", "ours"):
            with process(serve_ours if name == "ours" else serve_plain, folder) as url:
                path = "/instances/Decoder/forward" if name == "ours" else "/forward"
                seen = uvloop.run(ask(url, path, token_in(folder), clients, seconds / 2))
            rates[name] += row(table, name, seen, seconds / 2)
        with process(serve_ours, folder) as url, process(retrain, folder):
            asked = ask(url, "/instances/Decoder/forward", token_in(folder), clients, seconds, keep=True)
            seen = uvloop.run(asked)
        row(table, "ours, retrained", seen, seconds)
        versions = len({manifest for manifest, _, _ in seen.images})
        wrong = mixed(folder, seen)
    screen = Console()
    screen.print(table)
    screen.print(f"ours / plain: {rates['ours'] / rates['plain']:.2f}")
    screen.print(
        f"retrained: {versions} versions served, {wrong} responses that are not of the one they name"
    )


def token_in(folder: Path) -> str:
    """The token of a workspace whose server has started; any other will do before."""
    path = folder / ".dianne" / "token"
    return path.read_text().strip() if path.exists() else ""


if __name__ == "__main__":
    roles = {role.__name__: role for role in (serve_ours, serve_plain, retrain)}
    if sys.argv[1:2] and sys.argv[1] in roles:
        roles[sys.argv[1]](Path(sys.argv[2]))
    else:
        arguments = [float(word) for word in sys.argv[1:]]
        main(arguments[0] if arguments else SECONDS, int(arguments[1]) if arguments[1:] else CLIENTS)
