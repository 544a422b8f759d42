"""What a Prometheus server scrapes: requests, forwards and their batches, jobs."""

from __future__ import annotations

from collections import deque
from time import perf_counter

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dianne.jobs.entry import ENDED, RUNNING, WAITING

_VERSIONS = 5  # of one instance that are counted; those before are forgotten
_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_CALLS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counts; safe to use from several threads."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "dianne_http_requests", "Requests by what was asked and how it ended.", ("route", "status"),
            registry=self.registry,
        )  # fmt: skip
        self.latency = Histogram(
            "dianne_http_request_seconds", "From a request's head to the end of its response.", ("route",),
            registry=self.registry, buckets=_SECONDS,
        )  # fmt: skip
        self.forwards = Counter(
            "dianne_forward_calls", "Calls of an instance by the manifest of its weights.",
            ("instance", "manifest"), registry=self.registry,
        )  # fmt: skip
        self.batches = Histogram(
            "dianne_forward_batch_calls", "Calls that were answered together.", ("instance",),
            registry=self.registry, buckets=_CALLS,
        )  # fmt: skip
        self.running = Histogram(
            "dianne_forward_seconds", "Time that a network took for calls answered together.", ("instance",),
            registry=self.registry, buckets=_SECONDS,
        )  # fmt: skip
        self.jobs = Gauge("dianne_jobs", "Jobs by status.", ("status",), registry=self.registry)
        self._versions: dict[str, deque[str]] = {}

    def ran(self, instance: str, version: str, calls: int, seconds: float) -> None:
        """So many calls of an instance were answered together."""
        versions = self._versions.setdefault(instance, deque())
        if version not in versions:
            versions.append(version)
            if len(versions) > _VERSIONS:
                self.forwards.remove(instance, versions.popleft())
        self.forwards.labels(instance, version).inc(calls)
        self.batches.labels(instance).observe(calls)
        self.running.labels(instance).observe(seconds)

    def text(self, jobs: dict[str, int]) -> bytes:
        """All counts in the text format of Prometheus.

        Args:
            jobs: how many there are of each status.
        """
        for status in (WAITING, RUNNING, *ENDED):
            self.jobs.labels(status).set(jobs.get(status, 0))
        return generate_latest(self.registry)


class Counted:
    """Counts the requests of an application and their time.

    Args:
        app: what answers.
        metrics: where they are counted.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics):
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on, and count."""
        started, status = perf_counter(), 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, watched)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self.metrics.requests.labels(route, status).inc()
            self.metrics.latency.labels(route).observe(perf_counter() - started)
