"""Networks held in memory: many callers at once, and tags that move under them."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from dianne.errors import DianneError, UsageError
from dianne.runtime.batching import Batcher
from dianne.runtime.deployments import Instance, names, undeploy
from dianne.runtime.instances import deploy
from dianne.runtime.live import LiveInstances, LiveWatcher
from dianne.store import Manifest, Store
from dianne.workspace import Folder

SUM = """\
modules:
  point:  {type: Input, shape: [2]}
  sums:   {type: Linear, output: 3}
  output: {type: Output}
"""
MEMORY = """\
modules:
  value:  {type: Input, shape: [2]}
  joined: {type: Concat, after: [value, memory]}
  next:   {type: Linear, output: 3}
  memory: {type: Memory, size: 3}
  output: {type: Output, after: next}
"""
MIXING = """\
modules:
  point:  {type: Input, shape: [2]}
  first:  {type: "torch.nn.Flatten", start_dim: 0}
  output: {type: Output}
"""


class Notes(LiveWatcher):
    def __init__(self):
        self.notes, self.sizes = [], []

    def note(self, level, message):
        self.notes.append((level, message))

    def ran(self, *told):
        self.sizes.append(told[2])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Folder(tmp_path)


@pytest.fixture
def watcher():
    return Notes()


@pytest.fixture
def live(folder, watcher):
    found, threads = LiveInstances(folder, watcher), torch.get_num_threads()
    yield found
    found.close()
    torch.set_num_threads(threads)


def store(folder, version=0.0, network="Sum", text=SUM, tag="t"):
    """Put weights that give both values of a point and their sum, all plus `version`."""
    weights = {
        "sums.weight": torch.tensor([[1.0, 0], [0, 1], [1, 1]]), "sums.bias": torch.full((3,), float(version))
    }  # fmt: skip
    return Store(folder.models).put(tag, Manifest(network, text, {}), weights if network == "Sum" else {})


# -------------------------------------------------------------------------------------------------- batches


class Gate:
    """Answers calls with how many went together; waits at its door until it is opened."""

    def __init__(self):
        self.door = threading.Semaphore(0)
        self.sizes = []

    def __call__(self, calls):
        self.door.acquire()
        self.sizes.append(len(calls))
        for call in calls:
            call.answer.set_result(call.asked)


def test_calls_that_wait_go_together():
    gate = Gate()
    batcher = Batcher(gate, "test")
    first = batcher.submit(0)
    while batcher.waiting:
        time.sleep(0.001)
    others = [batcher.submit(number) for number in range(1, 6)]
    gate.door.release(2)
    assert [future.result(5) for future in (first, *others)] == [0, 1, 2, 3, 4, 5]
    assert gate.sizes == [1, 5]
    batcher.close()


def test_a_call_that_comes_alone_does_not_wait_and_one_after_many_waits_a_moment_only():
    gate = Gate()
    gate.door.release(100)
    batcher = Batcher(gate, "test")
    batcher._wait_for = lambda wanted, until, wait=batcher._wait_for: (
        waits.append(wanted), wait(wanted, until),
    )  # fmt: skip
    waits = []
    for number in range(3):
        assert batcher.submit(number).result(5) == number
    assert gate.sizes == [1, 1, 1]
    assert set(waits) == {1}  # nobody was waited for
    batcher.close()


def test_more_calls_than_go_together_are_answered_one_lot_after_the_other():
    gate = Gate()
    gate.door.release(100)
    batcher = Batcher(gate, "test")
    asked = [batcher.submit(number, wake=False) for number in range(600)]
    batcher.answer_waiting()
    assert [future.result(0) for future in asked] == list(range(600))
    assert gate.sizes == [256, 256, 88]
    batcher.close()


def test_what_was_asked_is_answered_before_the_end_and_nothing_after():
    gate = Gate()
    batcher = Batcher(gate, "test")
    asked = [batcher.submit(number) for number in range(3)]
    gate.door.release(3)
    batcher.close()
    assert [future.result(0) for future in asked] == [0, 1, 2]
    assert batcher.submit(3).cancelled()


# ------------------------------------------------------------------------------------------------- forward


def test_one_sample_and_a_batch_give_what_the_network_gives(folder, live):
    version = store(folder, 1.0)
    sums = live.deploy("Sum", "t")
    one, both = sums.forward([0.5, -1.25]), sums.forward([[0.5, -1.25], [2, 4]])
    assert (one.values.tolist(), one.single, one.version) == ([1.5, -0.25, 0.25], True, version)
    assert (both.values.tolist(), both.single) == ([[1.5, -0.25, 0.25], [3, 5, 7]], False)
    assert both.manifest.network == "Sum"


def test_concurrent_calls_give_what_single_calls_give(folder, live, watcher):
    store(folder)
    sums = live.deploy("Sum", "t")
    points = np.random.default_rng(0).normal(size=(400, 2)).astype(np.float32)
    with ThreadPoolExecutor(32) as pool:
        results = list(pool.map(lambda point: sums.forward(point).values, points))
    expected = np.c_[points, points.sum(1)]
    np.testing.assert_allclose(results, expected, rtol=1e-6, atol=1e-6)
    assert sum(watcher.sizes) == 400
    assert max(watcher.sizes) > 1


def blocked(live):
    """Hold the next forward of an instance back until the event is set, so that calls pile up."""
    event, run = threading.Event(), live.deployed.run
    live.deployed.run = lambda batch: (event.wait(5), run(batch))[1]
    return event


def test_a_sample_that_does_not_fit_spoils_no_others(folder, live):
    store(folder)
    sums = live.deploy("Sum", "t")
    event = blocked(sums)
    answers = [sums.submit(samples) for samples in ([1, 2], [[1, 2, 3]], [[3, 4]])]
    event.set()
    assert [answers[n].result(5).values.tolist() for n in (0, 2)] == [[1, 2, 3], [[3, 4, 7]]]
    with pytest.raises(UsageError) as fault:
        answers[1].result(5)
    assert str(fault.value) == "Sum.point takes samples of [2], got [3]"
    with pytest.raises(UsageError) as fault:
        sums.submit([1, 2, 3])
    assert str(fault.value) == "Sum.point takes samples of [2], got [3]"


def test_sequences_of_several_lengths_are_answered_in_batches_of_their_own(folder, live, watcher):
    weights = {"next.weight": torch.ones(3, 5), "next.bias": torch.zeros(3)}
    Store(folder.models).put("t", Manifest("Memory", MEMORY, {}), weights)
    memory = live.deploy("Memory", "t")
    event = blocked(memory)
    samples = [np.ones((1, steps, 2)) for steps in (2, 1, 2, 3)]
    first = memory.submit(samples[0])
    while memory.batcher.waiting:
        time.sleep(0.001)
    answers = [first, *map(memory.submit, samples[1:])]
    event.set()
    for answer, steps in zip(answers, (2, 1, 2, 3), strict=True):
        assert answer.result(5).values.shape == (1, steps, 3)
        assert answer.result(5).values[0, :, 0].tolist() == [2, 8, 26][:steps]
    assert watcher.sizes == [1, 1, 1, 1]


def test_a_network_that_mixes_samples_answers_each_call_by_itself(folder, live):
    store(folder, network="Mixing", text=MIXING)
    mixing = live.deploy("Mixing", "t")
    event = blocked(mixing)
    answers = [mixing.submit([[n, n]]) for n in range(4)]
    event.set()
    assert [answer.result(5).values.tolist() for answer in answers] == [[n, n] for n in range(4)]


def test_callers_keep_their_arrays(folder, live):
    store(folder)
    sums = live.deploy("Sum", "t")
    event, point = blocked(sums), np.array([1, 2], np.float32)
    answer = sums.submit(point)
    point[:] = 9
    event.set()
    assert answer.result(5).values.tolist() == [1, 2, 3]


# ---------------------------------------------------------------------------------------- following a tag


def eventually(condition):
    for _ in range(500):
        if condition():
            return True
        time.sleep(0.01)
    return False


def test_an_instance_follows_its_tag(folder, live, watcher):
    before = store(folder)
    sums = live.deploy("Sum", "t")
    live.start()
    assert sums.forward([0, 0]).version == before
    after = store(folder, 1.0)
    assert eventually(lambda: sums.forward([0, 0]).version == after)
    assert sums.forward([0, 0]).values.tolist() == [1, 1, 1]
    assert watcher.notes == [("INFO", f"Sum took new weights of Sum:t: {after[:12]}, was {before[:12]}")]


def test_a_server_is_not_asked_for_tags_all_the_time(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("DIANNE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "dianne.yaml").write_text(f"models: memory://{tmp_path.name}")
    store(folder)
    deploy(folder, "Sum", "t")
    live, looks, threads = LiveInstances(folder), [], torch.get_num_threads()
    live._store.resolve = lambda *tag, look=live._store.resolve: (looks.append(tag), look(*tag))[1]
    live.start()
    time.sleep(0.5)
    live.close()
    torch.set_num_threads(threads)
    assert looks == [("Sum", "t")]


def test_a_tag_that_moves_under_load_mixes_no_versions(folder, live):
    bias = {store(folder): 0.0}
    sums = live.deploy("Sum", "t")
    live.start()
    answers, over = [], threading.Event()

    def call():
        while not over.is_set():
            answer = sums.forward([[0, 0]] * 16)
            answers.append((answer.version, set(answer.values.ravel().tolist())))

    callers = [threading.Thread(target=call) for _ in range(8)]
    for caller in callers:
        caller.start()
    for number in range(1, 20):
        bias[store(folder, number)] = float(number)
        time.sleep(0.05)
    over.set()
    for caller in callers:
        caller.join()
    assert [(version, found) for version, found in answers if found != {bias[version]}] == []
    assert len({version for version, _ in answers}) > 3


def spoil(folder, version):
    blob = Store(folder.models).read_manifest(version).blob
    path = folder.models / "blobs" / blob[:2] / f"{blob}.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    return path


def test_spoilt_weights_are_said_once_and_the_old_ones_kept(folder, live, watcher):
    before = store(folder)
    sums = live.deploy("Sum", "t")
    after = store(folder, 1.0)
    path = spoil(folder, after)
    live.refresh()
    live.refresh()
    assert sums.forward([0, 0]).version == before
    place = path.relative_to(folder.root)
    assert watcher.notes == [
        (
            "DANGER",
            f"Sum keeps the weights {before[:12]}: {place}: its content was changed; restore it from a copy",
        )
    ]
    last = store(folder, 2.0)
    live.refresh()
    assert sums.forward([0, 0]).version == last


def test_weights_of_another_network_are_taken_with_its_shapes(folder, live):
    store(folder)
    sums = live.deploy("Sum", "t")
    wide = SUM.replace("[2]", "[4]")
    weights = {"sums.weight": torch.ones(3, 4), "sums.bias": torch.zeros(3)}
    Store(folder.models).put("t", Manifest("Sum", wide, {}), weights)
    live.refresh()
    assert sums.forward([1, 1, 1, 1]).values.tolist() == [4, 4, 4]


def test_a_tag_that_is_gone_leaves_the_weights_where_they_are(folder, live, watcher):
    version = store(folder)
    sums = live.deploy("Sum", "t")
    (folder.models / "refs" / "Sum" / "t").unlink()
    live.refresh()
    assert sums.forward([0, 0]).version == version
    message = (
        f"Sum keeps the weights {version[:12]}: Sum has no tag 't'; nothing is stored for Sum in models/"
    )
    assert watcher.notes == [("DANGER", message)]


def test_weights_that_were_restored_are_brought_up_at_once(folder, live, watcher):
    store(folder)
    live.deploy("Sum", "t")
    version = store(folder, 1.0)
    path = spoil(folder, version)
    live.refresh()
    path.write_bytes(path.read_bytes()[:-1] + b"?")  # the last byte of 1.0
    live.deploy("Sum", "t")
    live.refresh()
    live.undeploy("Sum")
    deploy(folder, "Sum", "t")
    live.refresh()
    assert live.ready("Sum").deployed.version == version
    assert len(watcher.notes) == 1


def test_what_cannot_be_noted_is_said_later_and_tags_are_followed_all_the_same(folder, live, watcher):
    def note(*told):
        raise DianneError("the disk is full")

    store(folder)
    sums = live.deploy("Sum", "t")
    (folder.state / "instances" / "bad.json").write_text("{}")
    watcher.note = note
    live.start()
    for number in (1.0, 2.0):
        version = store(folder, number)
        assert eventually(lambda version=version: sums.forward([0, 0]).version == version)
    del watcher.note
    assert eventually(lambda: watcher.notes)
    message = (
        "bad cannot be brought up: .dianne/instances/bad.json: its content was changed; deploy bad again"
    )
    assert watcher.notes == [("DANGER", message)]


def test_instances_are_kept_while_it_cannot_be_seen_which_are_deployed(folder, live, watcher):
    store(folder)
    sums = live.deploy("Sum", "t")
    place = folder.state / "instances"
    place.rename(folder.state / "away")
    place.write_text("")
    live.refresh()
    live.refresh()
    assert live.ready("Sum") is sums
    message = "no instance follows its tag: .dianne/instances: cannot be read: Not a directory"
    assert watcher.notes == [("DANGER", message)]
    place.unlink()
    (folder.state / "away").rename(place)
    version = store(folder, 1.0)
    live.refresh()
    assert sums.forward([0, 0]).version == version


# ------------------------------------------------------------------------------------ what is deployed


def test_what_others_deploy_and_undeploy_is_followed(folder, live):
    store(folder)
    store(folder, 1.0, tag="u")
    deploy(folder, "Sum", "t", "mine")
    mine = live.get("mine")
    assert mine.forward([0, 0]).values.tolist() == [0, 0, 0]
    deploy(folder, "Sum", "u", "mine")
    live.refresh()
    assert mine.forward([0, 0]).values.tolist() == [1, 1, 1]
    assert live.get("mine") is mine
    undeploy(folder, "mine")
    live.refresh()
    for call in (lambda: live.get("mine"), lambda: live.undeploy("mine")):
        with pytest.raises(UsageError) as fault:
            call()
        assert str(fault.value) == "'mine' is not deployed\n  deploy it with: dianne deploy mine tag=..."
    with pytest.raises(UsageError) as fault:
        mine.forward([0, 0])
    assert str(fault.value) == "'mine' was undeployed"


def test_what_is_deployed_is_brought_up_at_the_start(folder, live, watcher):
    store(folder)
    deploy(folder, "Sum", "t")
    (folder.state / "instances" / "bad.json").write_text("{}")
    live.start()
    assert live._live["Sum"].deployed.instance == Instance("Sum", "Sum", "t")
    assert names(folder) == ["Sum", "bad"]
    message = (
        "bad cannot be brought up: .dianne/instances/bad.json: its content was changed; deploy bad again"
    )
    assert watcher.notes == [("DANGER", message)]


def test_deploying_needs_a_tag_that_is_there(folder, live):
    with pytest.raises(DianneError, match="Sum has no tag 't'"):
        live.deploy("Sum", "t")
    assert names(folder) == []
