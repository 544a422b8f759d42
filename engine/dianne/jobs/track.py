"""Tracking: a process beside a job that hands its metrics on to TensorBoard or MLflow.

The job only writes its rows, as ever. Imports neither torch nor a tracker.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import threading
from collections.abc import Iterable

from dianne.errors import DianneError, UsageError, suggest
from dianne.workspace import SAFE_PATH, Folder

TRACKERS = {
    "tensorboard": ("dianne.jobs.trackers.tensorboard", "TensorBoard"),
    "mlflow": ("dianne.jobs.trackers.mlflow", "MLflow"),
}
_PATIENCE = {  # of mlflow in one request; the process tries again
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


def check(names: Iterable[str]) -> None:
    """Raise UsageError for a tracker that does not exist, or whose package is not there."""
    for name in names:
        if name not in TRACKERS:
            raise UsageError(f"there is no tracker '{name}'{suggest(name, TRACKERS, 'trackers')}")
        if importlib.util.find_spec(name) is None:
            raise UsageError(f"track={name} needs the extra `track`: pip install 'dianne[track]'")


def start(folder: Folder, job: str, names: Iterable[str]) -> None:
    """Start the process that follows a job; what it prints is in `.dianne/track/<job>/log`.

    Raises:
        DianneError: it cannot be started.
    """
    place = folder.state / "track" / job
    try:
        place.mkdir(parents=True, exist_ok=True)
        with (place / "log").open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, *SAFE_PATH, "-m", "dianne.jobs.tracking", job, *names],
                cwd=folder.root, env={**_PATIENCE, **os.environ}, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip
    except OSError as error:
        raise DianneError(f"the tracking of {job} cannot be started: {error.strerror}") from error
    threading.Thread(target=process.wait, daemon=True).start()  # so that it leaves nothing behind
