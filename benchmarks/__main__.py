"""Ours and its peers in turn, in one run.

python -m benchmarks [WORKLOAD ...] [rounds=7] [threads=2] [out=FILE]

Needs the extra `bench`, and the data of MNIST and Shakespeare where DIANNE_DATASETS says.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks import report, start
from benchmarks.gate import Plan, Turns
from benchmarks.peers import OURS
from benchmarks.workloads import WORKLOADS


def main() -> None:
    """Measure, print, and write."""
    names = [word for word in sys.argv[1:] if "=" not in word] or [*WORKLOADS, "start"]
    options = dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
    rounds, threads = int(options.get("rounds", 7)), int(options.get("threads", 2))
    parts = [report.machine(threads)]
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            if name == "start":
                parts.append(start.measure(Path(folder) / name))
            else:
                workload = WORKLOADS[name]
                plan = Plan(max(10, workload.chunk), rounds, workload.chunk, threads)
                peers = [*OURS, "by hand", "expert", *workload.peers]
                found = Turns(peers, name, plan, Path(folder) / name).run()
                parts.append(report.workload(workload, plan, *found))
            print(parts[-1], flush=True)
    text = "\n\n".join(parts) + "\n"
    if out := options.get("out"):
        Path(out).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
