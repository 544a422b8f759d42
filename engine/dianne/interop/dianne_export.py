"""Networks on their way to DIANNE: `modules.txt`, and a file of weights for each module that has some."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError
from torch import Tensor

from dianne.errors import UsageError
from dianne.interop.dianne_import import FALLBACK_TAG, Original
from dianne.interop.dianne_structure import written
from dianne.interop.dianne_text import write_structure
from dianne.interop.dianne_weights import pack
from dianne.interop.folders import write_all
from dianne.interop.formats import Outgoing, exports


@exports("dianne")
def write(leaving: Outgoing, out: Path) -> None:
    """Write a folder, or a zip, as DIANNE keeps it in its folder of models.

    A network that came from DIANNE, and was not changed since, goes back with its own text and ids.

    Raises:
        ConfigError: modules that DIANNE has no counterpart for.
    """
    if "/" in leaving.tag or "\\" in leaving.tag:
        raise UsageError(
            f"the tag '{leaving.tag}' cannot stand in the name of a file; copy it to another tag"
        )
    weights = leaving.module.state_dict()
    original = _original(leaving)
    spared: set[str] = set()
    if original:
        files = dict(original.files)
        for type_, texts in original.composites.items():
            files |= {f"composites/{type_}/{name}": text for name, text in texts.items()}
        vectors = original.vectors
        if leaving.manifest.job.get("dianne") == original.model_dump():
            missing = original.missing.get(leaving.tag, [])
            spared = {original.modules[name] for name in missing if name in original.modules}
    else:
        structure, vectors = written(leaving.network, leaving.manifest.labels)
        files = {"modules.txt": write_structure(structure)}
    suffix = "" if leaving.tag == FALLBACK_TAG else f"-{leaving.tag}"
    content = {name: text.encode() for name, text in files.items()}
    for id_, names in vectors.items():
        if id_ not in spared and _is_set(names, weights):
            content[f"{id_}{suffix}"] = pack(weights[name] for name in names)
    write_all(content, out)


def _is_set(names: list[str], weights: Mapping[str, Tensor]) -> bool:
    """Whether tensors are not the statistics of a Normalization that has found none yet."""
    flag = names[0].rpartition(".")[0] + ".fitted" if names else ""
    return flag not in weights or bool(weights[flag])


def _original(leaving: Outgoing) -> Original | None:
    """What was kept of the network when it came from DIANNE, if it still is the same."""
    for manifest in (leaving.manifest, *leaving.history):
        kept = manifest.job.get("dianne")
        if kept and (manifest.text, manifest.texts) == (leaving.manifest.text, leaving.manifest.texts):
            with suppress(ValidationError):  # a package may claim anything
                found = Original.model_validate(kept)
                names = {name for vector in found.vectors.values() for name in vector}
                if names <= leaving.module.state_dict().keys():
                    return found
    return None
