"""DIANNE's JSON-RPC: its methods, over HTTP and over TCP, and what becomes of malformed requests."""

import json
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from served import LIMIT, Worker

from dianne.runtime.server.tcp import Splitter

OPTIONS = {"tag": "rpc", "hidden": "4", "maxIterations": "2"}


class Line:
    """A connection to the TCP port: sends objects, reads one line for each."""

    def __init__(self, server):
        self.socket = socket.create_connection(("127.0.0.1", server.rpc_port), timeout=10)
        self.lines = self.socket.makefile("rb")

    def send(self, *values):
        for value in values:
            self.socket.sendall(value if isinstance(value, bytes) else json.dumps(value).encode())

    def read(self):
        return json.loads(self.lines.readline())

    def over(self):
        return self.lines.readline() == b""

    def close(self):
        self.lines.close()
        self.socket.close()


@pytest.fixture
def line(server, token):
    found = Line(server)
    found.send({"token": token})
    yield found
    found.close()


@pytest.fixture
def stranger(server):
    found = Line(server)
    yield found
    found.close()


@pytest.fixture
def ask(http):
    """Ask over HTTP: the result, or the error's code and message."""

    def asked(method, *params, **more):
        request = {"jsonrpc": "2.0", "id": 7, "method": method, "params": list(params), **more}
        response = http.post("/jsonrpc", content=json.dumps(request)).json()
        assert (response["jsonrpc"], response["id"]) == ("2.0", "7")
        if "error" in response:
            return response["error"]["code"], response["error"]["message"]
        return response["result"]

    return asked


# -------------------------------------------------------------------------------------------------- methods


def test_a_network_is_deployed_asked_for_a_label_and_let_go(ask, http):
    name = ask("deploy", "Sum", "a description", None, "t")
    assert ask("forward", name, [1, 2]) == "sum"
    assert ask("forward", name, [5, -2]) == "x"
    assert ask("undeploy", name) == name
    assert ask("undeploy", name)[0] == -32602
    assert ask("forward", name, [1, 2])[0] == -32603


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ([], "deploy needs one tag, found 0: [name, description, runtime, tag]"),
        (["Sum", "", "", "a", "b"], "deploy needs one tag, found 2: [name, description, runtime, tag]"),
        ([{"modules": {}}], "deploy takes the name of a network, not its structure"),
        (["Sum", None, None, 3], "expected the tag"),
        (["Sum", None, None, "u"], "Sum has no tag 'u'; tags of Sum: t"),
    ],
)
def test_what_cannot_be_deployed(ask, params, message):
    assert ask("deploy", *params) == (-32602, message)


@pytest.mark.parametrize(
    ("samples", "code"),
    [([1], -32603), ("x", -32603), ([[1], [1, 2]], -32603), ([[1, 2], [3, 4]], -32603), ([], -32603)],
)
def test_what_has_no_label(ask, samples, code):
    assert ask("forward", "Sum", samples)[0] == code
    assert ask("forward", "Grey", [[[0] * 6] * 4])[1] == (
        "forward gives the label of one sample; Grey has no labels for (1, 4, 6)"
    )


def test_learn_gives_the_job_at_once_and_its_result_later(ask, folder):
    job = ask("learn", "MLP", "Digits", OPTIONS)
    assert ask("learnResult", job) == []
    assert ask("evaluationResult", job) == "null"
    found = ask("job", job)
    assert {key: found[key] for key in ("id", "name", "type", "category", "nn", "dataset", "stopped")} == {
        "id": job, "name": job, "type": "LEARN", "category": "FF", "nn": ["MLP"], "dataset": "Digits",
        "stopped": 0,
    }  # fmt: skip
    assert found["config"]["tag"] == "rpc"
    assert found in ask("queuedJobs")
    assert ask("runningJobs") == []
    Worker(folder, job, {}).join()
    assert ask("finishedJobs")[-1]["id"] == job
    assert ask("learnResult", job) == [
        {"iteration": 1, "minibatchLoss": 2.0, "extra": {"kl": 0.5}},
        {"iteration": 2, "minibatchLoss": 1.0, "extra": {"kl": 0.25}},
    ]
    notes = [(note["level"], note["message"]) for note in ask("notifications") if note["jobId"] == job]
    assert notes == [("INFO", "submitted"), ("INFO", "started"), ("SUCCESS", "finished")]


