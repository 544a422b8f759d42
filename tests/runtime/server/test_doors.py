"""Who may come in: the token, the socket, hosts and origins; and that nothing comes in by a name."""

import os
import re
import socket
import stat
from urllib.parse import quote

import httpx2
import pytest
from served import error

from dianne.errors import DianneError
from dianne.jobs.queue import Queue
from dianne.runtime.server.app import make_app
from dianne.runtime.server.auth import token_of
from dianne.runtime.server.server import Server
from dianne.runtime.server.services import Services
from dianne.workspace import Folder

NAMES = ["..", "../../etc/passwd", "/etc/passwd", "a\\b", "a\0b", ".hidden", "x" * 5000, "é\n"]


def all_routes(tmp_path):
    """Method and path of every route, documented or not."""
    folder = Folder(tmp_path)
    waiting, found = [*make_app(Services(folder, Queue(folder))).routes], []
    while waiting:
        route = waiting.pop(0)
        inner = getattr(route, "original_router", route)
        waiting += getattr(inner, "routes", None) or []
        path = getattr(route, "path", None)
        found += [(method, path) for method in getattr(route, "methods", None) or [] if path]
    return sorted(set(found))


def test_every_route_needs_the_token_but_on_the_users_own_socket(tmp_path, server, own):
    routes = all_routes(tmp_path)
    paths = {path for _, path in routes}
    assert {"/instances/{name}/forward", "/jobs", "/metrics", "/openapi.json", "/jsonrpc", "/events"} <= paths
    with httpx2.Client(base_url=server.url) as stranger:
        for method, path in [*routes, ("GET", "/nowhere")]:
            url = re.sub(r"{\w+}", "x", path)
            for headers in (
                {},
                {"Authorization": "Bearer wrong"},
                {"Authorization": "Basic eDp5"},
                {"Authorization": "Bearer é".encode("latin-1")},
            ):
                response = stranger.request(method, url, headers=headers)
                assert response.status_code == 401, (method, path)
                assert response.headers["www-authenticate"] == "Bearer"
            if path != "/events":
                assert own.request(method, url).status_code != 401


def test_the_refusal_says_where_the_token_is(server):
    assert error(httpx2.get(f"{server.url}/jobs"), 401) == (
        "send the header 'Authorization: Bearer TOKEN'; the token is in .dianne/token"
    )


def test_the_right_token_opens(http, own):
    for client in (http, own):
        assert client.get("/health").json()["status"] == "ok"


def test_token_and_socket_are_for_their_owner_only(server):
    for name in ("token", "runtime.sock"):
        mode = (server.folder.state / name).stat().st_mode
        assert stat.S_IMODE(mode) == 0o600, name


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "[::2]:80", ""])
def test_a_page_that_led_a_browser_here_by_its_own_name_is_refused(http, host):
    message = error(http.get("/health", headers={"Host": host}), 403)
    assert message.startswith("this server answers to localhost and 127.0.0.1, not to '")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8080", "[::1]:8080"])
def test_this_machine_has_several_names(http, host):
    assert http.get("/health", headers={"Host": host}).status_code == 200


def test_a_page_from_elsewhere_may_not_ask(http):
    response = http.get("/health", headers={"Origin": "https://evil.example"})
    assert error(response, 403) == "a page of 'https://evil.example' may not ask this server"
    assert error(http.get("/health", headers={"Origin": "null"}), 403)
    own_page = http.get("/health", headers={"Host": "localhost:1", "Origin": "http://localhost:1"})
    assert own_page.status_code == 200


