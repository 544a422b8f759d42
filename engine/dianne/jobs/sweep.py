"""Sweeps: a job is tried with many options, each trial a job of the queue, and the best is kept.

Here a sweep is checked; `sweep_run` runs it. Optuna chooses what to try and which trials to give up; its
study in `.dianne/sweeps.db` has what was tried, so that a sweep that was interrupted goes on. All else about
a trial is where it is of any job.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from dianne.binding import Consumer, bind
from dianne.errors import UsageError
from dianne.jobs import learn
from dianne.jobs.prepare import layered, names_of, plain, typed
from dianne.jobs.queue import RESOURCES
from dianne.jobs.ranges import Space, read_choices, read_range
from dianne.jobs.resources import Resources, filled, machine
from dianne.options import NonNegativeInt, Options, PositiveInt, keys
from dianne.store import Store, check_tag
from dianne.workspace import Folder

try:
    import optuna
except ImportError as missing:
    raise UsageError("a sweep needs the extra `sweep`: pip install 'dianne[sweep]'") from missing


class SweepOptions(Options):
    """Options of the sweep itself."""

    trials: PositiveInt = 20
    """How many trials there are in the end."""
    name: str | None = None
    """Of the sweep; with the name of one that was interrupted, that one goes on."""
    tag: str | None = None
    """Where the best weights go; the name if left out."""
    parallel: PositiveInt | None = None
    """Trials that run at once; as many as the machine has room for if left out."""
    seed: NonNegativeInt | None = None
    """Of the choice of values, and of every trial."""


@dataclass
class PreparedSweep:
    """A sweep in which everything named was found, and every value fits.

    Attributes:
        folder: the workspace.
        name: of the sweep.
        networks: names.
        dataset: its name.
        fixed: options that all trials share.
        spaces: what the others try, by key.
        options: of the sweep itself.
        larger_is_better: whether larger values of the metric are.
        parallel: trials that run at once.
    """

    folder: Folder
    name: str
    networks: list[str]
    dataset: str
    fixed: dict[str, Any]
    spaces: dict[str, Space]
    options: SweepOptions
    larger_is_better: bool
    parallel: int


# ----------------------------------------------------------------------------------------------- preparing


def prepare(
    folder: Folder, networks: str | Iterable[str], dataset: str, options: Mapping[str, Any]
) -> PreparedSweep:
    """Check a sweep as if all its trials began now.

    A value `a..b` is a range, and one with commas is a choice, unless the option takes it as it is.

    Raises:
        UsageError: something does not exist or fit, nothing is swept, or nothing would compare the trials.
    """
    spaces: dict[str, Space] = {
        k: found for k, v in options.items() if (found := read_range(k, str(plain(v))))
    }
    own = {key: options[key] for key in keys(SweepOptions) if key in options and key not in spaces}
    if "," in str(plain(own.get("seed", ""))):
        del own["seed"]
    chosen = bind("sweep", [Consumer("sweep", SweepOptions)], layered(typed(own)))
    sweep = chosen.of("sweep", SweepOptions)
    fixed = {key: value for key, value in options.items() if key not in own and key not in spaces}
    if sweep.seed is not None:
        fixed["seed"] = sweep.seed
    jobs = {key: value for key, value in fixed.items() if key not in ("cpus", "gpus")}
    prepared = _find_choices(folder, networks, dataset, jobs, spaces)
    if not spaces:
        raise UsageError("nothing varies; give an option a range or a choice: learningRate=1e-4..1e-2:log")
    for key, space in spaces.items():
        for end in space.ends[1:]:
            learn.prepare(folder, networks, dataset, {**jobs, **_first(spaces), key: end})
        fixed.pop(key, None)
    if prepared.evaluation is None:
        raise UsageError(
            "a sweep needs validationSet=... or split=..., samples that tell which trial is best"
        )
    name = sweep.name or sweep.tag or free_name(folder, names_of(networks))
    check_tag(f"{name}/{sweep.trials}@best")
    check_tag(sweep.tag or name)
    return PreparedSweep(
        folder, name, names_of(networks), dataset, fixed, spaces, sweep,
        prepared.evaluation.larger_is_better, sweep.parallel or _room(fixed),
    )  # fmt: skip


def _room(options: Mapping[str, Any]) -> int:
    """How many trials the machine runs at once."""
    asked = {key: options[key] for key in RESOURCES if key in options}
    bound = bind("sweep", [Consumer("resources", Resources)], layered(typed(asked)))
    has = machine()
    takes = filled(bound.of("resources", Resources), has, learns=True)
    return max(1, int(has.cpus // takes.cpus)) if takes.cpus else has.cpus


def _first(spaces: Mapping[str, Space]) -> dict[str, Any]:
    return {key: space.ends[0] for key, space in spaces.items()}


def _find_choices(
    folder: Folder, networks: Any, dataset: str, jobs: dict[str, Any], spaces: dict[str, Space]
) -> learn.PreparedLearn:
    """Check the first of all values; lists that an option does not take as they are become choices."""
    lists = {k: found for k, v in jobs.items() if (found := read_choices(str(plain(v))))}
    while True:
        try:
            return learn.prepare(folder, networks, dataset, {**jobs, **_first(spaces)})
        except UsageError as error:
            refused = [
                key for key in lists if f"'{key}'" in str(error) or f"'{plain(jobs[key])}'" in str(error)
            ]
            if not refused:
                raise
            spaces |= {key: lists.pop(key) for key in refused}


def place_of(folder: Folder) -> Path:
    """Where the studies of a workspace are."""
    return folder.state / "sweeps.db"


def storage_of(folder: Folder) -> str:
    """The same, as Optuna names it."""
    return f"sqlite:///{place_of(folder)}"


def free_name(folder: Folder, networks: Iterable[str]) -> str:
    """A name of no study, and under which no weights are that trials would go on from."""
    known = optuna.get_all_study_names(storage_of(folder)) if place_of(folder).exists() else []
    store = Store(folder.models)
    return next(
        name
        for n in count(1)
        if (name := f"sweep{n}") not in known
        and not any(store.has(network, f"{name}/0") for network in networks)
    )
