"""What is spoilt or made to do harm is refused with a message, and nothing of it is written or run."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from dianne_files import chain, id_of, module, put, weights
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dianne
from dianne.errors import DianneError

CUT = "it is cut off, or no weight file"
LINEAR = ("Linear", {"input": "2", "output": "2"})


class Trap:
    """Says that it ran, when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("open('ran', 'w').close()",)


def refused(folder: Path, path: Path, **options: Any) -> str:
    """The message; nothing was written."""
    workspace = folder / "workspace"
    with pytest.raises(DianneError) as caught:
        dianne.Workspace(workspace).import_(path, **options)
    assert not workspace.exists()
    return str(caught.value).replace(f"{folder}/", "")


def written(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "modules.txt").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "{",
            "1:2: not valid YAML: while parsing a flow node expected the node content, but found "
            "'<stream end>'",
        ),
        ('{"modules": {}}', "1:13: expected modules by id, found none"),
        ('{"modules": ' + "[" * 5000 + "]" * 5000 + "}", "1:52: nested more than 40 levels deep"),
        (
            '{"modules": {"a": {"id": "../../x", "type": "ReLU"}}}',
            "1:26: expected an id of 36 characters, found '../../x'",
        ),
        ('{"modules": {"a": {"id": "' + id_of("a") + '"}}}', "1:14: expected the type of a module"),
        ('{"modules": {}, "modules": {}}', "1:17: key 'modules' is given twice"),
    ],
)
def test_text_that_is_no_network_is_refused(tmp_path: Path, text: str, message: str) -> None:
    lines = refused(tmp_path, written(tmp_path / "s", text)).split("\n")
    assert f"  s/modules.txt:{message}" in lines


def test_one_id_twice_is_refused(tmp_path: Path) -> None:
    entry = json.dumps(module("a", "ReLU"))
    path = written(tmp_path / "s", f'{{"modules": {{"x": {entry}, "y": {entry}}}}}')
    assert refused(tmp_path, path).endswith(f"the id {id_of('a')} is that of another module, too")


@pytest.mark.parametrize(
    ("type_", "properties", "message"),
    [
        ("Linear", {"input": "2"}, "Linear needs 'output'"),
        ("Linear", {"input": "2.0", "output": "2"}, "input of Linear: expected a whole number, found '2.0'"),
        ("Linear", {"input": " 2", "output": "2"}, "input of Linear: expected a whole number, found ' 2'"),
        ("Dropout", {"rate": "NaN"}, "rate of Dropout: expected a number, found 'NaN'"),
        ("LeakyReLU", {"leakyness": ""}, "leakyness of LeakyReLU is blank; write a number or leave it out"),
        ("Lineer", {}, "unknown type 'Lineer'; did you mean 'Linear'?"),
        ("linear", {}, "unknown type 'linear'; did you mean 'Linear'?"),
        ("os:system", {}, "unknown type 'os:system'"),
        ("../Block", {}, "unknown type '../Block'"),
        ("torch.nn.ReLU", {}, "unknown type 'torch.nn.ReLU'"),
    ],
)  # fmt: skip
def test_a_module_that_is_none_is_named_with_its_place(
    tmp_path: Path, type_: str, properties: dict[str, str], message: str
) -> None:
    path = put(tmp_path / "s", chain((type_, properties)))
    found = refused(tmp_path, path, shape="2")
    assert found.startswith("s/modules.txt:1:")
    assert message in found


def test_absurd_sizes_are_refused(tmp_path: Path) -> None:
    linear = ("Linear", {"input": "9999999", "output": "9999999999"})
    assert refused(tmp_path, put(tmp_path / "s", chain(linear, linear))).startswith(
        "s/modules.txt: does not hold together"
    )
    big = ("Linear", {"input": "2", "output": "2147483647"})
    weights(put(tmp_path / "t", chain(LINEAR, big)), "a1", range(6))
    assert refused(tmp_path, tmp_path / "t") == (
        "t/modules.txt: has 6,442,450,947 weights, far more than the files beside it (6); nothing of it "
        "came in"
    )


def test_a_circle_without_a_memory_is_refused(tmp_path: Path) -> None:
    modules = [
        module("x", "Input", to=["sum"], shape="2"),
        module("sum", "Accumulate", ["x", "b"], ["b"]),
        module("b", "Duplicate", ["sum"], ["sum", "y"]),
        module("y", "Output", ["b"]),
    ]
    found = refused(tmp_path, put(tmp_path / "s", modules)).partition(": ")[2]
    a, b = f"Accumulate {id_of('sum')}", f"Duplicate {id_of('b')}"
    circles = (f"{a} -> {b} -> {a}", f"{b} -> {a} -> {b}")
    assert found in [f"goes in a circle without a Memory: {circle}" for circle in circles]


