"""Who is measured, by name: a module of this package and its options.

Each has a `learn(workload, folder, gate, plan, ...)` that learns `plan.total` iterations, calls the gate
after each of them, and gives the networks that have learned, as plain torch modules.
"""

from typing import Any

PEERS: dict[str, tuple[str, dict[str, Any]]] = {
    "dianne": ("ours", {}),
    "dianne medium": ("ours", {"precision": "medium"}),
    "dianne bf16": ("ours", {"precision": "bf16"}),
    "dianne traceInterval=1": ("ours", {"traceInterval": 1}),
    "by hand": ("by_hand", {}),
    "expert": ("expert", {}),
    "lightning": ("lightning_trainer", {}),
    "pythae": ("pythae_vae", {}),
    "keras-jax": ("keras_fit", {"backend": "jax"}),
    "keras-torch": ("keras_fit", {"backend": "torch"}),
}
OURS = [name for name, (module, _) in PEERS.items() if module == "ours"]
