"""Jobs that are stopped and go on: what is refused, what faults do, and that the bits are the same."""

import fcntl
import os
import threading
from dataclasses import replace

import pytest
import torch
from killing import bits, workspace_in
from tape import capture_on_tape

from dianne import DianneError, UsageError, Workspace
from dianne.jobs import checkpoint, resume
from dianne.jobs.checkpoint import NEWEST, PREVIOUS, CheckpointError
from dianne.jobs.database import Database
from dianne.jobs.ending import end, give_up
from dianne.jobs.keeper import place_of
from dianne.jobs.learn import LearnWatcher
from dianne.learning.update import DivergedError

SHORT = {"batchSize": 16, "maxIterations": 12, "seed": 1, "tag": "t"}
OWN = """
import torch

from dianne import GradientOptions, LearningStrategy, LearnProgress, NonNegativeInt


class Odd:
    pass


class MineLearningStrategy(LearningStrategy):
    class Options(GradientOptions):
        late: bool = False

    def setup(self, job):
        (self.network,) = job.networks
        self.batches, self.criterion, self.late = job.batches, job.criterion(), job.options.late
        self.update = job.update(self.loss, trains=job.networks)
        if not self.late:
            self.odd = Odd()

    def loss(self, batch):
        return {"loss": self.criterion(self.network(batch.input), batch.target).mean()}

    def process_iteration(self, i):
        if self.late:
            self.head = torch.nn.Linear(1, 1)
        return LearnProgress(i, self.update(next(self.batches)))
"""

OWN_MODULES = {
    "own_layers/half.py": """
from own_bases import Base
from own_layers.parts import Part


class Half(Base):
    def __init__(self):
        super().__init__()
        self.part = Part()
""",
    "own_bases.py": """
import torch


class Base(torch.nn.Module):
    def forward(self, values):
        return self.part(values)
""",
    "own_layers/parts.py": """
import torch
from own_helper import half


class Part(torch.nn.Module):
    def forward(self, values):
        return half(values)
""",
    "own_helper.py": """
def half(values):
    return values / 2
""",
}


class Notes(LearnWatcher):
    """What the user is told, and a stop after some iterations."""

    def __init__(self, last: int = 10**9):
        self.notes, self.last = [], last

    def note(self, message):
        self.notes.append(message)

    def tick(self, *_):
        self.last -= 1

    def stop(self) -> str:
        return "SIGTERM" if self.last <= 0 else ""


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    return workspace_in(tmp_path)


def interrupted(workspace: Workspace, after: int = 5, networks="Classifier", **options) -> str:
    """A job that was stopped after some iterations; gives its identifier."""
    watcher = Notes(after)
    given = {**SHORT, **options}
    result = workspace.learn(networks, "Small", watcher=watcher, stop=watcher.stop, **given)
    assert (result.stopped, result.iterations) == ("SIGTERM", after)
    return result.job


def whole(tmp_path, networks="Classifier", **options) -> Workspace:
    """Another workspace, in which the same job was never stopped."""
    made = workspace_in(tmp_path / "whole")
    made.learn(networks, "Small", **{**SHORT, **options})
    return made


def refused(workspace: Workspace, job: str | None = None, kind: type = UsageError) -> str:
    with pytest.raises(kind) as fault:
        workspace.resume(job)
    return str(fault.value)


def place(workspace: Workspace, job: str):
    return place_of(workspace.folder, job)


# ---------------------------------------------------------------------------------------------- the same bits


