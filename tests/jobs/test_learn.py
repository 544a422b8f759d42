"""Learn jobs: what they take for granted, where their weights start from, and what they write down."""

import platform

import pytest
import torch
from workspaces import IRIS, Notes, workspace_of

import dianne
from dianne import UsageError, Workspace, plugins
from dianne.errors import suggest
from dianne.jobs.learn import LearnWatcher, PreparedLearn, prepare
from dianne.jobs.learn_run import LearnRun
from dianne.learning.update import DivergedError
from dianne.workspace import shipped

VAE = {"strategy": "VariationalAutoEncoder", "hidden": 4, "batchSize": 8, "maxIterations": 3, "tag": "vae"}
STILL = {"learningRate": 1e-30}  # steps that no weight notices
NETWORK = """
parameters: {hidden: 4}
modules:
  features: {type: Input, shape: [4]}
  hidden: {type: Linear, output: "${hidden}"}
  tanh: {type: Tanh}
  drop: {type: Dropout, rate: 0.2}
  scores: {type: Linear, output: 3}
  classes: {type: LogSoftmax}
  output: {type: Output}
"""
FILES = {
    "networks/Net.yaml": NETWORK,
    "networks/Line.yaml": """
modules:
  features: {type: Input, shape: [10]}
  result: {type: Linear, output: 1}
  output: {type: Output}
""",
    "datasets/Iris.yaml": IRIS,
    "datasets/Diabetes.yaml": "{type: sklearn, loader: load_diabetes}",
}


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    return workspace_of(tmp_path, FILES)


def learn(workspace: Workspace, **options) -> list[str]:
    """Learn Iris in a few iterations; gives what the user was told."""
    notes = Notes()
    given = {"tag": "t", "seed": 1, "batchSize": 8, "maxIterations": 3, **options}
    workspace.learn("Net", "Iris", watcher=notes, **given)
    return notes.notes


def prepared(workspace: Workspace, networks: str, dataset: str, **options) -> PreparedLearn:
    return prepare(workspace.folder, networks, dataset, options)


def values(job: PreparedLearn, *keys: str) -> list:
    settings = {setting.key: setting.value for setting in job.bound.settings}
    return [settings[key] for key in keys]


def stored(workspace: Workspace, network: str = "Net", tag: str = "t") -> dict[str, list]:
    weights = workspace.store.weights(workspace.store.manifest(network, tag))
    return {name: tensor.tolist() for name, tensor in weights.items()}


def fault_of(workspace: Workspace, networks: str, dataset: str, **options) -> str:
    with pytest.raises(UsageError) as fault:
        workspace.learn(networks, dataset, **options)
    assert not workspace.folder.models.exists()
    return str(fault.value)


# ---------------------------------------------------------------------------------------------- defaults


def test_an_autoencoder_takes_for_granted_what_it_needs(workspace):
    job = prepared(workspace, "Encoder,Decoder", "Digits", strategy="VariationalAutoEncoder")
    keys = (
        "autoencode",
        "criterion",
        "method",
        "batchSize",
        "maxIterations",
        "sampling",
        "beta",
        "sampleSize",
    )
    assert values(job, *keys) == [True, "BCE", "ADAM", 128, 5000, "UNIFORM", 1.0, 1]
    assert job.data.autoencode
    assert job.options.max_iterations == 5000


def test_a_classifier_learns_by_the_likelihood_of_classes(workspace):
    job = prepared(workspace, "Net", "Iris")
    keys = ("criterion", "method", "batchSize", "maxIterations", "autoencode")
    assert job.strategy.__name__ == "FeedForwardLearningStrategy"
    assert values(job, *keys) == ["NLL", "ADAM", 128, 5000, False]


@pytest.mark.parametrize(("dataset", "options"), [("Diabetes", {}), ("Iris", {"autoencode": "true"})])
def test_other_targets_are_learned_by_their_squared_error(workspace, dataset, options):
    assert values(prepared(workspace, "Net", dataset, **options), "criterion") == ["MSE"]