def test_no_web_socket_is_opened(server, token):
    host, port = server.url.removeprefix("http://").split(":")
    request = (
        f"GET /events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=10) as asked:
        asked.sendall(f"{request.replace('/events', '/health')}Upgrade: websocket\r\n\r\n".encode())
        assert asked.recv(100).startswith(b"HTTP/1.1 200")


# ------------------------------------------------------------------------------------------------ the token


def test_a_token_is_made_once(tmp_path):
    first = token_of(Folder(tmp_path))
    assert len(first) == 43
    assert token_of(Folder(tmp_path)) == first
    assert os.listdir(tmp_path / ".dianne") == ["token"]  # noqa: PTH208


@pytest.mark.parametrize(
    ("text", "mode", "message"),
    [
        ("x" * 43, 0o644, "others can read it; remove it, and a new one is made"),
        ("", 0o600, "holds no token; remove it, and a new one is made"),
        ("é" * 43, 0o600, "holds no token; remove it, and a new one is made"),
    ],
)
def test_a_token_that_is_none_is_refused(tmp_path, monkeypatch, text, mode, message):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / ".dianne" / "token"
    path.parent.mkdir()
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(DianneError) as fault:
        token_of(Folder(tmp_path))
    assert str(fault.value) == f".dianne/token: {message}"


# ------------------------------------------------------------------------------------------------- the ports


def test_a_port_that_is_taken_is_said_and_another_found_if_none_was_named(server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Folder(tmp_path)
    taken = int(server.url.rpartition(":")[2])
    with pytest.raises(DianneError) as fault:
        Server(folder, Queue(folder), port=taken).start()
    assert str(fault.value) == (
        f"cannot listen on 127.0.0.1:{taken}: Address already in use; name another host or port"
    )


def test_one_runtime_listens_in_a_workspace(server, monkeypatch):
    monkeypatch.chdir(server.folder.root)
    with pytest.raises(DianneError) as fault:
        Server(server.folder, Queue(server.folder), port=0, rpc_port=0).start()
    assert str(fault.value) == ".dianne/runtime.sock: another runtime listens here"


def test_a_socket_that_a_dead_runtime_left_is_replaced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".dianne").mkdir()
    left = socket.socket(socket.AF_UNIX)
    left.bind(".dianne/runtime.sock")
    left.close()
    server = Server(Folder(tmp_path), Queue(Folder(tmp_path)), port=0, rpc_port=0)
    server.start()
    transport = httpx2.HTTPTransport(uds=".dianne/runtime.sock")
    with httpx2.Client(transport=transport) as client:
        assert client.get("http://localhost/health").status_code == 200
    server.stop()
    assert not (tmp_path / ".dianne" / "runtime.sock").exists()


# --------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize("name", NAMES)
def test_no_name_leads_out_of_its_folder(own, server, name):
    before = sorted(path for path in server.folder.root.rglob("*") if path.suffix != ".db-wal")
    bodies = [
        ("/instances", {"network": name, "tag": "t"}),
        ("/instances", {"network": "Sum", "tag": name}),
        ("/instances", {"network": "Sum", "tag": "t", "name": name}),
        ("/jobs", {"networks": name, "dataset": "Digits"}),
        ("/jobs", {"networks": "MLP", "dataset": name}),
        ("/jobs", {"networks": "MLP", "dataset": "Digits", "options": {"strategy": name}}),
        ("/jobs", {"networks": "MLP", "dataset": "Digits", "options": {"initTag": name, "clean": name}}),
        (f"/jobs/{quote(name, safe='')}/stop", {}),
    ]
    for path, body in bodies:
        response = own.post(path, json=body)
        assert 400 <= response.status_code < 500, (path, body)
        assert response.json()["error"], (path, body)
    after = sorted(path for path in server.folder.root.rglob("*") if path.suffix != ".db-wal")
    assert after == before


SOURCE = "from dianne import LearningStrategy\nclass Mine(LearningStrategy): pass"


@pytest.mark.parametrize(
    ("strategy", "found"),
    [
        (SOURCE, "source text"),
        ("os:system", "'os:system', a module outside of the workspace,"),
        ("../evil.py:Mine", "'../evil.py:Mine', a module outside of the workspace,"),
        ("/tmp/evil.py:Mine", "'/tmp/evil.py:Mine', a module outside of the workspace,"),
    ],
)
def test_code_from_elsewhere_is_not_run(own, strategy, found):
    job = {"networks": "MLP", "dataset": "Digits", "options": {"strategy": strategy}}
    assert error(own.post("/jobs", json=job), 422) == (
        f"strategy: {found} is not taken; put its file into strategies/, or start the server with "
        "--allow-source"
    )
