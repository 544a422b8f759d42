"""The weights with which networks start, and networks that only help."""

from __future__ import annotations

import json

import pytest
import torch
from workspaces import IRIS, Notes, workspace_of

from dianne import DianneError, UsageError, Workspace

NETWORK = """
parameters: {hidden: 4}
modules:
  features: {type: Input, shape: [4]}
  hidden: {type: Linear, output: "${hidden}"}
  norm: {type: BatchNormalization}
  drop: {type: Dropout, rate: 0.5}
  scores: {type: Linear, output: 3}
  output: {type: Output}
"""
STRATEGY = '''
import json

from dianne import GradientOptions, LearningStrategy, LearnProgress


class FollowLearningStrategy(LearningStrategy):
    """The network learns to give what the target gives."""

    roles = ("network", "target")
    untrained = ("target",)

    class Options(GradientOptions):
        """Batches, criterion, method."""

        log: str
        """File for what was seen."""

    def setup(self, job):
        self.network, self.target = job.networks
        self.log = job.options.log
        self.batches, self.criterion = job.batches, job.criterion()
        self.update = job.update(self.loss, trains=(self.network,))
        self.seen = []
        if self.log != "none" and next(self.target.parameters()).device.type != "meta":
            self.write("start")

    def write(self, when):
        state = {name: value.tolist() for name, value in self.target.state_dict().items()}
        grads = any(w.grad is not None or w.requires_grad for w in self.target.parameters())
        with open(self.log, "a") as file:
            json.dump({"when": when, "state": state, "seen": self.seen, "grads": grads}, file)
            file.write("\\n")

    def loss(self, batch):
        wanted = self.target(batch.input)
        self.seen.append([module.training for module in self.target.modules()])
        assert all(module.training for module in self.network.modules())
        return {"loss": self.criterion(self.network(batch.input), wanted).mean()}

    def process_iteration(self, i):
        terms = self.update(next(self.batches))
        if self.log != "none" and terms["loss"].device.type != "meta":
            self.write(f"iteration {i + 1}")
        return LearnProgress(i, terms)
'''
OTHER = NETWORK.replace("norm: {type: BatchNormalization}", "norm: {type: Tanh}")
FILES = {
    "networks/Net.yaml": NETWORK,
    "networks/Other.yaml": OTHER,
    "strategies/follow.py": STRATEGY,
    "datasets/Iris.yaml": "{type: sklearn, loader: load_iris}",
}


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    return workspace_of(tmp_path, FILES)


def follow(workspace: Workspace, networks: str = "Net,Net", **options) -> list[str]:
    """Learn to follow; gives what the user was told. What the strategy saw goes to the file `log`."""
    notes = Notes()
    log = workspace.folder.root / "log"
    log.unlink(missing_ok=True)
    given = {"strategy": "Follow", "tag": "t", "seed": 1, "batchSize": 8, "maxIterations": 4, "log": str(log)}
    workspace.learn(networks, "Iris", watcher=notes, **{**given, **options})
    return notes.notes


def seen(workspace: Workspace) -> list[dict]:
    return [json.loads(line) for line in (workspace.folder.root / "log").read_text().splitlines()]


def teacher(
    workspace: Workspace, network: str = "Net", tag: str = "teacher", **options
) -> dict[str, torch.Tensor]:
    """Weights of a network under a tag of its own."""
    given = {"tag": tag, "seed": 7, "batchSize": 8, "maxIterations": 5, **options}
    workspace.learn(f"{network},{network}", "Iris", strategy="Follow", log="none", **given)
    return stored(workspace, network, tag)


def stored(workspace: Workspace, network: str = "Net", tag: str = "t") -> dict[str, torch.Tensor]:
    return workspace.store.weights(workspace.store.manifest(network, tag))


def tensors(state: dict[str, list]) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(value) for name, value in state.items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], value) for name, value in other.items())


def refused(workspace: Workspace, networks: str = "Net,Net", **options) -> str:
    before = list(workspace.folder.models.rglob("*"))
    with pytest.raises(UsageError) as fault:
        follow(workspace, networks, **options)
    assert list(workspace.folder.models.rglob("*")) == before
    return str(fault.value)


# ------------------------------------------------------------------------------------ networks that only help


