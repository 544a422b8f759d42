"""Images of different sizes: brought to one by adapters, the same as if each came alone."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from PIL import Image

from dianne.data import mapping
from dianne.data.adapter_options import AdapterOptions
from dianne.data.adapters.stack import adapted, statistics_of
from dianne.data.dataset import Dataset
from dianne.data.descriptor import describe, parse_range
from dianne.data.ragged import Ragged
from dianne.data.readers import open_dataset
from dianne.data.sampling import Sampler
from dianne.errors import UsageError
from dianne.workspace import Folder

SIZES = [(7, 5), (4, 9), (7, 5), (6, 6), (4, 9)]
DIFFER = (
    "the images of Own differ in size, from 7 x 5 to 4 x 9; bring them to one: frame=height,width scales "
    "them, cropWidth and cropHeight cut a window out, and `size` in the descriptor scales them once"
)


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DIANNE_DATASETS", "")
    monkeypatch.setenv("DIANNE_CACHE", "cache")
    monkeypatch.setattr(mapping, "SETTLED", 0)
    Path("datasets").mkdir()


def put(path, pixels):
    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(file, "png")
    place = Path("datasets", path)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(file.getvalue())


def opened(text, limit=None):
    Path("datasets/Own.yaml").write_text(text)
    folder = Folder(Path())
    return open_dataset(folder, describe(folder, "Own"), memory_limit=limit)


def pictures(colours=(), masks=False):
    """The folders `images` of SIZES, and `masks`."""
    random = np.random.RandomState(0)
    images = []
    for n, size in enumerate(SIZES):
        pixels = random.randint(0, 256, (*size, 3) if n in colours else size)
        images.append(pixels)
        put(f"images/{'ab'[n % 2]}/{n}.png", pixels)
        if masks:
            put(f"masks/{'ab'[n % 2]}/{n}.png", pixels)
    return images


def alone(dataset, index, **options):
    """What one image becomes where it is a dataset by itself."""
    image = dataset.inputs.image(index)[None]
    found = adapted(Dataset("Own", image, torch.zeros(1)), AdapterOptions(**options))
    return found.batch(slice(None)).input[0]


@pytest.mark.parametrize("limit", [None, 20], ids=["in memory", "in files"])
@settings(deadline=None, max_examples=20)
@given(
    options=some.sampled_from(
        [
            {"frame": "5,4"},
            {"frame": "3,5,4"},
            {"crop_width": 3, "crop_height": 4},
            {"crop_width": 8, "crop_height": 2, "crop_padding": 2, "frame": "3,3"},
            {"crop_height": 4, "crop_padding": 1, "frame": "4,4", "binarize": 0.5},
            {"rotation_theta": "0.4,0.4", "frame": "4,4"},
        ]
    ),
    indices=some.lists(some.integers(0, 4), min_size=1, max_size=9),
)
def test_every_image_becomes_what_it_would_alone(limit, options, indices):
    pictures()
    dataset = opened("type: ImageFolder\nfile: images", limit)
    assert isinstance(dataset.inputs, Ragged)
    found = adapted(dataset, AdapterOptions(**options))
    batch = found.batch(torch.tensor(indices))
    assert batch.input.shape == (len(indices), *found.input_dims)
    for place, index in enumerate(indices):
        assert torch.equal(batch.input[place], alone(dataset, index, **options))
        assert batch.target[place].argmax() == dataset.targets[index]


def test_images_are_stored_as_they_are():
    images = pictures(colours=[1])
    dataset = opened("type: ImageFolder\nfile: images")
    order = [0, 2, 4, 1, 3]  # folder a, then b
    for place, index in enumerate(order):
        pixels = images[index] if index == 1 else np.dstack([images[index]] * 3)
        assert dataset.inputs.image(place).tolist() == pixels.transpose(2, 0, 1).tolist()


def test_masks_move_with_their_images():
    pictures(masks=True)
    dataset = opened("type: ImageSegmentationDataset")
    options = {"hflip": 0.5, "rotation": 40, "crop_width": 4, "crop_padding": 1, "frame": "5,5"}
    found = adapted(dataset, AdapterOptions(**options)).drawing(1, learning=True)
    batch = found.batch(torch.arange(5).repeat(8))
    assert found.target_dims == batch.target.shape[1:] == (1, 5, 5)
    torch.testing.assert_close(batch.input, batch.target, atol=0.003, rtol=0)  # inputs are rounded to bytes
    assert len(batch.input.unique(dim=0)) > 10


def test_other_adapters_come_behind():
    pictures(masks=True)
    dataset = opened("type: ImageSegmentationDataset")
    found = adapted(dataset, AdapterOptions(frame="4,4", normalise=True, autoencode=True, encoder_drop=0.5))
    assert abs(float(found.batch(slice(None)).target.mean())) < 1e-6
    assert statistics_of(found)
    classes = adapted(dataset, AdapterOptions(frame="4,4", mask_to_class=1))
    assert classes.batch(slice(None)).target.tolist() == [[1, 0]] * 5
    half = adapted(dataset, AdapterOptions(frame="4,4", split=0.4))
    assert half.batch(slice(None)).input.shape == (2, 1, 4, 4)
    twice = adapted(adapted(dataset, AdapterOptions(frame="4,4")), AdapterOptions(hflip=1))
    assert torch.equal(
        twice.drawing(1, True).batch(slice(None)).input,
        adapted(dataset, AdapterOptions(frame="4,4")).batch(slice(None)).input.flip(-1),
    )


@pytest.mark.parametrize("options", [{}, {"hflip": 0.5}, {"crop_width": 3}, {"binarize": 0.5}])
def test_without_a_common_size_it_says_what_to_do(options):
    pictures()
    dataset = opened("type: ImageFolder\nfile: images")
    with pytest.raises(UsageError) as fault:
        adapted(dataset, AdapterOptions(**options)).without_data(3)
    assert str(fault.value) == DIFFER
    with pytest.raises(UsageError) as fault:
        dataset.batch(slice(None))
    assert str(fault.value) == DIFFER


def test_a_window_must_fit_into_all():
    pictures()
    with pytest.raises(UsageError) as fault:
        adapted(opened("type: ImageFolder\nfile: images"), AdapterOptions(crop_width=6, crop_height=4))
    assert str(fault.value) == (
        "a window of 4 x 6 does not fit into the images of Own, which are 7 x 5 with their padding; raise "
        "cropPadding, or use frame"
    )


def test_keys_of_the_descriptor_bring_them_to_one_size_once():
    pictures()
    dataset = opened("type: ImageFolder\nfile: images\nframe: [4, 4]\npad: 1")
    assert (dataset.inputs.shape, dataset.inputs.dtype) == ((5, 1, 6, 6), torch.uint8)


def test_a_fingerprint_tells_sizes_and_pixels():
    pictures()
    text = "type: ImageFolder\nfile: images"
    here, there = opened(text), opened(text, 20)
    assert here.fingerprint() == there.fingerprint()
    found = {here.fingerprint(), here.select(parse_range("0:4")).fingerprint()}
    put("images/a/0.png", np.zeros((7, 5)))
    found.add(opened(text, 20).fingerprint())
    put("images/a/0.png", np.zeros((5, 7)))
    found.add(opened(text).fingerprint())
    assert len(found) == 4


@pytest.mark.parametrize("limit", [None, 20], ids=["in memory", "in files"])
def test_samplers_go_on_from_a_state(limit):
    pictures()
    options = AdapterOptions(hflip=0.5, crop_padding=1, frame="5,5")

    def sampler(seed):
        dataset = adapted(opened("type: ImageFolder\nfile: images", limit), options)
        return Sampler(dataset.drawing(seed, learning=True), 3, "PERMUTATION", seed)

    first, other = sampler(1), sampler(2)
    for _ in range(3):
        next(first)
    other.load_state_dict(first.state_dict())
    for _ in range(4):
        assert torch.equal(next(first).input, next(other).input)


def test_large_pictures_that_are_grey_and_not_need_to_be_told():
    pictures(colours=[0])
    with pytest.raises(Exception, match="has 1 planes, but") as fault:
        opened("type: ImageFolder\nfile: images", limit=20)
    assert str(fault.value) == (
        "datasets/images/a/2.png: has 1 planes, but datasets/images/a/0.png has 3; give 'grey: true' or "
        "'grey: false'"
    )
    assert opened("type: ImageFolder\nfile: images\ngrey: false", limit=20).inputs.planes == 3
