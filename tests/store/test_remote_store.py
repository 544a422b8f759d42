"""A store behind a URL does what one on disk does; on S3, conditional writes keep every update."""

import logging
import os
import subprocess
import sys
import threading
from dataclasses import replace

import pytest
from storing import BARE, numbers, put, refused, stored, tomorrow, weights
from werkzeug.serving import make_server
from werkzeug.wrappers import Response

from dianne.errors import UsageError
from dianne.store import Store, StoreError, addresses, history
from dianne.store.gc import collect
from dianne.store.transfer import copy
from dianne.store.verify import verify


@pytest.fixture(scope="module")
def server():
    """A server that speaks S3, one request at a time: moto looks and writes in two steps, S3 in one."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    made = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app))
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{made.port}"
    made.shutdown()
    thread.join()


@pytest.fixture
def bucket(server, monkeypatch, tmp_path):
    """The URL of an empty place in a bucket."""
    import s3fs

    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("DIANNE_CACHE", str(tmp_path / "cache"))
    s3fs.S3FileSystem.clear_instance_cache()
    name = tmp_path.name.replace("_", "-")
    s3fs.S3FileSystem().mkdir(name)
    return f"s3://{name}/models"


@pytest.fixture(params=["s3", "memory", "file"])
def remote(request, tmp_path):
    if request.param == "s3":
        return Store(request.getfixturevalue("bucket"))
    if request.param == "file":
        return Store(f"file://{tmp_path}/a%20folder")
    return Store(f"memory://{tmp_path.name}/models")


def test_it_does_what_a_store_on_disk_does(remote):
    put(remote, "vae", 1, 2, 3)
    put(remote, "vae", 1, network="Decoder")
    assert remote.refs() == [("Decoder", "vae"), ("Encoder", "vae")]
    assert (stored(remote, "vae~2"), numbers(remote, "vae")) == (1, [3, 2, 1])
    history.rollback(remote, ["Encoder"], "vae~1")
    history.tag(remote, ["Encoder"], "vae~1", ["a good one!".replace(" ", "_"), "ü/x"])
    (moved,) = history.untag(remote, ["Encoder"], "vae")
    assert moved.before == remote.resolve("Encoder", moved.before[:8])
    assert remote.names("Encoder") == ["a_good_one!", "ü/x"]
    remote.accumulate("ü/x", BARE, weights(2))
    assert remote.weights(remote.manifest("Encoder", "ü/x"))["layer.weight"].tolist() == [5.0, 5.0, 5.0]
    assert verify(remote).faults == {}
    assert "Encoder has no tag 'ux'" in refused(UsageError, remote.resolve, "Encoder", "ux")


def test_gc_removes_what_is_old_there_too(remote):
    put(remote, "vae", *range(4))
    assert collect(remote, keep=1).removed == []
    swept = collect(remote, keep=1, now=tomorrow())
    assert len(swept.removed) == 6
    assert (numbers(remote, "vae"), verify(remote).faults) == ([3], {})


def test_a_spoilt_blob_there_is_told(bucket):
    import s3fs

    store = Store(bucket)
    put(store, "vae", 1)
    path = store.files.name(addresses.blob(store.manifest("Encoder", "vae").blob))
    content = s3fs.S3FileSystem().cat_file(path)
    s3fs.S3FileSystem().pipe_file(path, content[:-1] + b"!")
    message = f"{path}: its content was changed; restore it from a copy"
    assert list(verify(store).faults.values()) == [message]
    assert refused(StoreError, stored, store, "vae") == message


# -------------------------------------------------------------------------------------------- many writers


def write(url, writer, updates):
    store = Store(url)
    for n in range(updates):
        store.put("vae", replace(BARE, iteration=1000 * writer + n), {})


def together(target, writers, *args):
    threads = [threading.Thread(target=target, args=(args[0], w, *args[1:])) for w in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_no_update_is_lost_when_many_write_one_tag_of_a_bucket(bucket):
    together(write, 4, bucket, 5)
    wanted = sorted(1000 * writer + n for writer in range(4) for n in range(5))
    assert sorted(numbers(Store(bucket), "vae")) == wanted


def test_no_update_is_lost_among_threads_elsewhere(tmp_path):
    url = f"memory://{tmp_path.name}/models"
    together(write, 4, url, 25)
    assert len(numbers(Store(url), "vae")) == 100


def test_an_update_whose_answer_was_lost_is_made_once(bucket, monkeypatch):
    store = Store(bucket)
    put(store, "vae", 1)
    fs = store.files._opened[0]
    piped, calls = fs.pipe_file, []

    def pipe_file(path, content, **condition):
        piped(path, content, **condition)
        if condition and not calls:
            calls.append(path)
            piped(path, content, **condition)  # what a client does that got no answer

    monkeypatch.setattr(fs, "pipe_file", pipe_file)
    put(store, "vae", 2)
    assert (len(calls), numbers(store, "vae")) == (1, [2, 1])


# ------------------------------------------------------------------------------------------- push and pull


def test_what_was_pushed_comes_back_and_only_what_is_missing_is_copied(store, remote):
    put(store, "vae", 1, 2)
    pushed = copy(store, remote, "Encoder", "vae")
    assert (pushed.before, pushed.entries, pushed.forced) == (None, 2, False)
    put(store, "vae", 3)
    assert copy(store, remote, "Encoder", "vae").entries == 1
    again = copy(store, remote, "Encoder", "vae")
    assert (again.entries, again.size, again.before) == (0, 0, again.after)
    other = Store("other")
    assert copy(remote, other, "Encoder", "vae").entries == 3
    assert other.resolve("Encoder", "vae") == store.resolve("Encoder", "vae")
    assert (numbers(other, "vae"), stored(other, "vae~2"), verify(other).faults) == ([3, 2, 1], 1, {})


def test_a_tag_that_went_another_way_there_is_not_moved(store, remote):
    put(store, "vae", 1)
    copy(store, remote, "Encoder", "vae")
    (theirs,) = put(remote, "vae", 5)
    put(store, "vae", 2)
    assert refused(UsageError, copy, store, remote, "Encoder", "vae") == (
        f"Encoder:vae in {remote.files.name()} names {theirs[:12]}, which is not in its history in models: "
        "somebody has stored there since; get that under another tag first, or give --force to leave it "
        "behind"
    )
    assert stored(remote, "vae") == 5
    forced = copy(store, remote, "Encoder", "vae", force=True)
    assert (forced.before, forced.forced) == (theirs, True)
    assert numbers(remote, "vae") == [2, 1]
    assert stored(remote, theirs) == 5


def test_a_history_that_gc_has_cut_is_pushed_as_far_as_it_goes(store, remote):
    put(store, "vae", 1, 2, 3)
    collect(store, keep=2, now=tomorrow())
    assert copy(store, remote, "Encoder", "vae").entries == 2
    assert (numbers(remote, "vae"), verify(remote).faults) == ([3, 2], {})


def test_spoilt_weights_are_not_pushed(store, remote):
    put(store, "vae", 1)
    (blob,) = (store.root / "blobs").rglob("*.safetensors")
    blob.write_bytes(b"?")
    message = f"{blob}: its content was changed; restore it from a copy"
    assert refused(StoreError, copy, store, remote, "Encoder", "vae") == message
    assert remote.refs() == []


# ------------------------------------------------------------------------------------------------- the cache


def test_a_blob_is_fetched_once(bucket, monkeypatch):
    store = Store(bucket)
    put(store, "vae", 1)
    read = []
    original = type(store.files).read
    monkeypatch.setattr(
        type(store.files), "read", lambda self, path: read.append(path) or original(self, path)
    )
    assert [stored(store, "vae"), stored(store, "vae")] == [1, 1]
    assert sum(path.startswith("blobs/") for path in read) == 1


def test_a_spoilt_file_in_the_cache_is_fetched_again(bucket, tmp_path):
    store = Store(bucket)
    put(store, "vae", 1)
    stored(store, "vae")
    (kept,) = (tmp_path / "cache/weights/blobs").rglob("*.safetensors")
    kept.write_bytes(b"?")
    assert stored(store, "vae") == 1
    assert kept.read_bytes() != b"?"


# ---------------------------------------------------------------------------------------------------- faults


def test_a_bucket_that_is_not_there_is_told(bucket):
    store = Store("s3://nowhere-at-all/models")
    assert refused(StoreError, store.refs) == (
        "s3://nowhere-at-all/models/refs: cannot be read: The specified bucket does not exist"
    )
    assert refused(StoreError, put, store, "vae", 1) == (
        "s3://nowhere-at-all/models: cannot be written: The specified bucket does not exist; "
        "nothing was changed"
    )


def test_a_server_that_does_not_answer_is_told(bucket, monkeypatch):
    import s3fs

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    s3fs.S3FileSystem.clear_instance_cache()
    assert refused(StoreError, Store(bucket).refs) == (
        f'{bucket}/refs: cannot be read: Could not connect to the endpoint URL: "http://127.0.0.1:9/'
        f'{bucket.split("/")[2]}?list-type=2&prefix=models%2Frefs%2F&delimiter=&encoding-type=url"'
    )


def test_a_server_that_the_first_command_does_not_reach_is_told(tmp_path):
    told = subprocess.run(
        [sys.executable, "-m", "dianne", "pull", "Encoder:vae", "s3://there/models"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={
            **os.environ, "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1",
            "AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "secret",
        },
    )  # fmt: skip
    assert told.stderr == (
        "error: s3://there/models/refs/Encoder/vae: cannot be read: Could not connect to the endpoint URL: "
        '"http://127.0.0.1:9/there/models/refs/Encoder/vae"\n'
    )


def test_a_server_that_is_out_of_order_is_told():
    made = make_server("127.0.0.1", 0, Response("", 500))
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{made.port}/models"
    try:
        message = refused(StoreError, Store(url).manifest, "Encoder", "vae")
    finally:
        made.shutdown()
        thread.join()
    place = f"{url}/refs/Encoder/vae"
    assert message == f"{place}: cannot be read: 500, message='INTERNAL SERVER ERROR', url='{place}'"


def test_a_kind_of_place_that_nobody_knows_is_told():
    message = refused(UsageError, Store("nix://a/b").refs)
    assert message.startswith("nix://a/b: Protocol not known: nix")


def test_nothing_is_imported_before_it_is_needed():
    program = (
        "import sys, dianne.store; dianne.store.Store('s3://a/b'); "
        "sys.exit(bool({'torch', 'fsspec', 's3fs'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