@pytest.mark.parametrize(
    ("dataset", "options", "chosen"),
    [
        ("Digits", {}, "0:1500"),
        ("Iris", {}, "all"),
        ("Digits", {"range": "0,99"}, "0,99"),
        ("Digits", {"trainSet": "5:50"}, "5:50"),
        ("Digits", {"train_set": "5:50"}, "5:50"),
    ],
)
def test_the_train_part_is_used_unless_a_range_is_given(workspace, dataset, options, chosen):
    assert str(prepared(workspace, "Net", dataset, **options).train) == chosen


def test_a_range_and_a_train_set_exclude_each_other(workspace):
    assert fault_of(workspace, "Net", "Iris", range="0:100", trainSet="0:100") == (
        "range and trainSet mean the same; give one of them"
    )


def test_only_the_samples_of_the_range_are_learned(workspace):
    learn(workspace, range="0:5", tag="five")
    learn(workspace, range="0,1,2,3,4", tag="listed")
    learn(workspace, range="5:10", tag="others")
    assert stored(workspace, tag="five") == stored(workspace, tag="listed") != stored(workspace, tag="others")


@pytest.mark.parametrize(
    ("networks", "found"), [("Encoder", "1: Encoder"), ("Encoder,Decoder,MLP", "3: Encoder, Decoder, MLP")]
)
def test_the_number_of_networks_is_that_of_the_roles(workspace, networks, found):
    text = fault_of(workspace, networks, "Digits", strategy="VariationalAutoEncoder")
    assert (
        text == f"VariationalAutoEncoderLearningStrategy takes 2 networks (encoder, decoder), found {found}"
    )


def test_one_network_named_twice_is_refused(workspace):
    text = fault_of(workspace, "Encoder,Encoder", "Digits", strategy="VariationalAutoEncoder")
    assert text == "Encoder is named twice; every role that learns needs a network of its own"


def test_an_evaluation_strategy_does_not_learn(workspace):
    ships = plugins.strategies(workspace.folder).values()
    learners = [file.name.removesuffix("LearningStrategy") for file in ships if file.kind == plugins.LEARNING]
    assert fault_of(workspace, "Net", "Iris", strategy="ClassificationEvaluation") == (
        "there is no LearningStrategy 'ClassificationEvaluation' in "
        f"{workspace.folder.root}/strategies/ or among those that ship"
        f"{suggest('ClassificationEvaluation', learners, 'strategies')}"
    )
    assert fault_of(workspace, "Net", "Iris", strategy="ClassificationEvaluationStrategy") == (
        "ClassificationEvaluationStrategy is an EvaluationStrategy, and this needs a LearningStrategy"
    )


# ------------------------------------------------------------------------------------------ aimed options


def test_options_aimed_at_a_network_by_name_or_role_reach_it_alone(workspace):
    for tag, aimed in {
        "fresh": STILL,
        "name": {"Encoder.learningRate": 1e-30},
        "role": {"decoder.learningRate": 1e-30},
    }.items():
        workspace.learn("Encoder,Decoder", "Digits", **{**VAE, **aimed, "seed": 1, "tag": tag})
    fresh, name, role = (
        {network: stored(workspace, network, tag) for network in ("Encoder", "Decoder")}
        for tag in ("fresh", "name", "role")
    )
    assert name["Encoder"] == fresh["Encoder"]
    assert name["Decoder"] != fresh["Decoder"]
    assert role["Encoder"] != fresh["Encoder"]
    assert role["Decoder"] == fresh["Decoder"]


def test_networks_may_have_methods_of_their_own(workspace):
    aimed = {"decoder.method": "sgd", "Decoder.momentum": 0.9, "encoder.beta1": 0.5}
    job = prepared(workspace, "Encoder,Decoder", "Digits", **VAE, **aimed)
    run = LearnRun(job, LearnWatcher())
    run.run()
    assert values(job, "decoder.method", "Decoder.momentum", "encoder.beta1") == ["SGD", 0.9, 0.5]
    readers = {setting.key: setting.readers for setting in job.bound.settings}
    assert readers["Decoder.momentum"] == ["decoder.SGD"]
    assert readers["encoder.beta1"] == ["encoder.ADAM"]


