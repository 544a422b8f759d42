"""Separate streams of random numbers, all derived from the one seed that a job records.

Because every purpose has a stream of its own (and every module, for its initial weights), a change in one
place does not move the numbers of another.
"""

from __future__ import annotations

import hashlib
import random
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any


def new_seed() -> int:
    """A fresh seed, below 2**31, for a job that names none."""
    return secrets.randbelow(2**31)


def derive(seed: int, *purpose: str) -> int:
    """The seed of one stream, such as `derive(7, "init", "Encoder", "hidden1")`; below 2**63."""
    text = "/".join([str(seed), *purpose])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


@contextmanager
def streams(seed: int, *purpose: str) -> Iterator[None]:
    """Let the global random numbers of torch, Python and numpy be streams of their own inside.

    Modules that draw (Dropout) and code of users have no other source. Behind it all are as they were before.
    """
    import numpy as np
    import torch

    before = global_states()
    torch.manual_seed(derive(seed, *purpose))
    random.seed(derive(seed, *purpose, "python"))
    np.random.seed(derive(seed, *purpose, "numpy") % 2**32)  # the stream that users' code takes
    try:
        yield
    finally:
        set_global_states(before)


def global_states() -> dict[str, Any]:
    """Where the global streams of random numbers stand, in plain values and tensors."""
    import numpy as np
    import torch

    version, numbers, gauss = random.getstate()
    numpy = np.random.get_state(legacy=False)
    words = torch.from_numpy(numpy["state"]["key"].astype(np.int64))
    return {
        "torch": torch.get_rng_state(),
        "python": [version, torch.tensor(numbers), gauss],
        "numpy": {**numpy, "state": {**numpy["state"], "key": words}},
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],  # type: ignore[no-untyped-call]
    }


def set_global_states(states: Mapping[str, Any]) -> None:
    """Let the global streams go on from where `global_states` was called."""
    import numpy as np
    import torch

    torch.set_rng_state(states["torch"])
    version, numbers, gauss = states["python"]
    random.setstate((version, tuple(numbers.tolist()), gauss))
    numpy = states["numpy"]
    words = numpy["state"]["key"].numpy().astype(np.uint32)
    np.random.set_state({**numpy, "state": {**numpy["state"], "key": words}})
    for device, state in enumerate(states["cuda"][: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(state, device)