@pytest.mark.parametrize(
    "options",
    [
        {"sampling": "UNIFORM", "method": "SGD", "momentum": 0.9},
        {"sampling": "PERMUTATION", "method": "RMSPROP"},
        {"sampling": "SEQUENTIAL", "method": "ADAGRAD", "schedule": "COSINE"},
        {"sampling": "UNIFORMCLASS", "method": "ADADELTA", "accumulate": 3},
        {"sampling": "WEIGHTED", "weightedRanges": "0,9", "probabilities": "0.5", "method": "ADAMW"},
        {"method": "torch.optim.RAdam", "split": 0.8, "validationInterval": 2, "patience": 3},
        {"method": "torch.optim.ASGD", "fixed": "hidden", "ema": 0.8, "storeInterval": 4},
        {"hflip": 0.5, "encoderNoise": 0.2, "normalise": True, "criterion": "NLL"},
    ],
    ids=lambda options: options.get("sampling") or options.get("method", "adapters"),
)
def test_a_job_that_is_stopped_and_resumed_gives_the_same_bits(options, workspace, tmp_path):
    expected = bits(whole(tmp_path, **options))
    interrupted(workspace, 4, **options)
    watcher = Notes(3)
    assert resume.prepare(workspace.folder, None, watcher, watcher.stop).run().iterations == 7
    result = workspace.resume()
    assert result.iterations == 12 or result.stopped.startswith("patience")
    assert bits(workspace) == expected


def test_captured_updates_draw_the_random_numbers_of_a_job_that_was_never_stopped(
    workspace, tmp_path, monkeypatch
):
    options = {
        "networks": "Coder,Painter", "strategy": "VariationalAutoEncoder", "latentDims": 2,
        "criterion": "MSE", "maxIterations": 30, "schedule": "COSINE",
    }  # fmt: skip
    tapes = capture_on_tape(monkeypatch)
    expected = bits(whole(tmp_path, **options))
    interrupted(workspace, 15, **options)
    workspace.resume()
    assert bits(workspace) == expected
    assert [tape.replays for tape in tapes] == [24, 9, 10]


def test_networks_start_from_what_they_started_from_although_their_tag_moved(workspace, tmp_path):
    for made in (workspace, start := workspace_in(tmp_path / "whole")):
        made.learn("Classifier", "Small", **{**SHORT, "tag": "first", "seed": 3})
    start.learn("Classifier", "Small", **SHORT, initTag="first")
    job = interrupted(workspace, 1, initTag="first", checkpointInterval=1000)
    (place(workspace, job) / PREVIOUS).replace(place(workspace, job) / NEWEST)  # of iteration 0
    workspace.learn("Classifier", "Small", **{**SHORT, "tag": "first", "seed": 4})
    workspace.resume()
    assert bits(workspace)["Classifier:t"] == bits(start)["Classifier:t"]


def test_a_job_is_made_from_what_was_recorded_whatever_became_of_its_files(workspace, tmp_path):
    expected = bits(whole(tmp_path))
    interrupted(workspace)
    network = workspace.folder.root / "networks" / "Classifier.yaml"
    network.write_text(network.read_text().replace("rate: 0.3", "rate: 0.9"))
    data = workspace.folder.root / "datasets" / "Small.yaml"
    data.write_text(data.read_text().replace("labels: [0,", "labels: [null,"))
    workspace.resume()
    assert bits(workspace) == expected


def test_the_previous_checkpoint_serves_if_the_newest_is_spoilt(workspace, tmp_path):
    expected = bits(whole(tmp_path))
    job = interrupted(workspace)
    path = place(workspace, job) / NEWEST
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    watcher = Notes()
    assert workspace.resume(watcher=watcher).iterations == 12
    assert watcher.notes[0] == (
        f"{path}: its content was changed; going on from the checkpoint before it, of iteration 0"
    )
    assert bits(workspace) == expected


def test_a_resumed_job_leaves_what_it_stored_before_it_died(workspace):
    job = interrupted(workspace, 9, syncInterval=3, checkpointInterval=1000)
    (place(workspace, job) / PREVIOUS).replace(place(workspace, job) / NEWEST)  # of iteration 0
    seen = []

    class Watcher(Notes):
        def tick(self, *_):
            seen.append(workspace.store.manifest("Classifier", "t").iteration)

    workspace.resume(watcher=Watcher())
    assert seen == [9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9]  # told before what is stored after it
    manifest, found = workspace.store.manifest("Classifier", "t"), []
    while manifest.parent:
        found.append(manifest.iteration)
        manifest = workspace.store.read_manifest(manifest.parent)
    assert [*found, manifest.iteration] == [12, 9, 6, 3]


