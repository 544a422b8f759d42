"""Autoencoders, and variational ones that know about classes, against their formulas."""

import pytest
import torch
from handmade import Net, set_up, stream, values, whole, wired
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from dianne import Dataset, UsageError
from dianne.criteria import CRITERIA

IMAGES = torch.rand(6, 4, generator=torch.Generator().manual_seed(1))
PLAIN = Dataset("Images", IMAGES, torch.zeros(6), autoencode=True)
CLASSES = torch.tensor([0, 1, 2, 0, 1, 2])
LABELLED = Dataset("Images", IMAGES, CLASSES, ["a", "b", "c"])
ONE_HOT = torch.eye(3)[CLASSES]


def encoder(inputs: int = 4) -> Net:
    torch.manual_seed(2)
    return Net(nn.Linear(inputs, 4), nn.Softplus())  # all means and deviations above 0


def decoder(latents: int) -> Net:
    torch.manual_seed(3)
    return Net(nn.Linear(latents, 4), nn.Sigmoid())


def classifier(last: nn.Module) -> Net:
    torch.manual_seed(4)
    return Net(nn.Linear(4, 3), last)


def likelihood(decoded: Tensor) -> Tensor:
    return nn.functional.binary_cross_entropy(decoded, IMAGES, reduction="sum") / 6


# ------------------------------------------------------------------------------------------- autoencoder


def auto_encoder(**options):
    networks = encoder(), decoder(4)
    return *networks, set_up("AutoEncoder", networks, PLAIN, **options)[0]


def test_an_autoencoder_gives_samples_back():
    encode, decode, strategy = auto_encoder()
    expected = (decode(encode(IMAGES)) - IMAGES).square().mean().item()
    assert values(strategy.loss(whole(PLAIN))) == {"loss": pytest.approx(expected, rel=1e-5)}


def test_active_values_of_a_code_have_a_price():
    encode, decode, strategy = auto_encoder(activityL1=0.3, criterion="BCE")
    reconstruction = likelihood(decode(encode(IMAGES))).item()
    activity = encode(IMAGES).abs().sum().item() / 6
    assert values(strategy.loss(whole(PLAIN))) == {
        "loss": pytest.approx(reconstruction + 0.3 * activity, rel=1e-5),
        "reconstruction": pytest.approx(reconstruction, rel=1e-5),
        "activity": pytest.approx(activity, rel=1e-5),
    }


def test_noise_is_put_on_what_is_encoded_and_not_on_what_is_wanted():
    encode, decode, strategy = auto_encoder(noise=0.5)
    noisy = IMAGES + 0.5 * torch.randn(6, 4, generator=stream())
    expected = (decode(encode(noisy)) - IMAGES).square().mean().item()
    assert values(strategy.loss(whole(PLAIN))) == {"loss": pytest.approx(expected, rel=1e-5)}
    assert torch.equal(whole(PLAIN).input, IMAGES)


# --------------------------------------------------------------------------------- told by a classifier


@pytest.mark.parametrize("last", [nn.LogSoftmax(1), nn.Softmax(1)])
def test_the_decoder_is_told_how_probable_the_classes_are(last):
    encode, decode, classify = networks = encoder(), decoder(2 + 3), classifier(last)
    strategy, job = set_up(
        "ConditionalVariationalAutoEncoder", networks, LABELLED, criterion="BCE", beta=0.5, classifierWeight=3
    )
    mean, stdev = encode(IMAGES).chunk(2, dim=1)
    latents = mean + stdev * torch.randn(6, 2, generator=stream())
    probabilities = classify[0](IMAGES).softmax(1)
    reconstruction = likelihood(decode(torch.cat((latents, probabilities), dim=1)))
    kl = kl_divergence(Normal(mean, stdev), Normal(0.0, 1.0)).sum() / 6
    classification = nn.functional.cross_entropy(classify[0](IMAGES), CLASSES)
    assert values(strategy.loss(whole(LABELLED))) == {
        "loss": pytest.approx((reconstruction + 0.5 * kl + 3 * classification).item(), rel=1e-5),
        "reconstruction": pytest.approx(reconstruction.item(), rel=1e-5),
        "kl": pytest.approx(kl.item(), rel=1e-4),
        "classification": pytest.approx(classification.item(), rel=1e-5),
    }
    assert job.updates == [networks]


def test_decoders_of_one_deviation_are_judged_by_their_likelihood():
    encode, decode, classify = networks = encoder(), decoder(2 + 3), classifier(nn.LogSoftmax(1))
    gau = CRITERIA.get("GAU")
    strategy, _ = set_up(
        "ConditionalVariationalAutoEncoder", networks, LABELLED, measure=gau(gau.Options(stdev=0.5))
    )
    mean, stdev = encode(IMAGES).chunk(2, dim=1)
    latents = mean + stdev * torch.randn(6, 2, generator=stream())
    decoded = decode(torch.cat((latents, classify(IMAGES).exp()), dim=1))
    expected = -Normal(decoded, 0.5).log_prob(IMAGES).sum().item() / 6
    assert values(strategy.loss(whole(LABELLED)))["reconstruction"] == pytest.approx(expected, rel=1e-5)


# ------------------------------------------------------------------------------------ told by the label


@pytest.mark.parametrize("told", [False, True])
def test_encoder_and_decoder_are_told_the_class(told):
    encode = inner = encoder(4 + 3 if told else 4)
    if told:
        encode = wired(lambda x, y: inner(torch.cat((x, y), dim=1)), image=(4,), label=(3,))
    decode = decoder(2 + 3)
    strategy, _ = set_up("LabelVariationalAutoEncoder", (encode, decode), LABELLED, criterion="BCE", beta=2)
    seen = torch.cat((IMAGES, ONE_HOT), dim=1) if told else IMAGES
    mean, stdev = inner(seen).chunk(2, dim=1)
    latents = mean + stdev * torch.randn(6, 2, generator=stream())
    reconstruction = likelihood(decode(torch.cat((latents, ONE_HOT), dim=1)))
    kl = kl_divergence(Normal(mean, stdev), Normal(0.0, 1.0)).sum() / 6
    assert values(strategy.loss(whole(LABELLED))) == {
        "loss": pytest.approx((reconstruction + 2 * kl).item(), rel=1e-5),
        "reconstruction": pytest.approx(reconstruction.item(), rel=1e-5),
        "kl": pytest.approx(kl.item(), rel=1e-4),
    }


KINDS = {
    "ConditionalVariationalAutoEncoder": (encoder(), decoder(5), classifier(nn.LogSoftmax(1))),
    "LabelVariationalAutoEncoder": (encoder(), decoder(5)),
}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("data", [PLAIN, Dataset("Images", IMAGES, CLASSES, ["a", "b", "c"], True)])
def test_classes_are_needed_where_the_decoder_is_told_them(name, data):
    with pytest.raises(UsageError) as fault:
        set_up(name, KINDS[name], data)
    assert str(fault.value) == (
        f"{name}LearningStrategy needs a dataset with classes as its targets, and no autoencode=true; "
        "without classes use strategy=VariationalAutoEncoder"
    )


@pytest.mark.parametrize("name", KINDS)
def test_an_encoder_of_another_size_than_asked_for_is_refused(name):
    strategy, _ = set_up(name, KINDS[name], LABELLED, latentDims=3)
    with pytest.raises(UsageError) as fault:
        strategy.process_iteration(0)
    assert str(fault.value) == "the encoder must give 2 * latentDims = 6 values, found [4]"
