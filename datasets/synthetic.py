"""Data that is made on the spot."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def sine(size: int, step: float = 0.2) -> tuple[Array, Array]:
    """Values (size,) of sin(step * n) and, as targets, each time the next."""
    wave = np.sin(np.arange(size + 1) * step)
    return wave[:-1, None], wave[1:, None]