def test_with_wait_the_result_comes_when_the_job_is_over(line, server, folder):
    line.send(
        {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "learn",
            "params": ["MLP", "Digits", {**OPTIONS, "wait": "true"}],
        }
    )
    queue = server.services.queue
    while not (waiting := [job for job in queue.jobs("queued") if "wait" not in job.options]):
        pass
    line.socket.settimeout(0.5)
    with pytest.raises(TimeoutError):
        line.socket.recv(1)
    line.socket.settimeout(10)
    Worker(folder, waiting[-1].id, {}).join()
    line.lines = line.socket.makefile("rb")
    assert [point["minibatchLoss"] for point in line.read()["result"]] == [2.0, 1.0]


def test_an_evaluation_has_the_form_that_dianne_gives_it(ask, folder, server):
    from dianne import Workspace

    Workspace(folder.root).learn("MLP", "Digits", hidden=4, maxIterations=1, tag="judged")
    job = ask("eval", " MLP", "Digits", {"tag": "judged"})
    assert ask("evaluationResult", job) == [{}]
    result = {
        "metrics": {"accuracy": 0.75, "top 3": 0.9}, "seconds": 2.0, "secondsPerSample": 0.02,
        "confusionMatrix": [[1, 2], [3, 4]],
    }  # fmt: skip
    Worker(folder, job, result).join()
    assert ask("evaluationResult", job) == [
        {
            "evaluationTime": 2000, "error": 0.25, "forwardTime": 20.0, "metric": 0.75,
            "metrics": {"accuracy": 0.75, "top 3": 0.9}, "accuracy": 0.75, "top3": 0.9,
            "confusionMatrix": [[1, 2], [3, 4]],
        }
    ]  # fmt: skip
    assert ask("job", job)["category"] == "CLASSIFICATION"


def test_a_job_is_stopped_once(ask):
    job = ask("learn", "MLP", "Digits", OPTIONS)
    assert ask("stop", job) == f"Job {job} stopped"
    assert ask("stop", job) == (-32603, f"the job {job} is stopped; there is nothing to stop")


def test_what_there_is(ask):
    assert "Encoder" in ask("availableNeuralNetworks")
    assert "MNIST" in ask("availableDatasets")


def test_what_there_is_not(ask):
    assert [ask(method, "x") for method in ("job", "learnResult", "evaluationResult", "agentResult")] == [
        "null"
    ] * 4
    assert ask("act", "MLP", "pool", {}) == (-32603, "act: there are no agents and environments here yet")
    assert ask("learn", "Nothing", "Digits", {})[0] == -32603
    assert ask("learn", "MLP", "Digits", {"batchSiz": "1"})[0] == -32603
    assert ask("learn", "MLP", "Digits", {"strategy": "os:system"})[0] == -32603
    assert ask("learn", "MLP", "Digits", {"a": {}}) == (-32602, "options: expected an object of plain values")
    assert ask("learn", "MLP", "Digits") == (
        -32602,
        "expected [networks, a dataset, options], found 2 parameters",
    )
    assert ask("learn", {}, "Digits", {}) == (-32602, "expected names of networks, not a structure")
    assert ask("jobs") == (-32601, "there is no method 'jobs'; did you mean 'job'?")


# ------------------------------------------------------------------------------------------------ the frame


