"""Evaluate jobs: which weights, which samples, and which strategy judges."""

from dataclasses import replace

import pytest
import torch
from workspaces import IRIS, workspace_of

from dianne import UsageError, Workspace
from dianne.jobs.evaluate import prepare
from dianne.store import FORMAT

FILES = {
    "networks/Net.yaml": """
parameters: {hidden: 4}
modules:
  features: {type: Input, shape: [4]}
  hidden: {type: Linear, output: "${hidden}"}
  tanh: {type: Tanh}
  scores: {type: Linear, output: 3}
  classes: {type: LogSoftmax}
  output: {type: Output}
""",
    "networks/Copy.yaml": """
modules:
  features: {type: Input, shape: [4]}
  values: {type: Linear, output: 4}
  output: {type: Output}
""",
    "datasets/Iris.yaml": """
type: sklearn
loader: load_iris
labels: [setosa, versicolor, virginica]
parts: {train: "0:100", test: "100:150"}
""",
}


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    return workspace_of(tmp_path, FILES)


@pytest.fixture
def learned(workspace) -> Workspace:
    """With weights of Net under the tag t."""
    workspace.learn("Net", "Iris", tag="t", seed=1, batchSize=8, maxIterations=3, hidden=5)
    return workspace


def fault_of(workspace: Workspace, networks: str, dataset: str, **options) -> str:
    with pytest.raises(UsageError) as fault:
        workspace.evaluate(networks, dataset, **options)
    return str(fault.value)


# ---------------------------------------------------------------------------------------------- weights


def test_the_weights_of_the_tag_are_judged(learned):
    found = learned.evaluate("Net", "Iris", tag="t")
    inputs, truth = learned.dataset("Iris", "test").inputs, learned.dataset("Iris", "test").targets
    named = learned.deploy("Net", tag="t").forward(inputs).argmax(1)
    assert found.size == 50
    assert found.metrics == {"accuracy": pytest.approx((named == truth).double().mean().item())}
    assert sum(map(sum, found.confusion)) == 50
    assert found.labels == ["setosa", "versicolor", "virginica"]


def test_a_tag_must_be_named(learned, workspace):
    learned.learn("Net", "Iris", tag="other", batchSize=8, maxIterations=1)
    assert fault_of(learned, "Net", "Iris") == (
        "evaluate needs tag=..., to know which weights to judge; tags of Net: other, t"
    )
    assert fault_of(workspace, "Copy", "Iris") == (
        "evaluate needs tag=..., to know which weights to judge; tags of Copy: none"
    )


def test_a_tag_that_does_not_exist_is_refused_with_the_nearest(learned):
    learned.learn("Net", "Iris", tag="trained", batchSize=8, maxIterations=1)
    assert fault_of(learned, "Net", "Iris", tag="traind") == (
        "Net has no tag 'traind'; did you mean 'trained'?"
    )


def test_networks_are_rebuilt_as_they_were_whatever_became_of_their_files(learned):
    before = learned.evaluate("Net", "Iris", tag="t").metrics
    path = learned.folder.root / "networks" / "Net.yaml"
    path.write_text(FILES["networks/Net.yaml"].replace("hidden: 4", "hidden: 9").replace("Tanh", "ReLU"))
    assert learned.evaluate("Net", "Iris", tag="t").metrics == before
    path.unlink()
    assert learned.evaluate("Net", "Iris", tag="t").metrics == before


def test_judging_changes_nothing_that_is_stored(learned):
    files = {path: path.read_bytes() for path in learned.folder.models.rglob("*") if path.is_file()}
    learned.evaluate("Net", "Iris", tag="t")
    assert {path: path.read_bytes() for path in learned.folder.models.rglob("*") if path.is_file()} == files


# ----------------------------------------------------------------------------------------------- samples


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({}, 50),
        ({"range": "0:7"}, 7),
        ({"testSet": "3,5,8"}, 3),
        ({"test_set": "3,5"}, 3),
        ({"range": ":"}, 150),
    ],
)
def test_the_test_part_is_judged_unless_a_range_is_given(learned, options, size):
    assert learned.evaluate("Net", "Iris", tag="t", **options).size == size


def test_a_dataset_without_parts_is_judged_whole(learned):
    (learned.folder.root / "datasets" / "Whole.yaml").write_text(IRIS)
    assert learned.evaluate("Net", "Whole", tag="t").size == 150


