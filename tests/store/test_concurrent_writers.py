"""Several processes at one tag: no update is lost, and nobody ever sees half of one, however they end."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from storing import numbers, tomorrow

from dianne.store import Store
from dianne.store.gc import collect
from dianne.store.verify import verify

WRITERS = 8
MEMORY = Path("/dev/shm")  # a disk that is quick to sync: the store syncs there as anywhere

PROGRAM = """
import json, os, random, signal, sys, time
from pathlib import Path
import torch
from dianne.store import Manifest, Store

torch.set_num_threads(1)  # threads do not live on in a forked process

def write(numbers, size):
    store = Store(Path("models"))
    for number in numbers:
        manifest = Manifest("Encoder", "modules: {}", {}, iteration=number)
        store.put("vae", manifest, {"weight": torch.full((size,), number)})

def add(deltas):
    store = Store(Path("models"))
    for delta in deltas:
        store.accumulate("sum", Manifest("Encoder", "modules: {}", {}), {"weight": torch.full((3,), delta)})

def fork(function, *args):
    child = os.fork()
    if child == 0:
        signal.alarm(200)  # ends a writer that nobody waits for
        function(*args)
        os._exit(0)
    return child

def joined(children):
    return [os.waitpid(child, 0)[1] for child in children]
"""


def started(program, folder="."):
    """A process that runs a program, with which one talks through pipes."""
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM + program]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder)


def consistent(store):
    """The iteration of the weights under the tag, after a look at every bit of them."""
    manifest = store.manifest("Encoder", "vae")
    weights = store.weights(manifest)["weight"]
    assert torch.equal(weights, torch.full_like(weights, manifest.iteration))
    return manifest.iteration


@pytest.fixture
def quick(tmp_path, monkeypatch):
    """A folder in memory, and how many updates each writer makes there; on a disk a few."""
    if not MEMORY.is_dir():
        yield tmp_path, 50
        return
    place = MEMORY / f"dianne-{os.getpid()}"
    place.mkdir()
    monkeypatch.chdir(place)
    yield place, 1000
    shutil.rmtree(place)


def test_no_update_is_lost_when_eight_processes_make_a_thousand_each_and_a_reader_sees_no_half(quick):
    _, updates = quick
    program = f"""
print(joined([fork(write, range({updates} * k, {updates} * (k + 1)), 4) for k in range({WRITERS})]))
"""
    store, seen = Store(Path("models")), set()
    with started(program) as process:
        while process.poll() is None:
            if store.has("Encoder", "vae"):
                seen.add(consistent(store))
        assert json.loads(process.stdout.read()) == [0] * WRITERS
    assert sorted(numbers(store, "vae")) == list(range(WRITERS * updates))
    assert len(seen) > 20


def test_deltas_of_many_processes_add_up(quick):
    _, updates = quick
    program = f"print(joined([fork(add, [k + 1] * {updates // 8}) for k in range({WRITERS})]))"
    with started(program) as process:
        assert json.loads(process.stdout.read()) == [0] * WRITERS
    store = Store(Path("models"))
    total = updates // 8 * sum(range(1, WRITERS + 1))
    assert store.weights(store.manifest("Encoder", "sum"))["weight"].tolist() == [total] * 3
    assert len(numbers(store, "sum")) == WRITERS * (updates // 8)


KILLED = """
random.seed(1)
write([0], 20_000)
for kill in range(20):
    before = Store(Path("models")).resolve("Encoder", "vae")
    child = fork(write, (number % 50 for number in range(1_000_000)), 20_000)
    try:
        while Store(Path("models")).resolve("Encoder", "vae") == before:
            time.sleep(0.001)
        time.sleep(random.uniform(0, 0.05))
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    print(kill, flush=True)
    sys.stdin.readline()
"""


def test_a_writer_killed_at_any_moment_leaves_whole_weights_and_a_store_without_faults(store):
    kills = 0
    with started(KILLED) as process:
        for _ in process.stdout:
            consistent(store)
            kills += 1
            process.stdin.write("\n")
            process.stdin.flush()
    assert (process.returncode, kills) == (0, 20)
    found = verify(store)
    assert (found.faults, found.affected) == ({}, [])
    history = numbers(store, "vae")
    assert len(history) > 20
    collect(store, now=tomorrow())
    left = [path for path in Path("models").rglob("*") if path.is_file()]
    assert not [path for path in left if path.suffix == ".tmp"]
    assert numbers(store, "vae") == history
    assert len(left) == 1 + len(history) + len(set(history))


def test_gc_beside_writers_takes_nothing_from_them(quick):
    program = """
def write_for(seconds):
    end = time.time() + seconds
    write(iter(lambda: int(time.time() * 1000) % 3 if time.time() < end else 9, 9), 10)

print(joined([fork(write_for, 4) for _ in range(2)]))
"""
    store, removed = Store(Path("models")), 0
    with started(program) as process:
        while process.poll() is None:
            if store.has("Encoder", "vae"):
                swept = collect(store, keep=1, now=tomorrow(1) - 1)  # what is older than a second is old
                removed += len(swept.removed)
                consistent(store)
                time.sleep(0.05)
        assert json.loads(process.stdout.read()) == [0, 0]
    assert removed > 20
    assert verify(store).faults == {}
    assert consistent(store) < 3
