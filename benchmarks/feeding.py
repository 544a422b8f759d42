"""What feeding costs: a set that stays in its file beside one in memory, and augmentation.

    python -m benchmarks.feeding            # makes a set of 5 GB in a temporary folder
    python -m benchmarks.feeding 0.5 MLP    # of 0.5 GB; another network

Two processes train the same network on the same file, one with a memoryLimit below its size. They take
turns (file, memory, memory, file), so that whatever else the machine does hits both; only one runs at a time.
The table shows medians over the rounds and the most memory that each process ever had.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from dianne.data.adapter_options import AdapterOptions
from dianne.data.adapters.stack import adapted
from dianne.data.dataset import Dataset
from dianne.data.options import view
from dianne.data.readers import open_dataset
from dianne.data.sampling import Sampler
from dianne.jobs.learn import LearnWatcher, prepare
from dianne.jobs.learn_run import LearnRun
from dianne.workspace import Folder

ROUNDS = 6
SECONDS = 2.0  # of one part of a round
BATCH = 128
PIXELS = 28 * 28
LIMIT = 500_000_000  # bytes, of the set that stays in its file
JOBS = {
    "VAE": ("Encoder,Decoder", {"strategy": "VariationalAutoEncoder"}),
    "MLP": ("MLP", {}),
}
DESCRIPTOR = "type: RawDataset\ninputDims: [1, 28, 28]\ntargetDims: [10]\ninputs: [pixels.bin]\n"


def write(folder: Path, gigabytes: float) -> int:
    """Make a set from a seed; gives its samples."""
    place = folder / "datasets"
    place.mkdir()
    (place / "Big.yaml").write_text(DESCRIPTOR)
    chunk, count = 100_000, max(1, round(gigabytes * 1e9 / (PIXELS + 1) / 100_000))
    random = np.random.default_rng(1)
    with (place / "pixels.bin").open("wb") as file:
        for _ in range(count):
            records = random.integers(0, 256, (chunk, PIXELS + 1), np.uint8)
            records[:, 0] %= 10
            file.write(records.tobytes())
    return chunk * count


def child(folder: str, job: str, limit: str) -> None:
    """Train for a while whenever a line comes in; says iterations a second, and at the end the memory."""
    networks, options = JOBS[job]
    prepared = prepare(Folder(Path(folder)), networks, "Big", {**options, "seed": 1, "memoryLimit": limit})
    run = LearnRun(prepared, LearnWatcher())
    begin = time.perf_counter()
    full = open_dataset(prepared.folder, prepared.described, None, prepared.data.memory_limit)
    full.fingerprint()
    print(time.perf_counter() - begin, flush=True)
    dataset = view(full, prepared.train, prepared.data)
    run.graphs = {m.role: prepared.networks[m.name].build(1) for m in prepared.team}
    strategy, learning = run.set_up(dataset)
    i = 0
    for _ in sys.stdin:
        begin, first = time.perf_counter(), i
        while time.perf_counter() - begin < SECONDS:
            learning.begin(i)
            strategy.process_iteration(i)
            i += 1
        print((i - first) / (time.perf_counter() - begin), flush=True)
    status = Path("/proc/self/status").read_text()
    print(status.split("VmHWM:")[1].split()[0], flush=True)


class Trainer:
    """A process that trains when it is told to."""

    def __init__(self, folder: Path, job: str, limit: int):
        command = [sys.executable, "-m", "benchmarks.feeding", "child", str(folder), job, str(limit)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.opened = self._answer()

    def _answer(self) -> float:
        assert self.process.stdout
        return float(self.process.stdout.readline())

    def train(self) -> float:
        """Iterations a second."""
        assert self.process.stdin
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return self._answer()

    def end(self) -> float:
        """The most memory that it had, in GB."""
        assert self.process.stdin
        self.process.stdin.close()
        kilobytes = self._answer()
        self.process.wait()
        return kilobytes * 1024 / 1e9


def compare(folder: Path, job: str, console: Console) -> None:
    """Train from the file and from memory in turns, and print the table."""
    size = (folder / "datasets" / "pixels.bin").stat().st_size
    trainers = {"file": Trainer(folder, job, LIMIT), "memory": Trainer(folder, job, 4 * size)}
    again = Trainer(folder, job, LIMIT)  # its fingerprint is known by now
    again.end()
    speeds: dict[str, list[float]] = {"file": [], "memory": []}
    for _ in range(ROUNDS):
        for which in ("file", "memory", "memory", "file"):
            speeds[which].append(trainers[which].train())
    pairs = [zip(speeds[which][::2], speeds[which][1::2], strict=True) for which in ("file", "memory")]
    ratio = statistics.median((a + b) / (c + d) for (a, b), (c, d) in zip(*pairs, strict=True))
    load = os.getloadavg()[0]
    table = Table(title=f"{job}, {size / 1e9:.2f} GB, batches of {BATCH}, load average {load:.1f}")
    for column in ("samples in", "opened in", "iterations/s", "most memory"):
        table.add_column(column, justify="right")
    for which, trainer in trainers.items():
        table.add_row(
            which,
            f"{trainer.opened:.1f} s",
            f"{statistics.median(speeds[which]):,.1f}",
            f"{trainer.end():.2f} GB",
        )
    console.print(table)
    console.print(f"ratio {ratio:.3f}; the file opens again in {again.opened:.1f} s")


def augment(console: Console) -> None:
    """Time batches of images that are flipped, cropped and turned."""
    pixels = torch.randint(256, (60_000, 1, 28, 28), generator=torch.Generator().manual_seed(1))
    plain = Dataset("Images", pixels.to(torch.uint8), torch.zeros(60_000), autoencode=True)
    options = AdapterOptions(hflip=0.5, crop_padding=2, rotation=[-10, 10])
    for what, dataset in (("", plain), (", flipped, cropped, turned", adapted(plain, options))):
        sampler = Sampler(dataset.drawing(1, learning=True), BATCH, "UNIFORM", 1)
        found = []
        for _ in range(40):
            begin = time.perf_counter()
            for _ in range(50):
                next(sampler)
            found.append((time.perf_counter() - begin) / 50 * 1e6)
        console.print(f"a batch of {BATCH} images 28 x 28{what}: {statistics.median(found):,.0f} µs")


def main() -> None:
    """Print everything."""
    if sys.argv[1:2] == ["child"]:
        child(*sys.argv[2:])
        return
    gigabytes = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    console = Console()
    augment(console)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["DIANNE_CACHE"] = str(folder / "cache")
        write(folder, gigabytes)
        time.sleep(2.5)  # a file that has just been written is not trusted to stay as it is
        for job in sys.argv[2:] or JOBS:
            compare(folder, job, console)


if __name__ == "__main__":
    main()