def test_a_helper_runs_in_evaluation_mode_and_keeps_every_value(workspace):
    follow(workspace)
    lines = seen(workspace)
    assert [line["when"] for line in lines] == ["start", *(f"iteration {n}" for n in range(1, 5))]
    assert len(lines[-1]["seen"]) == 4
    assert not any(mode for modes in lines[-1]["seen"] for mode in modes)
    assert all(line["state"] == lines[0]["state"] for line in lines)
    assert "norm.running_mean" in lines[0]["state"]
    assert not any(line["grads"] for line in lines)


def test_a_helper_is_not_stored(workspace):
    teacher(workspace, "Other")
    follow(workspace, "Net,Other", **{"target.initTag": "teacher"})
    assert list(workspace.tags("Other")) == ["teacher"]
    assert list(workspace.tags("Net")) == ["t"]
    manifest = workspace.tags("Net")["t"]
    assert manifest.job["networks"] == ["Net", "Other"]
    assert manifest.parent is None


def test_a_network_named_twice_helps_itself_from_where_it_starts(workspace):
    follow(workspace, maxIterations=1, learningRate=1e-30)
    start = tensors(seen(workspace)[0]["state"])
    assert torch.equal(start["hidden.weight"], stored(workspace)["hidden.weight"])
    assert workspace.learn("Net,Net", "Iris", strategy="Follow", log="none", maxIterations=1).networks == [
        "Net"
    ]


def test_a_network_named_twice_that_goes_on_helps_itself_with_the_stored_weights(workspace):
    follow(workspace)
    before = stored(workspace)
    assert follow(workspace) == ["starting from 't', which has learned 4 iterations"]
    assert same(tensors(seen(workspace)[0]["state"]), before)
    assert not same(before, stored(workspace))
    follow(workspace, clean=True)
    assert not torch.equal(tensors(seen(workspace)[0]["state"])["hidden.weight"], before["hidden.weight"])


def test_a_helper_starts_from_the_tag_that_is_aimed_at_it(workspace):
    weights = teacher(workspace)
    assert follow(workspace, **{"target.initTag": "teacher"}) == []  # the network itself is new
    assert same(tensors(seen(workspace)[0]["state"]), weights)
    assert workspace.tags("Net")["t"].iteration == 4
    assert workspace.tags("Net")["t"].parent is None


def test_an_init_tag_for_all_is_for_the_helper_too(workspace):
    weights = teacher(workspace)
    notes = follow(workspace, initTag="teacher", maxIterations=1, learningRate=1e-30)
    assert notes == ["starting from 'teacher', which has learned 5 iterations"]
    assert same(tensors(seen(workspace)[0]["state"]), weights)
    assert torch.equal(stored(workspace)["hidden.weight"], weights["hidden.weight"])


def test_a_helper_may_be_of_another_network_with_weights_of_its_own(workspace):
    weights = teacher(workspace, "Other")
    follow(workspace, "Net,Other", **{"Other.initTag": "teacher"})
    assert same(tensors(seen(workspace)[0]["state"]), weights)


def test_a_helper_without_weights_is_refused(workspace):
    teacher(workspace, "Other", tag="t")
    assert refused(workspace, "Net,Other") == (
        "Other does not learn here, so it needs weights: give target.initTag=TAG"
    )


def test_a_tag_of_a_helper_that_does_not_exist_is_refused_with_the_nearest(workspace):
    teacher(workspace)
    assert refused(workspace, **{"target.initTag": "techer"}) == (
        "Net has no tag 'techer'; did you mean 'teacher'?"
    )
    assert refused(workspace, **{"target.initTag": "a:b"}) == (
        "'a:b' cannot be a tag: a tag has 1 to 100 characters without blanks and without : , ~ =; found ':'"
    )


def test_weights_of_a_helper_that_do_not_fit_are_refused(workspace):
    teacher(workspace, "Other", hidden=6)
    with pytest.raises(DianneError) as fault:
        follow(workspace, "Net,Other", **{"target.initTag": "teacher"})
    assert str(fault.value) == (
        "Other:teacher does not fit the network; nothing was loaded\n"
        "  hidden.weight: stored (6, 4), the network has (4, 4)\n"
        "  hidden.bias: stored (6,), the network has (4,)\n"
        "  scores.weight: stored (3, 6), the network has (3, 4)"
    )
    assert workspace.tags("Net") == {}


