"""GANs against their formulas, on networks of a few weights."""

import pytest
import torch
from handmade import Net, learner, set_up, stream, values, whole, wired
from torch import Tensor, nn

from dianne import Dataset, UsageError, standard_normal_divergence

IMAGES = torch.rand(6, 4, generator=torch.Generator().manual_seed(1))
DATA = Dataset("Images", IMAGES, torch.zeros(6))


def generator(noise: int = 2) -> Net:
    torch.manual_seed(3)
    return Net(nn.Linear(noise, 5), nn.Tanh(), nn.Linear(5, 4), nn.Sigmoid())


def discriminator() -> Net:
    torch.manual_seed(4)
    return Net(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 1), nn.Sigmoid())


def critic() -> Net:
    return Net(*list(discriminator())[:-1])


def bce(probability: Tensor, target: float) -> Tensor:
    """-t log p - (1 - t) log(1 - p) of (b, 1) probabilities, averaged over the batch."""
    return -(target * probability.log() + (1 - target) * (1 - probability).log()).mean()


def weights(network: nn.Module) -> list[Tensor]:
    return [weight.detach().clone() for weight in network.parameters()]


def largest(network: nn.Module) -> float:
    return max(weight.abs().max().item() for weight in weights(network))


# -------------------------------------------------------------------------------------------------- GAN


def gan(**options):
    networks = generator(), discriminator()
    return *networks, *set_up("GAN", networks, DATA, **options)


def test_the_discriminator_of_a_gan_is_pulled_towards_both_targets():
    make, judge, strategy, _ = gan(realTarget=0.9, fakeTarget=0.2)
    real, fake = judge(IMAGES), judge(make(torch.randn(6, 2, generator=stream())))
    terms = values(strategy.discriminator_loss(whole(DATA)))
    assert terms == {
        "loss": pytest.approx((bce(real, 0.9) + bce(fake, 0.2)).item(), rel=1e-5),
        "real": pytest.approx(real.mean().item(), rel=1e-5),
        "fake": pytest.approx(fake.mean().item(), rel=1e-5),
    }


def test_no_gradient_of_the_discriminator_reaches_the_generator():
    make, _, strategy, _ = gan()
    strategy.discriminator_loss(whole(DATA))["loss"].backward()
    assert [weight.grad for weight in make.parameters()] == [None] * 4


def test_the_generator_of_a_gan_learns_from_new_noise_and_the_updated_discriminator():
    make, judge, strategy, _ = gan(generatorTarget=0.7)
    source = stream()
    torch.randn(6, 2, generator=source)  # for the discriminator
    terms = values(strategy.process_iteration(0).terms)
    noise = torch.randn(6, 2, generator=source)
    before = generator()  # as it was before its update
    expected = bce(judge(before(noise)), 0.7)
    assert terms["loss"] == pytest.approx(expected.item(), rel=1e-5)
    expected.backward()
    for now, then in zip(make.parameters(), before.parameters(), strict=True):
        assert torch.allclose(now, then - 0.1 * then.grad, atol=1e-6)


def test_a_gan_reports_what_both_networks_do():
    _, _, strategy, _ = gan()
    expected = values(gan()[2].discriminator_loss(whole(DATA)))
    terms = values(strategy.process_iteration(0).terms)
    assert list(terms) == ["loss", "discriminator", "real", "fake"]
    assert terms["discriminator"] == pytest.approx(expected["loss"])
    assert (terms["real"], terms["fake"]) == pytest.approx((expected["real"], expected["fake"]))


def test_the_targets_of_a_gan_are_smoothed_unless_told_otherwise():
    options = learner("GAN").Options()
    assert (options.real_target, options.fake_target, options.generator_target) == (0.85, 0.15, 0.85)


def test_with_squares_it_is_the_least_squares_gan():
    make, judge, strategy, _ = gan(criterion="MSE", realTarget=1, fakeTarget=0)
    real, fake = judge(IMAGES), judge(make(torch.randn(6, 2, generator=stream())))
    expected = ((real - 1) ** 2).mean() + (fake**2).mean()
    assert values(strategy.discriminator_loss(whole(DATA)))["loss"] == pytest.approx(
        expected.item(), rel=1e-5
    )


ADVERSARIES = {"GAN": discriminator, "WGAN": critic, "WGANGP": critic}
every_adversary = pytest.mark.parametrize("name", ADVERSARIES)


