"""Separate streams of random numbers, all derived from the one seed that a job records.

Because every purpose has a stream of its own (and every module, for its initial weights), a change in one
place does not move the numbers of another.
"""

from __future__ import annotations

import hashlib
import secrets


def new_seed() -> int:
    """A fresh seed, below 2**31, for a job that names none."""
    return secrets.randbelow(2**31)


def derive(seed: int, *purpose: str) -> int:
    """The seed of one stream, such as `derive(7, "init", "Encoder", "hidden1")`; below 2**63."""
    text = "/".join([str(seed), *purpose])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
