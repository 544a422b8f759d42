"""Evaluate jobs: which weights, which samples, and which strategy judges."""

import pytest
import torch

from dianne import UsageError, Workspace
from dianne.jobs.evaluate import prepare

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
    for file, text in FILES.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text)
    return Workspace(tmp_path)


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
    (learned.folder.root / "datasets" / "Whole.yaml").write_text(
        "{type: sklearn, loader: load_iris, labels: [setosa, versicolor, virginica]}"
    )
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