def test_an_option_that_only_the_other_network_reads_is_refused(workspace):
    aimed = {"decoder.method": "SGD", "encoder.momentum": 0.9}
    text = fault_of(workspace, "Encoder,Decoder", "Digits", **VAE, **aimed)
    assert text == (
        "learn: 1 problem\n  option 'encoder.momentum': nothing of 'encoder' reads 'momentum'; 'decoder' does"
    )


# --------------------------------------------------------------------------------------- starting weights


def test_a_second_job_goes_on_from_the_tag_and_adds_its_iterations(workspace):
    assert learn(workspace, maxIterations=3) == []
    first, identifier = stored(workspace), workspace.store.resolve("Net", "t")
    assert learn(workspace, **STILL, seed=2) == ["starting from 't', which has learned 3 iterations"]
    manifest = workspace.tags("Net")["t"]
    assert (manifest.iteration, manifest.parent) == (6, identifier)
    assert stored(workspace) == first


def test_an_init_tag_gives_the_weights_and_stays_as_it_is(workspace):
    learn(workspace, tag="start")
    start, identifier = stored(workspace, tag="start"), workspace.store.resolve("Net", "start")
    notes = learn(workspace, **STILL, seed=2, initTag="start")
    assert notes == ["starting from 'start', which has learned 3 iterations"]
    assert stored(workspace) == start
    manifests = workspace.tags("Net")
    assert (manifests["t"].iteration, manifests["t"].parent) == (6, identifier)
    assert workspace.store.resolve("Net", "start") == identifier


def test_an_init_tag_that_does_not_exist_is_refused(workspace):
    assert fault_of(workspace, "Net", "Iris", initTag="start") == (
        f"Net has no tag 'start'; nothing is stored for Net in {workspace.folder.models}/"
    )


def test_clean_starts_from_new_weights_and_keeps_the_old_as_parent(workspace):
    learn(workspace, **STILL, seed=2, tag="fresh")
    learn(workspace)
    identifier = workspace.store.resolve("Net", "t")
    assert learn(workspace, **STILL, seed=2, clean=True) == []
    manifest = workspace.tags("Net")["t"]
    assert (manifest.iteration, manifest.parent) == (3, identifier)
    assert stored(workspace) == stored(workspace, tag="fresh")


def test_clean_does_not_name_an_init_tag_as_the_origin_of_its_weights(workspace):
    learn(workspace, tag="start")
    learn(workspace, initTag="start", clean=True)
    manifest = workspace.tags("Net")["t"]
    assert (manifest.iteration, manifest.parent) == (3, None)


def test_a_tag_of_another_shape_starts_afresh_and_stays_in_the_history(workspace):
    learn(workspace)
    identifier, old = workspace.store.resolve("Net", "t"), stored(workspace)
    assert learn(workspace, hidden=6) == [
        "the weights under 't' are of another shape; starting from new ones "
        "(the old ones stay in the tag's history)"
    ]
    manifest = workspace.tags("Net")["t"]
    assert (manifest.iteration, manifest.parent, manifest.parameters) == (3, identifier, {"hidden": 6})
    before = workspace.store.weights(workspace.store.read_manifest(manifest.parent))
    assert {name: tensor.tolist() for name, tensor in before.items()} == old


def test_an_init_tag_of_another_shape_is_a_fault(workspace):
    learn(workspace, tag="start")
    with pytest.raises(dianne.DianneError) as fault:
        learn(workspace, initTag="start", hidden=6)
    assert str(fault.value) == (
        "Net:start does not fit the network; nothing was loaded\n"
        "  hidden.weight: stored (4, 4), the network has (6, 4)\n"
        "  hidden.bias: stored (4,), the network has (6,)\n"
        "  scores.weight: stored (3, 4), the network has (3, 6)"
    )
    assert list(workspace.tags("Net")) == ["start"]


