"""Forwarding over HTTP: kinds of body in and out, callers at once, weights that change under them."""

import asyncio
import io
import json
import time
from contextlib import suppress

import httpx2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from served import LIMIT, error, put

from dianne.errors import UsageError
from dianne.runtime.server.bodies import UnknownKindError, decode, encode, wanted
from dianne.store import Store

NPY = "application/x-npy"
PIXELS = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10


def npy(array, **how):
    packed = io.BytesIO()
    np.save(packed, array, **how)
    return packed.getvalue()


def picture(pixels, kind="PNG"):
    packed = io.BytesIO()
    Image.fromarray(pixels).save(packed, format=kind)
    return packed.getvalue()


def post(client, body, kind="application/json", accept="*/*", name="Sum"):
    headers = {"Content-Type": kind, "Accept": accept}
    return client.post(f"/instances/{name}/forward", content=body, headers=headers)


# ------------------------------------------------------------------------------------------ kinds of body


def test_json_comes_back_as_json_with_the_weights_that_gave_it(http, folder):
    version = Store(folder.models).resolve("Sum", "t")
    for body, result in (("[0.5, -1.25]", [0.5, -1.25, -0.75]), ("[[1, 2], [3, 4]]", [[1, 2, 3], [3, 4, 7]])):
        found = post(http, body)
        assert (found.status_code, found.json()) == (200, result)
        assert found.headers["dianne-manifest"] == version
        assert found.headers["content-type"] == "application/json"


def test_numbers_are_as_short_as_their_precision_allows_and_null_where_they_are_not_finite(http):
    assert post(http, "[0.1, 0.2]").text == "[0.1,0.2,0.3]"
    infinite = npy(np.array([np.inf, 1], np.float32))
    assert post(http, infinite, NPY).text == "[null,null,null]"  # 0 times infinity is no number


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<i2", "u1", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_goes_in_and_out(http, dtype, order):
    points = np.array([[1, 0], [1, 1], [0, 0]], dtype, order=order)
    found = post(http, npy(points), NPY, NPY)
    assert found.headers["content-type"] == NPY
    assert np.load(io.BytesIO(found.content)).tolist() == [[1, 0, 1], [1, 1, 2], [0, 0, 0]]


@pytest.mark.parametrize(("name", "colours"), [("Grey", False), ("Plain", False), ("Colour", True)])
def test_a_picture_goes_in_and_comes_back_with_the_same_pixels(http, name, colours):
    pixels = np.stack([PIXELS, PIXELS[::-1], 255 - PIXELS], axis=2) if colours else PIXELS
    found = post(http, picture(pixels), "image/png", "image/png", name)
    assert found.headers["content-type"] == "image/png"
    assert (np.asarray(Image.open(io.BytesIO(found.content))) == pixels).all()
    values = post(http, picture(pixels), "image/png", name=name).json()
    assert np.asarray(values).max() == pytest.approx(pixels.max() / 255)


def test_a_batch_comes_back_as_a_grid_of_pictures(http):
    found = post(http, npy(np.zeros((4, 4, 6))), NPY, "image/png", "Plain")
    assert Image.open(io.BytesIO(found.content)).size > (12, 8)


def test_jpeg_is_taken(http):
    flat = np.full((4, 6), 128, np.uint8)
    values = post(http, picture(flat, "JPEG"), "image/jpeg", name="Plain").json()
    assert np.asarray(values) == pytest.approx(128 / 255, abs=0.02)


class Evil:
    """Would leave a file behind if it were unpacked."""

    def __reduce__(self):
        return (open, ("/tmp/dianne-was-unpacked", "w"))


JSON = "application/json"
REFUSED = {
    "no JSON": (b"[1, 2", JSON, 400, "the body is no JSON: "),
    "NaN": (b"[NaN, 1]", JSON, 400, "the body is no JSON: "),
    "deep": (b"[" * 100_000, JSON, 400, "the body is no JSON: "),
    "text": (b'["1", "2"]', JSON, 400, "the body holds something else than numbers"),
    "null": (b"[null, 1]", JSON, 400, "the body holds something else than numbers"),
    "object": (b'{"a": 1}', JSON, 400, "the body holds something else than numbers"),
    "ragged": (b"[[1], [1, 2]]", JSON, 400, "the body is no array: every sample needs as many values as"),
    "nothing": (b"", JSON, 400, "the body is no JSON: "),
    "no samples": (b"[]", JSON, 400, "the body holds no samples"),
    "shape": (b"[1, 2, 3]", JSON, 422, "Sum.point takes samples of [2], got [3]"),
    "shapes": (b"[[1, 2, 3]]", JSON, 422, "Sum.point takes samples of [2], got [3]"),
    "kind": (b"<a/>", "text/xml", 415, "a body of text/xml is not taken; send application/json, "),
    "no npy": (b"\x93NUMPY", NPY, 400, "the body is no .npy file: "),
    "short npy": (npy(np.zeros((2, 2)))[:-1], NPY, 400, "the body is no .npy file: "),
    "pickle": (
        npy(np.array([Evil()], object), allow_pickle=True), NPY, 400,
        "the body is an array of object; expected numbers",
    ),
    "texts": (npy(np.array(["a"])), NPY, 400, "the body is an array of <U1; expected numbers"),
    "picture": (picture(PIXELS), "image/png", 400, "the network takes samples of [2], which are no pictures"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_forwarded_is_said(http, case):
    body, kind, status, message = REFUSED[case]
    assert error(post(http, body, kind), status).startswith(message)


def test_an_npy_header_cannot_ask_for_memory(http):
    head = npy(np.zeros(1)).replace(b"(1,)", b"(9999999999999,)")
    assert error(post(http, head, NPY), 400).startswith("the body is no .npy file: ")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (picture(PIXELS.T), "the picture has 6 x 4 pixels; the network takes 4 x 6"),
        (picture(PIXELS)[:40], "the body: is no whole picture"),
        (b"\x89PNG", "the body: is no whole picture"),
    ],
)
def test_a_picture_of_another_size_or_a_broken_one_is_refused(http, body, message):
    assert error(post(http, body, "image/png", name="Plain"), 400).startswith(message)


