"""The numbers behind the pictures."""

from statistics import NormalDist

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from dianne.data.dataset import Dataset
from dianne.errors import UsageError
from dianne.jobs.curves import Curve, Record
from dianne.plots.confusion import cell_colours
from dianne.plots.interpolate import ends, line
from dianne.plots.joint import near_zero, sparse
from dianne.plots.latent import principal
from dianne.plots.loss import limits, panel_of, panels, smooth, titles
from dianne.plots.manifold import grid, quantiles
from dianne.plots.mosaic import as_images, mosaic
from dianne.plots.reconstruct import pairs
from dianne.plots.samples import conditions
from dianne.plots.stored import like, subset, texts

# ----------------------------------------------------------------------------------------- loss


def record(terms=("loss",), validations=(), **job):
    curve = Curve([1], [1.0])
    return Record("abcdef123456", job, dict.fromkeys(terms, curve), dict.fromkeys(validations, curve))


def test_the_loss_has_the_first_panel_and_accuracy_one_of_its_own():
    made = record(("reconstruction", "kl", "loss"), ("negative ELBO", "kl"))
    assert panels([made]) == ["loss", "reconstruction", "kl"]
    assert panels([record(), record(("loss", "size"))]) == ["loss", "size"]
    assert panels([record(validations=("accuracy", "top 3"))]) == ["loss", "accuracy"]


def test_a_metric_stands_where_its_name_is_and_the_first_one_beside_the_loss():
    made = record(("loss", "kl"), ("negative ELBO", "kl", "other"))
    names = panels([made])
    assert [panel_of(metric, made, names) for metric in made.validations] == ["loss", "kl", None]
    classified = record(validations=("accuracy", "top 3"))
    names = panels([classified])
    assert [panel_of(metric, classified, names) for metric in classified.validations] == ["accuracy", None]


def test_smoothing_is_a_mean_of_a_fiftieth_and_keeps_a_straight_line():
    values = np.random.default_rng(0).normal(size=500)
    means = smooth(values)
    assert means.shape == (500,)
    np.testing.assert_allclose(means[250], values[245:256].mean())
    np.testing.assert_allclose(means[0], values[:6].mean())
    np.testing.assert_allclose(means[-1], values[-6:].mean())
    np.testing.assert_allclose(smooth(np.arange(500.0))[50:450], np.arange(50.0, 450))


def test_a_panel_ends_below_a_high_beginning_but_shows_every_validation():
    curve = np.array([500.0] * 5 + [100.0, 110.0] * 50)
    assert limits([curve], []) == pytest.approx((100 - 0.8, 110 + 0.8))
    assert limits([curve], [np.array([90.0, 120.0])]) == pytest.approx((90 - 2.4, 120 + 2.4))
    assert limits([curve[5:]], []) is None
    assert limits([np.full(100, 5.0)], []) is None
    assert limits([np.array([])], []) is None


def test_titles_say_what_is_common_and_labels_what_differs():
    def job(tag, dataset="MNIST"):
        return record(networks=["Encoder", "Decoder"], dataset=dataset,
                      strategy="VariationalAutoEncoderLearningStrategy", options={"tag": tag})  # fmt: skip

    below = "VariationalAutoEncoder"
    assert titles([job("a")]) == ("Encoder, Decoder on MNIST", f"{below}, tag a", [""])
    assert titles([job("a"), job("b")]) == ("Encoder, Decoder on MNIST", below, ["a", "b"])
    assert titles([job("a"), job("b", "Digits")])[::2] == ("Encoder, Decoder", ["MNIST, a", "Digits, b"])
    assert titles([job("a"), job("a")])[2] == ["abcdef12", "abcdef12"]
    assert titles([record()]) == ("Loss", "tag abcdef12", [""])


# ---------------------------------------------------------------------------------------- codes


def test_principal_components_and_their_shares_are_those_of_scikit_learn():
    codes = np.random.default_rng(0).normal(size=(200, 5)).astype(np.float32) * [3, 1, 2, 0.5, 0.1]
    points, shares = principal(codes)
    reference = PCA(2).fit(codes)
    np.testing.assert_allclose(shares, reference.explained_variance_ratio_, rtol=1e-5)
    np.testing.assert_allclose(np.abs(points), np.abs(reference.transform(codes)), atol=1e-4)
    assert np.corrcoef(points[:, 0], codes[:, 0])[0, 1] > 0.9  # the largest part points up
    np.testing.assert_allclose(principal(-codes)[0], -points, atol=1e-5)