def test_a_tag_that_only_one_network_has_is_used_for_that_one(workspace):
    workspace.learn("Encoder,Decoder", "Digits", **VAE, seed=1)
    trained = stored(workspace, "Encoder", "vae")
    (workspace.folder.models / "refs" / "Decoder" / "vae").unlink()
    notes = Notes()
    workspace.learn("Encoder,Decoder", "Digits", watcher=notes, **VAE, **STILL)
    assert notes.notes == [
        "starting from 'vae', which has learned 3 iterations",
        "Decoder has no weights under 'vae'; it starts from new ones",
    ]
    assert stored(workspace, "Encoder", "vae") == trained


def test_a_job_without_a_tag_is_stored_under_its_identifier(workspace):
    result = workspace.learn("Net", "Iris", batchSize=8, maxIterations=1)
    assert result.tag == result.job
    assert list(workspace.tags("Net")) == [result.job]


# ------------------------------------------------------------------------------------------------- shapes


def test_another_latent_size_retrains_and_rebuilds_both_networks(workspace):
    workspace.learn("Encoder,Decoder", "Digits", **VAE)
    workspace.learn("Encoder,Decoder", "Digits", **VAE, latentDims=10)
    for network in ("Encoder", "Decoder"):
        manifest = workspace.tags(network)["vae"]
        assert manifest.parameters == {"latentDims": 10, "hidden": 4}
        assert workspace.store.read_manifest(manifest.parent).parameters == {"latentDims": 2, "hidden": 4}
    assert workspace.deploy("Encoder", tag="vae").output_dims == [(20,)]
    assert workspace.deploy("Decoder", tag="vae").forward(torch.zeros(3, 10)).shape == (3, 28, 28)
    assert workspace.evaluate("Encoder,Decoder", "Digits", tag="vae", range="0:10").size == 10


def test_a_deployed_network_drops_nothing(workspace):
    learn(workspace)
    network = workspace.deploy("Net", tag="t")
    samples = torch.ones(20, 4)
    assert network.forward(samples).tolist() == network.forward(samples).tolist()
    assert len(set(network.forward(samples)[:, 0].tolist())) == 1


def test_targets_of_one_number_are_learned(workspace):
    result = workspace.learn("Line", "Diabetes", tag="t", batchSize=8, maxIterations=3, validationSet="0:20")
    assert result.iterations == 3
    found = workspace.evaluate("Line", "Diabetes", tag="t", range="0:20")
    data = workspace.dataset("Diabetes")
    results = workspace.deploy("Line", tag="t").forward(data.inputs[:20])
    expected = (results.flatten() - data.targets[:20]).square().mean().item()
    assert found.metrics == {"MSE": pytest.approx(expected)}


# ------------------------------------------------------------------------------------------- written down


def test_the_manifest_tells_where_the_weights_come_from(workspace):
    result = workspace.learn(
        "Net", "Iris",
        tag="t", seed=7, hidden=5, batchSize=8, maxIterations=4, learningRate=0.01, range="0:50",
    )  # fmt: skip
    manifest = workspace.tags("Net")["t"]
    assert (manifest.network, manifest.text, manifest.parameters) == ("Net", NETWORK, {"hidden": 5})
    options = {
        "tag": "t", "seed": 7, "hidden": 5, "batchSize": 8, "maxIterations": 4, "learningRate": 0.01,
        "range": "0:50", "criterion": "NLL",
    }  # fmt: skip
    given = {
        "tag": "t", "seed": 7, "hidden": 5, "batchSize": 8, "maxIterations": 4, "learningRate": 0.01,
        "range": "0:50",
    }  # fmt: skip
    strategies = shipped("strategies")
    assert manifest.job == {
        "id": result.job, "command": "learn", "networks": ["Net"], "dataset": "Iris",
        "strategy": "FeedForwardLearningStrategy", "options": options, "seed": 7,
        "given": [[key, value, "command line", ""] for key, value in given.items()],
        "texts": {"Net": NETWORK}, "descriptor": FILES["datasets/Iris.yaml"], "best": {},
        "starts": {"network": None},
        "code": {"feed_forward.py": (strategies / "feed_forward.py").read_text()},
        "modules": {},
        "data": workspace.dataset("Iris").fingerprint(), "threads": torch.get_num_threads(),
        "device": "cpu", "versions": manifest.versions,
    }  # fmt: skip
    assert (manifest.iteration, manifest.loss, manifest.parent) == (4, result.loss, None)
    assert manifest.dataset == {"name": "Iris", "fingerprint": workspace.dataset("Iris").fingerprint()}
    assert manifest.versions == {
        "dianne": dianne.__version__, "torch": torch.__version__, "python": platform.python_version(),
    }  # fmt: skip


