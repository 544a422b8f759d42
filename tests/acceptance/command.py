"""The command as a user has it, and the type of the fixture that runs it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

Run = Callable[..., "subprocess.CompletedProcess[str]"]
DIANNE = Path(sys.executable).with_name("dianne")
