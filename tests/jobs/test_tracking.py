"""Metrics in TensorBoard and MLflow: all of them, once, whatever happens on the way."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from dianne.errors import UsageError
from dianne.jobs import track, tracking
from dianne.jobs.database import POINT
from dianne.jobs.queue import Queue, end
from dianne.jobs.tracking import Follower
from dianne.workspace import Folder


@pytest.fixture
def queue(tmp_path):
    queue = Queue(Folder(tmp_path))
    asked = {"networks": ["MLP"], "dataset": "Digits", "strategy": "S", "options": {"learningRate": "0.1"}}
    with queue.database.writing() as session:
        session.execute(
            "INSERT INTO jobs (id, kind, status, asked, tag, foreground, submitted, terms, metrics) "
            "VALUES ('j', 'learn', 'queued', ?, 't', 1, 1000.0, '{\"loss\": 0.5}', '{\"accuracy\": 0.9}')",
            [json.dumps(asked)],
        )
    (tmp_path / ".dianne" / "track" / "j").mkdir(parents=True)
    return queue


def note(queue, *iterations, kind="terms"):
    with queue.database.writing() as session:
        for i in iterations:
            numbers = json.dumps({"loss" if kind == "terms" else "accuracy": i / 8})
            session.execute(
                f"INSERT INTO progress ({POINT}) VALUES ('j', ?, ?, ?, ?)", (i, i / 10, kind, numbers)
            )


def finish(queue):
    with queue.database.writing() as session:
        end(session, "j", "finished", "finished")


# --------------------------------------------------------------------------------------------- TensorBoard


def scalars(queue):
    (path,) = (queue.folder.state / "tensorboard" / "j").iterdir()
    return [
        (value.tag, event.step, value.tensor.float_val[0], round(event.wall_time, 1))
        for event in EventFileLoader(str(path)).Load()
        for value in event.summary.value
        if value.metadata.plugin_data.plugin_name == "scalars"
    ]


def test_tensorboard_gets_every_number_once_whenever_its_process_dies(queue):
    note(queue, 1, 2)
    first = Follower(queue, "j", "tensorboard")
    assert not first.deliver()
    note(queue, 3)
    first.tracker.add(
        queue.get("j"), queue.progress("j", first.kept["position"])
    )  # and died before it was noted
    note(queue, 4, kind="validation")
    finish(queue)
    second = Follower(queue, "j", "tensorboard")
    assert second.deliver()
    expected = [
        ("loss", 1, 0.125, 1000.1),
        ("loss", 2, 0.25, 1000.2),
        ("loss", 3, 0.375, 1000.3),
        ("validation/accuracy", 4, 0.5, 1000.4),
    ]
    assert scalars(queue)[:-2] == expected
    assert [(tag, round(value, 6)) for tag, _, value, _ in scalars(queue)[-2:]] == [
        ("final/loss", 0.5),
        ("final/accuracy", 0.9),
    ]
    size = second.kept["state"]["size"]
    assert Follower(queue, "j", "tensorboard").deliver()  # there is nothing left
    assert Follower(queue, "j", "tensorboard").kept["state"]["size"] == size


# -------------------------------------------------------------------------------------------------- MLflow


class MLflowServer(ThreadingHTTPServer):
    """As much of MLflow's REST interface as is asked for; counts metrics as MLflow does."""

    broken = True

    def __init__(self, port=0):
        super().__init__(("127.0.0.1", port), Handler)
        self.metrics, self.params, self.status, self.asked, self.lost = set(), {}, "", [], False
        threading.Thread(target=self.serve_forever, args=(0.01,)).start()

    def close(self):
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    server: MLflowServer

    def log_message(self, *_):
        pass

    def do_GET(self):
        self._answer({})

    def do_POST(self):
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _answer(self, body):
        server, call = self.server, self.path.split("?")[0].removeprefix("/api/2.0/mlflow/")
        server.asked.append(call)
        code, answer = (500, {"error_code": "INTERNAL_ERROR"}) if server.broken else self._found(call, body)
        content = json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _found(self, call, body):
        server = self.server
        run = {"run": {"info": {"run_id": "r", "experiment_id": "7", "status": "RUNNING"}, "data": {}}}
        if call == "experiments/get-by-name":
            return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no"}
        if call == "runs/log-batch":
            server.metrics |= {
                (m["key"], m["step"], m["timestamp"], m["value"]) for m in body.get("metrics", [])
            }
            server.params |= {p["key"]: p["value"] for p in body.get("params", [])}
            if not server.lost and body.get("metrics"):  # all is written, but nobody learns of it
                server.lost = True
                return 500, {"error_code": "INTERNAL_ERROR"}
        if call == "runs/update":
            server.status = body["status"]
        answers = {"experiments/create": {"experiment_id": "7"}, "runs/create": run, "runs/get": run}
        return 200, {
            **answers.get(call, {}),
            **({"run_info": run["run"]["info"]} if "update" in call else {}),
        }


@pytest.fixture
def quick(monkeypatch):
    for key, value in track._PATIENCE.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setattr(tracking, "FIRST", 0.02)
    monkeypatch.setattr(tracking, "LONGEST", 0.05)
    monkeypatch.setattr(tracking, "GLANCE", 0.02)


def until(true):
    for _ in range(1000):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come about in 10 s")


def test_mlflow_misses_nothing_that_happened_while_it_was_down(queue, quick, monkeypatch):
    server = MLflowServer()
    port = server.server_port
    server.close()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    note(queue, 1, 2)
    thread = threading.Thread(target=Follower(queue, "j", "mlflow").run)
    thread.start()
    until(lambda: len(queue.notifications()) == 1)
    server = MLflowServer(port)
    try:
        note(queue, 3)
        until(lambda: len(server.asked) > 2)
        server.broken = False
        until(lambda: len(server.metrics) == 3)
        note(queue, 4, kind="validation")
        finish(queue)
        thread.join(20)
    finally:
        server.close()
    assert not thread.is_alive()
    assert server.lost
    assert {(key, step, time, value) for key, step, time, value in server.metrics if "/" not in key} == {
        ("loss", 1, 1000100, 0.125),
        ("loss", 2, 1000200, 0.25),
        ("loss", 3, 1000300, 0.375),
    }
    named = {key: value for key, _, _, value in server.metrics if "/" in key}
    assert named == {"validation/accuracy": 0.5, "final/loss": 0.5, "final/accuracy": 0.9}
    assert len(server.metrics) == 6
    assert server.params == {
        "networks": "MLP", "dataset": "Digits", "strategy": "S", "learningRate": "0.1",
    }  # fmt: skip
    assert server.status == "FINISHED"
    assert server.asked.count("runs/create") == 1
    told = [one.message for one in queue.notifications() if "mlflow" in one.message]
    assert told[0].startswith("mlflow cannot be reached, and is tried again: ")
    assert told[-1] == "mlflow is back, and has everything so far"


# ------------------------------------------------------------------------------------------------- the job


def test_a_tracker_that_does_not_exist_is_named():
    with pytest.raises(UsageError) as fault:
        track.check(["tensorbord"])
    assert str(fault.value) == "there is no tracker 'tensorbord'; did you mean 'tensorboard'?"