def test_a_range_and_a_test_set_exclude_each_other(learned):
    assert fault_of(learned, "Net", "Iris", tag="t", range="0:9", testSet="0:9") == (
        "range and testSet mean the same; give one of them"
    )


# ---------------------------------------------------------------------------------------------- strategy


def test_the_strategy_that_learned_names_the_one_that_judges(learned):
    learned.learn("Copy", "Iris", tag="t", batchSize=8, maxIterations=1, autoencode=True, criterion="ABS")
    learned.learn(
        "Encoder,Decoder", "Digits", tag="t", strategy="VariationalAutoEncoder", maxIterations=1, hidden=4
    )
    judged = {
        networks: learned.evaluate(networks, dataset, tag="t", range="0:9")
        for networks, dataset in (("Net", "Iris"), ("Copy", "Iris"), ("Encoder,Decoder", "Digits"))
    }
    assert {networks: found.strategy for networks, found in judged.items()} == {
        "Net": "ClassificationEvaluationStrategy",
        "Copy": "CriterionEvaluationStrategy",
        "Encoder,Decoder": "VariationalAutoEncoderEvaluationStrategy",
    }
    assert list(judged["Copy"].metrics) == ["ABS"]  # the criterion and the targets that it learned
    assert list(judged["Encoder,Decoder"].metrics) == ["negative ELBO", "reconstruction", "kl"]


def test_what_was_learned_holds_unless_the_user_says_otherwise(learned):
    learned.learn("Copy", "Iris", tag="t", batchSize=8, maxIterations=1, autoencode=True, criterion="ABS")
    settings = prepare(learned.folder, "Copy", "Iris", {"tag": "t"}).bound.settings
    origins = {setting.key: (setting.value, setting.origin) for setting in settings}
    assert origins["criterion"] == ("ABS", "tag t")
    assert origins["autoencode"] == (True, "tag t")
    assert list(learned.evaluate("Copy", "Iris", tag="t", criterion="MSE").metrics) == ["MSE"]


def test_another_strategy_can_be_named(learned):
    found = learned.evaluate("Net", "Iris", tag="t", strategy="Criterion")
    results = learned.deploy("Net", tag="t").forward(learned.dataset("Iris", "test").inputs)
    expected = -results[:, 2].double().mean().item()  # the test part holds the last class alone
    assert found.metrics == {"NLL": pytest.approx(expected)}


def test_weights_of_a_strategy_that_is_gone_are_judged_as_a_classifier(learned):
    own = learned.folder.root / "strategies" / "mine.py"
    own.parent.mkdir()
    own.write_text(
        "from dianne.strategies.feed_forward import FeedForwardLearningStrategy\n\n\n"
        "class MineLearningStrategy(FeedForwardLearningStrategy):\n    '''Mine.'''\n"
    )
    learned.learn("Net", "Iris", tag="mine", strategy="Mine", batchSize=8, maxIterations=1, hidden=5)
    own.unlink()
    assert learned.evaluate("Net", "Iris", tag="mine").strategy == "ClassificationEvaluationStrategy"


def test_a_strategy_that_was_named_by_its_file_is_found_again(learned):
    named = "lib/mine.py:Mine"
    (learned.folder.root / "lib").mkdir()
    (learned.folder.root / "lib" / "mine.py").write_text(
        "from dianne.strategies.feed_forward import FeedForwardLearningStrategy\n\n\n"
        "class Mine(FeedForwardLearningStrategy):\n"
        "    @classmethod\n"
        "    def evaluation_for(cls, labels):\n        return 'CriterionEvaluationStrategy'\n"
    )
    result = learned.learn("Net", "Iris", tag="m", strategy=named, batchSize=8, maxIterations=1)
    assert learned.queue.get(result.job).strategy == named
    again = learned.queue.get(learned.queue.resubmit(result.job, {}))
    assert again.strategy == named
    assert learned.evaluate("Net", "Iris", tag="m").strategy == "CriterionEvaluationStrategy"
    manifest = learned.store.manifest("Net", "m")
    foreign = replace(manifest, job={**manifest.job, "package": "Net.dianne"})  # it may not run what it names
    learned.store.put("foreign", foreign, learned.store.weights(manifest))
    assert learned.evaluate("Net", "Iris", tag="foreign").strategy == "ClassificationEvaluationStrategy"
    (learned.folder.root / "lib" / "mine.py").unlink()
    assert learned.evaluate("Net", "Iris", tag="m").strategy == "ClassificationEvaluationStrategy"