@every_adversary
def test_noise_has_the_shape_of_the_generators_input(name):
    seen = []
    make = generator()
    make.inputs = {"noise": (2, 1, 1)}
    make.register_forward_pre_hook(lambda _, given: seen.append(tuple(given[0].shape)) or given[0].flatten(1))
    strategy, _ = set_up(name, (make, ADVERSARIES[name]()), DATA)
    strategy.process_iteration(0)
    assert set(seen) == {(6, 2, 1, 1)}


@every_adversary
def test_a_generator_of_another_size_than_asked_for_is_refused(name):
    set_up(name, (generator(3), ADVERSARIES[name]()), DATA, generatorDim=3)
    with pytest.raises(UsageError) as fault:
        set_up(name, (generator(3), ADVERSARIES[name]()), DATA, generatorDim=2)
    assert str(fault.value) == "generatorDim is 2, but the generator takes noise of [3]"


@every_adversary
def test_a_generator_with_two_inputs_is_refused(name):
    make = Net(nn.Linear(2, 4), inputs={"noise": (2,), "label": (10,)})
    with pytest.raises(UsageError) as fault:
        set_up(name, (make, ADVERSARIES[name]()), DATA)
    assert str(fault.value) == "the generator must have one input, the noise; found 2: noise, label"


# ------------------------------------------------------------------------------------------------- WGAN


def wgan(**options):
    networks = generator(), critic()
    return *networks, *set_up("WGAN", networks, DATA, **options)


def test_the_critic_gives_more_for_real_samples_and_the_generator_wants_the_same():
    make, judge, strategy, _ = wgan(clamp=0.5)
    source = stream()
    fakes = make(torch.randn(6, 2, generator=source))
    expected = judge(fakes).mean() - judge(IMAGES).mean()
    assert values(strategy.critic_loss(whole(DATA))) == {"loss": pytest.approx(expected.item(), rel=1e-5)}
    expected = -judge(make(torch.randn(6, 2, generator=source))).mean()
    assert values(strategy.generator_loss(whole(DATA))) == {"loss": pytest.approx(expected.item(), rel=1e-5)}


def test_the_critic_learns_to_tell_real_samples_by_larger_values():
    make, judge, strategy, _ = wgan(clamp=0.5, Diterations=50, initIterations=0)
    loss = values(strategy.process_iteration(0).terms)["loss"]
    assert judge(IMAGES).mean() > judge(make(torch.randn(600, 2))).mean() + loss > loss > 0


def test_the_weights_of_the_critic_stay_inside_their_bounds():
    make, judge, strategy, job = wgan(clamp=0.02)
    assert largest(judge) == pytest.approx(0.02)
    seen: list[float] = []
    job.before = lambda _: seen.append(largest(judge))
    for i in range(3):
        strategy.process_iteration(i)
    assert len(seen) == 3 * 101
    assert max(seen) == pytest.approx(0.02)
    assert largest(make) > 0.1


def test_buffers_and_fixed_weights_of_the_critic_are_not_cut():
    torch.manual_seed(4)
    judge = Net(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 1))
    judge[1].running_var.fill_(3.0)
    judge[2].requires_grad_(False)
    fixed = weights(judge[2])
    set_up("WGAN", (generator(), judge), DATA)
    assert judge[0].weight.abs().max() <= 0.01
    assert judge[1].running_var.tolist() == [3.0] * 5
    assert all(torch.equal(one, other) for one, other in zip(fixed, judge[2].parameters(), strict=True))


def test_the_critic_takes_more_steps_in_the_first_iterations():
    _, _, strategy, job = wgan(Diterations=2, initDiterations=4, initIterations=2)
    steps: list[int] = []
    job.after = steps.append
    for i in range(4):
        strategy.process_iteration(i)
    assert steps == [0, 0, 0, 0, 1] * 2 + [0, 0, 1] * 2


def test_the_loss_of_a_wgan_is_the_gap_averaged_over_the_steps_of_the_critic():
    _, _, strategy, job = wgan(clamp=0.5, initDiterations=3)
    losses: list[float] = []

    def noted(batch):
        terms = strategy.critic_loss(batch)
        losses.append(values(terms)["loss"])
        return terms

    strategy.criticise = job.update(noted, trains=(strategy.critic,))
    terms = values(strategy.process_iteration(0).terms)
    assert len(losses) == 3
    assert terms["loss"] == pytest.approx(-sum(losses) / 3, rel=1e-5)
    assert list(terms) == ["loss", "generator"]


