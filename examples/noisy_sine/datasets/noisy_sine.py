"""Points of the plane beside a sine."""

import numpy as np


def samples(count: int = 2000, noise: float = 0.2, seed: int = 1) -> np.ndarray:
    """(count, 2) points: x uniform in -pi to pi, y = sin(x), and noise of that deviation on both."""
    random = np.random.default_rng(seed)
    x = random.uniform(-np.pi, np.pi, count)
    points = np.stack((x, np.sin(x)), axis=1) + noise * random.standard_normal((count, 2))
    return points.astype(np.float32)
