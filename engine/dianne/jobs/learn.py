"""Learn jobs: networks, a dataset and a strategy become weights under a tag."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field

from dianne import plugins
from dianne.binding import TYPED, Bound, Consumer, Given, bind
from dianne.data.descriptor import Described, Range, describe
from dianne.data.options import LearnDataOptions
from dianne.errors import UsageError
from dianne.evaluation.strategy import Evaluation, EvaluationStrategy
from dianne.jobs.prepare import (
    Member,
    Recorded,
    check_number,
    choose_range,
    labels_of,
    layered,
    members,
    module_keys,
    names_of,
    new_identifier,
    parameters_of,
    plain,
    read_networks,
    resolve_networks,
    typed,
)
from dianne.jobs.track import check as check_trackers
from dianne.learning.execution import ExecutionOptions, find_device
from dianne.learning.loop import LoopOptions, Report, Watcher
from dianne.learning.stopping import StopOptions
from dianne.learning.strategy import LearningStrategy, Terms
from dianne.learning.trainer import TrainingOptions
from dianne.network.library import Library
from dianne.network.network import Network
from dianne.options import Names, NonNegativeFloat, NonNegativeInt, Options, PositiveInt
from dianne.store import check_address, check_tag
from dianne.workspace import Folder

DEFAULT_STRATEGY = "FeedForwardLearningStrategy"


class LearnOptions(LoopOptions, StopOptions, ExecutionOptions):
    """Options of the job itself."""

    tag: Names | None = None
    """Name under which the weights are stored; the job's identifier if left out. Several: vae,latest."""
    clean: bool = False
    """Start from new weights even if the tag has some."""
    seed: NonNegativeInt | None = None
    """Where all random numbers come from; drawn and recorded if left out."""
    fixed: Names = Field(default_factory=list)
    """Modules that do not learn: `encoder.hidden1`, `Encoder.*`, `conv*`."""
    validation_interval: PositiveInt = 1000
    """Iterations between evaluations on validationSet."""
    checkpoint_interval: NonNegativeFloat = 60.0
    """Seconds between checkpoints, from which a job can be resumed; 0 for none."""
    profile: bool = False
    """Tell where the time went: a table at the end, and trace.json in the job's folder."""
    track: Names = Field(default_factory=list)
    """Where metrics go besides the database: tensorboard, mlflow."""


class StartOptions(Options):
    """Options of every network of the job, those that do not learn too."""

    init_tag: str | None = None
    """Weights that the network starts from: a tag, or an entry of its history (`vae~1`)."""


class MemberOptions(TrainingOptions, StartOptions):
    """Options that every network that learns may have in its own way."""


class LearnWatcher(Watcher):
    """Who follows a learn job; every method may be left as it is."""

    def start(self, job: PreparedLearn, batch_size: int) -> None:
        """The job is about to begin."""

    def resumed(self, iteration: int, seconds: float) -> None:
        """The job goes on after an iteration; it has taken so many seconds before."""

    def note(self, message: str) -> None:
        """Something that the user should know; once for each message."""

    def fetching(self, file: str, done: int, total: int | None) -> None:
        """Bytes of a data file that is being fetched."""

    def tick(self, iteration: int, terms: Terms) -> None:
        """After every iteration."""

    def report(self, report: Report) -> None:
        """Every `traceInterval` iterations, and at the end."""

    def back(self, iteration: int) -> None:
        """The job goes on from the weights of an earlier iteration."""

    def validated(self, iteration: int, evaluation: Evaluation) -> None:
        """The weights were evaluated on the validation set."""


@dataclass
class LearnResult:
    """What a learn job gives back.

    Attributes:
        job: its identifier.
        tag: where the weights are; with several tags the first.
        networks: the names of the networks stored.
        iterations: done in this job.
        loss: the last loss and its terms.
        seconds: spent learning.
        history: reports.
        validations: evaluations by iteration.
        stopped: why it ended before its time, or "".
        profile: seconds by part of an iteration; empty unless the option `profile` is on.
    """

    job: str
    tag: str
    networks: list[str]
    iterations: int
    loss: dict[str, float]
    seconds: float
    history: list[Report]
    validations: dict[int, Evaluation] = field(default_factory=dict)
    stopped: str = ""
    profile: dict[str, float] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """What it says to machines."""
        return {
            "job": self.job, "tag": self.tag, "networks": self.networks, "iterations": self.iterations,
            "loss": self.loss, "seconds": round(self.seconds, 3), "stopped": self.stopped,
            "validations": {n: found.metrics for n, found in self.validations.items()},
            "profile": {part: round(seconds, 4) for part, seconds in self.profile.items()},
        }  # fmt: skip


