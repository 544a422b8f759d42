"""What the doors of a runtime share: its workspace, jobs, instances and counts."""

from __future__ import annotations

import ast
import threading
from collections.abc import Mapping
from typing import Any

from dianne.document import display
from dianne.errors import UsageError
from dianne.jobs.ending import notify
from dianne.jobs.queue import Queue
from dianne.runtime.live import LiveInstances, LiveWatcher
from dianne.runtime.server.metrics import Metrics
from dianne.workspace import Folder


class Services:
    """What routes and JSON-RPC methods work with.

    Args:
        folder: the workspace.
        queue: its jobs.
        allow_source: whether strategies may come as source text or from modules outside the workspace.
    """

    def __init__(self, folder: Folder, queue: Queue, allow_source: bool = False):
        self.folder = folder
        self.queue = queue
        self.allow_source = allow_source
        self.metrics = Metrics()
        self.instances = LiveInstances(folder, _Watcher(queue, self.metrics))
        self.closing = threading.Event()

    def submit(self, kind: str, networks: str | list[str], dataset: str, options: Mapping[str, Any]) -> str:
        """Queue a job; raises as `Queue.submit`."""
        return self.queue.submit(kind, networks, dataset, self.checked(options))

    def checked(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Options as they are, if they run no code that is not in the workspace.

        Raises:
            UsageError: the strategy is source text, or a module from somewhere else.
        """
        strategy = options.get("strategy")
        if not isinstance(strategy, str):
            return options
        source = "\n" in strategy or "class " in strategy
        if self.allow_source:
            return {**options, "strategy": self._kept(strategy)} if source else options
        module, colon, _ = strategy.partition(":")
        root = self.folder.root.resolve()
        inside = module.endswith(".py") and (root / module).resolve().is_relative_to(root)
        if source:
            found = "source text"
        elif colon and not inside:
            found = f"'{strategy}', a module outside of the workspace,"
        else:
            return options
        raise UsageError(
            f"strategy: {found} is not taken; put its file into strategies/, or start the server with "
            "--allow-source"
        )

    def _kept(self, source: str) -> str:
        """Put a strategy's source into the workspace; returns the name of its class, the last one."""
        try:
            classes = [node.name for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
        except (SyntaxError, ValueError) as error:
            raise UsageError(f"strategy: not valid Python: {error}") from error
        if not classes:
            raise UsageError("strategy: the source text has no class")
        path = self.folder.root / "strategies" / f"{classes[-1]}.py"
        if path.exists() and path.read_text(encoding="utf-8") != source:
            raise UsageError(f"strategy: {display(path)} is there and differs; call the class something else")
        path.parent.mkdir(exist_ok=True)
        path.write_text(source, encoding="utf-8")
        return classes[-1]


class _Watcher(LiveWatcher):
    def __init__(self, queue: Queue, metrics: Metrics):
        self._queue = queue
        self._metrics = metrics

    def ran(self, instance: str, version: str, calls: int, seconds: float) -> None:
        self._metrics.ran(instance, version, calls, seconds)

    def note(self, level: str, message: str) -> None:
        with self._queue.database.writing() as session:
            notify(session, None, level, message)
