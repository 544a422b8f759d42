"""Going on with a job that was interrupted, as if it never had been."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from dianne.document import display
from dianne.errors import DianneError, UsageError, suggest
from dianne.jobs import lock
from dianne.jobs.checkpoint import NEWEST, PREVIOUS, Checkpoint, CheckpointError, read
from dianne.jobs.database import Database
from dianne.jobs.ending import not_to_resume
from dianne.jobs.keeper import place_of
from dianne.jobs.learn import LearnWatcher
from dianne.jobs.learn_run import LearnRun
from dianne.jobs.recipe import other_code, other_versions, prepared
from dianne.store import Store
from dianne.workspace import Folder


def prepare(
    folder: Folder,
    job: str | None = None,
    watcher: LearnWatcher | None = None,
    stop: Callable[[], str] = lambda: "",
) -> LearnRun:
    """Make an interrupted job ready to go on; `run` of what comes back learns the rest.

    The job is made from what its checkpoint says of it, not from files that may have changed.

    Args:
        folder: the workspace.
        job: an identifier, the beginning of only one, or `NETWORK:TAG` for the job that made these weights;
            the newest that was interrupted if left out.
        watcher: is told how it goes.
        stop: asked before every iteration; a reason ends the job, its weights stored.

    Raises:
        UsageError: there is no such job, it is running, or finished; its strategy is another now.
        CheckpointError: no checkpoint is whole.
    """
    watcher = watcher or LearnWatcher()
    identifier = _newest(folder) if job is None else find(folder, job)
    if lock.held_by_others(folder, identifier):
        raise UsageError(f"the job {identifier} is running; it can be resumed once it has ended")
    found = read(place_of(folder, identifier), watcher.note)
    if found.finished:
        networks, tag = ",".join(found.recipe["networks"]), _tag(found)
        raise UsageError(
            f"the job {identifier} is finished, after {found.iteration:,} iterations; "
            f"`dianne learn {networks} {found.recipe['dataset']} tag={tag} ...` goes on from its weights"
        )
    made = prepared(folder, found.recipe)
    made.identifier = identifier
    files = other_code(found.recipe, made)
    if files:
        raise UsageError(
            f"the job {identifier} cannot be resumed: {' and '.join(files)} changed since it began, so it "
            "would end with other weights; bring the old text back (it is in the metadata of "
            f"{display(place_of(folder, identifier) / NEWEST)}), or start a new job"
        )
    for change in other_versions(found.recipe):
        watcher.note(f"another version than when the job began: {change}; its bits may differ")
    return LearnRun(made, watcher, stop, found)


def find(folder: Folder, job: str) -> str:
    """The identifier of a job that has checkpoints; raises UsageError as `prepare`."""
    known = [path.name for path in kept(folder)]
    network, colon, tag = job.partition(":")
    if colon:
        maker = str(Store(folder.models).manifest(network, tag).job.get("id", ""))
        if maker not in known:
            raise UsageError(f"the job '{maker}', which made {job}, left no checkpoint in {_jobs(folder)}/")
        return maker
    found = [job] if job in known else [name for name in known if job and name.startswith(job)]
    if len(found) > 1:
        raise UsageError(f"several jobs begin with '{job}': {', '.join(sorted(found))}")
    if not found:
        hint = suggest(job, known, "jobs")
        raise UsageError(f"there is no job '{job}' with a checkpoint in {_jobs(folder)}/{hint}")
    return found[0]


def _newest(folder: Folder) -> str:
    """The job that was interrupted last, of those with a checkpoint that is whole."""
    others: set[str] = set()
    with suppress(DianneError), Database(folder).reading() as session:  # jobs go on without their record, too
        others = not_to_resume(session)
    faults = []
    for path in sorted(kept(folder), key=_written, reverse=True):
        if path.name in others or lock.held(folder, path.name):
            continue
        try:
            if not read(path).finished:
                return path.name
        except CheckpointError as fault:
            faults.append(fault)
    if faults:
        raise faults[0]
    raise UsageError(f"no job in {_jobs(folder)}/ was interrupted; all are finished, or running")


def kept(folder: Folder) -> list[Path]:
    """The folders of jobs that have checkpoints."""
    jobs = folder.state / "jobs"
    return sorted({path.parent for name in (NEWEST, PREVIOUS) for path in jobs.glob(f"*/{name}")})


def _written(place: Path) -> float:
    return max((place / name).stat().st_mtime for name in (NEWEST, PREVIOUS) if (place / name).exists())


def _jobs(folder: Folder) -> str:
    return display(folder.state / "jobs")


def _tag(found: Checkpoint) -> str:
    return str(found.recipe["options"].get("tag", found.recipe["id"]))