@pytest.mark.parametrize("key", ["learningRate", "schedule", "clipNorm", "ema", "method"])
def test_a_helper_has_no_options_of_training(workspace, key):
    assert refused(workspace, **{f"target.{key}": "1"}) == (
        f"learn: 1 problem\n  option 'target.{key}': nothing of 'target' reads '{key}'; 'network' does"
    )


@pytest.mark.parametrize("aim", ["", "Net.", "network.", "target."])
def test_parameters_of_a_network_named_twice_are_those_of_both(workspace, aim):
    follow(workspace, **{f"{aim}hidden": 6})
    assert workspace.tags("Net")["t"].parameters == {"hidden": 6}
    assert len(seen(workspace)[0]["state"]["hidden.weight"]) == 6


def test_two_roles_that_learn_need_two_networks(workspace):
    with pytest.raises(UsageError) as fault:
        workspace.learn("Encoder,Encoder", "Digits", strategy="VariationalAutoEncoder")
    assert str(fault.value) == "Encoder is named twice; every role that learns needs a network of its own"


def test_a_helper_does_not_count_among_the_networks_that_learn_fixed(workspace):
    assert refused(workspace, fixed="network") == "fixed=network: nothing is left that learns"
    follow(workspace, fixed="target.hidden")  # it is still anyway
    assert workspace.tags("Net")["t"].iteration == 4


def test_only_the_networks_that_learn_are_evaluated_and_kept_as_the_best(workspace):
    teacher(workspace, "Other")
    given = {"target.initTag": "teacher", "validationSet": "0:20", "validationInterval": 2}
    (workspace.folder.root / "datasets" / "Iris.yaml").write_text(IRIS)
    result = workspace.learn(
        "Net,Other", "Iris", strategy="Follow", log="none", tag="t", maxIterations=4, batchSize=8, **given
    )
    assert {n: list(found.metrics) for n, found in result.validations.items()} == {2: ["MSE"], 4: ["MSE"]}
    assert sorted(workspace.tags("Net")) == ["t", "t@best"]
    assert list(workspace.tags("Other")) == ["teacher"]


# ---------------------------------------------------------------------------------------- networks that learn


VAE = {"strategy": "VariationalAutoEncoder", "hidden": 4, "batchSize": 8, "maxIterations": 3, "tag": "vae"}


def test_one_of_two_networks_can_start_from_another_tag(workspace):
    for tag in ("one", "two"):
        workspace.learn("Encoder,Decoder", "Digits", **{**VAE, "tag": tag})
    notes = Notes()
    given = {**VAE, "tag": "one", "encoder.initTag": "two", "learningRate": 1e-30, "maxIterations": 1}
    workspace.learn("Encoder,Decoder", "Digits", watcher=notes, **given)
    assert notes.notes == [
        "starting from 'one', which has learned 3 iterations",
        "starting from 'two', which has learned 3 iterations",
    ]
    assert same(stored(workspace, "Encoder", "one"), stored(workspace, "Encoder", "two"))
    assert not same(stored(workspace, "Decoder", "one"), stored(workspace, "Decoder", "two"))
    assert workspace.tags("Encoder")["one"].iteration == 4


def test_an_init_tag_counts_more_than_the_tag_itself(workspace):
    weights = teacher(workspace)
    follow(workspace)
    before = workspace.store.resolve("Net", "t")
    follow(workspace, initTag="teacher", learningRate=1e-30, maxIterations=1)
    assert torch.equal(stored(workspace)["hidden.weight"], weights["hidden.weight"])
    assert workspace.tags("Net")["t"].parent == before


def test_iterations_are_those_of_the_network_that_learned_most(workspace):
    workspace.learn("Encoder,Decoder", "Digits", **VAE)
    workspace.learn("Encoder,Decoder", "Digits", **{**VAE, "tag": "long", "maxIterations": 9})
    given = {**VAE, "decoder.initTag": "long", "maxIterations": 1}
    workspace.learn("Encoder,Decoder", "Digits", **given)
    assert [workspace.tags(name)["vae"].iteration for name in ("Encoder", "Decoder")] == [10, 10]
