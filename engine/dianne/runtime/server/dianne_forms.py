"""Jobs, results and notifications in the forms that DIANNE's clients know. Times are milliseconds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dianne.errors import UsageError
from dianne.jobs.entry import Entry, Notification, Point

_TYPES = {"learn": "LEARN", "evaluate": "EVALUATE"}


def job(entry: Entry) -> dict[str, Any]:
    """A job."""
    return {
        "id": entry.id,
        "name": str(entry.options.get("name", entry.id)),
        "type": _TYPES[entry.kind],
        "category": _category(entry),
        "nn": entry.networks,
        "dataset": entry.dataset,
        "config": {"strategy": entry.strategy, "tag": entry.tag or entry.id, **_texts(entry.options)},
        "submitted": _milliseconds(entry.submitted),
        "started": _milliseconds(entry.started),
        "stopped": _milliseconds(entry.ended),
        "targets": ["local"] if entry.started else [],
    }


def _category(entry: Entry) -> str:
    if entry.kind == "evaluate":
        return "CLASSIFICATION" if "Classification" in entry.strategy else "CRITERION"
    return "RNN" if entry.strategy.startswith("BPTT") else "FF"


def _texts(options: dict[str, Any]) -> dict[str, str]:
    return {
        key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in options.items()
    }


def _milliseconds(time: float | None) -> int:
    return int((time or 0) * 1000)


def learn_result(points: Iterable[Point]) -> list[dict[str, Any]]:
    """How the losses went, as far as they are known."""
    found: list[dict[str, Any]] = []
    for point in points:
        if point.kind == "validation":
            if found:
                found[-1]["validationLoss"] = next(iter(point.numbers.values()), None)
            continue
        extra = {name: value for name, value in point.numbers.items() if name != "loss"}
        loss = point.numbers.get("loss")
        found.append({"iteration": point.iteration, "minibatchLoss": loss, "extra": extra})
    return found


def evaluation_result(entry: Entry, result: dict[str, Any] | None) -> list[dict[str, Any]]:
    """What an evaluation found, or how far it is."""
    if result is None:
        return [{"processed": entry.iteration, "total": entry.total}] if entry.total else [{}]
    metrics: dict[str, float] = result["metrics"]
    first = next(iter(metrics.values()))
    found = {
        "evaluationTime": round(result["seconds"] * 1000),
        "error": 1 - metrics["accuracy"] if "accuracy" in metrics else first,
        "forwardTime": result["secondsPerSample"] * 1000,
        "metric": first,
        "metrics": metrics,
    }
    for key, name in (("accuracy", "accuracy"), ("top3", "top 3"), ("top5", "top 5")):
        if name in metrics:
            found[key] = metrics[name]
    return [found | {key: result[key] for key in ("outputs", "confusionMatrix") if key in result}]


def note(found: Notification) -> dict[str, Any]:
    """A notification."""
    return {
        "jobId": found.job,
        "level": found.level,
        "message": found.message,
        "timestamp": _milliseconds(found.time),
    }


def numbers(value: Any) -> NDArray[Any]:
    """A nested array of numbers; raises UsageError for anything else."""
    try:
        found = np.asarray(value)
    except ValueError:
        found = np.asarray("")
    if found.dtype.kind not in "fiub" or not found.size:
        raise UsageError("expected a nested array of numbers, as many in each row")
    return found
