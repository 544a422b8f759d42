"""What is drawn: networks with weights made by hand, samples made by hand, and what the figure holds."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from dianne.errors import DianneError, UsageError
from dianne.jobs.record import Recorder
from dianne.plots import confusion, interpolate, joint, latent, loss, manifold, reconstruct, samples
from dianne.plots import options as kinds
from dianne.plots.style import save
from dianne.store import Manifest, Store
from dianne.workspace import Folder

FOLDER = Folder(Path())
POINTS = np.array([[0, 0], [1, 0], [0, 2], [1, 2], [3, 1], [2, 5]], np.float32)
CLASSES = [0, 1, 0, 1, 0, 1]
PLANE = "{type: Input, shape: [2]}"
NETWORKS = {
    "Same": "modules:\n  point: {type: Input, shape: [2]}\n  output: {type: Output}\n",
    "Gauss": (
        "modules:\n  point: {type: Input, shape: [2]}\n  both: {type: Linear, output: 4}\n"
        "  code: {type: MultivariateGaussian}\n  output: {type: Output}\n"
    ),
    "Around": "modules:\n  p: {type: Input, shape: [2]}\n  inside: {type: Gauss}\n  output: {type: Output}\n",
    "Means": (
        "modules:\n  point: {type: Input, shape: [2]}\n  both: {type: Linear, output: 4}\n"
        "  code: {type: MultivariateGaussian}\n  output: {type: Output, after: code.mean}\n"
    ),
    "One": f"modules:\n  p: {PLANE}\n  c: {{type: Linear, output: 1}}\n  o: {{type: Output}}\n",
    "Broad": f"modules:\n  p: {PLANE}\n  c: {{type: Linear, output: 3}}\n  o: {{type: Output}}\n",
    "Draw": (
        "modules:\n  code: {type: Input, shape: [2]}\n  pixels: {type: Linear, output: 4}\n"
        "  image: {type: Reshape, shape: [2, 2]}\n  output: {type: Output}\n"
    ),
    "Curve": (
        "modules:\n  c: {type: Input, shape: [1]}\n  p: {type: Linear, output: 2}\n  o: {type: Output}\n"
    ),
    "Two": (
        "modules:\n  a: {type: Input, shape: [2]}\n  b: {type: Input, shape: [2]}\n"
        "  sum: {type: Accumulate, after: [a, b]}\n  output: {type: Output}\n"
    ),
    "Both": (
        "modules:\n  a: {type: Input, shape: [2]}\n  x: {type: Output}\n  y: {type: Output, after: a}\n"
    ),
}  # fmt: skip
MIXED = torch.tensor([[2.0, 0], [0, 3], [7, 7], [9, 9]])
WEIGHTS = {
    "Same": {}, "Two": {}, "Both": {},
    "Gauss": {"both.weight": MIXED, "both.bias": torch.zeros(4)},
    "Around": {"inside.both.weight": MIXED, "inside.both.bias": torch.zeros(4)},
    "Means": {"both.weight": MIXED, "both.bias": torch.zeros(4)},
    "One": {"c.weight": torch.tensor([[1.0, 1]]), "c.bias": torch.zeros(1)},
    "Broad": {"c.weight": torch.tensor([[4.0, 0], [0, 0], [0, 1]]), "c.bias": torch.zeros(3)},
    "Draw": {
        "pixels.weight": torch.tensor([[1.0, 0], [0, 1], [0, 0], [0, 0]]) / 4,
        "pixels.bias": torch.tensor([0.5, 0.5, 0, 1]),
    },
    "Curve": {"p.weight": torch.tensor([[1.0], [2]]), "p.bias": torch.zeros(2)},
}  # fmt: skip


def idx(array, code):
    head = struct.pack(">BBBB", 0, 0, code, array.ndim) + b"".join(struct.pack(">I", n) for n in array.shape)
    return head + array.tobytes()


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DIANNE_DATASETS", "")
    monkeypatch.setenv("DIANNE_CACHE", "cache")
    place = Path("datasets/Few")
    place.mkdir(parents=True)
    (place / "points").write_bytes(idx(POINTS.astype(">f4"), 0x0D))
    (place / "classes").write_bytes(idx(np.array(CLASSES, np.uint8), 0x08))
    text = "type: IDX\nlabels: [left, right]\ninputs: [points]\ntargets: [classes]\n"
    Path("datasets/Few.yaml").write_text(text)
    Path("datasets/Bare.yaml").write_text("type: sklearn\nloader: load_diabetes\n")
    for name, text in NETWORKS.items():
        texts = {"Gauss": NETWORKS["Gauss"]} if name == "Around" else {}
        manifest = Manifest(name, text, {}, texts=texts, dataset={"name": "Few"})
        Store(FOLDER.models).put("t", manifest, WEIGHTS[name])


def offsets(axes):
    return sorted(map(tuple, np.asarray(axes.collections[0].get_offsets()).tolist()))


def refused(call, *args, **options):
    with pytest.raises(UsageError) as fault:
        call(FOLDER, *args, **options)
    return str(fault.value)


# ---------------------------------------------------------------------------------------- codes


@pytest.mark.parametrize(("network", "scale"), [("Same", (1, 1)), ("Gauss", (2, 3)), ("Around", (2, 3)),
                                                ("Means", (2, 3))])  # fmt: skip
def test_of_a_gaussian_the_means_are_drawn_and_of_others_the_code(network, scale):
    drawn = latent.draw(FOLDER, network, "Few", kinds.LatentOptions(tag="t"))
    (axes,) = drawn.axes
    assert offsets(axes) == sorted(map(tuple, (POINTS * scale).tolist()))
    assert axes.get_xlabel() == "dimension 0 of the code"
    assert axes.get_title("left") == f"{network}:t on Few"
    what = "means of the codes" if network in ("Gauss", "Around") else "codes"
    assert f"{what} of 6 samples" in [text.get_text() for text in axes.texts]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["left", "right"]


def test_points_have_the_colours_of_their_classes():
    (axes,) = latent.draw(FOLDER, "Same", "Few", kinds.LatentOptions(tag="t")).axes
    dots = axes.collections[0]
    places, shades = np.asarray(dots.get_offsets()).tolist(), dots.get_facecolor().tolist()
    by_place = {tuple(place): tuple(shade) for place, shade in zip(places, shades, strict=True)}
    found = [by_place[tuple(point)] for point in POINTS.tolist()]
    assert found[0] == found[2] == found[4] != found[1] == found[3] == found[5]


def test_more_than_two_dimensions_are_projected_and_the_axes_say_the_variance():
    (axes,) = latent.draw(FOLDER, "Broad", "Few", kinds.LatentOptions(tag="t")).axes
    codes = POINTS * [4, 1]
    shares = np.linalg.eigvalsh(np.cov(codes.T))[::-1] / np.trace(np.cov(codes.T))
    assert axes.get_xlabel() == f"first principal component ({shares[0]:.0%} of the variance)"
    assert axes.get_ylabel() == f"second principal component ({shares[1]:.0%} of the variance)"


def test_neighbourhoods_are_laid_out_by_tsne_and_have_no_unit():
    options = kinds.LatentOptions(tag="t", projection="t-sne", samples=5)
    (axes,) = latent.draw(FOLDER, "Broad", "Few", options).axes
    assert len(offsets(axes)) == 5
    assert (axes.get_xlabel(), axes.get_xticks().size) == ("t-SNE 1", 0)


def test_codes_of_one_value_are_counted_by_class():
    (axes,) = latent.draw(FOLDER, "One", "Few", kinds.LatentOptions(tag="t")).axes
    assert sum(bar.get_height() for bar in axes.containers[0]) == 3
    assert sum(bar.get_height() for bar in axes.containers[1]) == 3
    assert refused(latent.draw, "One", "Few", kinds.LatentOptions(tag="t", projection="PCA")) == (
        "One:t gives codes of one value, which need no projection"
    )


def test_a_joint_picture_has_both_dimensions_in_their_order_and_their_counts():
    drawn = joint.draw(FOLDER, "Broad", "Few", kinds.JointOptions(tag="t", dims="2,0"))
    main, above, beside, _ = drawn.axes
    assert offsets(main) == sorted((y, 4 * x) for x, y in POINTS.tolist())
    assert (main.get_xlabel(), main.get_ylabel()) == ("dimension 2 of the code", "dimension 0 of the code")
    assert sum(bar.get_height() for bar in above.patches) == 6
    assert (above.get_yscale(), beside.get_xscale()) == ("linear", "linear")


def test_counts_of_values_about_zero_are_logarithmic():
    drawn = joint.draw(FOLDER, "Broad", "Few", kinds.JointOptions(tag="t", dims="1,2"))
    _, above, beside, _ = drawn.axes
    assert (above.get_yscale(), beside.get_xscale()) == ("log", "linear")
    assert (above.get_ylabel(), beside.get_xlabel()) == ("samples (log)", "samples")


def test_codes_that_cannot_be_drawn_are_refused():
    dims = kinds.JointOptions(tag="t", dims="0,3")
    assert refused(joint.draw, "Broad", "Few", dims) == (
        "dims=0,3: the code of Broad:t has the dimensions 0 to 2"
    )
    assert refused(joint.draw, "One", "Few", kinds.JointOptions(tag="t")) == (
        "One:t gives codes of one value; draw them by: dianne plot latent"
    )
    few = kinds.LatentOptions(tag="t", projection="TSNE", range="0,2")
    assert refused(latent.draw, "Broad", "Few", few) == "t-SNE needs 4 samples at least, found 3"
    manifest, weights = Manifest("Broad", NETWORKS["Broad"], {}), torch.zeros(3, 2)
    Store(FOLDER.models).put("same", manifest, {"c.weight": weights, "c.bias": torch.ones(3)})
    same = kinds.LatentOptions(tag="same", projection="TSNE")
    assert refused(latent.draw, "Broad", "Few", same) == (
        "all codes are the same; t-SNE has nothing to lay out"
    )
    Store(FOLDER.models).put("nan", manifest, {"c.weight": weights, "c.bias": torch.full((3,), torch.nan)})
    assert refused(latent.draw, "Broad", "Few", kinds.LatentOptions(tag="nan")) == (
        "Broad:nan gives codes that are not finite; they have no place in a picture"
    )


def test_networks_of_several_inputs_or_results_are_refused():
    assert refused(latent.draw, "Two", "Few", kinds.LatentOptions(tag="t")) == (
        "Two:t takes several inputs (a, b); a picture needs a network with one input and one output"
    )
    assert refused(latent.draw, "Both", "Few", kinds.LatentOptions(tag="t")) == (
        "Both:t gives several results (x, y); a picture needs a network with one input and one output"
    )
    assert refused(latent.draw, "Same", "Few", kinds.LatentOptions(tag="x")) == (
        "Same has no tag 'x'; tags of Same: t"
    )


# ------------------------------------------------------------------------------------- decoders


def test_a_manifold_shows_each_place_where_it_is():
    drawn = manifold.draw(FOLDER, "Draw", kinds.ManifoldOptions(tag="t", n=2))
    (axes,) = drawn.axes
    canvas = axes.images[0].get_array()
    low, high = 0.5 - 1.96 / 4, 0.5 + 1.96 / 4
    np.testing.assert_allclose(canvas[0, :, 0], [low, high, high, high], atol=1e-4)  # dimension 1 is high
    np.testing.assert_allclose(canvas[2, :, 0], [low, low, high, low], atol=1e-4)
    assert [text.get_text() for text in axes.get_xticklabels()] == ["−1.96", "1.96"]
    rows = [text.get_text() for text in axes.get_yticklabels()]
    assert dict(zip(rows, axes.get_yticks(), strict=True)) == {"−1.96": 2.5, "1.96": 0.5}
    turned = manifold.draw(FOLDER, "Draw", kinds.ManifoldOptions(tag="t", n=2, dims="1,0"))
    np.testing.assert_allclose(
        turned.axes[0].images[0].get_array()[0, :, 0], [high, low, high, high], atol=1e-4
    )


def test_a_decoder_of_points_is_drawn_as_its_curve():
    drawn = manifold.draw(FOLDER, "Curve", kinds.ManifoldOptions(tag="t", n=3))
    pieces = drawn.axes[0].collections[0].get_segments()
    np.testing.assert_allclose(pieces, [[[-1.96, -3.92], [0, 0]], [[0, 0], [1.96, 3.92]]], atol=1e-3)
    grid = manifold.draw(FOLDER, "Same", kinds.ManifoldOptions(tag="t", n=3))
    np.testing.assert_allclose(grid.axes[0].lines[0].get_xydata()[:, 0], [-1.96] * 3, atol=1e-3)


def test_a_decoder_that_gives_neither_or_has_no_such_dimension_is_refused():
    assert refused(manifold.draw, "Broad", kinds.ManifoldOptions(tag="t")) == (
        "Broad:t gives results of [3], which are no pictures: "
        "[height, width], [1, height, width] or [3, height, width]"
    )
    assert refused(manifold.draw, "Draw", kinds.ManifoldOptions(tag="t", dims="0,2")) == (
        "dims=0,2: Draw:t has the dimensions 0 to 1"
    )
    assert refused(manifold.draw, "Curve", kinds.ManifoldOptions(tag="t", dims="0,1")) == (
        "dims=0,1: Curve:t has only the dimension 0"
    )


def test_classes_are_rows_and_have_their_names():
    text = NETWORKS["Draw"].replace("shape: [2]}", "shape: [3]}")
    weights = {"pixels.weight": torch.tensor([[0.0, 1, 0]] * 4), "pixels.bias": torch.zeros(4)}
    Store(FOLDER.models).put("c", Manifest("Draw", text, {}, dataset={"name": "Few"}), weights)
    drawn = samples.draw(FOLDER, "Draw", kinds.SamplesOptions(tag="c", each=3))
    (axes,) = drawn.axes
    canvas = axes.images[0].get_array()[..., 0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["left", "right"]
    assert canvas[0].tolist() == [1] * 10  # the first class is white
    assert canvas[4].tolist() == [0, 0, 1, 1, 0, 0, 1, 1, 0, 0]
    assert [text.get_text() for text in axes.texts] == ["the same 1 latent value in a column"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "which leaves none for noise beside 2 classes; "
             "draw a decoder without classes by: dianne plot manifold"),
        ({"classes": 5}, "which leaves none for noise beside 5 classes; "
                         "draw a decoder without classes by: dianne plot manifold"),
        ({"latentDims": 2}, "which leaves none for the class; "
                            "draw a decoder without classes by: dianne plot manifold"),
        ({"latentDims": 2, "classes": 4}, "but latentDims=2 and classes=4 make 6"),
    ],
)  # fmt: skip
def test_a_decoder_that_has_no_room_for_classes_is_refused(options, message):
    found = refused(samples.draw, "Draw", kinds.SamplesOptions(tag="t", **options))
    assert found == f"Draw:t takes 2 values, {message}"


# ---------------------------------------------------------------------------------------- pairs


def test_points_are_drawn_with_their_reconstructions():
    drawn = reconstruct.draw(FOLDER, "Gauss,Same", "Few", kinds.ReconstructOptions(tag="t"))
    axes = drawn.axes[0]
    found = [sorted(map(tuple, np.asarray(dots.get_offsets()).tolist())) for dots in axes.collections]
    assert found == [sorted(map(tuple, (POINTS * scale).tolist())) for scale in ([1, 1], [2, 3])]
    error = (POINTS**2 * [1, 4]).mean()
    assert [text.get_text() for text in axes.texts] == [f"mean squared error {error:.4f} over 6 samples"]


def test_the_way_between_points_is_straight_in_the_data_and_between_codes():
    options = kinds.InterpolateOptions(tag="t", **{"from": 1, "to": 5}, steps=3)
    drawn = interpolate.draw(FOLDER, "Gauss,Same", "Few", options)
    straight, decoded = drawn.axes[0].lines
    assert straight.get_xydata().tolist() == [[1, 0], [1.5, 2.5], [2, 5]]
    assert decoded.get_xydata().tolist() == [[2, 0], [3, 7.5], [4, 15]]
    assert drawn.axes[0].texts[0].get_text() == "from sample 1 (class right) to sample 5 (class right)"


def test_networks_that_do_not_fit_together_are_refused():
    def options():
        return kinds.ReconstructOptions(tag="t")

    assert refused(reconstruct.draw, "Same", "Few", options()) == (
        "the picture shows two networks, such as Encoder,Decoder; found 1: Same"
    )
    assert refused(reconstruct.draw, "One,Same", "Few", options()) == (
        "Same:t takes 2 values, but One:t gives 1; it may be a conditional one, which is drawn by: "
        "dianne plot samples"
    )
    assert refused(reconstruct.draw, "Broad,Same", "Few", options()) == (
        "Same:t takes 2 values, but Broad:t gives 3"
    )
    assert refused(reconstruct.draw, "Same,Draw", "Few", options()) == (
        "Draw:t gives results of [2, 2], but Few has samples of [2]"
    )


# ------------------------------------------------------------------------------------ confusion


def test_confusions_are_counted_and_the_title_says_how_many_are_right():
    drawn = confusion.draw(FOLDER, "Same", "Few", kinds.ConfusionOptions(tag="t"))
    axes = drawn.axes[0]
    written = {tuple(text.get_position()): text.get_text() for text in axes.texts[:-1]}
    found = POINTS.argmax(1)  # the network gives the point, so the larger coordinate names the class
    counts = np.zeros((2, 2), int)
    for true, guess in zip(CLASSES, found, strict=True):
        counts[true, guess] += 1
    for (row, column), count in np.ndenumerate(counts):
        assert written.get((column, row), "0") == str(count)
    right = int(np.trace(counts))
    assert axes.get_title("left") == f"Same:t on Few: {right / 6:.2%} right"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("class found", "true class")


def test_a_dataset_without_classes_cannot_be_confused():
    assert refused(confusion.draw, "Same", "Bare", kinds.ConfusionOptions(tag="t")) == (
        "Bare has no classes to be confused"
    )


# ----------------------------------------------------------------------------------------- loss


def test_jobs_are_drawn_on_top_of_each_other_with_their_validations():
    for number, count in enumerate((10, 300)):
        place = Path(f".dianne/jobs/job{number}")
        place.mkdir(parents=True)
        lines = [{"iteration": i, "terms": {"kl": 1.0, "loss": float(i)}} for i in range(1, count + 1)]
        lines.append({"iteration": 5, "validation": {"negative ELBO": 7.5, "kl": 2.5}})
        (place / "progress.jsonl").write_text("\n".join(map(json.dumps, lines)))
    drawn = loss.draw(FOLDER, ["job0", "job1", "job0"])
    first, second = drawn.axes
    assert (first.get_ylabel(), second.get_ylabel(), second.get_xlabel()) == ("loss", "kl", "iteration")
    assert [len(line.get_xdata()) for line in first.lines] == [10, 1, 300, 300, 1]  # with a mean of 300
    assert first.lines[1].get_xydata().tolist() == [[5, 7.5]]
    assert second.lines[1].get_xydata().tolist() == [[5, 2.5]]
    legend = [text.get_text() for text in first.get_legend().get_texts()]
    assert legend == ["job0", "job1", "validation (negative ELBO)"]


def test_a_job_without_a_loss_is_refused():
    with Recorder(FOLDER, {"id": "job0", "command": "learn"}, 10, print):
        pass
    assert refused(loss.draw, ["job0"]) == "the job job0 has noted no loss yet"


# ---------------------------------------------------------------------------------------- files


@pytest.mark.parametrize(("out", "begin"), [("a.png", b"\x89PNG"), ("a.SVG", b"<?xml")])
def test_a_picture_is_written_as_its_ending_says_and_twice_the_same(out, begin):
    def once():
        save(latent.draw(FOLDER, "Same", "Few", kinds.LatentOptions(tag="t")), out)
        return Path(out).read_bytes()

    content = once()
    assert content.startswith(begin)
    assert content == once()
    assert [path.name for path in Path().glob("*a*.*")] == [out]


def test_a_picture_that_cannot_be_written_is_reported_and_leaves_nothing():
    drawn = latent.draw(FOLDER, "Same", "Few", kinds.LatentOptions(tag="t"))
    with pytest.raises(DianneError) as fault:
        save(drawn, "nowhere/a.png")
    assert str(fault.value) == "nowhere/a.png: cannot be written: No such file or directory"


def test_more_reconstructions_than_anyone_could_look_at_are_refused():
    for number in (401, 1797):
        options = kinds.ReconstructOptions(tag="t", samples=number)
        assert refused(reconstruct.draw, "Same,Same", "Digits", options) == (
            f"{number:,} images are too many for one picture; give samples=400 or fewer"
        )
