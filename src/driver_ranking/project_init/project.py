"""The project, made beside its place and renamed into it: it is whole, or not there."""

import re
import shutil
import uuid
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from driver_ranking.errors import DriverRankingError, ProjectInitError
from driver_ranking.project_init.applied import Applied, applied, scratch_repo
from driver_ranking.project_init.choices import Answers, Choices
from driver_ranking.project_init.history import History, histories
from driver_ranking.project_init.labelled import REQUEST, Labelled, Place, given_orders, made_orders
from driver_ranking.project_init.new_service import features_by_view, write_service
from driver_ranking.project_init.recent import move_to
from driver_ranking.project_init.rendering import defaults, render, yaml_of
from driver_ranking.project_init.repo_copy import copy_repo, place_sources
from driver_ranking.project_init.selection import Selected, misfit, select, selected
from driver_ranking.project_init.store_config import StoreConfig, read_config
from feast_columnar.offline.engine import open_engine

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_ESTIMATOR: Final = "sklearn.linear_model.Ridge"  # which takes labels of any scale, and any number of features
_YEAR: Final = timedelta(weeks=52)  # how far back the first incremental run goes for a view without a ttl


@dataclass(frozen=True)
class MadeProject:
    """A project that was made.

    Attributes:
        folder: Where it is.
        name: Its name.
        notes: What was inferred or is to be known.
    """

    folder: Path
    name: str
    notes: tuple[str, ...]


def make_project(choices: Choices, answers: Answers) -> MadeProject:
    """Make a project.

    Raises:
        ProjectInitError: None can be made. Nothing was written.
        DriverRankingError: Likewise, with the message of what would have failed in a run.
    """
    folder, repo = choices.folder.resolve(), choices.feature_repo.resolve()
    _require_free(folder)
    config = read_config(repo)
    if folder.is_relative_to(repo):
        message = f"{folder} is in the feature repo. Make the project elsewhere."
        raise ProjectInitError(message)
    choices = replace(choices, folder=folder, feature_repo=repo, name=_name(choices, answers))
    there = next(parent for parent in folder.parents if parent.is_dir())
    partial = there / f".{folder.name}.{uuid.uuid4().hex}.partial"
    try:
        made = _made(partial, choices, answers, config)
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial.rename(folder)  # in place of an empty folder
    except DriverRankingError as error:  # of the copy, where the user has to look at the original
        message = str(error).replace(str(partial / "feature_repo"), str(repo)).replace(str(partial), str(folder))
        raise ProjectInitError(message) from error
    except OSError as error:
        message = f"The project can't be made: {error}. Nothing was written."
        raise ProjectInitError(message) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return replace(made, folder=folder, notes=(*config.changes, *made.notes))


def _made(partial: Path, choices: Choices, answers: Answers, config: StoreConfig) -> MadeProject:
    """Make all of a project in a folder that is not its place."""
    copy_repo(choices.feature_repo, partial / "feature_repo")
    config.write(partial / "feature_repo")
    with scratch_repo(partial / "feature_repo", config) as (copied, scratch), warnings.catch_warnings():
        copied.open()  # imports Feast, which sets filters of its own
        warnings.simplefilter("ignore")  # of the user's definitions, which are not changed here
        definitions = copied.definitions()
        place_sources(definitions, choices.feature_repo, copied.path)
        if choices.recent:
            move_to(datetime.now(tz=UTC), definitions, copied.path)
        return _Making(partial, choices, answers).make(applied(copied, definitions, scratch))