@dataclass
class PreparedLearn:
    """A learn job in which everything named was found and every option fits."""

    folder: Folder
    strategy: type[LearningStrategy]
    team: list[Member]
    networks: dict[str, Network]
    described: Described
    bound: Bound
    train: Range
    validation: Range | None
    evaluation: type[EvaluationStrategy] | None
    identifier: str
    strategy_name: str
    given: dict[str, Given] = field(default_factory=dict)

    @property
    def options(self) -> LearnOptions:
        """The options of the job itself."""
        return self.bound.of("job", LearnOptions)

    @property
    def data(self) -> LearnDataOptions:
        """The options of the data."""
        return self.bound.of("data", LearnDataOptions)

    @property
    def tags(self) -> list[str]:
        """Where the weights go."""
        return self.options.tag or [self.identifier]

    @property
    def tag(self) -> str:
        """The first of them, from which the networks start."""
        return self.tags[0]

    def of_member(self, member: Member) -> MemberOptions:
        """The options of one network that learns."""
        return self.bound.of(member.training, MemberOptions)

    def origin(self, member: Member) -> str | None:
        """The tag from which one network starts, if the job names one."""
        return self.bound.of(member.training, StartOptions).init_tag


def prepare(
    folder: Folder,
    networks: str | Iterable[str],
    dataset: str | Described,
    options: Mapping[str, Any],
    recorded: Recorded | None = None,
) -> PreparedLearn:
    """Find and check everything that a learn job names.

    Args:
        folder: the workspace.
        networks: names, in the order of the strategy's roles.
        dataset: its name, or a description of data that is in no file.
        options: by key.
        recorded: what files said when the job began, for one that is made again.

    Raises:
        UsageError: a name that is nowhere, options that nobody reads, networks that do not fit; all faults
            of one kind at once.
    """
    names = names_of(networks)
    given = dict(options)
    wanted = str(plain(given.pop("strategy", None)) or DEFAULT_STRATEGY)
    strategy = plugins.find(folder, wanted, plugins.LEARNING)
    if not issubclass(strategy, LearningStrategy):
        raise UsageError(
            f"{strategy.__name__} is no LearningStrategy: derive it from dianne.LearningStrategy"
        )
    described = dataset
    if isinstance(described, str):
        described = recorded.described(folder, described) if recorded else describe(folder, described)
    library = Library(folder, recorded.texts if recorded else {})
    team = members(strategy, read_networks(folder, names, library if recorded else None))
    labels = labels_of(described, {**strategy.defaults, **given})
    bound = bind(
        "learn",
        _consumers(strategy, team),
        layered((strategy.__name__, strategy.defaults_for(labels)), typed(given)),
        networks=[(member.role, member.name) for member in team if member.trains],
        modules=module_keys(team, library, given),
    )
    data = bound.of("data", LearnDataOptions)
    train = choose_range(bound, described, "trainSet", "train")
    evaluation = _evaluation(folder, strategy, team, bound, labels)
    origins = [bound.of(member.training, StartOptions).init_tag for member in team]
    for tag in bound.of("job", LearnOptions).tag or []:
        check_tag(tag)
    check_trackers(bound.of("job", LearnOptions).track)
    for origin in origins:
        if origin is not None:
            check_address(origin)
    find_device(bound.of("job", LearnOptions))
    validation = data.validation_set or (train if data.split else None)
    resolved = resolve_networks(team, bound, library)
    whole = {k: value if isinstance(value, Given) else Given(value, TYPED) for k, value in options.items()}
    return PreparedLearn(
        folder,
        strategy,
        team,
        resolved,
        described,
        bound,
        train,
        validation,
        evaluation,
        new_identifier(),
        plugins.name_of(strategy, wanted),
        whole,
    )


def _consumers(strategy: type[LearningStrategy], team: list[Member]) -> list[Consumer]:
    """Who reads the options of a learn job."""
    found = [
        Consumer("job", LearnOptions),
        Consumer(strategy.__name__, strategy.Options),
        Consumer("data", LearnDataOptions),
        *parameters_of(team),
    ]
    for member in team:
        options = MemberOptions if member.trains else StartOptions
        found.append(Consumer(member.training, options, (member.role, member.name)))
    return found


def _evaluation(
    folder: Folder,
    strategy: type[LearningStrategy],
    team: list[Member],
    bound: Bound,
    labels: list[str] | None,
) -> type[EvaluationStrategy] | None:
    """What judges the networks that learn on the validation set, if there is one."""
    options = bound.of("job", LearnOptions)
    data = bound.of("data", LearnDataOptions)
    if data.validation_set or data.split:
        found: type[EvaluationStrategy] = plugins.find(
            folder, strategy.evaluation_for(labels), plugins.EVALUATION
        )
        check_number(found, found.roles, [member.name for member in team if member.trains])
        return found
    wanting = {
        "patience": options.patience or None,
        "validationLossThreshold": options.validation_loss_threshold,
    }
    for key, value in wanting.items():
        if value is not None:
            raise UsageError(f"{key}={value:g} needs validationSet=..., samples to evaluate while learning")
    return None