def test_a_resumed_job_that_diverges_says_which_weights_the_tag_keeps(workspace):
    job = interrupted(workspace, 3, syncInterval=3)
    early = (place(workspace, job) / NEWEST).read_bytes()
    watcher = Notes(6)
    assert resume.prepare(workspace.folder, job, watcher, watcher.stop).run().iterations == 9
    (place(workspace, job) / NEWEST).write_bytes(early)

    class Spoiler(Notes):
        def tick(self, iteration, *_):
            if iteration == 5:
                with torch.no_grad():
                    run.graphs["network"].get_parameter("hidden.weight").fill_(torch.nan)

    run = resume.prepare(workspace.folder, job, Spoiler())
    with pytest.raises(DivergedError) as fault:
        run.run()
    assert "\n  the tag keeps the weights of iteration 9, of before the job was interrupted; try " in str(
        fault.value
    )
    assert bits(workspace)["Classifier:t"][0] == 9


def test_validating_draws_nothing_from_the_streams_of_learning(workspace):
    for tag, options in {"with": {"validationSet": "0:50", "validationInterval": 2}, "without": {}}.items():
        workspace.learn("Classifier", "Small", **{**SHORT, "tag": tag, "range": "100:900", **options})
    assert bits(workspace)["Classifier:with"] == bits(workspace)["Classifier:without"]


# ------------------------------------------------------------------------------------------ what is refused


def test_a_finished_job_says_so(workspace):
    job = workspace.learn("Classifier", "Small", **SHORT).job
    assert refused(workspace, job) == (
        f"the job {job} is finished, after 12 iterations; `dianne learn Classifier Small tag=t ...` goes on "
        "from its weights"
    )
    assert [path.name for path in place(workspace, job).glob("*.safetensors")] == [NEWEST]
    jobs = workspace.folder.state / "jobs"
    assert refused(workspace) == f"no job in {jobs}/ was interrupted; all are finished, or running"


def test_a_running_job_is_refused(workspace):
    job = interrupted(workspace)
    handle = os.open(place(workspace, job), os.O_RDONLY)  # as another process has it
    fcntl.flock(handle, fcntl.LOCK_EX)
    expected = f"the job {job} is running; it can be resumed once it has ended"
    assert refused(workspace, job) == expected
    os.close(handle)
    assert workspace.resume("Classifier:t").iterations == 12


def test_an_unknown_job_is_refused(workspace):
    job = interrupted(workspace)
    jobs = workspace.folder.state / "jobs"
    assert refused(workspace, "zzz") == (f"there is no job 'zzz' with a checkpoint in {jobs}/; jobs: {job}")
    manifest = workspace.store.manifest("Classifier", "t")
    strange = replace(manifest, job={**manifest.job, "id": "gone"})
    workspace.store.put("u", strange, workspace.store.weights(manifest))
    assert refused(workspace, "Classifier:u") == (
        f"the job 'gone', which made Classifier:u, left no checkpoint in {jobs}/"
    )


def test_other_data_are_refused_with_both_fingerprints(workspace):
    job = interrupted(workspace, networks="Classifier")
    path = place(workspace, job) / NEWEST
    found = checkpoint.read(path.parent)
    recipe = {**found.recipe, "data": "0123"}
    checkpoint.write(path.parent, checkpoint.snapshot(replace(found, recipe=recipe)))
    now = workspace.dataset("Small").fingerprint()
    assert refused(workspace) == (
        f"the data of Small changed since the job {job} began: their fingerprint was 0123, and is {now}; "
        "bring the old files back, or start a new job"
    )


def test_another_strategy_is_refused(workspace):
    path = workspace.folder.root / "strategies" / "mine.py"
    path.parent.mkdir()
    path.write_text(OWN)
    job = interrupted(workspace, strategy="Mine")
    path.write_text(OWN + "\n# changed\n")
    assert refused(workspace) == (
        f"the job {job} cannot be resumed: mine.py changed since it began, so it would end with other "
        "weights; bring the old text back (it is in the metadata of "
        f"{place(workspace, job) / NEWEST}), or start a new job"
    )
    path.write_text(OWN)
    assert workspace.resume().iterations == 12