def _require_free(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        return
    above = next(parent for parent in folder.parents if parent.exists())
    if folder.exists() or not above.is_dir():
        there = folder if folder.exists() else above
        message = f"{there} is there already, and is no empty folder. Name one that is to be made."
        raise ProjectInitError(message)


def _name(choices: Choices, answers: Answers) -> str:
    inferred = re.sub(r"\W+", "_", choices.folder.resolve().name, flags=re.ASCII).strip("_") or "ranking"
    inferred = inferred if _NAME.fullmatch(inferred) else f"project_{inferred}"
    name = choices.name or answers.text("Name of the project and the model", inferred)
    if not _NAME.fullmatch(name):
        message = f"{name!r} can't be a name: it is a letter, followed by letters, digits, `_` and `-`."
        raise ProjectInitError(message)
    return name


@dataclass(frozen=True)
class _Making:
    """A project in the making, in a folder that is not its place yet."""

    folder: Path
    choices: Choices
    answers: Answers

    def make(self, repo: Applied) -> MadeProject:
        repo, one, notes = self._selected(repo)
        training = self._training(one)
        place = Place(self.folder, repo, one, training)
        found, today = histories(repo, one, datetime.now(tz=UTC)), datetime.now(tz=UTC)
        spans = _spans(found)
        labelled = self._labelled(place, found, max((last for _, last in spans.values()), default=today))
        notes = [*notes, *labelled.notes, *_ages(found, spans, today), *self._limits(labelled, training)]
        self._render(one, training, labelled, notes, _materialize_start(found, spans, today))
        return MadeProject(self.folder, self.choices.name or "", tuple(notes))

    def _selected(self, repo: Applied) -> tuple[Applied, Selected, list[str]]:
        one = None if self.choices.features else select(repo, self.choices, self.answers)
        if one is not None:
            return repo, one, [_chosen(repo, one, self.choices)]
        features = features_by_view(repo, self.choices, self.answers)
        name = self._service_name(repo)
        write_service(repo, name, features)
        repo = applied(repo.repo, repo.repo.definitions(), repo.scratch)
        one = selected(repo, repo.services[name], self.choices.candidate_key, self.answers)
        listed = ", ".join(f"`{view}:{feature}`" for view, names in features.items() for feature in names)
        said = (
            f"The feature service `{name}` is new, in `feature_repo/{name}.py`, with {listed}; `{one.candidate}` is "
            f"what is ranked."
        )
        return repo, one, [" ".join([said, *([] if self.choices.features else _others(repo, name, self.choices))])]

    def _service_name(self, repo: Applied) -> str:
        name = self.choices.feature_service if self.choices.features else None
        if name is None:
            base = re.sub(r"\W", "_", self.choices.name or "")
            numbers = (f"{base}_v{number}" for number in range(1, len(repo.services) + 2))
            return next(one for one in numbers if one not in repo.services)
        if name in repo.services or not name.isidentifier():
            message = f"{name!r} can't be the name of a new feature service: it is taken, or no name in Python."
            raise ProjectInitError(message)
        return name

    def _training(self, one: Selected) -> dict[str, Any]:
        estimator = self.choices.estimator or self.answers.text("Estimator, a class", _ESTIMATOR)
        limits = {
            "rmse": self._limit("RMSE", self.choices.max_rmse),
            "mae": self._limit("MAE", self.choices.max_mae),
        }
        return {
            "feature_service": one.service.name,
            "request_features": list(self.choices.request_features),
            "candidate_key": one.candidate,
            "defaults": {},
            "seed": 17,
            "test_size": 0.2,
            "group_column": None,
            "ndcg_k": 10,
            "estimator": {"class": estimator, "arguments": {}},
            "trusted_types": list(self.choices.trusted_types),
            "thresholds": {name: limit for name, limit in limits.items() if limit is not None},
            "promote": "if_not_worse",
        }

    def _limit(self, metric: str, given: float | None) -> float | None:
        if given is not None:
            return given
        text = self.answers.text(f"Threshold of the {metric}, none for no limit", "")
        try:
            return float(text) if text else None
        except ValueError as error:
            message = f"{text!r} is no number, and no threshold of the {metric}."
            raise ProjectInitError(message) from error

    def _labelled(self, place: Place, found: list[History], now: datetime) -> Labelled:
        file = self.choices.orders
        if file is None:
            text = self.answers.text("File of labelled orders, none to make some", "")
            file = Path(text) if text else None
        if file is None:
            if self.choices.label or self.choices.request_features:
                message = "--label and --request-features name columns of orders: give these with --orders FILE."
                raise ProjectInitError(message)
            return made_orders(place, found, now)
        return given_orders(place, self.choices, self.answers, file)

    def _limits(self, labelled: Labelled, training: Mapping[str, Any]) -> list[str]:
        metrics, limits = labelled.metrics, training["thresholds"]
        said = (
            f"A trial has RMSE {metrics['rmse']:.4g} and MAE {metrics['mae']:.4g} on the held-out orders; predicting "
            f"the mean has {metrics['rmse_of_mean']:.4g} and {metrics['mae_of_mean']:.4g}."
        )
        where = "`thresholds` in `conf/base/parameters_training.yml`"
        if not limits:
            return [f"{said} No threshold is set but the mean's RMSE: {where}."]
        above = [name for name, limit in limits.items() if not metrics[name] <= limit]
        fails = f" Above the threshold: {', '.join(above)}; the training will end with exit code 3." * bool(above)
        return [f"{said}{fails} The thresholds are {where}."]

    def _render(
        self, one: Selected, training: Mapping[str, Any], labelled: Labelled, notes: list[str], start: str | None
    ) -> None:
        values = {
            "name": self.choices.name or "",
            "feature_service": one.service.name,
            "candidate_key": one.candidate,
            "request_features": yaml_of(training["request_features"]),
            "feature_columns": yaml_of(labelled.feature_columns),
            "orders": labelled.path,
            "batch_request": REQUEST,
            "label": labelled.label,
            "estimator": training["estimator"]["class"],
            "estimator_arguments": "{}",
            "trusted_types": yaml_of(training["trusted_types"]),
            "thresholds": yaml_of(training["thresholds"]),
            "materialize_start": start or "null",
            "notes": "\n".join(f"- {note}" for note in notes),
        }
        assert values.keys() <= defaults().keys()  # noqa: S101 - the template's own list
        for cache in [*self.folder.rglob("__pycache__")]:
            shutil.rmtree(cache)
        render(self.folder, values)


def _chosen(repo: Applied, one: Selected, choices: Choices) -> str:
    said = f"The feature service is `{one.service.name}` of your repo, and `{one.candidate}` is what is ranked."
    return " ".join([said, *_others(repo, one.service.name, choices)])


def _others(repo: Applied, name: str, choices: Choices) -> list[str]:
    """Return what is to be said of the feature services that were not taken."""
    left = {other: misfit(repo, service, choices) for other, service in repo.services.items() if other != name}
    reasons = [f"`{other}`: {'it fits as well.' if why is None else why}" for other, why in left.items()]
    return ["Of the others, " + " ".join(reasons)] if reasons else []


def _spans(found: list[History]) -> dict[str, tuple[datetime, datetime]]:
    with open_engine({}) as engine:
        spans = {one.view: one.times(engine) for one in found}
    return {view: span for view, span in spans.items() if span is not None}


def _ages(found: list[History], spans: Mapping[str, tuple[datetime, datetime]], now: datetime) -> list[str]:
    """Return what is to be said of views whose rows are all too old to be used now."""
    return [
        f"The last row of the feature view `{one.view}` is of {spans[one.view][1]:%Y-%m-%d %H:%M} UTC, and its ttl is "
        f"{timedelta(seconds=one.ttl)}: online there is nothing to rank by. Raise its `ttl` in `feature_repo/`, bring "
        f"newer rows, or make the project with --recent, which moves the times of its copies."
        for one in found
        if one.view in spans and one.ttl and now - spans[one.view][1] > timedelta(seconds=one.ttl)
    ]


def _materialize_start(
    found: list[History], spans: Mapping[str, tuple[datetime, datetime]], now: datetime
) -> str | None:
    """Return where the first materialization has to begin, if that is earlier than it would."""
    firsts = [spans[one.view][0] for one in found if one.view in spans and not one.ttl]
    early = [first for first in firsts if now - first > _YEAR]
    return f"{min(early):%Y-%m-%d}" if early else None
