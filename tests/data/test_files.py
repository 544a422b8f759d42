"""Data files: where they are looked for, and how they are fetched from real servers on this machine."""

import gzip
import hashlib
import io
import random
import socket
import tarfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from dianne.data import fetching, files
from dianne.data.descriptor import Source, describe
from dianne.data.fetching import fetch
from dianne.data.files import DataError, contents
from dianne.workspace import Folder

CONTENT = random.Random(0).randbytes(200_000)
PACKED = gzip.compress(CONTENT, mtime=0)
PACKED_OTHERWISE = gzip.compress(CONTENT, compresslevel=1, mtime=7)
OTHER = gzip.compress(b"another file", mtime=0)
PAGE = b"<html><body>Please sign in to this network</body></html>"
HALF = len(PACKED) // 2
TARGET = Path("cache/images.gz")
PART = Path("cache/images.gz.part")


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@dataclass
class Answer:
    """What a server says at one address.

    Attributes:
        content: the file.
        status: of the answer.
        ranges: whether it gives parts of the file.
        cut: the connection ends after so many bytes.
        pause: waited for in the middle of the file, so long as nobody breaks it.
        to: the address that it sends to instead.
    """

    content: bytes = b""
    status: int = 200
    ranges: bool = True
    cut: int | None = None
    pause: threading.Barrier | None = None
    to: str = ""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        answer = self.server.answers.get(self.path, Answer(status=404))
        content, status, start = answer.content, answer.status, 0
        if answer.ranges and status == 200 and "Range" in self.headers:
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            status = 206 if start < len(content) else 416
        if answer.to:
            status, content = 302, b""
        body = content[start:]
        self.server.answered.append((self.path, status, len(body)))
        self.send_response(status)
        if answer.to:
            self.send_header("Location", answer.to)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        body = body[: answer.cut]
        self.wfile.write(body[: len(body) // 2])
        if answer.pause is not None:
            with suppress(threading.BrokenBarrierError):
                answer.pause.wait()
        self.wfile.write(body[len(body) // 2 :])

    def log_message(self, *message):
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """A mirror: answers by path, and a record of what was answered (path, status, bytes)."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = {}
        self.answered = []

    def add(self, name, content=b"", **answer):
        """Serve content at a path; returns its address."""
        self.answers[f"/{name}"] = Answer(content, **answer)
        return f"http://127.0.0.1:{self.server_port}/{name}"


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    """An empty workspace with folders of its own for datasets."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DIANNE_DATASETS", "")
    monkeypatch.setenv("DIANNE_CACHE", "cache")
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def server():
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def closed_port():
    """A port at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def deadline():
    """Nothing waits for ever, even where the engine forgets to say how long."""
    socket.setdefaulttimeout(5)
    yield
    socket.setdefaulttimeout(None)


@pytest.fixture
def silent_port(deadline):
    """A port that takes connections and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def source(*urls, content=CONTENT):
    return Source(urls=list(urls), sha256=sha256(content))


def written(path, content):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def cached():
    """All files in the cache."""
    return sorted(str(path) for path in Path("cache").rglob("*") if path.is_file())


def failure(call, *args):
    with pytest.raises(DataError) as fault:
        call(*args)
    return str(fault.value)


# ---------------------------------------------------------------------------------------------- fetching


def test_a_file_comes_from_the_first_mirror(server):
    urls = server.add("first.gz", PACKED), server.add("second.gz", PACKED)
    assert fetch(source(*urls), TARGET) == TARGET
    assert TARGET.read_bytes() == PACKED
    assert cached() == [str(TARGET)]
    assert server.answered == [("/first.gz", 200, len(PACKED))]


@pytest.mark.parametrize(
    "first",
    [
        Answer(status=404),
        Answer(status=503),
        Answer(PAGE),
        Answer(b""),
        Answer(OTHER),
        Answer(PACKED[:HALF]),
        Answer(PACKED, cut=0),
    ],
    ids=["missing", "busy", "a page", "nothing", "another file", "half a file", "broken off at once"],
)
def test_where_the_first_mirror_fails_the_second_is_asked_for_the_whole_file(server, first):
    urls = server.add("first.gz", **vars(first)), server.add("second.gz", PACKED)
    fetch(source(*urls), TARGET)
    assert TARGET.read_bytes() == PACKED
    assert cached() == [str(TARGET)]
    assert server.answered[1:] == [("/second.gz", 200, len(PACKED))]


def test_what_came_before_the_connection_broke_off_is_not_asked_for_again(server):
    urls = server.add("first.gz", PACKED, cut=HALF), server.add("second.gz", PACKED)
    fetch(source(*urls), TARGET)
    assert TARGET.read_bytes() == PACKED
    assert cached() == [str(TARGET)]
    assert server.answered[1:] == [("/second.gz", 206, len(PACKED) - HALF)]


def test_mirrors_may_compress_a_file_each_in_its_own_way(server):
    urls = server.add("first.gz", PACKED, cut=HALF), server.add("second.gz", PACKED_OTHERWISE)
    fetch(source(*urls), TARGET)
    assert gzip.decompress(TARGET.read_bytes()) == CONTENT


@pytest.mark.parametrize(("first", "second"), [("images.gz", "images"), ("images", "images.gz")])
def test_one_mirror_may_have_the_file_compressed_and_another_plain(server, first, second):
    written("datasets/Own.yaml", descriptor(server, first, second))
    server.add(second, PACKED if second.endswith(".gz") else CONTENT)
    assert contents(*own()) == {"images": CONTENT}


def test_the_checksum_is_that_of_the_plain_content(server):
    url = server.add("images.gz", PACKED)
    assert failure(fetch, source(url, content=PACKED), TARGET) == (
        f"{url}: its content has the sha256 {sha256(CONTENT)[:12]}…, expected {sha256(PACKED)[:12]}…"
    )
    assert cached() == []


def test_a_file_that_is_not_compressed_is_kept_as_it_is(server):
    plain = Path("cache/images")
    fetch(source(server.add("images", CONTENT)), plain)
    assert plain.read_bytes() == CONTENT


def test_when_all_mirrors_fail_the_message_says_what_each_one_did(server, closed_port):
    page, other = server.add("page.gz", PAGE), server.add("other.gz", OTHER)
    gone, busy = server.add("gone.gz", status=404), server.add("busy.gz", status=503)
    closed = f"http://127.0.0.1:{closed_port}/images.gz"
    cut = server.add("cut.gz", PACKED, cut=1_000)
    assert failure(fetch, source(gone, busy, page, other, closed, cut), TARGET) == (
        f"{gone}: the server answered 404 Not Found\n"
        f"    {busy}: the server answered 503 Service Unavailable\n"
        f"    {page}: its content is no gzip file\n"
        f"    {other}: its content has the sha256 {sha256(b'another file')[:12]}…, "
        f"expected {sha256(CONTENT)[:12]}…\n"
        f"    {closed}: Connection refused\n"
        f"    {cut}: the connection broke off after 1,000 of {len(PACKED):,} bytes"
    )
    assert cached() == [str(PART)]


def test_a_mirror_may_send_to_another_place(server):
    url = server.add("first.gz", to=server.add("second.gz", PACKED))
    fetch(source(url), TARGET)
    assert TARGET.read_bytes() == PACKED
    assert server.answered == [("/first.gz", 302, 0), ("/second.gz", 200, len(PACKED))]


def test_a_download_goes_on_where_a_mirror_sends_it(server):
    written(PART, PACKED[:150_000])
    url = server.add("first.gz", to=server.add("second.gz", PACKED))
    fetch(source(url), TARGET)
    assert TARGET.read_bytes() == PACKED
    assert server.answered[1:] == [("/second.gz", 206, len(PACKED) - 150_000)]


def test_a_mirror_that_sends_in_circles_or_to_files_here_is_given_up(server):
    written("images.gz", PACKED)
    circle = server.add("circle.gz", to="/circle.gz")
    here = server.add("here.gz", to=Path("images.gz").resolve().as_uri())
    other = server.add("other.gz", to=server.add("gone.gz", status=404))
    assert failure(fetch, source(circle, here, other), TARGET) == (
        f"{circle}: the server sends in circles, or to what is no web address\n"
        f"    {here}: the server sends in circles, or to what is no web address\n"
        f"    {other}: the server answered 404 Not Found"
    )
    assert cached() == []


@pytest.mark.parametrize(
    "url",
    [
        "example.org/images.gz",
        "images.gz",
        "http://127.0.0.1:port/images.gz",
        "http://[/images.gz",
        "http://127.0.0.1:9/my images.gz",
        "http://127.0.0.1:9/größe.gz",
    ],
)
def test_what_is_no_address_is_said_to_be_none(url):
    assert failure(fetch, source(url), TARGET) == (
        f"{url}: is no address; write one such as https://example.org/images.gz"
    )


def test_a_cache_that_cannot_be_written_is_not_blamed_on_the_mirror(server):
    written("cache", b"a file where the folder should be")
    assert failure(fetch, source(server.add("images.gz", PACKED)), TARGET) == (
        "cache: cannot be written: File exists; name another folder in DIANNE_CACHE"
    )


# ---------------------------------------------------------------------------------------------- resuming


def test_an_interrupted_download_is_continued_where_it_stopped(server):
    written(PART, PACKED[:150_000])
    fetch(source(server.add("images.gz", PACKED)), TARGET)
    assert TARGET.read_bytes() == PACKED
    assert cached() == [str(TARGET)]
    assert server.answered == [("/images.gz", 206, len(PACKED) - 150_000)]


def test_a_server_that_gives_no_parts_is_asked_for_the_whole_file(server):
    written(PART, PACKED[:150_000])
    fetch(source(server.add("images.gz", PACKED, ranges=False)), TARGET)
    assert TARGET.read_bytes() == PACKED
    assert server.answered == [("/images.gz", 200, len(PACKED))]


def test_a_part_that_is_whole_already_is_not_fetched_again(server):
    written(PART, PACKED)
    fetch(source(server.add("images.gz", PACKED)), TARGET)
    assert TARGET.read_bytes() == PACKED
    assert cached() == [str(TARGET)]
    assert server.answered == [("/images.gz", 416, 0)]


@pytest.mark.parametrize(
    "part", [PAGE, PACKED_OTHERWISE[:HALF], PACKED + b"more", OTHER], ids=["page", "other", "long", "whole"]
)
def test_a_part_that_does_not_belong_to_the_file_is_thrown_away(server, part):
    written(PART, part)
    fetch(source(server.add("images.gz", PACKED)), TARGET)
    assert TARGET.read_bytes() == PACKED
    assert cached() == [str(TARGET)]


def test_after_a_failure_the_next_attempt_goes_on_from_there(server):
    url = server.add("images.gz", PACKED, cut=HALF)
    failure(fetch, source(url), TARGET)
    server.add("images.gz", PACKED)
    fetch(source(url), TARGET)
    assert TARGET.read_bytes() == PACKED
    assert server.answered[1:] == [("/images.gz", 206, len(PACKED) - HALF)]


def test_two_that_fetch_the_same_file_at_once_both_get_it(server):
    url = server.add("images.gz", PACKED, pause=threading.Barrier(2, timeout=0.5))
    with ThreadPoolExecutor() as pool:
        first, second = (pool.submit(fetch, source(url), TARGET) for _ in range(2))
    assert first.result() == second.result() == TARGET
    assert TARGET.read_bytes() == PACKED
    assert cached() == [str(TARGET)]


# --------------------------------------------------------------------------------------------- deadlines


def test_a_mirror_that_never_answers_is_given_up(server, silent_port, monkeypatch):
    monkeypatch.setattr(fetching, "TIMEOUT", 0.3)
    silent = f"http://127.0.0.1:{silent_port}/images.gz"
    start = time.monotonic()
    message = failure(fetch, source(silent), TARGET)
    assert 0.3 <= time.monotonic() - start < 3
    assert message == f"{silent}: no answer within 0.3 seconds"
    fetch(source(silent, server.add("images.gz", PACKED)), TARGET)
    assert TARGET.read_bytes() == PACKED


def test_a_mirror_that_falls_silent_half_way_is_given_up(server, deadline, monkeypatch):
    monkeypatch.setattr(fetching, "TIMEOUT", 0.3)
    pause = threading.Barrier(2)
    urls = server.add("first.gz", PACKED, pause=pause), server.add("second.gz", PACKED)
    start = time.monotonic()
    fetch(source(*urls), TARGET)
    assert 0.3 <= time.monotonic() - start < 3
    pause.abort()
    assert TARGET.read_bytes() == PACKED
    [(_, status, size)] = server.answered[1:]
    assert (status, size < len(PACKED)) == (206, True)


# ---------------------------------------------------------------------------------------------- progress


def test_progress_is_told_in_growing_numbers_up_to_the_whole(server):
    told = []
    fetch(source(server.add("images.gz", PACKED)), TARGET, lambda *report: told.append(report))
    counts = [done for _, done, _ in told]
    assert len(counts) > 1
    assert counts == sorted(set(counts))
    assert counts[-1] == len(PACKED)
    assert {(name, total) for name, _, total in told} == {("images.gz", len(PACKED))}


def test_progress_of_a_continued_download_counts_what_was_there(server):
    written(PART, PACKED[:150_000])
    told = []
    fetch(source(server.add("images.gz", PACKED)), TARGET, lambda *report: told.append(report))
    assert all(150_000 < done <= len(PACKED) == total for _, done, total in told)


# ------------------------------------------------------------------------------- the files of a dataset


def descriptor(server, *mirrors, name="images"):
    """A dataset of one file and its mirrors."""
    urls = ", ".join(f"http://127.0.0.1:{server.server_port}/{mirror}" for mirror in mirrors)
    text = f"type: IDX\nfiles:\n  {name}: {{sha256: {sha256(CONTENT)}, urls: [{urls}]}}\n"
    return text.encode()


def own(*names):
    """The arguments of `contents` for files of the workspace's dataset."""
    folder = Folder(Path())
    return folder, describe(folder, "Own"), list(names or ["images"])


def test_missing_files_are_fetched_into_the_cache_and_found_there_afterwards(server):
    written("datasets/Own.yaml", descriptor(server, "images.gz"))
    server.add("images.gz", PACKED)
    assert contents(*own()) == {"images": CONTENT}
    assert cached() == ["cache/Own/images.gz"]
    assert contents(*own()) == {"images": CONTENT}
    assert len(server.answered) == 1


def test_files_are_looked_for_in_a_fixed_order(monkeypatch):
    monkeypatch.setenv("DIANNE_DATASETS", "one:two")
    written("datasets/Own.yaml", b"type: IDX")
    places = ["datasets", "one", "two", "cache"]
    order = [
        f"{place}/{inside}images{ending}"
        for place in places
        for inside in ("Own/", "")
        for ending in ("", ".gz")
    ]
    for path in order:
        written(path, gzip.compress(path.encode()) if path.endswith(".gz") else path.encode())
    for path in order:
        assert contents(*own()) == {"images": path.encode()}
        Path(path).unlink()


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    assert files.cache() == Path("cache")
    monkeypatch.delenv("DIANNE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "caches")
    assert files.cache() == Path("caches/dianne/datasets")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files.cache() == tmp_path / ".cache/dianne/datasets"


def test_without_a_network_the_message_names_files_places_and_a_way_out(closed_port, monkeypatch):
    monkeypatch.setenv("DIANNE_DATASETS", "one:two")
    url = f"http://127.0.0.1:{closed_port}"
    files_of = "".join(
        f"  {name}: {{sha256: {'ab' * 32}, urls: [{url}/a/{name}.gz, {url}/b/{name}.gz]}}\n"
        for name in ("images", "labels")
    )
    written("datasets/Own.yaml", f"type: IDX\nfiles:\n{files_of}".encode())
    start = time.monotonic()
    message = failure(contents, *own("images", "labels"))
    assert time.monotonic() - start < 3
    assert message == (
        "Own: the files 'images' and 'labels' could not be found\n"
        "  looked in (also in a folder Own/ there):\n"
        "    datasets/\n"
        "    one/\n"
        "    two/\n"
        "    cache/\n"
        "  could not be downloaded:\n"
        f"    {url}/a/images.gz: Connection refused\n"
        f"    {url}/b/images.gz: Connection refused\n"
        "  put the files into one of these places, name their folder in DIANNE_DATASETS, or start with "
        "the dataset Digits, which needs no files"
    )


def test_a_file_without_an_address_is_said_to_have_none():
    written("datasets/Own.yaml", b"type: IDX")
    written("datasets/images", b"here")
    assert failure(contents, *own("images", "labels")) == (
        "Own: the file 'labels' could not be found\n"
        "  looked in (also in a folder Own/ there):\n"
        "    datasets/\n"
        "    cache/\n"
        "  could not be downloaded:\n"
        "    labels has no address in datasets/Own.yaml\n"
        "  put the files into one of these places, name their folder in DIANNE_DATASETS, or start with "
        "the dataset Digits, which needs no files"
    )


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("images.gz", PACKED[:HALF],
         "is cut off or no gzip file (Compressed file ended before the end-of-stream marker was reached); "
         "delete it"),
        ("images.gz", PAGE, "is cut off or no gzip file (Not a gzipped file (b'<h')); delete it"),
        ("images.gz", OTHER,
         f"is not the file that Own declares: its content has the sha256 {sha256(b'another file')}, "
         f"expected {sha256(CONTENT)}; delete it, and it is fetched again"),
        ("images", CONTENT[:-1],
         f"is not the file that Own declares: its content has the sha256 {sha256(CONTENT[:-1])}, "
         f"expected {sha256(CONTENT)}; delete it, and it is fetched again"),
    ],
    ids=["half a file", "a page", "another file", "cut off"],
)  # fmt: skip
def test_a_spoilt_file_never_passes_for_data(server, name, content, fault):
    written("datasets/Own.yaml", descriptor(server, "images.gz"))
    spoilt = written(f"datasets/{name}", content)
    assert failure(contents, *own()) == f"datasets/{name}: {fault}"
    assert spoilt.read_bytes() == content


def test_a_file_is_deleted_and_fetched_again_as_the_message_says(server):
    written("datasets/Own.yaml", descriptor(server, "images.gz"))
    server.add("images.gz", PACKED)
    spoilt = written("cache/Own/images.gz", PACKED[:HALF])
    failure(contents, *own())
    spoilt.unlink()
    assert contents(*own()) == {"images": CONTENT}


# ------------------------------------------------------------------- archives, md5 and folders of their own


def described_file(server, name, path, content, kind="md5"):
    digest = hashlib.new(kind, content).hexdigest()
    text = f"type: IDX\nfiles:\n  {name}:\n    {kind}: '{digest}'\n    urls: ['http://127.0.0.1:{server.server_port}/{path}']\n"
    written("datasets/Own.yaml", text.encode())


def test_an_md5_is_compared_with_the_packed_download(server):
    described_file(server, "images", "images.gz", PACKED)
    server.add("images.gz", PACKED_OTHERWISE)
    digest, expected = (hashlib.md5(content).hexdigest()[:12] for content in (PACKED_OTHERWISE, PACKED))
    assert f"its content has the md5 {digest}…, expected {expected}…" in failure(contents, *own())
    assert cached() == []
    server.add("images.gz", PACKED)
    assert contents(*own()) == {"images": CONTENT}


def test_a_file_in_a_folder_named_after_the_dataset_is_kept_there_once(server):
    described_file(server, "Own/images", "images.gz", PACKED)
    server.add("images.gz", PACKED)
    assert contents(*own("Own/images")) == {"Own/images": CONTENT}
    assert cached() == ["cache/Own/images.gz"]
    server.add("images.gz", b"")
    assert contents(*own("Own/images")) == {"Own/images": CONTENT}


def test_what_an_address_asks_of_the_server_is_no_part_of_a_name(server):
    described_file(server, "images", "images.gz?download=1", PACKED)
    server.add("images.gz?download=1", PAGE)
    assert "images.gz?download=1: its content is no gzip file" in failure(contents, *own())
    server.add("images.gz?download=1", PACKED)
    assert contents(*own()) == {"images": CONTENT}
    assert cached() == ["cache/Own/images.gz"]
    written("datasets/images", CONTENT)  # unpacked by hand, so its md5 is not that of the download
    assert contents(*own()) == {"images": CONTENT}


@pytest.mark.parametrize("path", ["set.tar.gz", "set.tar.gz?download=1", "files/17"])
@pytest.mark.parametrize("kind", ["md5", "sha256"])
def test_an_archive_is_fetched_and_compared_as_it_is(server, kind, path):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        info = tarfile.TarInfo("set/images")
        info.size = len(CONTENT)
        archive.addfile(info, io.BytesIO(CONTENT))
    described_file(server, "set.tar.gz", path, packed.getvalue(), kind)
    server.add(path, packed.getvalue())
    assert contents(*own("set.tar.gz/set/images")) == {"set.tar.gz/set/images": CONTENT}
    assert cached() == ["cache/Own/set.tar.gz"]
    assert contents(*own("set.tar.gz/set/images")) == {"set.tar.gz/set/images": CONTENT}
    assert len(server.answered) == 1
