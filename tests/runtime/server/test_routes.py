"""Jobs, networks and instances over HTTP; events and counts; and all that the OpenAPI document promises."""

import json
import threading
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from prometheus_client.parser import text_string_to_metric_families
from served import Worker, error, put

from dianne.jobs.queue import Queue
from dianne.runtime.server.app import make_app
from dianne.runtime.server.services import Services
from dianne.workspace import Folder

JOB = {"networks": "MLP", "dataset": "Digits", "options": {"tag": "j", "hidden": 4, "maxIterations": 2}}


@pytest.fixture
def job(http):
    response = http.post("/jobs", json=JOB)
    assert response.status_code == 201, response.text
    return response.json()["id"]


# ----------------------------------------------------------------------------------------------------- jobs


def test_a_job_is_submitted_watched_and_its_result_read(http, folder, job):
    entry = http.get(f"/jobs/{job}").json()
    assert (entry["status"], entry["networks"], entry["options"]["hidden"]) == ("queued", ["MLP"], 4)
    assert http.get(f"/jobs/{job[:8]}").json()["id"] == job
    assert http.get(f"/jobs/{job}/result").json() is None
    assert error(http.get(f"/jobs/{job}/log"), 404) == f"the job {job} has no log; it has not begun"
    Worker(folder, job, {"loss": float("nan")}).join()
    assert http.get(f"/jobs/{job}").json()["status"] == "finished"
    assert http.get(f"/jobs/{job}/result").json() == {"loss": None}
    points = http.get(f"/jobs/{job}/progress").json()
    assert [(point["iteration"], point["numbers"]["loss"]) for point in points] == [(1, 2.0), (2, 1.0)]
    assert http.get(f"/jobs/{job}/progress", params={"after": points[0]["number"]}).json() == points[1:]
    log = folder.state / "jobs" / job / "log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("it went well\n")
    assert http.get(f"/jobs/{job}/log").text == "it went well\n"


def test_jobs_are_listed_by_status_the_newest(http, job):
    assert http.get("/jobs", params={"status": "queued", "newest": 1}).json()[0]["id"] == job
    assert all(entry["status"] == "failed" for entry in http.get("/jobs?status=failed").json())


def test_a_job_is_stopped_resumed_and_submitted_again(http, job):
    assert http.post(f"/jobs/{job}/stop").json()["status"] == "queued"  # as it was
    assert error(http.post(f"/jobs/{job}/stop"), 422) == f"the job {job} is stopped; there is nothing to stop"
    assert http.post(f"/jobs/{job}/resume").json()["status"] == "queued"
    again = http.post(f"/jobs/{job}/resubmit", json={"options": {"hidden": 8}}).json()["id"]
    assert http.get(f"/jobs/{again}").json()["options"]["hidden"] == 8


def test_a_job_that_does_not_fit_is_refused_with_the_engine_s_own_words(http):
    wrong = {**JOB, "options": {"batchSiz": 16}}
    message = error(http.post("/jobs", json=wrong), 422)
    assert (
        message
        == "learn: 1 problem\n  option 'batchSiz': nothing here reads 'batchSiz'; did you mean 'batchSize'?"
    )
    assert error(http.post("/jobs", json={"networks": "MLP"}), 422) == "body.dataset: Field required"
    assert "no job 'nothing'" in error(http.get("/jobs/nothing"), 404)


# ------------------------------------------------------------------------------------- what there is


def test_networks_tags_datasets_and_strategies_are_listed(http, folder):
    first, second = put(folder, 5.0), put(folder)
    assert "Encoder" in {model["name"] for model in http.get("/models").json()}
    assert {"Digits", "MNIST"} <= {dataset["name"] for dataset in http.get("/datasets").json()}
    assert "GANLearningStrategy" in {strategy["name"] for strategy in http.get("/strategies").json()}
    assert [tag["tag"] for tag in http.get("/models/Sum/tags").json()] == ["t"]
    assert http.get("/models/MLP/tags").json() == []
    assert {"Sum", "Grey"} <= {tag["network"] for tag in http.get("/tags").json()}
    history = http.get("/models/Sum/history", params={"tag": "t", "newest": 2}).json()
    assert [version["manifest"] for version in history] == [second, first]
    assert "no network 'Nothing'" in error(http.get("/models/Nothing/tags"), 404)
    assert "Sum has no tag 'u'" in error(http.get("/models/Sum/history?tag=u"), 404)