@pytest.mark.parametrize(
    ("text", "code", "identifier"),
    [
        (b"{", -32700, None),
        (b"\xff", -32700, None),
        (b"", -32700, None),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "\\ud800"}', -32700, None),
        (b"[" * 100_000, -32700, None),
        (b"[]", -32600, None),
        (b'[{"jsonrpc": "2.0", "id": 1, "method": "job"}]', -32600, None),
        (b'{"id": 1, "method": "job"}', -32600, "1"),
        (b'{"jsonrpc": "2.0", "id": "a"}', -32600, "a"),
        (b'{"jsonrpc": "2.0", "method": 3}', -32600, "null"),
        (b'{"jsonrpc": "2.0", "id": [1], "method": "nothing"}', -32601, "[1]"),
        (b'{"jsonrpc": "2.0", "id": 1.5, "method": "job", "params": {}}', -32602, "1.5"),
        (b'{"jsonrpc": "2.0", "id": true, "method": "job", "params": []}', -32602, "true"),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "job", "params": [3]}', -32602, "1"),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "job"}', -32602, "1"),
    ],
)
def test_malformed_requests_have_their_codes(http, text, code, identifier):
    for path in ("/jsonrpc", "/dianne/jsonrpc"):
        response = http.post(path, content=text)
        assert response.status_code == 200
        assert response.json()["error"]["code"] == code
        assert response.json()["id"] == identifier


# -------------------------------------------------------------------------------------------------- over TCP


def test_requests_are_answered_in_order_whatever_lies_between_them(line):
    one, two = ({"jsonrpc": "2.0", "id": n, "method": "availableDatasets"} for n in (1, 2))
    line.send(one, b"\n\n  ", two, b"garbage\n", b"[1, 2]", {"jsonrpc": "1.0", "id": '}{"\\'}, b"{]", one)
    found = [line.read() for _ in range(7)]
    codes = [response.get("error", {}).get("code") for response in found]
    assert codes == [None, None, -32700, -32600, -32600, -32700, None]
    assert [response["id"] for response in found] == ["1", "2", None, None, '}{"\\', None, "1"]


def test_a_request_may_come_byte_by_byte(line):
    for byte in json.dumps({"jsonrpc": "2.0", "id": "é", "method": "runningJobs"}).encode():
        line.send(bytes([byte]))
    assert line.read()["result"] == []


@pytest.mark.parametrize(
    "first",
    [
        {"jsonrpc": "2.0", "id": 1, "method": "availableDatasets"},
        {"token": "wrong"},
        {"token": None},
        b"GET / HTTP/1.1\r\n",
        b"[]",
    ],
)
def test_a_stranger_is_refused_and_the_connection_closed(stranger, first):
    stranger.send(first)
    assert stranger.read()["error"] == {
        "code": -32001, "message": 'send {"token": "..."} first; the token is in .dianne/token',
    }  # fmt: skip
    assert stranger.over()


def test_the_first_request_may_carry_the_token(stranger, token):
    request = {"jsonrpc": "2.0", "id": 1, "method": "runningJobs"}
    stranger.send({**request, "token": token}, request)
    assert [stranger.read()["result"] for _ in range(2)] == [[], []]


def test_a_request_that_never_ends_is_refused(line):
    line.send(b"{" + b" " * (LIMIT + 1))
    assert line.read()["error"]["message"] == "the request is larger than 1,000,000 bytes"
    assert line.over()


texts = st.text(max_size=8)
values = st.recursive(
    st.none() | st.booleans() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150)
@given(
    st.lists(st.lists(values, max_size=3) | st.dictionaries(texts, values), max_size=4),
    st.booleans(),
    st.integers(1, 20),
)
def test_texts_are_cut_out_of_any_stream(sent, ascii_only, size):
    stream = b" \n".join(
        json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "replace") for value in sent
    )
    splitter, found = Splitter(), []
    for start in range(0, len(stream), size):
        found += splitter.feed(stream[start : start + size])
    assert [json.loads(text) for text in found] == sent
    assert splitter.waiting == 0


@settings(max_examples=200)
@given(st.binary(), st.binary())
def test_no_bytes_break_the_splitter(first, second):
    splitter = Splitter()
    texts = [*splitter.feed(first), *splitter.feed(second)]
    assert sum(map(len, texts)) + splitter.waiting <= len(first + second)