@pytest.mark.parametrize(
    ("networks", "strategy", "text"),
    [
        ("Net,Copy", "Classification", "ClassificationEvaluationStrategy takes 1 network (network), found 2: "
         "Net, Copy"),
        ("Net", "VariationalAutoEncoder", "VariationalAutoEncoderEvaluationStrategy takes 2 networks "
         "(encoder, decoder), found 1: Net"),
    ],
)  # fmt: skip
def test_the_number_of_networks_is_that_of_the_roles(learned, networks, strategy, text):
    learned.learn("Copy", "Iris", tag="t", batchSize=8, maxIterations=1, autoencode=True)
    assert fault_of(learned, networks, "Iris", tag="t", strategy=strategy) == text


def test_a_learning_strategy_does_not_judge(learned):
    assert fault_of(learned, "Net", "Iris", tag="t", strategy="FeedForwardLearningStrategy") == (
        "FeedForwardLearningStrategy is a LearningStrategy, and this needs an EvaluationStrategy"
    )


def test_the_seed_of_the_noise_can_be_chosen(workspace):
    job = {"strategy": "VariationalAutoEncoder", "maxIterations": 1, "hidden": 4, "tag": "vae", "seed": 1}
    workspace.learn("Encoder,Decoder", "Digits", **job)
    bounds = [
        workspace.evaluate("Encoder,Decoder", "Digits", tag="vae", range="0:9", seed=seed).metrics
        for seed in (0, 0, 1)
    ]
    assert bounds[0] == bounds[1] != bounds[2]


def test_progress_is_told_while_it_runs(learned):
    from dianne.jobs.evaluate import run

    ticks = []
    run(prepare(learned.folder, "Net", "Iris", {"tag": "t", "batchSize": "20"}), tick=ticks.append)
    assert ticks == [20, 40, 50]


def test_gradients_are_off_while_networks_are_judged(learned):
    own = learned.folder.root / "strategies" / "curious.py"
    own.parent.mkdir()
    own.write_text('''
import torch

from dianne import Evaluation, EvaluationStrategy


class CuriousEvaluationStrategy(EvaluationStrategy):
    """Whether gradients are on, and whether the network is in training."""

    def setup(self, job):
        (self.network,) = job.networks
        self.seen = []

    def process_batch(self, batch):
        result = self.network(batch.input)
        self.seen.append(result.requires_grad or torch.is_grad_enabled() or self.network.training)

    def result(self):
        return Evaluation(len(self.seen), {"seen": float(any(self.seen))})
''')
    assert learned.evaluate("Net", "Iris", tag="t", strategy="Curious").metrics == {"seen": 0}
    assert torch.is_grad_enabled()


# ------------------------------------------------------------------------------------------- keeping the best


TOLD = '''
from pathlib import Path

from dianne import Evaluation, EvaluationStrategy


class ToldEvaluationStrategy(EvaluationStrategy):
    """Is told its numbers by a file."""

    larger_is_better = LARGER

    def setup(self, job):
        pass

    def process_batch(self, batch):
        pass

    def result(self):
        names = (Path(__file__).parent / "numbers").read_text().split()
        return Evaluation(1, {name: float(value) for name, value in zip(names[::2], names[1::2])})
'''


def told(workspace: Workspace, numbers: str, larger: bool = False, tag: str = "t", **options) -> str:
    """Judge by numbers as "error 0.5"; gives the tag under which the weights were kept, or ""."""
    folder = workspace.folder.root / "strategies"
    folder.mkdir(exist_ok=True)
    (folder / "told.py").write_text(TOLD.replace("LARGER", str(larger)))
    (folder / "numbers").write_text(numbers)
    return workspace.evaluate("Net", "Iris", tag=tag, strategy="Told", **options).stored


def best(workspace: Workspace) -> dict[str, float]:
    return workspace.tags("Net")["t@best"].metrics


@pytest.mark.parametrize(
    ("larger", "numbers", "kept"),
    [(False, [3, 4, 2, 2], [True, False, True, False]), (True, [3, 4, 2, 4], [True, True, False, False])],
)
def test_weights_are_kept_if_they_are_better_than_what_is_there(learned, larger, numbers, kept):
    found = [told(learned, f"value {number}", larger, storeIfBetter=True) for number in numbers]
    assert found == ["t@best" if one else "" for one in kept]
    assert best(learned) == {"value": max(numbers) if larger else min(numbers)}


