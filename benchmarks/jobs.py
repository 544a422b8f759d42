"""How long the commands about jobs take beside many finished ones, and what recording costs a loop.

python -m benchmarks.jobs [jobs=10000] [points=20]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from dianne.binding import parse_pairs
from dianne.jobs.database import POINT
from dianne.jobs.ending import notify
from dianne.jobs.queue import Queue
from dianne.jobs.record import Recorder
from dianne.workspace import Folder

COMMANDS = (
    "jobs",
    "jobs --json",
    "running",
    "finished n=100",
    "job {job}",
    "result {job}",
    "notifications",
    "--help",
)
LIMIT = 0.3  # seconds, that a command which does not compute may take


def fill(folder: Folder, jobs: int, points: int) -> str:
    """Finished jobs; returns the identifier of one in the middle."""
    names = [f"{number * 7919 % 16**6:06x}{number:06x}" for number in range(jobs)]
    with Queue(folder).database.writing() as session:
        for number, name in enumerate(names):
            asked = {
                "networks": ["Encoder", "Decoder"], "dataset": "MNIST", "strategy": "VAE",
                "options": {"learningRate": 0.001 * number, "tag": f"t{number}", "seed": number},
            }  # fmt: skip
            result = {
                "job": name, "networks": ["Encoder", "Decoder"], "tag": f"t{number}", "iterations": 5000,
                "seconds": 59.0, "loss": {"loss": 140.2}, "stopped": "",
            }  # fmt: skip
            session.execute(
                "INSERT INTO jobs (id, kind, status, asked, tag, foreground, submitted, started, ended, "
                "iteration, total, terms, result) "
                "VALUES (?, 'learn', 'finished', ?, ?, 0, ?, ?, ?, 5000, 5000, ?, ?)",
                (
                    name, json.dumps(asked), f"t{number}", number, number + 1.0, number + 60.0,
                    '{"loss": 140.2}', json.dumps(result),
                ),
            )  # fmt: skip
            session.executemany(
                f"INSERT INTO progress ({POINT}) VALUES (?, ?, ?, 'terms', ?)",
                [(name, i, i / 10, '{"loss": 140.25, "kl": 5.125}') for i in range(points)],
            )
            notify(session, name, "SUCCESS", "finished")
    return names[jobs // 2]


def seconds(command: str, folder: Path) -> tuple[float, float]:
    """Medians of seven runs of a command: by the clock, and on the processor."""
    clock, processor = [], []
    for _ in range(8):
        before, begin = os.times(), time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "dianne", *command.split()], cwd=folder, check=True, capture_output=True
        )
        clock.append(time.perf_counter() - begin)
        after = os.times()
        processor.append(sum(after[2:4]) - sum(before[2:4]))
    return median(clock[1:]), median(processor[1:])


def recording(folder: Folder, iterations: int = 20_000) -> float:
    """Seconds on the processor that the record takes of one iteration, if iterations take 1 ms."""
    with Recorder(folder, {"id": "loop", "command": "learn"}, iterations, print) as recorder:
        begin = time.process_time()
        for iteration in range(1, iterations + 1):
            recorder.tick(iteration, iteration / 1000, {"loss": 1.5, "kl": 0.25})
        return (time.process_time() - begin) / iterations


def main() -> int:
    """Report; 1 if a command took longer than it may."""
    options = {"jobs": "10000", "points": "20", **parse_pairs(sys.argv[1:])}
    with tempfile.TemporaryDirectory() as place:
        folder = Folder(Path(place))
        job = fill(folder, int(options["jobs"]), int(options["points"]))
        size = Queue(folder).database.path.stat().st_size
        print(f"{int(options['jobs']):,} finished jobs, {size / 2**20:.0f} MiB\n")
        slow = False
        for command in COMMANDS:
            clock, processor = seconds(command.format(job=job), folder.root)
            slow = slow or clock > LIMIT
            print(f"dianne {command:<24} {clock * 1000:6.0f} ms, {processor * 1000:.0f} ms on the processor")
        print(f"\nthe record takes {recording(folder) * 1e6:.1f} µs of an iteration of 1,000 µs")
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