def test_a_wgan_has_the_numbers_of_its_paper():
    options = learner("WGAN").Options()
    assert options.model_dump(by_alias=True) == {
        "method": "RMSPROP", "batchSize": 128, "sampling": "UNIFORM", "generatorDim": None, "clamp": 0.01,
        "Diterations": 5, "initDiterations": 100, "initIterations": 25,
    }  # fmt: skip
    assert learner("WGAN").defaults == {"learningRate": 1e-4}


# ----------------------------------------------------------------------------------------------- WGAN-GP


def test_the_gradient_penalty_is_that_of_a_linear_critic():
    slope = torch.tensor([1.0, -2.0, 0.0, 2.0])  # of length 3
    judge = wired(lambda images: images @ slope.unsqueeze(1), image=(4,))
    strategy, _ = set_up("WGANGP", (generator(), critic()), DATA)
    strategy.critic = judge
    assert strategy.slope_penalty(IMAGES, IMAGES.flip(0)).item() == pytest.approx(4.0)


def test_the_loss_of_the_critic_holds_the_penalty_at_points_between_samples():
    make, judge = generator(), critic()
    strategy, _ = set_up("WGANGP", (make, judge), DATA, penalty=7)
    source = stream()
    fakes = make(torch.randn(6, 2, generator=source)).detach()
    shares = torch.rand(6, generator=source)
    squares = []
    for image, fake, share in zip(IMAGES, fakes, shares, strict=True):
        point = share * image + (1 - share) * fake
        hidden = torch.tanh(judge[0](point))
        slope = judge[2].weight[0] * (1 - hidden**2) @ judge[0].weight  # by the chain rule
        squares.append((slope.square().sum().sqrt() - 1) ** 2)
    penalty = torch.stack(squares).mean()
    gap = judge(IMAGES).mean() - judge(fakes).mean()
    found = strategy.critic_loss(whole(DATA))
    assert values(found) == {
        "loss": pytest.approx((7 * penalty - gap).item(), rel=1e-5),
        "gap": pytest.approx(gap.item(), rel=1e-5),
        "penalty": pytest.approx(penalty.item(), rel=1e-5),
    }
    found["loss"].backward()
    gradients = [weight.grad.clone() for weight in judge.parameters() if weight.grad is not None]
    judge.zero_grad()
    (7 * penalty - gap).backward()
    for one, other in zip(gradients, judge.parameters(), strict=False):
        assert torch.allclose(one, other.grad, atol=1e-5)


def test_the_penalty_can_be_computed_where_gradients_are_off():
    strategy, _ = set_up("WGANGP", (generator(), critic()), DATA)
    with torch.no_grad():
        off = values(strategy.critic_loss(whole(DATA)))
    strategy, _ = set_up("WGANGP", (generator(), critic()), DATA)
    assert values(strategy.critic_loss(whole(DATA))) == off


def test_the_penalty_makes_slopes_near_one():
    judge = critic()
    strategy, _ = set_up("WGANGP", (generator(), judge), DATA, penalty=10, Diterations=100, rate=0.01)
    first = values(strategy.critic_loss(whole(DATA)))["penalty"]
    for i in range(3):
        terms = values(strategy.process_iteration(i).terms)
    assert list(terms) == ["loss", "penalty", "generator"]
    assert terms["penalty"] < first / 3


def test_generated_samples_may_have_another_shape_than_real_ones():
    data = Dataset("Images", IMAGES.view(6, 1, 2, 2), torch.zeros(6))
    judge = Net(nn.Flatten(), *critic(), inputs={"image": (1, 2, 2)})
    strategy, _ = set_up("WGANGP", (generator(), judge), data)
    flat, _ = set_up("WGANGP", (generator(), critic()), DATA)
    assert values(strategy.critic_loss(whole(data))) == values(flat.critic_loss(whole(DATA)))


def test_a_wgan_with_gradient_penalty_has_the_numbers_of_its_paper():
    options = learner("WGANGP").Options()
    assert (options.method, options.penalty, options.d_iterations) == ("ADAM", 10, 5)
    assert learner("WGANGP").defaults == {"learningRate": 1e-4, "beta1": 0.5, "beta2": 0.9}