def test_kept_weights_are_those_that_were_judged(learned):
    judged = learned.store.resolve("Net", "t")
    told(learned, "value 3", storeIfBetter=True)
    manifest, original = learned.tags("Net")["t@best"], learned.tags("Net")["t"]
    assert (manifest.blob, manifest.iteration, manifest.job) == (
        original.blob,
        original.iteration,
        original.job,
    )
    assert (manifest.parent, original.metrics) == (judged, {})
    assert learned.evaluate("Net", "Iris", tag="t@best").size == 50


def test_without_being_asked_nothing_is_kept(learned):
    assert told(learned, "value 3") == ""
    assert told(learned, "value 3", storeIfBetter=False) == ""
    assert list(learned.tags("Net")) == ["t"]


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"storeIfSmallerThan": 3.1}, True),
        ({"storeIfSmallerThan": 3}, False),
        ({"storeIfLargerThan": 2.9}, True),
        ({"storeIfLargerThan": 3}, False),
        ({"storeIfLargerThan": 5, "storeIfSmallerThan": 3.1}, True),
        ({"storeIfSmallerThan": 0}, False),
    ],
)
def test_weights_are_kept_beyond_a_limit_whatever_is_there(learned, options, kept):
    told(learned, "value 1", storeIfBetter=True)
    assert told(learned, "value 3", **options) == ("t@best" if kept else "")
    assert best(learned) == {"value": 3 if kept else 1}


@pytest.mark.parametrize("key", ["storeIfBetter", "storeIfSmallerThan", "storeIfLargerThan"])
def test_a_value_that_is_no_number_keeps_nothing(learned, key):
    assert told(learned, "value nan", **{key: True if key == "storeIfBetter" else 0}) == ""


def test_the_best_of_another_metric_is_not_compared(learned):
    assert told(learned, "error 0.1", storeIfBetter=True) == "t@best"
    assert told(learned, "value 3 error 5", storeIfBetter=True) == "t@best"
    assert list(best(learned)) == ["value", "error"]
    assert (
        told(learned, "value 4 error 0", storeIfBetter=True) == ""
    )  # by the first metric, not by the alphabet


@pytest.mark.parametrize("tag", ["t@2", "t@ema", "t@best"])
def test_the_best_is_one_for_all_weights_of_a_tag(learned, tag):
    learned.learn("Net", "Iris", tag="t", maxIterations=2, storeInterval=1, ema=0.9, clean=True,
                  validationSet="0:9", validationInterval=1)  # fmt: skip
    assert told(learned, "value 3", tag=tag, storeIfBetter=True) == "t@best"
    assert "@" not in "".join(name.removesuffix("@best") for name in learned.tags("Net") if "best" in name)


def test_what_a_learn_job_kept_must_be_beaten(learned):
    learned.learn("Net", "Iris", tag="t", maxIterations=60, hidden=5, validationSet="100:150", seed=1)
    accuracy = best(learned)["accuracy"]
    found = learned.evaluate("Net", "Iris", tag="t", storeIfBetter=True)
    assert found.metrics["accuracy"] == accuracy
    assert found.stored == ""


def test_all_networks_are_kept_together(workspace):
    job = {"strategy": "VariationalAutoEncoder", "maxIterations": 1, "hidden": 4, "tag": "vae", "seed": 1}
    workspace.learn("Encoder,Decoder", "Digits", **job)
    found = workspace.evaluate("Encoder,Decoder", "Digits", tag="vae", range="0:9", storeIfBetter=True)
    assert found.stored == "vae@best"
    for name in ("Encoder", "Decoder"):
        assert workspace.tags(name)["vae@best"].metrics == found.metrics
        assert list(workspace.tags(name)["vae@best"].metrics) == ["negative ELBO", "reconstruction", "kl"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"storeIfBetter": "perhaps"}, "'storeIfBetter': expected true or false, found 'perhaps'"),
        ({"storeIfSmallerThan": "x"}, "'storeIfSmallerThan': expected a number, found 'x'"),
        ({"storeIfLargerThan": "nan"}, "'storeIfLargerThan': expected a finite number, found 'nan'"),
        ({"storeIfLargerThan": "inf"}, "'storeIfLargerThan': expected a finite number, found 'inf'"),
        ({"includeOutputs": "2"}, "'includeOutputs': expected true or false, found '2'"),
        ({"seed": "-1"}, "'seed': expected at least 0, found '-1'"),
        ({"storeIfBeter": "true"}, "'storeIfBeter': nothing here reads 'storeIfBeter'; did you mean "
         "'storeIfBetter'?"),
    ],
)  # fmt: skip
def test_values_that_cannot_be_are_refused(learned, options, problem):
    assert fault_of(learned, "Net", "Iris", tag="t", **options) == (
        f"evaluate: 1 problem\n  option {problem}"
    )
    assert list(learned.tags("Net")) == ["t"]


