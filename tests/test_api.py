"""The Python interface: a session as a notebook would hold it."""

import numpy as np
import pytest
import torch

import dianne


@pytest.fixture
def workspace(tmp_path) -> dianne.Workspace:
    return dianne.Workspace(tmp_path)


@pytest.fixture
def trained(workspace) -> dianne.Workspace:
    workspace.learn(
        "Encoder,Decoder", "Digits",
        strategy="VariationalAutoEncoder", latentDims=2, hidden=8, batchSize=16, maxIterations=3, tag="vae",
    )  # fmt: skip
    return workspace


def test_a_session_learns_evaluates_deploys_and_forwards(workspace):
    result = workspace.learn(
        "Encoder,Decoder", "Digits",
        strategy="VariationalAutoEncoder", latentDims=2, hidden=8, batchSize=16, maxIterations=5, tag="vae",
    )  # fmt: skip
    assert (result.iterations, result.networks, result.tag) == (5, ["Encoder", "Decoder"], "vae")
    assert sorted(result.loss) == ["kl", "loss", "reconstruction"]

    found = workspace.evaluate(["Encoder", "Decoder"], "Digits", tag="vae")
    assert found.size == 297
    assert found.metrics["negative ELBO"] == pytest.approx(
        found.metrics["reconstruction"] + found.metrics["kl"]
    )

    images = workspace.deploy("Decoder", tag="vae").forward(torch.randn(4, 2))
    assert images.shape == (4, 28, 28)
    assert 0 < images.min() < images.max() < 1


def test_options_may_be_spelled_as_python_does(workspace):
    options = {"batch_size": 16, "max_iterations": 2, "learning_rate": 0.01, "hidden": 4}
    workspace.learn("MLP", "Digits", tag="snake", seed=1, **options)
    camel = {"batchSize": 16, "maxIterations": 2, "learningRate": 0.01, "hidden": 4}
    workspace.learn("MLP", "Digits", tag="camel", seed=1, **camel)
    tags = workspace.tags("MLP")
    assert tags["snake"].blob == tags["camel"].blob


def test_options_that_are_none_are_left_out(workspace):
    result = workspace.learn(
        "MLP", "Digits", tag=None, seed=None, strategy=None, hidden=4, batchSize=8, maxIterations=1
    )
    assert result.tag == result.job


@pytest.mark.parametrize(
    ("samples", "kind", "shape"),
    [
        (torch.tensor([0.5, -1.2]), torch.Tensor, (28, 28)),
        (torch.zeros(3, 2), torch.Tensor, (3, 28, 28)),
        (np.array([0.5, -1.2]), np.ndarray, (28, 28)),
        (np.zeros((3, 2), dtype=np.float64), np.ndarray, (3, 28, 28)),
        ([0.5, -1.2], np.ndarray, (28, 28)),
        ([[0.5, -1.2], [0, 1]], np.ndarray, (2, 28, 28)),
    ],
)
def test_samples_come_back_as_the_kind_in_which_they_were_given(trained, samples, kind, shape):
    result = trained.deploy("Decoder", tag="vae").forward(samples)
    assert isinstance(result, kind)
    assert tuple(result.shape) == shape


def test_one_sample_gives_what_it_gives_in_a_batch(trained):
    decoder = trained.deploy("Decoder", tag="vae")
    batch = decoder.forward([[0.5, -1.2], [1.0, 2.0]])
    np.testing.assert_allclose(decoder.forward([0.5, -1.2]), batch[0], rtol=1e-6)
    np.testing.assert_allclose(decoder.forward(torch.tensor([[0.5, -1.2]])).numpy()[0], batch[0], rtol=1e-6)


def test_a_sample_of_another_size_is_refused(trained):
    with pytest.raises(dianne.UsageError) as fault:
        trained.deploy("Decoder", tag="vae").forward([1.0, 2.0, 3.0])
    assert str(fault.value) == "Decoder.latent takes samples of [2], got [3]"


def test_a_deployed_network_is_there_in_the_next_session(trained):
    samples = torch.randn(3, 2)
    results = trained.deploy("Decoder", tag="vae", name="painter").forward(samples)
    again = dianne.Workspace(trained.folder.root).instance("painter")
    assert again.forward(samples).tolist() == results.tolist()
    assert (again.input_dims, again.output_dims) == ((2,), [(28, 28)])


def test_a_network_is_described_without_weights(workspace):
    network = workspace.describe("Encoder", latentDims=3, hidden=8)
    assert (network.inputs, network.outputs) == ({"image": (1, 28, 28)}, {"output": (6,)})
    assert network.parameters == {"latentDims": 3, "hidden": 8}


def test_datasets_are_given_whole_or_in_their_parts(workspace):
    sizes = [len(workspace.dataset("Digits", part)) for part in (None, "train", "test")]
    assert sizes == [1797, 1500, 297]
    with pytest.raises(dianne.UsageError) as fault:
        workspace.dataset("Digits", "tests")
    assert str(fault.value) == "Digits has no part 'tests'; did you mean 'test'?"


def test_a_watcher_follows_the_job(workspace):
    from dianne.jobs.learn import LearnWatcher

    told = []

    class Watcher(LearnWatcher):
        def start(self, job, batch_size):
            told.append(("start", job.tag, batch_size))

        def tick(self, iteration, terms):
            told.append(("tick", iteration, sorted(terms)))

        def report(self, report):
            told.append(("report", report.iteration, sorted(report.terms)))

    options = {"tag": "t", "hidden": 4, "batchSize": 8, "maxIterations": 2}
    workspace.learn("MLP", "Digits", watcher=Watcher(), **options)
    assert told == [
        ("start", "t", 8),
        ("tick", 1, ["loss"]),
        ("tick", 2, ["loss"]),
        ("report", 2, ["loss"]),
    ]


def test_what_is_not_public_is_no_attribute():
    with pytest.raises(AttributeError, match="module 'dianne' has no attribute 'Wrkspace'"):
        dianne.Wrkspace  # noqa: B018


def test_every_public_name_can_be_imported():
    missing = [name for name in dianne.__all__ if not hasattr(dianne, name)]
    assert missing == []
    assert "Workspace" in dianne.__all__
