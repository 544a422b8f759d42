"""TensorBoard: one file of events for each job, in `.dianne/tensorboard/<job>/`.

Needs the package tensorboard alone, neither torch nor TensorFlow. The state has the length of what was
delivered; what lies behind it was written just before a crash, and is written again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import BinaryIO

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.plugins.hparams import metadata
from tensorboard.plugins.hparams.api_pb2 import Status
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo
from tensorboard.summary.writer.record_writer import RecordWriter

from dianne.jobs.entry import Entry, Point
from dianne.jobs.trackers.tracker import Tracker, final, named, told


class TensorBoard(Tracker):
    """Appends to the job's file of events."""

    def begin(self, job: Entry) -> None:
        """Options, for the page HPARAMS; once for each job."""
        if self.state.get("size"):
            return
        options = {key: _number(text) for key, text in told(job).items()}
        start = SessionStartInfo(group_name=job.id, start_time_secs=job.submitted or 0)
        for key, value in options.items():
            if isinstance(value, float):
                start.hparams[key].number_value = value
            else:
                start.hparams[key].string_value = value
        about = HParamsPluginData(session_start_info=start, version=metadata.PLUGIN_DATA_VERSION)
        version = Event(wall_time=job.submitted or 0, file_version="brain.Event:2")
        self._write([version, _plugin(job, metadata.SESSION_START_INFO_TAG, about)])

    def add(self, job: Entry, points: list[Point]) -> None:
        """A scalar for each number."""
        began = job.submitted or 0
        self._write(_scalars(named(point), point.iteration, began + point.seconds) for point in points)

    def end(self, job: Entry) -> None:
        """What was found, and how it ended."""
        success = Status.STATUS_SUCCESS if job.status == "finished" else Status.STATUS_FAILURE
        about = HParamsPluginData(
            session_end_info=SessionEndInfo(status=success, end_time_secs=job.ended or 0),
            version=metadata.PLUGIN_DATA_VERSION,
        )
        ended = _plugin(job, metadata.SESSION_END_INFO_TAG, about)
        self._write([_scalars(final(job), job.iteration, job.ended or 0), ended])

    def _write(self, events: Iterable[Event]) -> None:
        folder = self.folder.state / "tensorboard" / self.job
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"events.out.tfevents.{self.job}"
        path.touch()
        with path.open("r+b") as file:
            file.truncate(self.state.get("size", 0))
            file.seek(0, 2)
            _append(file, events)
            self.state["size"] = file.tell()


def _append(file: BinaryIO, events: Iterable[Event]) -> None:
    writer = RecordWriter(file)
    for event in events:
        writer.write(event.SerializeToString())
    file.flush()


def _scalars(numbers: dict[str, float], step: int, time: float) -> Event:
    values = [Summary.Value(tag=name, simple_value=value) for name, value in numbers.items()]
    return Event(wall_time=time, step=step, summary=Summary(value=values))


def _plugin(job: Entry, tag: str, about: HParamsPluginData) -> Event:
    kind = SummaryMetadata.PluginData(plugin_name=metadata.PLUGIN_NAME, content=about.SerializeToString())
    value = Summary.Value(tag=tag, metadata=SummaryMetadata(plugin_data=kind))
    return Event(wall_time=job.submitted or 0, summary=Summary(value=[value]))


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