def test_a_composite_in_itself_is_refused(tmp_path: Path) -> None:
    for name in ("A", "B"):
        put(tmp_path / "models" / name, chain(("B" if name == "A" else "A", {})), name)
    found = refused(tmp_path, tmp_path / "models" / "A", shape="2")
    assert "contains itself: B -> A -> B" in found


def test_a_network_named_like_a_path_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path / "s", chain(("ReLU", {})), "../../evil")
    assert refused(tmp_path, path, shape="2") == (
        "'_/_/evil' cannot name a network here (up to 100 letters, digits and _ can, and - inside); give "
        "another with name="
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", f"holds 0 bytes; {CUT}"),
        (b"\0\0", f"holds 2 bytes; {CUT}"),
        (struct.pack(">i", 6) + b"\0" * 20, f"states 6 values, but holds 20 bytes of them; {CUT}"),
        (struct.pack(">i", 6) + b"\0" * 23, f"states 6 values, but holds 23 bytes of them; {CUT}"),
        (struct.pack(">i", -1) + b"\0" * 24, f"states -1 values, but holds 24 bytes of them; {CUT}"),
        (
            struct.pack(">i", 2**31 - 1) + b"\0" * 24,
            f"states 2,147,483,647 values, but holds 24 bytes of them; {CUT}",
        ),
        (struct.pack(">i", 7) + b"\0" * 28, "holds 7 values, but linear has 6"),
    ],
)
def test_weights_of_a_wrong_length_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = put(tmp_path / "s", chain(LINEAR))
    (path / id_of("a1")).write_bytes(content)
    assert refused(tmp_path, path) == f"s/{id_of('a1')}: {message}"


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_a_zip_that_holds_far_more_than_its_size_is_refused(tmp_path: Path) -> None:
    path = zipped(
        tmp_path / "bomb.zip", {"modules.txt": b"{}", **{f"w{n}": bytes(60 << 20) for n in range(5)}}
    )
    assert path.stat().st_size < 1 << 20
    assert refused(tmp_path, path) == (
        "bomb.zip: holds more than 268,435,456 bytes or 5,000,000 files; unpack it yourself if you trust it"
    )


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "c:/evil", "..\\evil"])
def test_a_zip_with_names_that_leave_it_is_refused(tmp_path: Path, name: str) -> None:
    path = zipped(tmp_path / "a.zip", {"modules.txt": b"{}", name: b""})
    assert refused(tmp_path, path).endswith("leaves the archive's folder; nothing of it was read")


def test_a_zip_with_one_name_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("modules.txt", "{}")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("modules.txt", "{}")
    assert refused(tmp_path, path) == "a.zip: holds 'modules.txt' twice; nothing of it was read"


def test_a_network_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    workspace = dianne.Workspace(tmp_path / "w")
    workspace.import_(put(tmp_path / "s", chain(LINEAR)))
    before = (tmp_path / "w" / "networks" / "Net.yaml").read_text()
    put(tmp_path / "s", chain(LINEAR, ("ReLU", {})))
    with pytest.raises(DianneError) as caught:
        workspace.import_(tmp_path / "s")
    assert str(caught.value) == (
        f"there is another network in {tmp_path}/w/networks/Net.yaml; give this one another name with name=, "
        "or delete that file"
    )
    assert (tmp_path / "w" / "networks" / "Net.yaml").read_text() == before
    workspace.import_(tmp_path / "s", name="Other")


def test_a_pickle_is_never_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    packed = io.BytesIO()
    torch.save({"weight": Trap()}, packed)
    files = {"old.pt": pickle.dumps(Trap()), "new.pt": packed.getvalue(), "modules.txt": pickle.dumps(Trap())}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        refused(tmp_path, tmp_path / name, into="MLP")
        refused(tmp_path, tmp_path / name)
    weights_ = put(tmp_path / "s", chain(LINEAR))
    (weights_ / id_of("a1")).write_bytes(pickle.dumps(Trap()))
    refused(tmp_path, weights_)
    assert not (tmp_path / "ran").exists()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_spoilt_network_is_read_or_refused_but_never_breaks_anything(
    tmp_path: Path, data: st.DataObject
) -> None:
    entries = chain(LINEAR, ("ReLU", {}), ("Residual", {"noInputPlanes": "1", "noOutputPlanes": "1"}))
    path = put(tmp_path / "s", entries)
    weights(path, "a1", range(6))
    for name in ("modules.txt", id_of("a1")):
        content = bytearray((path / name).read_bytes())
        for _ in range(data.draw(st.integers(0, 3))):
            place = data.draw(st.integers(0, len(content)))
            content[place : place + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=4))
        (path / name).write_bytes(content)
    with suppress(DianneError):
        dianne.Workspace(tmp_path / "w").import_(path, shape="2")
