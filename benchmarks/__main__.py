"""Ours and its peers in turn, in one run.

python -m benchmarks [WORKLOAD ...] [rounds=7] [threads=2] [clock=wall|cpu] [peers=A,B] [out=FILE]

Needs the extra `bench`, and the data of MNIST and Shakespeare where DIANNE_DATASETS says.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from benchmarks import gpu, report, scale, start
from benchmarks.gate import Plan, Turns
from benchmarks.peers import OURS
from benchmarks.workloads import WORKLOADS

OTHERS = {"start": start.measure, "size": scale.measure, "gpu": gpu.measure}


def main() -> None:
    """Measure, print, and write."""
    names = [word for word in sys.argv[1:] if "=" not in word] or [*WORKLOADS, *OTHERS]
    options = dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
    parts = [report.machine(int(options.get("threads", 2)), options.get("clock", "wall"))]
    os.environ["TQDM_DISABLE"] = "1"  # pythae's bars
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            parts.append(_part(name, options, Path(folder) / name))
            print(parts[-1], flush=True)
            if out := options.get("out"):
                Path(out).write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _part(name: str, options: dict[str, str], folder: Path) -> str:
    if name in OTHERS:
        return OTHERS[name](folder)
    workload = WORKLOADS[name]
    rounds, threads = int(options.get("rounds", 7)), int(options.get("threads", 2))
    plan = Plan(10, rounds, workload.chunk, threads, options.get("clock") == "cpu")
    peers = [*OURS, "by hand", "expert", *workload.peers]
    if "peers" in options:
        peers = [peer for peer in peers if peer in options["peers"].split(",")]
    times, results = Turns(peers, name, plan, folder).run()
    return report.workload(workload, plan, times, results)


if __name__ == "__main__":
    main()