def test_a_job_can_be_run_again_from_its_manifest(workspace):
    workspace.learn("Net", "Iris", tag="t", batchSize=8, maxIterations=3, sampling="permutation")
    job = workspace.tags("Net")["t"].job
    again = {**job["options"], "seed": job["seed"], "tag": "again", "strategy": job["strategy"]}
    workspace.learn(job["networks"], job["dataset"], **again)
    assert stored(workspace, tag="again") == stored(workspace)


def test_jobs_without_a_seed_draw_one_each(workspace):
    seeds = set()
    for tag in ("a", "b"):
        workspace.learn("Net", "Iris", tag=tag, batchSize=8, maxIterations=1)
        seeds.add(workspace.tags("Net")[tag].job["seed"])
    assert len(seeds) == 2


def test_random_numbers_of_the_program_stay_its_own(workspace):
    torch.manual_seed(4)
    expected = torch.rand(3).tolist()
    torch.manual_seed(4)
    learn(workspace)
    assert torch.rand(3).tolist() == expected


# --------------------------------------------------------------------------------------------- validation


def test_the_validation_set_is_evaluated_at_every_interval(workspace):
    told = []

    class Watcher(LearnWatcher):
        def validated(self, iteration, evaluation):
            told.append((iteration, evaluation))

    options = {
        "tag": "t",
        "batchSize": 8,
        "maxIterations": 5,
        "validationSet": "0:30",
        "validationInterval": 2,
    }
    result = workspace.learn("Net", "Iris", watcher=Watcher(), storeInterval=2, **options)
    assert list(result.validations.items()) == told
    assert list(result.validations) == [2, 4, 5]  # and at the end
    for iteration, found in told:
        tag = "t" if iteration == 5 else f"t@{iteration}"
        stored = workspace.evaluate("Net", "Iris", tag=tag, range="0:30")
        assert (found.size, found.metrics, found.confusion) == (30, stored.metrics, stored.confusion)


def test_validation_uses_the_criterion_of_the_job(workspace):
    options = {"batchSize": 8, "maxIterations": 1, "validationSet": "0:30", "validationInterval": 1}
    result = workspace.learn("Line", "Diabetes", criterion="ABS", **options)
    assert list(result.validations[1].metrics) == ["ABS"]


def test_validation_does_not_move_the_learning(workspace):
    learn(workspace, tag="without")
    learn(workspace, tag="with", validationSet="0:30", validationInterval=1)
    assert stored(workspace, tag="without") == stored(workspace, tag="with")


# ------------------------------------------------------------------------------------------- a user's own