def test_other_modules_of_the_user_are_refused(workspace, monkeypatch):
    root = workspace.folder.root
    monkeypatch.syspath_prepend(root)
    text = (root / "networks" / "Classifier.yaml").read_text()
    own = "  half: {type: 'own_layers.half:Half'}\n  scores:"
    (root / "networks" / "Inner.yaml").write_text(text.replace("  scores:", own))
    (root / "networks" / "Outer.yaml").write_text(
        "modules: {image: {type: Input, shape: [1, 4, 4]}, inner: {type: Inner}, output: {type: Output}}"
    )
    (root / "own_layers").mkdir()
    for file, code in OWN_MODULES.items():
        (root / file).write_text(code)
    job = interrupted(workspace, networks="Outer")
    *seen, helper = OWN_MODULES
    for file in seen:
        (root / file).write_text(OWN_MODULES[file] + "# changed\n")
        assert f"the job {job} cannot be resumed: {file} changed since it began" in refused(workspace)
        (root / file).write_text(OWN_MODULES[file])
    (root / helper).write_text(OWN_MODULES[helper] + "# changed\n")
    watcher = Notes(2)
    resume.prepare(workspace.folder, job, watcher, watcher.stop).run()
    found = checkpoint.read(place(workspace, job))  # as an older dianne wrote it
    recipe = {key: value for key, value in found.recipe.items() if key != "modules"}
    checkpoint.write(place(workspace, job), checkpoint.snapshot(replace(found, recipe=recipe)))
    (root / seen[0]).write_text(OWN_MODULES[seen[0]] + "# changed\n")
    assert workspace.resume().iterations == 12


@pytest.mark.parametrize(
    ("late", "what"),
    [
        (
            False,
            "'odd' holds a Odd, whose state is unknown; give Odd the methods state_dict() and "
            "load_state_dict(), or keep its state in numbers and tensors",
        ),
        (True, "'head' is made after setup; make it in setup"),
    ],
)
def test_what_has_no_known_state_is_said(late, what, workspace):
    (workspace.folder.root / "strategies").mkdir()
    (workspace.folder.root / "strategies" / "mine.py").write_text(OWN)
    watcher = Notes(3)
    workspace.learn(
        "Classifier", "Small", strategy="Mine", late=late, watcher=watcher, stop=watcher.stop, **SHORT
    )
    assert watcher.notes == [f"this job cannot be resumed exactly: MineLearningStrategy: {what}"]


def test_another_version_is_noted(workspace):
    job = interrupted(workspace)
    found = checkpoint.read(place(workspace, job))
    recipe = {**found.recipe, "versions": {**found.recipe["versions"], "torch": "2.5.1"}}
    checkpoint.write(place(workspace, job), checkpoint.snapshot(replace(found, recipe=recipe)))
    watcher = Notes()
    workspace.resume(watcher=watcher)
    assert watcher.notes == [
        f"another version than when the job began: torch 2.5.1 then, {torch.__version__} now; "
        "its bits may differ"
    ]


@pytest.mark.parametrize("why", ["failed", "queued", "given up", "spoilt"])
def test_without_a_name_only_a_job_that_was_interrupted_goes_on(why, workspace):
    mine = interrupted(workspace)
    other = interrupted(workspace, tag="other")
    with Database(workspace.folder).writing() as session:
        if why == "failed":
            end(session, other, "failed", "failed: it diverged", "it diverged")
        if why == "queued":
            session.execute("UPDATE jobs SET status = 'queued', foreground = 0 WHERE id = ?", (other,))
        if why == "given up":
            give_up(session, other, "s")
    if why == "spoilt":
        for name in (NEWEST, PREVIOUS):
            (place(workspace, other) / name).write_bytes(b"")
    assert workspace.resume().job == mine
    if why != "spoilt":
        jobs = workspace.folder.state / "jobs"
        assert refused(workspace) == f"no job in {jobs}/ was interrupted; all are finished, or running"


