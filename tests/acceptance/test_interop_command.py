"""`dianne export`, `import` and `pull`, as a user types them."""

from __future__ import annotations

import json
import struct
from pathlib import Path

from command import Run

IDS = [f"0000000{place}-1111-2222-3333-444444444444" for place in range(3)]


def test_a_network_of_dianne_comes_in_and_goes_back(run: Run, folder: Path) -> None:
    types = ("Input", {}), ("Linear", {"input": "2", "output": "1"}), ("Output", {})
    modules = {
        id_: {
            "id": id_,
            "type": type_,
            "next": IDS[place + 1 : place + 2],
            "prev": IDS[:place][-1:],
            **properties,
        }
        for place, (id_, (type_, properties)) in enumerate(zip(IDS, types, strict=True))
    }
    (folder / "Theirs").mkdir()
    (folder / "Theirs" / "modules.txt").write_text(json.dumps({"name": "Theirs", "modules": modules}))
    content = struct.pack(">i3f", 3, 0.5, 2, 1)
    (folder / "Theirs" / f"{IDS[1]}-good").write_bytes(content)
    result = run("dianne import Theirs")
    assert (result.stdout, result.stderr) == ("wrote networks/Theirs.yaml\nstored Theirs:good\n", "")
    assert run("dianne forward Theirs tag=good input=2,3").stdout == "[0] [1] 8\n"
    shown = json.loads(run("dianne export Theirs tag=good --format dianne out=back.zip --json").stdout)
    assert shown == {"network": "Theirs", "format": "dianne", "path": "back.zip"}
    again = json.loads(run("dianne import back.zip name=Again --dry-run --json").stdout)
    assert again == [
        {"name": "Again", "tags": ["good"], "files": ["networks/Again.yaml"], "notes": [], "mapping": {}}
    ]


def test_what_cannot_be_done_is_said_in_a_line(run: Run, folder: Path) -> None:
    assert run("dianne pull s3://there/x", code=2).stderr == (
        "error: URL missing; usage: dianne pull [OPTIONS] NETWORKS:TAG URL\n"
    )
    assert run("dianne import nothing", code=2).stderr == "error: there is no nothing\n"
    assert run("dianne forward none.dianne random=1", code=2).stderr == "error: there is no none.dianne\n"