def test_codes_that_are_all_the_same_have_no_variance():
    points, shares = principal(np.ones((5, 3), np.float32))
    assert (points.tolist(), shares) == ([[0, 0]] * 5, [0, 0])
    with pytest.raises(UsageError) as fault:
        principal(np.ones((1, 3), np.float32))
    assert str(fault.value) == "a projection needs two samples at least"


def test_values_are_about_zero_within_a_hundredth_of_the_largest():
    values = np.array([0, 0.04, -0.049, 0.06, -5], np.float32)
    assert near_zero(values).tolist() == [True, True, True, False, False]
    assert sparse(values)
    assert not sparse(values[[0, 1, 3, 4]])
    assert sparse(np.zeros(3, np.float32))


def digits(n=20, labels=("a", "b")):
    targets = torch.arange(n) % len(labels) if labels else torch.zeros(n, 1)
    return Dataset("Few", torch.arange(n).float().unsqueeze(1), targets, list(labels) if labels else None)


def test_a_subset_is_drawn_by_its_seed_without_repeats_and_in_order():
    first, again, other = (subset(digits(), 6, seed).inputs[:, 0].tolist() for seed in (0, 0, 1))
    assert first == again != other
    assert first == sorted(set(first))
    assert len(first) == 6
    assert subset(digits(), 20, 0).inputs.shape == (20, 1)


# ------------------------------------------------------------------------------------- latents


def test_latent_values_are_quantiles_of_a_standard_normal():
    shares = [0.025, 0.2625, 0.5, 0.7375, 0.975]
    expected = [NormalDist().inv_cdf(share) for share in shares]
    np.testing.assert_allclose(quantiles(5), expected, atol=1e-6)


def test_a_grid_grows_to_the_right_and_upwards():
    points = grid(torch.tensor([-1.0, 0, 1]), (2, 0), 4).reshape(3, 3, 4)
    assert points[0, 0].tolist() == [1, 0, -1, 0]  # top left
    assert points[0, 2].tolist() == [1, 0, 1, 0]  # top right
    assert points[2, 0].tolist() == [-1, 0, -1, 0]
    assert points[1, 1].tolist() == [0, 0, 0, 0]
    assert grid(torch.tensor([-1.0, 1]), (1,), 2).tolist() == [[0, -1], [0, 1]]


def test_classes_share_their_noise_and_are_one_hot():
    made = conditions(3, 4, 5, seed=7).reshape(4, 5, 7)
    noise = torch.randn(5, 3, generator=torch.Generator().manual_seed(7))
    for kind in range(4):
        assert torch.equal(made[kind, :, :3], noise)
        assert made[kind, :, 3:].tolist() == [[float(kind == other) for other in range(4)]] * 5


# -------------------------------------------------------------------------------------- images


def test_a_line_is_straight_and_has_both_ends():
    two = np.array([[[0.0, 4.0]], [[2.0, 0.0]]], np.float32)
    assert line(two, 3).tolist() == [[[0, 4]], [[1, 2]], [[2, 0]]]


@pytest.mark.parametrize(
    ("first", "last", "found"),
    [(None, None, (0, 2)), (1, None, (1, 3)), (None, 0, (2, 0)), (None, 5, (1, 5)), (3, 4, (3, 4))],
)
def test_the_ends_of_the_way_are_of_one_class_unless_both_are_given(first, last, found):
    assert ends(digits(), first, last) == found


def test_without_classes_the_next_sample_is_the_end():
    assert ends(digits(labels=None), None, None) == (0, 1)


@pytest.mark.parametrize(
    ("first", "last", "message"),
    [
        (20, None, "from=20: there are the samples 0 to 19"),
        (0, 99, "to=99: there are the samples 0 to 19"),
    ],
)
def test_an_end_beyond_the_samples_is_refused(first, last, message):
    with pytest.raises(UsageError) as fault:
        ends(digits(), first, last)
    assert str(fault.value) == message


