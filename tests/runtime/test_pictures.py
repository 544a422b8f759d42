"""Pictures: how large the grid is, and which value becomes which shade."""

import numpy as np
import pytest

from dianne.errors import UsageError
from dianne.runtime.pictures import grid

GAP, WHITE, BLACK = 6, (255, 255, 255), (0, 0, 0)


def tiles(images):
    """For each place of the grid of 2 x 2 images, the shades of the four corners of its image."""
    picture = grid(np.array(images, np.float32))
    corners = (0, 111)
    return [
        [[picture.getpixel((left + x, top + y)) for x in corners] for y in corners]
        for top in range(GAP, picture.height, 112 + GAP)
        for left in range(GAP, picture.width, 112 + GAP)
    ]


def grey(shades):
    return [[(shade,) * 3 for shade in row] for row in shades]


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((1, 28, 28), (124, 124)),
        ((16, 28, 28), (478, 478)),
        ((5, 28, 28), (360, 242)),
        ((2, 28, 28), (242, 124)),
        ((1, 1, 28, 28), (124, 124)),
        ((1, 3, 16, 8), (68, 124)),
        ((1, 8, 16), (124, 68)),
        ((2, 200, 100), (218, 212)),
        ((1, 100, 60), (72, 112)),
    ],
)
def test_a_grid_is_about_square_and_small_images_are_enlarged(shape, size):
    assert grid(np.zeros(shape, np.float32)).size == size


def test_images_stand_row_by_row_with_white_between_and_behind_them():
    shades = [tile[0][0] for tile in tiles([np.full((2, 2), value) for value in (0, 0.2, 1, 0.6, 0.8)])]
    assert shades == [BLACK, (51,) * 3, WHITE, (153,) * 3, (204,) * 3, WHITE]
    picture = grid(np.zeros((4, 2, 2), np.float32))
    for inside in (GAP, GAP + 111, 2 * GAP + 112):
        assert picture.getpixel((inside, inside)) == BLACK
    for between in (0, GAP - 1, GAP + 112, 2 * GAP + 111, picture.width - 1):
        assert picture.getpixel((between, GAP)) == picture.getpixel((GAP, between)) == WHITE


def test_an_image_is_not_turned():
    (tile,) = tiles([[[0, 0.2], [0.4, 1]]])
    assert tile == grey([[0, 51], [102, 255]])


def test_values_from_0_to_1_keep_their_shade():
    assert tiles([[[0.2, 0.4], [0.6, 0.4]]]) == [grey([[51, 102], [153, 102]])]


def test_of_other_values_the_smallest_becomes_black_and_the_largest_white_in_all_images():
    assert tiles([[[-3, -1], [1, 2]], [[0, 2], [2, 2]]]) == [
        grey([[0, 102], [204, 255]]),
        grey([[153, 255], [255, 255]]),
    ]


def test_images_of_one_shade_beyond_1_are_black():
    assert tiles([np.full((2, 2), 7)]) == [grey([[0, 0], [0, 0]])]


def test_colours_are_red_green_and_blue():
    red, green, blue = np.array([[1, 0], [0, 1]]), np.array([[0, 1], [0, 1]]), np.array([[0, 0], [1, 1]])
    assert tiles([[red, green, blue]]) == [[[(255, 0, 0), (0, 255, 0)], [(0, 0, 255), WHITE]]]


def test_grey_images_look_the_same_with_and_without_their_plane():
    images = np.random.default_rng(0).random((3, 9, 7), np.float32)
    assert grid(images).tobytes() == grid(images[:, None]).tobytes()
    assert grid(images).tobytes() == grid(images[:, None].repeat(3, axis=1)).tobytes()


@pytest.mark.parametrize(
    "shape", [(), (10,), (1, 28), (28, 1), (2, 28, 28), (4, 28, 28), (1, 1, 28), (1, 3, 8, 8)]
)
def test_results_that_are_no_pictures_are_refused(shape):
    with pytest.raises(UsageError) as fault:
        grid(np.zeros((4, *shape), np.float32))
    assert str(fault.value) == (
        f"results of {list(shape)} are no pictures: a .png needs [height, width], [1, height, width] or "
        f"[3, height, width]; write numbers to a .npy or .json file instead"
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_have_no_shade(value):
    with pytest.raises(UsageError) as fault:
        grid(np.array([[[0, 1], [value, 0.5]]], np.float32))
    assert str(fault.value) == "results hold values that are not finite; a .png cannot show them"