def test_results_that_are_no_pictures_and_kinds_that_are_not_given(http):
    assert error(post(http, b"[1, 2]", accept="image/png"), 422).startswith("results of [3] are no pictures")
    assert error(post(http, b"[1, 2]", accept="text/html"), 406) == (
        "results of text/html are not given; accept application/json, application/x-npy, image/png"
    )
    assert [wanted(accept) for accept in ("", "text/html, image/*;q=0.8", "a/b, */*")] == [
        "application/json", "image/png", "application/json",
    ]  # fmt: skip


@settings(max_examples=300)
@given(st.binary(max_size=200), st.sampled_from(["application/json", NPY, "image/png", "image/jpeg"]))
def test_no_bytes_do_more_than_be_refused(body, kind):
    with suppress(UsageError):
        assert decode(body, kind, (4, 6)).size


@settings(max_examples=200)
@given(st.data())
def test_no_spoilt_npy_does_more_than_be_refused(data):
    body = bytearray(npy(np.zeros((2, 3), np.float32)))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(6, len(body) - 1))] = data.draw(st.integers(0, 255))
    with suppress(UsageError):
        assert decode(bytes(body), NPY, (3,)).size


def test_a_single_number_and_values_out_of_order_are_written_too():
    assert encode(np.float32(1.5).reshape(()), True, "application/json") == b"1.5"
    assert json.loads(encode(np.zeros((2, 3), np.float32).T, False, "application/json")) == [[0, 0]] * 3
    with pytest.raises(UnknownKindError):
        wanted("text/plain")


# ------------------------------------------------------------------------------------------ who and how much


@pytest.mark.parametrize(
    "name", ["Som", "..", "%2e%2e", "..%2f..%2fetc", "a%00b", "x" * 300, "%ff", ".hidden"]
)
def test_an_instance_that_is_not_there_is_a_404(http, name):
    assert http.post(f"/instances/{name}/forward", json=[1, 2]).status_code in (404, 405)


def test_an_unknown_instance_is_named_with_the_nearest(http):
    assert error(post(http, b"[1, 2]", name="Som"), 404) == (
        "'Som' is not deployed; did you mean 'Sum'?\n  deploy it with: dianne deploy Som tag=..."
    )


def test_a_body_can_be_too_large_whether_it_says_so_or_not(http):
    large = b" " * (LIMIT + 1)
    message = "the body is larger than 1,000,000 bytes"
    assert error(post(http, large), 413) == message
    assert error(post(http, iter([large[:LIMIT], b"[1, 2]"])), 413) == message
    assert post(http, b"[1, 2]" + large[: LIMIT - 6]).status_code == 200


def test_a_body_may_come_in_parts(http):
    assert post(http, iter([b"[1,", b" 2", b"]"])).json() == [1, 2, 3]


# ---------------------------------------------------------------------------------------------- many at once


def clients(server, token):
    """Somebody with 16 connections."""
    limits, headers = httpx2.Limits(max_connections=16), {"Authorization": f"Bearer {token}"}
    return httpx2.AsyncClient(base_url=server.url, headers=headers, limits=limits, timeout=30, verify=False)


async def ask_many(client, bodies):
    asked = (client.post("/instances/Sum/forward", json=body) for body in bodies)
    return await asyncio.gather(*asked)


def test_concurrent_calls_give_what_single_calls_give(server, token, http):
    points = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32).tolist()

    async def call():
        async with clients(server, token) as client:
            return await ask_many(client, points)

    found = asyncio.run(call())
    expected = [post(http, json.dumps(point)).json() for point in points[:20]]
    np.testing.assert_allclose([one.json() for one in found[:20]], expected, rtol=1e-6)
    np.testing.assert_allclose(
        [one.json() for one in found], [[x, y, x + y] for x, y in points], rtol=1e-5, atol=1e-6
    )
    batches = server.services.metrics.batches.labels("Sum")
    assert batches._sum.get() > sum(bucket.get() for bucket in batches._buckets)  # calls, batches


def test_a_tag_that_moves_under_load_mixes_no_versions(server, token, folder):
    bias = {Store(folder.models).resolve("Sum", "t"): 0.0}
    found = []

    async def retrain():
        for number in range(1, 8):
            bias[await asyncio.to_thread(put, folder, number)] = float(number)
            await asyncio.sleep(0.15)

    async def call():
        retraining = asyncio.create_task(retrain())
        async with clients(server, token) as client:
            while not retraining.done():
                found.extend(await ask_many(client, [[[0, 0]] * 4] * 8))
        await retraining

    asyncio.run(call())
    assert [one.status_code for one in found if one.status_code != 200] == []
    wrong = [one for one in found if one.json() != [[bias[one.headers["dianne-manifest"]]] * 3] * 4]
    assert wrong == []
    assert len({one.headers["dianne-manifest"] for one in found}) > 2
    put(folder)
    time.sleep(0.3)