def test_the_only_sample_of_a_class_has_no_partner():
    with pytest.raises(UsageError) as fault:
        ends(digits(2), None, None)
    assert str(fault.value) == "there is no other sample of the class 'a'; choose one by to="
    with pytest.raises(UsageError) as fault:
        ends(digits(2), None, 1)
    assert str(fault.value) == "there is no other sample of the class 'b'; choose one by from="


def test_originals_stand_above_their_reconstructions():
    shades = np.arange(5) / 10
    originals = np.broadcast_to(shades[:, None, None, None], (5, 2, 2, 3))
    tiles, gaps = pairs(originals, originals + 0.5, 3)
    assert tiles[..., 0, 0, 0].tolist() == [[0, 0.1, 0.2], [0.5, 0.6, 0.7], [0.3, 0.4, 1], [0.8, 0.9, 1]]
    assert gaps == [2, 8, 2]
    assert pairs(originals[:2], originals[:2], 3)[0].shape == (2, 2, 2, 2, 3)


def test_a_mosaic_has_white_gaps_and_knows_the_middle_of_its_rows_and_columns():
    made = mosaic(np.zeros((3, 2, 4, 6, 3)), [1, 3])
    assert made.canvas.shape == (16, 13, 3)
    assert made.canvas[:, 0, 0].tolist() == [0] * 4 + [1] + [0] * 4 + [1] * 3 + [0] * 4
    assert made.canvas[0, :, 0].tolist() == [0] * 6 + [1] + [0] * 6
    assert (made.rows, made.columns) == ([1.5, 6.5, 13.5], [2.5, 9.5])


def test_more_images_than_anyone_could_look_at_are_refused():
    with pytest.raises(UsageError) as fault:
        mosaic(np.broadcast_to(0.0, (100, 100, 224, 224, 3)))
    assert str(fault.value) == ("10,000 images of 224 x 224 pixels are too many for one picture; draw fewer")


def test_images_keep_values_from_0_to_1_and_scale_others_together():
    assert as_images(np.array([[[0, 0.25], [0.5, 1]]]), "X")[0, :, :, 0].tolist() == [[0, 0.25], [0.5, 1]]
    scaled = as_images(np.array([[[-1, 1], [1, 1]], [[3, 1], [1, 1]]]), "X")
    assert (scaled[0, 0, 0, 0], scaled[1, 0, 0, 0], scaled[0, 1, 1, 0]) == (0, 1, 0.5)
    colour = np.zeros((1, 3, 2, 2))
    colour[0, 2, 0, 1] = 1
    assert as_images(colour, "X")[0, 0].tolist() == [[0, 0, 0], [0, 0, 1]]


@pytest.mark.parametrize("shape", [(), (10,), (2, 4, 4), (1, 4), (1, 1, 4)])
def test_results_of_other_shapes_are_no_images(shape):
    with pytest.raises(UsageError) as fault:
        as_images(np.zeros((3, *shape)), "Decoder:vae")
    assert str(fault.value) == (
        f"Decoder:vae gives results of {list(shape)}, which are no pictures: "
        f"[height, width], [1, height, width] or [3, height, width]"
    )


def test_values_that_are_not_finite_have_no_colour():
    with pytest.raises(UsageError) as fault:
        as_images(np.full((1, 2, 2), np.nan), "Decoder:vae")
    assert str(fault.value) == "Decoder:vae gives values that are not finite; they have no colour"


def test_confusions_are_blue_where_right_orange_where_wrong_and_pale_where_there_are_none():
    colours = cell_colours(np.array([[1000, 10], [0, 1000]]))
    right, wrong, none = colours[0, 0], colours[0, 1], colours[1, 0]
    assert right[2] > right[0]
    assert wrong[0] > wrong[2]
    assert none.min() > 0.95
    np.testing.assert_allclose(colours[0, 0], colours[1, 1])
    share = np.log1p(10) / np.log1p(1000)
    np.testing.assert_allclose(wrong, none + share * (np.array([0.93, 0.49, 0.13]) - none))
    assert np.isfinite(cell_colours(np.zeros((2, 2), np.int64))).all()


def test_small_helpers():
    assert like(np.zeros((5, 1, 1)), "X", digits()).shape == (5, 1)
    assert texts([-1.9599, -0.001, 0.5]) == ["−1.96", "0.00", "0.50"]
