"""Trying a strategy on made-up data."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from dianne import UsageError, Workspace
from dianne.cli.commands import cli
from dianne.jobs.trial import attempt
from dianne.plugins import strategies

RUNS = "it runs, and every term of its loss is a number"
GRADIENTS = "every weight that should learn gets a gradient"
MODES = "networks learn in training mode, others run in evaluation mode"
CHANGES = "no network changes outside of its updates"
SEED = "the same seed gives the same losses"

NETWORK = """
modules:
  features: {type: Input, shape: [4]}
  hidden: {type: Linear, output: 5}
  drop: {type: Dropout, rate: 0.5}
  scores: {type: Linear, output: 3}
  output: {type: Output}
"""
FILES = {
    "networks/Net.yaml": NETWORK,
    "networks/Other.yaml": NETWORK,
    "networks/Line.yaml": NETWORK.replace("output: 3", "output: 1"),
    "networks/Picture.yaml": NETWORK.replace(
        "output: 3}", "output: 12}\n  shaped: {type: Reshape, shape: [3, 4]}"
    ),
}
STRATEGY = '''
import torch

from dianne import GradientOptions, LearningStrategy, LearnProgress


class MineLearningStrategy(LearningStrategy):
    """A network and its helper."""

    roles = ("network", "helper")
    untrained = ("helper",)

    class Options(GradientOptions):
        """Batches, criterion, method."""

    def setup(self, job):
        self.job = job
        self.network, self.helper = job.networks
        self.batches, self.criterion = job.batches, job.criterion()
        # setup
        self.update = job.update(self.loss, trains=(self.network,))

    def loss(self, batch):
        result = self.network(batch.input)
        wanted = self.helper(batch.input)
        # loss
        return {"loss": self.criterion(result, wanted).mean()}

    def process_iteration(self, i):
        terms = self.update(next(self.batches))
        # iteration
        return LearnProgress(i, terms)
'''


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Workspace:
    monkeypatch.chdir(tmp_path)
    for file, text in FILES.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text)
    (tmp_path / "strategies").mkdir()
    return Workspace()


def attempted(workspace: Workspace, networks: str | None = "Net,Other", text: str = STRATEGY, **options):
    """What is wrong with a strategy, by check; only those checks in which something is."""
    (workspace.folder.root / "strategies" / "mine.py").write_text(text)
    trial = attempt(workspace.folder, "Mine", networks, options)
    found = {check: faults for check, faults in trial.checks.items() if faults}
    assert trial.fine == (not found)
    return found


def changed(place: str, line: str) -> str:
    """The strategy with a line more at a place."""
    indented = next(found for found in STRATEGY.splitlines() if found.strip() == f"# {place}")
    return STRATEGY.replace(indented, indented.replace(f"# {place}", line))


# ---------------------------------------------------------------------------------------------- what is well


def test_a_strategy_that_is_well_has_no_faults(workspace):
    (workspace.folder.root / "strategies" / "mine.py").write_text(STRATEGY)
    trial = attempt(workspace.folder, "Mine", "Net,Other", {})
    assert trial.fine
    assert (trial.strategy, trial.networks, trial.samples) == (
        "MineLearningStrategy",
        {"network": "Net", "helper": "Other"},
        [4],
    )
    judged = "CriterionEvaluationStrategy judges what it has learned"
    assert list(trial.checks) == [RUNS, GRADIENTS, MODES, CHANGES, SEED, judged]


def test_a_network_named_twice_is_tried_too(workspace):
    assert attempted(workspace, "Net,Net") == {}


@pytest.mark.parametrize(
    "name", [n for n, f in strategies(Workspace().folder).items() if f.kind == "LearningStrategy"]
)
def test_every_strategy_that_ships_is_well(workspace, name):
    trial = attempt(workspace.folder, name, None, {})
    assert {check: faults for check, faults in trial.checks.items() if faults} == {}


@pytest.mark.parametrize("network", ["Net", "Line", "Picture"])
def test_a_network_is_tried_whatever_it_gives(workspace, network):
    trial = attempt(workspace.folder, "FeedForward", network, {})
    assert {check: faults for check, faults in trial.checks.items() if faults} == {}


def test_a_trial_stores_and_records_nothing(workspace):
    before = {path for path in workspace.folder.root.rglob("*") if "__pycache__" not in path.parts}
    attempted(workspace)
    after = {path for path in workspace.folder.root.rglob("*") if "__pycache__" not in path.parts}
    assert {path.name for path in after - before} == {"mine.py"}


def test_options_are_those_of_a_job(workspace):
    assert attempted(workspace, batchSize="4", schedule="COSINE", **{"network.clipNorm": "1"}) == {}
    with pytest.raises(UsageError) as fault:
        attempted(workspace, batchsize="4")
    assert str(fault.value) == (
        "learn: 1 problem\n  option 'batchsize': nothing here reads 'batchsize'; did you mean 'batchSize'?"
    )


# --------------------------------------------------------------------------------------------- what is wrong


@pytest.mark.parametrize(
    ("text", "check", "faults"),
    [
        (
            changed("loss", "result = result * float('nan')"),
            RUNS,
            ["the loss is nan"],
        ),
        (
            changed("iteration", "terms = {**terms, 'own': torch.tensor(float('inf'))}"),
            RUNS,
            ["the term 'own' of the loss is inf"],
        ),
        (
            changed("iteration", "terms = {'kl': terms['loss']}"),
            RUNS,
            ["a strategy's loss must return a dict with the key 'loss', found the keys kl"],
        ),
        (
            changed("iteration", "return terms"),
            RUNS,
            ["process_iteration must return a LearnProgress, found dict"],
        ),
        (
            changed("loss", "result = result.detach() + 0 * self.network.get_submodule('scores').bias.sum()"),
            GRADIENTS,
            ["network: gets no gradient at all; is the loss cut off from it?"],
        ),
        (
            changed("loss", "result = self.network.get_submodule('scores')(torch.zeros(len(result), 5))"),
            GRADIENTS,
            ["network.hidden.weight: gets no gradient", "network.hidden.bias: gets no gradient",
             "network.scores.weight: gets no gradient"],
        ),
        (
            changed("setup", "self.helper.train()"),
            MODES,
            ["helper: ran in training mode; leave it in evaluation mode"],
        ),
        (
            changed("setup", "self.network.eval()"),
            MODES,
            ["network: ran in evaluation mode; leave it in training mode"],
        ),
        (
            changed("iteration", "next(self.helper.parameters()).data.add_(1)"),
            CHANGES,
            ["helper: its weights change, but no update trains it"],
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(workspace, text, check, faults):
    assert attempted(workspace, text=text) == {check: faults}


def test_a_network_that_no_update_trains_is_noticed(workspace):
    text = STRATEGY.replace('    untrained = ("helper",)\n', "")
    assert attempted(workspace, text=text)[GRADIENTS] == [
        "helper: no update trains it; name it in `trains`, or its role in `untrained`"
    ]


def test_random_numbers_of_ones_own_are_noticed(workspace):
    text = changed("loss", "wanted = wanted + float(__import__('random').random())")
    (found,) = attempted(workspace, text=text).items()
    assert found[0] == SEED
    (fault,) = found[1]
    assert fault.startswith("found ")
    assert fault.endswith("; draw all random numbers with generator=job.noise, and batches from job.batches")


def test_a_fault_of_its_code_names_the_line(workspace):
    text = changed("loss", "result = [][1]")
    line = text.splitlines().index("        result = [][1]") + 1
    assert attempted(workspace, text=text) == {
        RUNS: [f"MineLearningStrategy: strategies/mine.py:{line}: IndexError: list index out of range"]
    }


def test_an_evaluation_for_other_networks_is_noticed(workspace):
    text = STRATEGY.replace(
        '    roles = ("network",',
        '    evaluation = "VariationalAutoEncoderEvaluationStrategy"\n    roles = ("network",',
    )
    assert attempted(workspace, text=text) == {
        "VariationalAutoEncoderEvaluationStrategy judges what it has learned": [
            "VariationalAutoEncoderEvaluationStrategy takes 2 networks (encoder, decoder), found 1: Net"
        ]
    }


def test_an_evaluation_that_is_nowhere_is_noticed(workspace):
    text = STRATEGY.replace(
        '    roles = ("network",', '    evaluation = "MineEvaluationStrategy"\n    roles = ("network",'
    )
    (found,) = attempted(workspace, text=text).items()
    assert found[0] == "MineEvaluationStrategy judges what it has learned"
    assert found[1][0].startswith(
        "there is no EvaluationStrategy 'MineEvaluationStrategy' in strategies/ or among"
    )


PICTURES = """
modules:
  image: {type: Input, shape: [1, 6, 6]}
  flat: {type: Reshape, shape: [36]}
  scores: {type: Linear, output: OUTPUTS}
  result: {type: LogSoftmax}
  output: {type: Output}
