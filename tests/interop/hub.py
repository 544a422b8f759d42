"""A stand-in for the parts of a hub's HTTP interface that the library calls."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """Keeps repositories in memory: `{"user/name": {"README.md": b"..."}}`."""

    repositories: dict[str, dict[str, bytes]]
    asked: list[str]
    failing = False

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _answer(self, value: Any, code: int = 200, **headers: str) -> None:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        for name, text in headers.items():
            self.send_header(name.replace("_", "-"), text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_POST(self) -> None:
        self.asked.append(f"POST {self.path}")
        body, parts = self._body(), self.path.partition("?")[0].split("/")
        if "Bearer good" not in self.headers.get("Authorization", ""):
            self._answer({"error": "Invalid username or password."}, 401)
        elif self.path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked.get('organization') or 'user'}/{asked['name']}"
            self.repositories.setdefault(name, {})
            self._answer({"url": f"http://{self.headers['Host']}/{name}"})
        elif self.path == "/api/validate-yaml":
            self._answer({"errors": [], "warnings": []})
        elif parts[5:6] == ["preupload"]:
            files = json.loads(body)["files"]
            modes = [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in files]
            self._answer({"files": modes})
        else:
            repository = self.repositories["/".join(parts[3:5])]
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    repository[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            url = f"http://{self.headers['Host']}/{'/'.join(parts[3:5])}/commit/{COMMIT}"
            self._answer({"commitUrl": url, "commitOid": COMMIT, "success": True})

    def do_GET(self) -> None:
        self.asked.append(f"{self.command} {self.path}")
        parts = self.path.partition("?")[0].strip("/").split("/")
        name = "/".join(parts[2:4] if parts[0] == "api" else parts[:2])
        files = self.repositories.get(name)
        if self.failing:
            self._answer({}, 503)
        elif files is None:
            self._answer({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")
        elif parts[0] == "api":
            listed = [
                {"type": "file", "path": path, "size": len(data), "oid": COMMIT}
                for path, data in files.items()
            ]
            siblings = [{"rfilename": path} for path in files]
            tree = len(parts) > 4 and parts[4] == "tree"
            self._answer(listed if tree else {"id": name, "sha": COMMIT, "siblings": siblings})
        else:
            content = files["/".join(parts[4:])]
            etag = f'"{hashlib.sha256(content).hexdigest()}"'
            self._answer(content, ETag=etag, X_Repo_Commit=COMMIT)

    def do_HEAD(self) -> None:
        self.do_GET()


@contextmanager
def hub() -> Iterator[tuple[str, type[Hub]]]:
    """A running hub: its address, and what it holds."""
    handler = type("Running", (Hub,), {"repositories": {}, "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", handler
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
