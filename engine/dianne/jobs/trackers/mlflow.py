"""MLflow: one run for each job, at MLFLOW_TRACKING_URI or in `.dianne/mlflow.db`.

MLflow counts a number of the same name, step and time once. So times are of the job's own clock, and numbers
that are sent twice, as nobody knows whether they arrived, do not count twice.
"""

from __future__ import annotations

import os
from typing import ClassVar

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from dianne.jobs.entry import Entry, Point
from dianne.jobs.trackers.tracker import Tracker, final, named, told

_LONGEST = 500  # characters of an option's value
_ENDINGS = {"finished": "FINISHED", "failed": "FAILED"}
_MOST = 500  # numbers in one request


class MLflow(Tracker):
    """Sends numbers in batches."""

    faults: ClassVar[tuple[type[Exception], ...]] = (OSError, MlflowException, SQLAlchemyError)

    def begin(self, job: Entry) -> None:
        """Find the run or make it; options become parameters."""
        place = (self.folder.state / "mlflow.db").absolute()
        self.client = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{place}")
        if "run" not in self.state:
            self.state["run"] = self._run(job)
        params = [Param(key, text[:_LONGEST]) for key, text in told(job).items()]
        self.client.log_batch(self.state["run"], params=params)
        self.client.update_run(self.state["run"], status="RUNNING")

    def _run(self, job: Entry) -> str:
        """The job's run: it may be there, if nobody knows whether it was made."""
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "dianne")
        found = self.client.get_experiment_by_name(name)
        experiment = found.experiment_id if found else self.client.create_experiment(name)
        runs = self.client.search_runs([experiment], f"tags.`dianne.job` = '{job.id}'", max_results=1)
        if runs:
            return str(runs[0].info.run_id)
        title, began = f"{','.join(job.networks)}:{job.tag}", int(1000 * (job.submitted or 0))
        made = self.client.create_run(experiment, began, {"dianne.job": job.id}, title)
        return str(made.info.run_id)

    def add(self, job: Entry, points: list[Point]) -> None:
        """A metric for each number."""
        began = job.submitted or 0
        self._send([
            Metric(name, value, int(1000 * (began + point.seconds)), point.iteration)
            for point in points
            for name, value in named(point).items()
        ])  # fmt: skip

    def end(self, job: Entry) -> None:
        """What was found, and how it ended."""
        ended = int(1000 * (job.ended or 0))
        self._send([Metric(name, value, ended, job.iteration) for name, value in final(job).items()])
        self.client.log_batch(self.state["run"], tags=[RunTag("dianne.status", job.status)])
        self.client.set_terminated(self.state["run"], _ENDINGS.get(job.status, "KILLED"), ended)

    def _send(self, metrics: list[Metric]) -> None:
        for first in range(0, len(metrics), _MOST):
            self.client.log_batch(self.state["run"], metrics=metrics[first : first + _MOST])