@pytest.mark.parametrize(
    "ending", [("stopped", ""), ("interrupted", ""), ("failed", "killed", "killed by SIGKILL", "SIGKILL")]
)
def test_whatever_interrupted_a_job_it_goes_on_without_a_name(ending, workspace):
    interrupted(workspace)
    job = interrupted(workspace, tag="other")
    with Database(workspace.folder).writing() as session:
        end(session, job, *ending)
    assert workspace.resume().job == job


def test_a_job_goes_on_without_a_name_although_the_records_are_spoilt(workspace):
    job = interrupted(workspace)
    for path in workspace.folder.state.glob("jobs.db*"):
        path.write_bytes(b"no database" * 1000)
    assert workspace.resume().job == job


# --------------------------------------------------------------------------------------------- spoilt files


def test_two_spoilt_checkpoints_are_named(workspace):
    job = interrupted(workspace)
    newest, previous = place(workspace, job) / NEWEST, place(workspace, job) / PREVIOUS
    newest.write_bytes(newest.read_bytes()[:-100])
    previous.write_bytes(b"")
    assert refused(workspace, kind=CheckpointError) == (
        f"{newest}: its content was changed; {previous}: its content was changed; there is no other "
        "checkpoint to go on from"
    )


@pytest.mark.parametrize("kind", [torch.complex64, torch.uint16, torch.float8_e5m2])
def test_buffers_of_rare_types_come_back(tmp_path, kind):
    found = checkpoint.Checkpoint({"id": "abc"}, 7, {"buffer": torch.arange(5.0).to(kind)})
    checkpoint.write(tmp_path, checkpoint.snapshot(found))
    back = checkpoint.read(tmp_path).state["buffer"]
    assert back.dtype == kind
    assert back.to(torch.complex64).tolist() == [0, 1, 2, 3, 4]


def test_no_changed_byte_goes_unseen(tmp_path):
    state = {"weights": torch.arange(5.0), "pair": (1, None), 3: [True, "text", float("inf")]}
    found = checkpoint.Checkpoint({"id": "abc"}, 7, state)
    checkpoint.write(tmp_path, checkpoint.snapshot(found))
    content = (tmp_path / NEWEST).read_bytes()
    back = checkpoint.read(tmp_path)
    assert back.state["weights"].equal(state.pop("weights"))
    assert {key: value for key, value in back.state.items() if key != "weights"} == state
    for place in range(len(content)):
        (tmp_path / NEWEST).write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        with pytest.raises(CheckpointError):
            checkpoint.read(tmp_path)


def test_a_checkpoint_of_a_newer_dianne_is_refused(workspace, monkeypatch):
    job = interrupted(workspace)
    found = checkpoint.read(place(workspace, job))
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "FORMAT", 2)
        checkpoint.write(place(workspace, job), checkpoint.snapshot(found))
    assert refused(workspace, kind=CheckpointError) == (
        f"{place(workspace, job) / NEWEST}: was written by a newer dianne (format 2, this one reads up "
        "to 1); upgrade dianne"
    )


def test_without_checkpoints_there_is_nothing_to_resume(workspace):
    job = interrupted(workspace, checkpointInterval=0)
    jobs = workspace.folder.state / "jobs"
    assert refused(workspace, job) == f"there is no job '{job}' with a checkpoint in {jobs}/"


def test_a_full_disk_keeps_the_last_checkpoint_and_the_job_learning(workspace, monkeypatch):
    real, calls, main = os.fsync, [], threading.main_thread()

    def full(handle):
        if threading.current_thread() is not main:
            calls.append(handle)
            if len(calls) > 2:
                raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    watcher = Notes(9)
    result = workspace.learn(
        "Classifier", "Small", watcher=watcher, stop=watcher.stop, checkpointInterval=1e-6, **SHORT
    )
    folder = place(workspace, result.job)
    assert watcher.notes == [
        f"{folder}: a checkpoint cannot be written: No space left on device; the job goes on"
    ]
    assert (result.iterations, workspace.tags("Classifier")["t"].iteration) == (9, 9)
    monkeypatch.undo()
    assert checkpoint.read(folder).iteration == 0
    assert workspace.resume().iterations == 12