"""


@pytest.mark.parametrize(
    ("outputs", "options"),
    [
        (4, {"hflip": "0.5", "rotation": "10", "cropPadding": "2", "normalise": "true"}),
        (4, {"frame": "6,6", "binarize": "0.5", "encoderNoise": "0.1", "split": "0.75"}),
        (3, {"labels": "cat,dog", "other": "true", "vflip": "0.5"}),
        (2, {"labels": "cat,dog", "stochasticBinarize": "true"}),
        (2, {"maskToClass": "0.5", "hflip": "0.5"}),
        (5, {"oneHot": "5", "cropWidth": "6"}),
    ],
)
def test_adapters_of_the_job_are_tried_too(workspace, outputs, options):
    (workspace.folder.root / "networks" / "Pictures.yaml").write_text(
        PICTURES.replace("OUTPUTS", str(outputs))
    )
    trial = attempt(workspace.folder, "FeedForward", "Pictures", options)
    assert {check: faults for check, faults in trial.checks.items() if faults} == {}


def test_adapters_that_do_not_fit_are_noticed(workspace):
    (workspace.folder.root / "networks" / "Pictures.yaml").write_text(PICTURES.replace("OUTPUTS", "4"))
    trial = attempt(workspace.folder, "FeedForward", "Pictures", {"frame": "5,5", "hflip": "0.5"})
    assert trial.checks == {RUNS: ["Pictures.image takes samples of [1, 6, 6], got [1, 5, 5]"]}
    with pytest.raises(UsageError) as fault:
        attempt(workspace.folder, "FeedForward", "Net", {"hflip": "0.5", "binarize": "0.5"})
    assert str(fault.value) == (
        "hflip needs images [height, width] or [planes, height, width], but the samples of made-up data are "
        "[4]"
    )


# ----------------------------------------------------------------------------------------------- the command


def run(*words: str):
    return CliRunner().invoke(cli, ["strategies", *words], standalone_mode=False)


def test_networks_are_needed_where_none_are_known(workspace):
    with pytest.raises(UsageError) as fault:
        attempted(workspace, networks=None)
    assert str(fault.value) == (
        "which networks should MineLearningStrategy be tried with? name them: "
        "dianne strategies Mine NETWORK,HELPER --try"
    )


def test_networks_of_the_names_of_the_roles_are_found(workspace):
    (workspace.folder.root / "networks" / "Network.yaml").write_text(NETWORK)
    (workspace.folder.root / "networks" / "Helper.yaml").write_text(NETWORK)
    assert attempted(workspace, networks=None) == {}


def test_an_example_of_the_strategy_is_used(workspace):
    example = '    example = {"networks": "Net,Other", "dataset": "Iris", "batchSize": 3}\n'
    text = STRATEGY.replace('    roles = ("network",', f'{example}    roles = ("network",')
    text = text.replace("        # loss\n", "        assert len(result) in (3, 5), len(result)\n")
    assert attempted(workspace, networks=None, text=text) == {}
    assert attempted(workspace, networks=None, text=text, batchSize="5") == {}


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--try"], "--try needs a strategy; `dianne strategies` lists them"),
        (["FeedForward", "Net"], "networks and options go with --try only; leave Net out"),
        (
            ["FeedForward", "batchSize=3"],
            "networks and options go with --try only; leave batchSize out",
        ),
        (
            ["ClassificationEvaluationStrategy", "--try"],
            "ClassificationEvaluationStrategy is an EvaluationStrategy, and this needs a LearningStrategy",
        ),
        (
            ["FeedForward", "Net,Other", "--try"],
            "FeedForwardLearningStrategy takes 1 network (network), found 2: Net, Other",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(workspace, words, text):
    found = run(*words)
    assert isinstance(found.exception, UsageError)
    assert str(found.exception) == text


def test_the_result_for_machines(workspace, capsys):
    (workspace.folder.root / "strategies" / "mine.py").write_text(STRATEGY)
    found = run("Mine", "Net,Other", "--try", "--json")
    assert found.return_value == 0
    trial = json.loads(found.output)
    assert (trial["strategy"], trial["fine"], trial["networks"]) == (
        "MineLearningStrategy",
        True,
        {"network": "Net", "helper": "Other"},
    )


def test_a_fault_is_an_exit_code(workspace):
    (workspace.folder.root / "strategies" / "mine.py").write_text(changed("setup", "self.network.eval()"))
    assert run("Mine", "Net,Other", "--try", "--json").return_value == 1