# ------------------------------------------------------------------------------------------------ VAE-GAN


class Encoder(Net):
    """Means and positive deviations of two dimensions."""

    def __init__(self):
        torch.manual_seed(2)
        super().__init__(nn.Linear(4, 4))

    def forward(self, images):
        mean, stdev = super().forward(images).chunk(2, dim=1)
        return torch.cat((mean, nn.functional.softplus(stdev)), dim=1)


class FeatureDiscriminator(Net):
    """A probability, and five features."""

    def __init__(self):
        super().__init__(*discriminator())

    def forward(self, images):
        features = self[1](self[0](images))
        return self[3](self[2](features)), features


def vae_gan(**options):
    networks = Encoder(), generator(), FeatureDiscriminator()
    return *networks, *set_up("VAEGAN", networks, DATA, **options)


def reconstruction(encode, make, judge, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Half the squared distance of features, averaged over the batch; and decoded images."""
    mean, stdev = encode(IMAGES).chunk(2, dim=1)
    decoded = make(mean + stdev * noise)
    distances = [(judge(a)[1] - judge(b)[1]).square().sum() / 2 for a, b in zip(IMAGES, decoded, strict=True)]
    return torch.stack(distances).mean(), decoded


def test_the_encoder_is_judged_by_features_and_divergence():
    encode, make, judge, strategy, _ = vae_gan(beta=0.3)
    like, _ = reconstruction(encode, make, judge, torch.randn(6, 2, generator=stream()))
    kl = standard_normal_divergence(*encode(IMAGES).chunk(2, dim=1)).mean()
    assert values(strategy.encoder_loss(whole(DATA))) == {
        "loss": pytest.approx((like + 0.3 * kl).item(), rel=1e-5),
        "reconstruction": pytest.approx(like.item(), rel=1e-5),
        "kl": pytest.approx(kl.item(), rel=1e-5),
    }


def test_the_generator_is_judged_by_features_and_by_how_real_both_kinds_look():
    encode, make, judge, strategy, _ = vae_gan(gamma=0.3)
    source = stream()
    like, decoded = reconstruction(encode, make, judge, torch.randn(6, 2, generator=source))
    made = make(torch.randn(6, 2, generator=source))
    expected = 0.3 * like + bce(judge(decoded)[0], 1) + bce(judge(made)[0], 1)
    assert values(strategy.generator_loss(whole(DATA))) == {"loss": pytest.approx(expected.item(), rel=1e-5)}


def test_the_discriminator_tells_real_images_from_decoded_and_from_made_up_ones():
    encode, make, judge, strategy, _ = vae_gan()
    source = stream()
    _, decoded = reconstruction(encode, make, judge, torch.randn(6, 2, generator=source))
    real, fake = judge(IMAGES)[0], judge(make(torch.randn(6, 2, generator=source)))[0]
    expected = bce(real, 1) + bce(judge(decoded)[0], 0) + bce(fake, 0)
    assert values(strategy.discriminator_loss(whole(DATA))) == {
        "loss": pytest.approx(expected.item(), rel=1e-5),
        "real": pytest.approx(real.mean().item(), rel=1e-5),
        "fake": pytest.approx(fake.mean().item(), rel=1e-5),
    }


def test_a_vae_gan_reports_every_part():
    terms = vae_gan()[3].process_iteration(0).terms
    assert list(terms) == ["loss", "reconstruction", "kl", "generator", "discriminator", "real", "fake"]


def test_a_discriminator_without_features_is_refused():
    strategy, _ = set_up("VAEGAN", (Encoder(), generator(), discriminator()), DATA)
    with pytest.raises(UsageError) as fault:
        strategy.process_iteration(0)
    assert str(fault.value) == (
        "the discriminator must have two outputs, the probability that a sample is real and the features by "
        "which it is told, found 1; add an Output behind the module whose results are the features, as the "
        "network FeatureDiscriminator does"
    )


def test_an_encoder_of_another_size_than_asked_for_is_refused():
    strategy = vae_gan(latentDims=3)[3]
    with pytest.raises(UsageError) as fault:
        strategy.process_iteration(0)
    assert str(fault.value) == "the encoder must give 2 * latentDims = 6 values, found [4]"
