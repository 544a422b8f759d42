"""Packages in repositories of a Hugging Face hub; HF_ENDPOINT names another one than the public."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dianne.errors import DianneError, UsageError
from dianne.interop import transfer
from dianne.interop.formats import ImportOptions
from dianne.interop.package import ENDING
from dianne.options import Options
from dianne.store import Manifest, Store
from dianne.workspace import Folder

if TYPE_CHECKING:
    from huggingface_hub import HfApi

SCHEME = "hf://"
_PATIENCE = 10  # seconds until a hub that does not answer is given up
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")


class PublishOptions(Options):
    """What is published, and where."""

    tag: str
    """Which weights."""
    repo: str
    """The repository, USER/NAME; made if need be."""


def publish(folder: Folder, network: str, options: Mapping[str, Any]) -> str:
    """Upload a package and a card that tells of it.

    Args:
        folder: the workspace.
        network: its name.
        options: those of `PublishOptions`.

    Returns:
        The address to pull from.

    Raises:
        DianneError: there is no such tag, or the hub refuses.
    """
    chosen: PublishOptions = transfer.bound("publish", PublishOptions, options)
    repository = _checked(chosen.repo)
    manifest = Store(folder.models).manifest(network, chosen.tag)
    with tempfile.TemporaryDirectory() as scratch, _talking(repository) as api:
        file = f"{network}-{chosen.tag}{ENDING}".replace("/", "-")
        transfer.pack(folder, network, {"tag": chosen.tag, "out": str(Path(scratch) / file)})
        card_ = card(manifest, chosen.tag, repository, file)
        (Path(scratch) / "README.md").write_text(card_, encoding="utf-8")
        api.create_repo(repository, exist_ok=True)
        api.upload_folder(
            repo_id=repository, folder_path=scratch, commit_message=f"Publish {network}:{chosen.tag}"
        )
    return f"{SCHEME}{repository}"


def pull(folder: Folder, address: str, options: Mapping[str, Any]) -> list[transfer.Arrived]:
    """Fetch the package of a repository and import it.

    Args:
        folder: the workspace.
        address: `hf://USER/NAME`.
        options: those of an import.

    Raises:
        DianneError: there is no such repository, it holds no package or several, or the import is refused.
    """
    repository = _checked(address.removeprefix(SCHEME))
    transfer.bound("pull", ImportOptions, options)  # a wrong word is said before anything is fetched
    with tempfile.TemporaryDirectory() as scratch:
        with _talking(repository) as api:
            # Not list_repo_files, which asks a hub six times that does not answer.
            listed = api.model_info(repository, timeout=_PATIENCE).siblings or []
            names = [file.rfilename for file in listed]
            files = [name for name in names if name.endswith(ENDING) and "/" not in name]
            if len(files) != 1:
                found = ", ".join(files) or "none"
                raise UsageError(f"{address}: expected one file that ends in {ENDING}, found {found}")
            path = api.hf_hub_download(repository, files[0], local_dir=scratch)
        return transfer.import_(folder, Path(path), options)


def _checked(repository: str) -> str:
    if not _REPOSITORY.fullmatch(repository):
        raise UsageError(f"'{repository}' is no repository of a hub; write USER/NAME")
    return repository


@contextmanager
def _talking(repository: str) -> Iterator[HfApi]:
    """The hub, asked about a repository; what it refuses is raised as DianneError."""
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError, RepositoryNotFoundError
        from huggingface_hub.utils.tqdm import disable_progress_bars
    except ImportError:
        raise UsageError(
            "hubs need the package huggingface_hub; install it with: pip install 'dianne[hf]'"
        ) from None
    disable_progress_bars()
    # The base of all errors of its HTTP library, whichever that is.
    of_http: type[Exception] = HfHubHTTPError.__bases__[0]
    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
    try:
        yield api
    except RepositoryNotFoundError as error:
        raise DianneError(
            f"{SCHEME}{repository}: there is no such repository on {api.endpoint}, or you may not see it"
        ) from error
    except (LocalTokenNotFoundError, HfHubHTTPError, of_http) as error:
        code = getattr(getattr(error, "response", None), "status_code", None)
        if isinstance(error, LocalTokenNotFoundError) or code == 401:
            reason = "it wants to know who you are; log in with: hf auth login"
        else:
            reason = str(error).strip().split("\n")[0]
        raise DianneError(f"the hub {api.endpoint} cannot be used: {reason}") from error


def card(manifest: Manifest, tag: str, repository: str, file: str) -> str:
    """The page of a repository: what the network is, where its weights come from, how it is used."""
    facts = {
        "network": manifest.network,
        "tag": tag,
        **{f"parameter {key}": value for key, value in manifest.parameters.items()},
        "trained on": manifest.dataset.get("name", "unknown"),
        "iterations": f"{manifest.iteration:,}",
        **{name: f"{value:.5g}" for name, value in {**manifest.loss, **manifest.metrics}.items()},
        **{f"version of {name}": version for name, version in manifest.versions.items()},
    }
    rows = "\n".join(f"| {_cell(key)} | {_cell(value)} |" for key, value in facts.items())
    modules = "\n".join(f"    {line}" for line in manifest.text.strip().split("\n"))
    return f"""---
library_name: dianne
tags: [dianne]
---

# {manifest.network}

| | |
|---|---|
{rows}

    dianne pull {SCHEME}{repository}
    dianne deploy {manifest.network} tag={tag}

or, with the file `{file}` alone:

    dianne forward {file} random=4

## Modules

{modules}
"""


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
