"""Commands as a user types them: in a subprocess, in an empty folder."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from command import DIANNE, Run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Run:
    """Run one command line; a traceback is never an answer."""

    def run_(command: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        program, *words = command.split()
        assert program == "dianne"
        result = subprocess.run(
            [str(DIANNE), *words],
            cwd=folder,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=1200,
            check=False,
        )
        assert "Traceback" not in result.stderr, result.stderr
        assert result.returncode == code, result.stdout + result.stderr
        return result

    return run_