# --------------------------------------------------------------------------------------------------- lineage


def test_a_tag_can_be_made_again(workspace):
    workspace.learn("Classifier", "Small", **{**SHORT, "tag": "first"})
    workspace.learn("Classifier", "Small", **SHORT, initTag="first", storeInterval=5, ema=0.9)
    workspace.learn("Classifier", "Small", **{**SHORT, "tag": "first", "seed": 8})  # moves on
    identifier = workspace.store.resolve("Classifier", "t")[:8]
    for tag, new in {
        identifier: f"rerun-{identifier}",
        "first~1": "rerun-first",
        "t": "rerun-t",
        "t@17": "rerun-t",
        "t@ema": "rerun-t",
    }.items():
        again = workspace.rerun(f"Classifier:{tag}")
        assert (again.same, again.reasons, again.job.tag) == ({"Classifier": True}, [], new)
    assert again.iterations == 12
    assert workspace.store.manifest("Classifier", "rerun-t").iteration == 24
    assert refused(workspace, again.job.identifier).startswith(f"the job {again.job.identifier} is finished")


def test_a_tag_made_again_with_another_strategy_says_what_differs(workspace):
    path = workspace.folder.root / "strategies" / "mine.py"
    path.parent.mkdir()
    path.write_text(OWN)
    workspace.learn("Classifier", "Small", strategy="Mine", **SHORT)
    path.write_text(OWN.replace(".mean()", ".mean() * 2"))
    again = workspace.rerun("Classifier:t", tag="other")
    assert (again.same, again.reasons) == ({"Classifier": False}, ["mine.py is another now"])
    assert workspace.store.has("Classifier", "other")


def test_what_was_not_learned_cannot_be_made_again(workspace):
    workspace.learn("Classifier", "Small", **SHORT)
    manifest = workspace.store.manifest("Classifier", "t")
    weights = workspace.store.weights(manifest)
    texts = {
        "nothing": "'nothing' names no weights; write NETWORK:TAG, such as Encoder:vae",
        "Classifier:brought": "Classifier:brought cannot be made again: it was made by import, not by "
        "learning",
        "Classifier:old": "Classifier:old cannot be made again: it was made by an older dianne, which wrote "
        "down too little",
    }
    workspace.store.put("brought", replace(manifest, job={"command": "import"}), weights)
    workspace.store.put("old", replace(manifest, job={"command": "learn", "id": "1"}), weights)
    for name, text in texts.items():
        with pytest.raises(UsageError) as fault:
            workspace.rerun(name)
        assert str(fault.value) == text


def test_weights_whose_start_is_gone_cannot_be_made_again(workspace):
    workspace.learn("Classifier", "Small", **{**SHORT, "tag": "first"})
    workspace.learn("Classifier", "Small", **SHORT, initTag="first")
    identifier = workspace.store.resolve("Classifier", "first")
    path = workspace.folder.models / "manifests" / identifier[:2] / f"{identifier}.json"
    path.unlink()
    with pytest.raises(UsageError) as fault:
        workspace.rerun("Classifier:t")
    assert str(fault.value) == (
        "Classifier:t cannot be made again: the weights that it started from are gone "
        f"({path}: cannot be read: No such file or directory)"
    )


def test_several_tags_get_the_same_weights(workspace):
    workspace.learn("Classifier", "Small", **{**SHORT, "tag": "t,latest"}, ema=0.9)
    found = bits(workspace)
    assert set(found) == {f"Classifier:{tag}" for tag in ("t", "latest", "t@ema", "latest@ema")}
    assert found["Classifier:t"] == found["Classifier:latest"]
    assert found["Classifier:t@ema"] == found["Classifier:latest@ema"]
    with pytest.raises(DianneError, match="'a b' cannot be a tag"):
        workspace.learn("Classifier", "Small", tag="t,a b")