# ----------------------------------------------------------------------------------------------- outputs


def test_outputs_are_what_the_network_gives_for_every_sample_in_order(learned):
    given = {"tag": "t", "includeOutputs": True}
    results = learned.deploy("Net", tag="t").forward(learned.dataset("Iris", "test").inputs)
    for size in (500, 7):
        found = learned.evaluate("Net", "Iris", batchSize=size, **given)
        torch.testing.assert_close(found.outputs, results)
    assert learned.evaluate("Net", "Iris", tag="t").outputs is None


def test_a_strategy_that_gives_nothing_has_no_outputs(learned):
    told(learned, "value 3")
    assert learned.evaluate("Net", "Iris", tag="t", strategy="Told", includeOutputs=True).outputs is None


# ------------------------------------------------------------------------------------ what the learn job said


def settings(workspace: Workspace, **options) -> dict[str, tuple]:
    found = prepare(workspace.folder, "Copy", "Iris", {"tag": "t", **options}).bound.settings
    return {setting.key: (setting.value, setting.origin) for setting in found}


def test_the_options_of_a_criterion_are_those_of_the_job(learned):
    given = {"criterion": "torch.nn.HuberLoss", "delta": 0.25, "autoencode": True, "batchSize": 8}
    learned.learn("Copy", "Iris", tag="t", maxIterations=1, **given)
    found = settings(learned)
    assert found["criterion"] == ("torch.nn.HuberLoss", "tag t")
    assert found["delta"] == (0.25, "tag t")
    assert found["batchSize"] == (500, "default")  # of the evaluation, not of the job
    assert settings(learned, delta="0.5")["delta"] == (0.5, "command line")
    inputs = learned.dataset("Iris", "test").inputs
    results = learned.deploy("Copy", tag="t").forward(inputs)
    expected = torch.nn.functional.huber_loss(results, inputs, delta=0.25).item()
    metrics = learned.evaluate("Copy", "Iris", tag="t").metrics
    assert metrics == {"torch.nn.HuberLoss": pytest.approx(expected)}


def test_another_criterion_does_not_take_the_options_of_the_jobs(learned):
    given = {"criterion": "torch.nn.HuberLoss", "delta": 0.25, "autoencode": True, "batchSize": 8}
    learned.learn("Copy", "Iris", tag="t", maxIterations=1, **given)
    assert list(learned.evaluate("Copy", "Iris", tag="t", criterion="MSE").metrics) == ["MSE"]
    assert "delta" not in settings(learned, criterion="MSE")


# ------------------------------------------------------------------------------------------- older manifests


def test_weights_of_the_first_format_are_judged_and_kept_in_the_new_one(learned):
    import hashlib
    import json

    root = learned.folder.models
    identifier = learned.store.resolve("Net", "t")
    old = json.loads((root / "manifests" / identifier[:2] / f"{identifier}.json").read_text())
    del old["metrics"], old["labels"]
    text = json.dumps({**old, "format": 1})
    name = hashlib.sha256(text.encode()).hexdigest()
    path = root / "manifests" / name[:2] / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    (root / "refs" / "Net" / "t").write_text(f"{name}\n")

    manifest = learned.tags("Net")["t"]
    assert (manifest.format, manifest.metrics, manifest.labels) == (1, {}, None)
    assert learned.evaluate("Net", "Iris", tag="t", storeIfBetter=True).stored == "t@best"
    kept = learned.tags("Net")["t@best"]
    assert (kept.format, list(kept.metrics), kept.parent) == (FORMAT, ["accuracy"], name)
    learned.learn("Net", "Iris", tag="t", maxIterations=1, hidden=5)
    assert (learned.tags("Net")["t"].iteration, learned.tags("Net")["t"].parent) == (4, name)
