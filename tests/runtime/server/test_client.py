"""The client of a runtime, over its socket and over TCP; and a session with the command `dianne serve`."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from served import Worker, put

import dianne
from dianne.errors import DianneError, UsageError
from dianne.jobs.queue import Queue
from dianne.runtime.places import socket_of
from dianne.runtime.server.services import Services
from dianne.workspace import Folder

OPTIONS = {"tag": "c", "hidden": 4, "maxIterations": 2}


@pytest.fixture(params=["socket", "url"])
def client(request, server, token):
    place = (server.folder.root,) if request.param == "socket" else (server.url, token)
    with dianne.connect(*place) as found:
        yield found


def refused(call, *args, **options):
    with pytest.raises(DianneError) as fault:
        call(*args, **options)
    return type(fault.value), str(fault.value)


def test_results_are_those_of_the_workspace_itself(client, server):
    sums = client.deploy("Sum", "t", "client's")
    points = np.random.default_rng(0).normal(size=(5, 2))
    expected = dianne.Workspace(server.folder.root).instance("client's").forward(points)
    np.testing.assert_allclose(sums.forward(points), expected, rtol=1e-6)
    assert sums.forward([1, 2]).tolist() == client.forward("client's", [1, 2]).tolist() == [1, 2, 3]
    assert client.instance("client's").name == "client's"
    client.undeploy("client's")
    kind, message = refused(client.undeploy, "client's")
    assert kind is UsageError
    assert message.startswith("'client's' is not deployed")


def test_results_name_their_weights(client, server, folder):
    version = put(folder)
    server.services.instances.refresh()
    sums = client.instance("Sum")
    sums.forward([1, 2])
    assert sums.manifest == version


def test_a_job_is_waited_for(client, folder):
    queue, seen = Queue(folder), {job.id for job in Queue(folder).jobs()}

    def work():
        while not (new := [job for job in queue.jobs("queued") if job.id not in seen]):
            pass
        Worker(folder, new[0].id, {"iterations": 2})

    threading.Thread(target=work).start()
    assert client.learn(["MLP"], "Digits", **OPTIONS) == {"iterations": 2}
    job = client.jobs("finished")[-1]
    assert (job.tag, job.iteration, client.result(job.id)) == ("c", 2, {"iterations": 2})
    assert client.notifications()[-1].message == "finished"


def test_a_job_is_stopped_and_listened_to(client):
    job = client.submit("MLP", "Digits", **OPTIONS)
    assert client.job(job).status == "queued"
    client.stop(job)
    assert [event["message"] for event in client.events(job)] == []
    assert refused(client._awaited, job) == (DianneError, f"the job {job} stopped: without a result")
    assert refused(client.stop, job) == (UsageError, f"the job {job} is stopped; there is nothing to stop")


def test_what_there_is(client):
    assert "Encoder" in {model["name"] for model in client.models()}
    assert "Digits" in {dataset["name"] for dataset in client.datasets()}
    assert list(client.tags("Sum")) == ["t"]


def test_faults_are_said_in_the_runtime_s_own_words(client, server):
    assert refused(client.forward, "Sum", [1]) == (UsageError, "Sum.point takes samples of [2], got [1]")
    assert refused(client.tags, "Nothing")[0] is UsageError
    assert refused(client.submit, "MLP", "Nothing")[1].startswith("there is no dataset 'Nothing'")
    assert refused(lambda: list(client.events("nothing")))[1].startswith("there is no job 'nothing'")
    stranger = dianne.connect(server.url, "wrong")
    assert refused(stranger.jobs)[0] is DianneError
    stranger.close()


def test_without_a_runtime_or_a_token_it_is_said_what_to_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert refused(dianne.connect) == (
        UsageError, f"no runtime serves {tmp_path}; start one with: dianne serve",
    )  # fmt: skip
    message = "http://127.0.0.1:1 asks for a token; it stands in .dianne/token of its workspace"
    assert refused(dianne.connect, "http://127.0.0.1:1") == (UsageError, message)
    with dianne.connect("http://127.0.0.1:1", "token") as client:
        for call in (client.jobs, lambda: list(client.events())):
            kind, message = refused(call)
            assert kind is DianneError
            assert message.startswith("no runtime answers at http://127.0.0.1:1: ")


def test_the_socket_is_found_wherever_one_goes_meanwhile(server, tmp_path, monkeypatch):
    monkeypatch.chdir(server.folder.root)
    with dianne.connect() as client:
        monkeypatch.chdir(tmp_path)
        assert client.instance("Sum").name == "Sum"


def test_a_socket_whose_whole_path_is_too_long_is_called_as_it_is_from_here(tmp_path, monkeypatch):
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert socket_of(Folder(folder)) == Path(".dianne/runtime.sock")


def test_the_client_imports_no_torch():
    probe = "import sys, dianne; dianne.connect; import httpx2; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0


# ----------------------------------------------------------------------------------------------- source text


def test_source_text_is_kept_in_the_workspace_where_that_is_allowed(folder):
    services = Services(folder, Queue(folder), allow_source=True)
    source = "from dianne import LearningStrategy\n\nclass Given(LearningStrategy):\n    pass\n"
    assert services.checked({"strategy": source, "a": 1}) == {"strategy": "Given", "a": 1}
    assert (folder.root / "strategies" / "Given.py").read_text() == source
    assert services.checked({"strategy": "os:system"}) == {"strategy": "os:system"}
    for text, message in [
        (source + "#", "strategy: "),
        ("class Broken(:", "strategy: not valid Python: "),
        ("a = 1\n", "strategy: the source text has no class"),
    ]:
        assert refused(services.checked, {"strategy": text})[1].startswith(message)
    assert (folder.root / "strategies" / "Given.py").read_text() == source


# --------------------------------------------------------------------------------------------- dianne serve


def test_a_session_with_the_runtime(tmp_path):
    command = [str(Path(sys.executable).with_name("dianne")), "serve", "port=0", "rpcPort=0"]
    runtime = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    try:
        lines = iter(runtime.stderr.readline, "")
        said = next(line for line in lines if "HTTP at" in line)
        url = said.split("HTTP at ")[1].split(",")[0]
        token = (tmp_path / ".dianne" / "token").read_text().strip()
        with dianne.connect(url, token) as client:
            assert client.learn("MLP", "Digits", **OPTIONS)["iterations"] == 2
            images = dianne.Workspace(tmp_path).dataset("Digits", "test").batch(slice(0, 3)).input
            scores = client.deploy("MLP", "c").forward(images.numpy())
            assert scores.shape == (3, 10)
    finally:
        runtime.send_signal(signal.SIGTERM)
        runtime.communicate(timeout=20)
        assert runtime.returncode == 0
    assert not (tmp_path / ".dianne" / "runtime.sock").exists()
