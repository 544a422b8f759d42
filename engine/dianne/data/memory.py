"""How much memory samples may take."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B?", re.IGNORECASE)
_SHARE = 0.5  # of free memory: files that become tensors take up to twice the room of these for a moment


def parse_size(value: object) -> int:
    """Bytes from 2000000, 500M or 1.5G.

    Raises:
        ValueError: it is something else, or nothing.
    """
    found = _SIZE.fullmatch(str(value).strip())
    size = int(float(found[1]) * _UNITS[found[2].upper()]) if found and not isinstance(value, bool) else 0
    if not size:
        raise ValueError(f"expected bytes, such as 500M or 2G, found '{value}'")
    return size


Size = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string"}]}),
]
"""A number of bytes that can be typed as 500M or 2G."""


def shown(size: float) -> str:
    """A number of bytes as people say it: `1.5 GB`."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return (
        f"{size:.0f} bytes" if unit == "bytes" else f"{size:.3g} {unit}" if size < 1000 else f"{size:,.0f} GB"
    )


def free() -> int:
    """Bytes of memory that this process may still take: what the system has, or the group it runs in."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
        available = int(text.split("MemAvailable:")[1].split()[0]) * 1024
    except (OSError, IndexError, ValueError):
        available = 8 << 30  # a system that does not tell
    try:
        group = Path("/sys/fs/cgroup")
        most = int((group / "memory.max").read_text(encoding="ascii"))
        return max(0, min(available, most - int((group / "memory.current").read_text(encoding="ascii"))))
    except (OSError, ValueError):  # no group, or one without a limit
        return available


def limit_of(asked: int | None) -> int:
    """The bytes that samples may take: as many as were asked for, else half of what is free."""
    return asked or int(free() * _SHARE)
