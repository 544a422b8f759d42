"""Entries of a history are used wherever weights are read, and refused wherever they are written."""

import pytest

from dianne import UsageError, Workspace

LEARN = {"batchSize": 8, "maxIterations": 30, "syncInterval": 10, "seed": 1}


@pytest.fixture
def workspace(tmp_path):
    made = Workspace(tmp_path)
    made.learn("MLP", "Iris", tag="t", **LEARN)
    return made


@pytest.fixture(autouse=True)
def network(tmp_path):
    (tmp_path / "networks").mkdir()
    (tmp_path / "networks/MLP.yaml").write_text("""
parameters: {units: 4}
modules:
  in: {type: Input, shape: [4]}
  hidden: {type: Linear, output: "${units}"}
  scores: {type: Linear, output: 3}
  log: {type: LogSoftmax}
  out: {type: Output}
""")


def refused(call, *args, **options):
    with pytest.raises(UsageError) as fault:
        call(*args, **options)
    return str(fault.value)


def test_weights_are_read_by_any_address(workspace):
    oldest = workspace.log("MLP:t")[2].identifier
    addresses = ("t", "t~1", "t~2", oldest[:8])
    iterations = [workspace.deploy("MLP", address).manifest.iteration for address in addresses]
    assert iterations == [30, 20, 10, 10]
    workspace.evaluate("MLP", "Iris", tag="t~1")
    assert workspace.deploy("MLP", "t~2").manifest.iteration == 10
    assert workspace.instance("MLP").manifest.iteration == 10


def test_a_job_is_found_by_any_address_of_what_it_made(workspace):
    first = workspace.queue.jobs()[0].id
    second = workspace.learn("MLP", "Iris", tag="t", **LEARN).job
    found = [workspace.queue.get(f"MLP:{address}").id for address in ("t", "t~2", "t~3")]
    assert found == [second, second, first]


def test_a_clean_start_is_told_as_one(workspace):
    workspace.learn("MLP", "Iris", tag="u", initTag="t", clean=True, **{**LEARN, "maxIterations": 5})
    assert [(e.manifest.iteration, e.note) for e in workspace.log("MLP:u")] == [(5, "")]


def test_a_job_starts_from_an_entry_of_a_history_even_of_its_own_tag(workspace):
    workspace.learn("MLP", "Iris", tag="u", initTag="t~1", **{**LEARN, "maxIterations": 5})
    assert [(e.manifest.iteration, e.note) for e in workspace.log("MLP:u")] == [
        (25, "started from t~1"), (20, ""), (10, ""),
    ]  # fmt: skip
    workspace.learn("MLP", "Iris", tag="t", initTag="t~2", **{**LEARN, "maxIterations": 5})
    assert [(e.manifest.iteration, e.note) for e in workspace.log("MLP:t")][:2] == [
        (15, "started from t~2"), (30, ""),
    ]  # fmt: skip


def test_nothing_is_stored_under_an_address(workspace):
    identifier = workspace.log("MLP:t")[0].identifier
    message = (
        "'t~1' is an entry of a history, which never changes: it can be read, but nothing can be stored "
        "there; store under 't' or another tag"
    )
    assert refused(workspace.learn, "MLP", "Iris", tag="t~1") == message
    assert refused(workspace.evaluate, "MLP", "Iris", tag="t~1", storeIfBetter=True) == message
    assert refused(workspace.evaluate, "MLP", "Iris", tag=identifier[:8], storeIfBetter=True) == (
        f"'{identifier[:8]}' is no tag of MLP: better weights are kept under TAG@best, so name a tag"
    )
    assert workspace.store.names("MLP") == ["t"]


def test_networks_and_options_of_two_jobs_are_compared(workspace):
    workspace.learn("MLP", "Iris", tag="wide", units=8, learningRate=0.01, **LEARN)
    found = workspace.diff("MLP:t", "MLP:wide")
    assert [(d.key, d.a, d.b) for d in found.structure] == [("parameters.units", 4, 8)]
    job = {d.key: (d.a, d.b) for d in found.job}
    assert {key: job[key] for key in ("units", "learningRate")} == {
        "units": ("", 8),
        "learningRate": ("", 0.01),
    }
    assert "seed" not in job
    assert (found.data, found.versions) == ([], [])
    assert [(norm.module, norm.between) for norm in found.norms] == [("hidden", None), ("scores", None)]


def test_norms_tell_how_far_each_module_went(workspace):
    import torch

    before, after = (workspace.store.weights(workspace.store.manifest("MLP", t)) for t in ("t~2", "t"))
    for norm in workspace.diff("MLP:t~2", "MLP:t").norms:
        names = [f"{norm.module}.weight", f"{norm.module}.bias"]
        moved = torch.cat([(after[name] - before[name]).flatten() for name in names])
        whole = torch.cat([before[name].flatten() for name in names])
        assert norm.between == pytest.approx(float(moved.norm()), rel=1e-5)
        assert norm.a == pytest.approx(float(whole.norm()), rel=1e-5)


def test_weights_are_looked_after_from_python(workspace, tmp_path):
    workspace.tag("MLP:t~1", "good", "published")
    workspace.untag("MLP:published")
    workspace.rollback("MLP:t~1")
    assert {tag: manifest.iteration for tag, manifest in workspace.tags("MLP").items()} == {
        "good": 20,
        "t": 20,
    }
    assert workspace.gc(keep=1).removed == []
    assert (workspace.verify().faults, workspace.verify("MLP:t").tags) == ({}, 1)
    (pushed,) = workspace.push("MLP:t", str(tmp_path / "shared"))
    assert pushed.entries == 4
    other = Workspace(tmp_path / "other")
    assert other.pull("MLP:t", str(tmp_path / "shared"))[0].after == pushed.after
