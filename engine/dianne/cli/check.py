"""Files checked without a job, and the schemas that editors check them with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dianne.cli.console import say, show, show_json
from dianne.data import descriptor
from dianne.data.readers import reader_of
from dianne.document import load
from dianne.errors import ConfigError, Problem
from dianne.jobs.file import job_schema, problems_of_job
from dianne.network.check import check_network
from dianne.network.file import read_document
from dianne.network.library import Library
from dianne.network.schema import network_schema
from dianne.workspace import SETTINGS, Folder, settings


def check_files(folder: Folder, files: Iterable[Path], as_json: bool) -> int:
    """Print every fault of some files; the exit code is 2 if there is one, else 0."""
    library = Library(folder)
    found = {path: _problems(path, library) for path in files}
    problems = [problem for faults in found.values() for problem in faults]
    if as_json:
        show_json([asdict(problem) for problem in problems])
    for problem in problems if not as_json else []:
        show(str(problem))
    if problems:
        say(f"{len(problems)} problem{'s' if len(problems) > 1 else ''}", style="red")
        return 2
    say(f"{len(found)} file{'s are' if len(found) > 1 else ' is'} fine")
    return 0


def _problems(path: Path, library: Library) -> list[Problem]:
    try:
        document = load(path)
        if path.name == SETTINGS:
            settings(document, path.parent)
            return []
        if "modules" in document.data:
            return check_network(read_document(document, path.stem), library)
        if "networks" in document.data:
            problems_of_job(document)
            document.close()
            return []
        reader_of(descriptor.read(path))
    except ConfigError as error:
        return list(error.problems)
    return []


def schema_of(folder: Folder, kind: str) -> dict[str, Any]:
    """The JSON Schema of a kind of file: network, dataset or job."""
    if kind == "network":
        return network_schema(Library(folder))
    if kind == "job":
        return job_schema(folder)
    found = descriptor.Descriptor.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found, "title": "dianne dataset"}