OWN_NETWORKS = {
    "Actor": """
parameters: {width: 3}
modules:
  features: {type: Input, shape: [4]}
  hidden: {type: Linear, output: "${width}"}
  tanh: {type: Tanh}
  scores: {type: Linear, output: 3}
  classes: {type: LogSoftmax}
  output: {type: Output}
""",
    "Critic": """
modules:
  classes: {type: Input, shape: [3]}
  judgement: {type: Linear, output: 1}
  output: {type: Output}
""",
}
OWN_STRATEGY = '''
from dianne import GradientOptions, LearningStrategy, LearnProgress, PositiveFloat


class DuelLearningStrategy(LearningStrategy):
    """Two networks with an update each; the second judges the first."""

    roles = ("actor", "critic")
    defaults = {"maxIterations": 4}
    evaluation = "DuelEvaluationStrategy"

    class Options(GradientOptions):
        weight: PositiveFloat = 1.0
        """Of the critic's judgement."""

    def setup(self, job):
        self.actor, self.critic = job.networks
        self.options, self.batches = job.options, job.batches
        self.act = job.update(self.act_loss, trains=(self.actor,))
        self.judge = job.update(self.judge_loss, trains=(self.critic,))

    def judge_loss(self, batch):
        true, own = self.critic(batch.target), self.critic(self.actor(batch.input).detach())
        return {"loss": (true - 1).square().mean() + own.square().mean()}

    def act_loss(self, batch):
        own = self.critic(self.actor(batch.input))
        return {"loss": self.options.weight * (own - 1).square().mean()}

    def process_iteration(self, i):
        batch = next(self.batches)
        judged = self.judge(batch)
        return LearnProgress(i, {**self.act(batch), "judge": judged["loss"]})
'''
OWN_EVALUATION = '''
from dianne import Evaluation, EvaluationStrategy


class DuelEvaluationStrategy(EvaluationStrategy):
    """Share of samples that the critic takes for true ones."""

    roles = ("actor", "critic")

    def setup(self, job):
        self.actor, self.critic = job.networks
        self.size = self.right = 0

    def process_batch(self, batch):
        self.size += len(batch.input)
        self.right += (self.critic(self.actor(batch.input)) > 0.5).sum().item()

    def result(self):
        return Evaluation(self.size, {"deceived": self.right / self.size})
'''


def test_networks_and_strategies_of_ones_own_train_evaluate_and_deploy_by_name(tmp_path):
    files = {f"networks/{name}.yaml": text for name, text in OWN_NETWORKS.items()}
    files |= {"strategies/duel.py": OWN_STRATEGY, "strategies/judging/deceit.py": OWN_EVALUATION}
    workspace = workspace_of(tmp_path, {**files, "datasets/Iris.yaml": IRIS})
    options = {
        "strategy": "Duel",
        "tag": "d",
        "batchSize": 8,
        "width": 2,
        "weight": 0.5,
        "critic.method": "SGD",
    }
    result = workspace.learn("Actor,Critic", "Iris", **options)
    assert (result.iterations, result.networks, sorted(result.loss)) == (
        4,
        ["Actor", "Critic"],
        ["judge", "loss"],
    )
    assert workspace.tags("Actor")["d"].parameters == {"width": 2}
    found = workspace.evaluate("Actor,Critic", "Iris", tag="d")
    assert (found.strategy, found.size) == ("DuelEvaluationStrategy", 150)
    assert workspace.deploy("Actor", tag="d").forward([5.1, 3.5, 1.4, 0.2]).shape == (3,)


READING = '''
from dianne import LearningStrategy, LearnProgress
from dianne.strategies.feed_forward import FeedForwardLearningStrategy


class ReadingLearningStrategy(FeedForwardLearningStrategy):
    """Looks at its own loss in every iteration."""

    def process_iteration(self, i):
        progress = super().process_iteration(i)
        self.best = min(getattr(self, "best", 1e9), progress.terms["loss"].item())
        return progress
'''


def test_a_strategy_may_read_its_loss_as_a_number(workspace):
    (workspace.folder.root / "strategies").mkdir()
    (workspace.folder.root / "strategies" / "reading.py").write_text(READING)
    result = workspace.learn("Net", "Iris", strategy="Reading", batchSize=8, maxIterations=3)
    assert result.iterations == 3


def test_files_of_the_same_name_hide_no_strategy_but_those_of_the_same_class(workspace):
    own = workspace.folder.root / "strategies"
    for folder in (own, own / "judging"):
        folder.mkdir()
    (own / "feed_forward.py").write_text(OWN_STRATEGY)
    (own / "judging" / "feed_forward.py").write_text(OWN_EVALUATION)
    known = plugins.strategies(workspace.folder)
    assert {"DuelLearningStrategy", "DuelEvaluationStrategy", "FeedForwardLearningStrategy"} <= set(known)


def test_a_job_that_fails_leaves_what_was_stored(workspace):
    learn(workspace)
    before = workspace.store.resolve("Net", "t")
    with pytest.raises(UsageError):
        learn(workspace, range="0:1000")
    with pytest.raises(DivergedError):
        learn(workspace, method="SGD", learningRate=1e39)
    assert workspace.store.resolve("Net", "t") == before