def test_networks_are_deployed_and_let_go(http):
    assert error(http.post("/instances", json={"network": "Sum", "tag": "u"}), 422).startswith(
        "Sum has no tag 'u'"
    )
    made = http.post("/instances", json={"network": "Sum", "tag": "t", "name": "mine"})
    assert made.status_code == 201
    assert made.json()["inputDims"] == [2]
    assert made.json() == http.get("/instances/mine").json()
    assert made.json() in http.get("/instances").json()
    assert http.delete("/instances/mine").status_code == 204
    for response in (http.delete("/instances/mine"), http.get("/instances/mine")):
        assert error(response, 404).startswith("'mine' is not deployed")


# ------------------------------------------------------------------------------------- events and counts


def events_of(response):
    """The events of a stream, as dicts, until it ends."""
    for line in response.iter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


def test_the_events_of_a_job_end_with_it(http, folder, job):
    with http.stream("GET", "/events", params={"job": job}) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        threading.Timer(0.3, Worker, (folder, job, {})).start()
        found = list(events_of(response))
    told = [event["message"] for event in found if event["type"] == "notification"]
    assert told == ["started", "finished"]
    progress = [event for event in found if event["type"] == "progress"]
    assert progress[-1] == {
        "type": "progress", "jobId": job, "iteration": 2, "total": 2, "terms": {"loss": 1.0, "kl": 0.25},
        "metrics": {},
    }  # fmt: skip


def test_a_listener_that_comes_back_hears_what_it_missed(http, job):
    last = http.get("/notifications", params={"newest": 1}).json()[0]["number"]
    http.post(f"/jobs/{job}/stop")
    with http.stream("GET", "/events", headers={"Last-Event-ID": str(last)}) as response:
        event = next(events_of(response))
    assert (event["jobId"], event["level"], event["message"]) == (job, "WARNING", "cancelled")


def test_a_new_version_is_told_in_the_notifications(server, http, folder):
    version = put(folder, 7.0)
    server.services.instances.refresh()
    notes = http.get("/notifications").json()
    assert [note for note in notes if f"Sum took new weights of Sum:t: {version[:12]}" in note["message"]]


def test_counts_are_what_prometheus_reads(http, job):
    for _ in range(3):
        http.post("/instances/Sum/forward", json=[1, 2])
    text = http.get("/metrics").text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def value(name, **labels):
        return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())

    assert value("dianne_http_requests_total", route="/instances/{name}/forward", status="200") >= 3
    assert value("dianne_forward_calls_total", instance="Sum") >= 3
    assert value("dianne_forward_batch_calls_sum", instance="Sum") == value(
        "dianne_forward_calls_total", instance="Sum"
    )
    assert value("dianne_http_request_seconds_count", route="/jobs") >= 1
    assert value("dianne_jobs", status="queued") >= 1


def test_only_the_last_versions_of_an_instance_are_counted():
    from dianne.runtime.server.metrics import Metrics

    metrics = Metrics()
    for version in "abcdefgh":
        metrics.ran("Sum", version, 2, 0.001)
    counted = [
        line
        for line in metrics.text({}).decode().splitlines()
        if line.startswith("dianne_forward_calls_total{")
    ]
    assert [line.split('manifest="')[1][0] for line in counted] == list("defgh")


# ---------------------------------------------------------------------------------------- the document


@pytest.fixture
def document(tmp_path):
    folder = Folder(tmp_path)
    return make_app(Services(folder, Queue(folder))).openapi()


def test_the_document_names_all_that_there_is(document, http):
    assert http.get("/openapi.json").json() == document
    forward = document["paths"]["/instances/{name}/forward"]["post"]
    assert list(forward["requestBody"]["content"]) == [
        "application/json", "application/x-npy", "image/png", "image/jpeg",
    ]  # fmt: skip
    assert document["components"]["schemas"]["Fault"]


def operations():
    """The document without what never ends, and what schemathesis cannot write."""
    folder = Folder(Path("nowhere"))
    document = make_app(Services(folder, Queue(folder))).openapi()
    del document["paths"]["/events"]
    del document["paths"]["/instances/{name}/forward"]["post"]["requestBody"]["content"]["application/x-npy"]
    return document


schema = schemathesis.openapi.from_dict(operations())


@schema.parametrize()
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_nothing_that_fits_the_document_or_nearly_does_breaks_the_server(case, server, token):
    response = case.call(base_url=server.url, headers={"Authorization": f"Bearer {token}"}, timeout=30)
    assert response.status_code < 500, response.text
