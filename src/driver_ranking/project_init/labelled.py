"""The orders and the sample request of a project: the user's file, or the first ones of the sources."""

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from driver_ranking.datasets.entity_rows import EntityRows, EntityRowsDataset
from driver_ranking.datasets.row_checks import connected
from driver_ranking.errors import DriverRankingError, ProjectInitError
from driver_ranking.pipelines.fitting import fitted
from driver_ranking.project_init.applied import Applied
from driver_ranking.project_init.choices import Answers, Choices
from driver_ranking.project_init.history import TIME, History, base_of
from driver_ranking.project_init.orders import first_orders
from driver_ranking.project_init.requests import (
    first_request,
    online_request,
    request_of_orders,
    write_rows,
)
from driver_ranking.project_init.sample import completed, made_up
from driver_ranking.project_init.selection import Selected, with_request_features
from driver_ranking.project_init.trial import is_better_than_the_mean, trained_metrics
from driver_ranking.scoring import SCORE_FIELDS
from feast_columnar.offline.engine import open_engine
from feast_columnar.offline.rules import quoted

if TYPE_CHECKING:
    from datetime import datetime

RAW: Final = "data/01_raw"
ORDERS: Final = f"{RAW}/orders.csv"
REQUEST: Final = f"{RAW}/batch_request.csv"
ONLINE_REQUEST: Final = "online_request.json"


@dataclass(frozen=True)
class Labelled:
    """The orders of a project.

    Attributes:
        path: The file, relative to the project.
        label: The column of the label.
        feature_columns: The types of its request features, where the file has none.
        metrics: Of a model that was trained on them once.
        notes: What to say of them.
    """

    path: str
    label: str
    feature_columns: Mapping[str, str]
    metrics: Mapping[str, float]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Place:
    """What orders are made for.

    Attributes:
        project: The folder of the project.
        applied: Its repo.
        selected: Its feature service.
        training: The parameters of its training, but for the label.
    """

    project: Path
    applied: Applied
    selected: Selected
    training: Mapping[str, Any]

    def rows(self, path: str, label: str | None = None, types: Mapping[str, str] | None = None) -> EntityRows:
        """Return the rows of a file of the project, checked."""
        numbers = [label] if label else []
        dataset = EntityRowsDataset(filepath=str(self.project / path), number_columns=numbers, feature_columns=types)
        dataset.check()  # raises as it is what Kedro would wrap
        return dataset.load()

    def trained(self, orders: EntityRows, label: str) -> dict[str, float]:
        """Return the metrics of a model that is trained on orders once."""
        training = {**self.training, "label": label}
        return trained_metrics(orders, self.applied.store, training, self.applied.scratch)


def given_orders(place: Place, choices: Choices, answers: Answers, file: Path) -> Labelled:
    """Copy the user's orders into a project, train on them once, and make a request of the last ones.

    Raises:
        DriverRankingError: They can't be used; the message says why.
    """
    if not file.is_file():
        message = f"There are no orders at {file}."
        raise ProjectInitError(message)
    if choices.recent:
        message = "--recent moves the times of the sources, but not those of --orders: leave out one of them."
        raise ProjectInitError(message)
    (place.project / RAW).mkdir(parents=True, exist_ok=True)
    names = (f"{RAW}/{name}{file.suffix}" for name in ("orders", "labelled_orders"))
    path = next(name for name in names if not (place.project / name).exists())  # a source may have the first one
    shutil.copyfile(file, place.project / path)
    known = place.rows(path)
    label = choices.label or _label(known, place.selected, choices, answers)
    types = _types(known, place.selected, choices.request_features)
    orders = place.rows(path, label, types)
    metrics = place.trained(orders, label)
    typed = _typed(place, orders, choices.request_features)
    columns = tuple(dict.fromkeys([*place.selected.needed, *choices.request_features]))
    with open_engine({}) as engine:
        request = request_of_orders(engine, f"({typed.sql})", place.selected.candidate, columns)
    write_rows(request, place.project / REQUEST)
    _write_online_request(place, choices.request_features, types)
    notes = [f"The orders are a copy of yours, `{path}`, and the label is their column `{label}`."]
    if not is_better_than_the_mean(metrics):
        notes.append(
            f"A trial was no better than predicting the mean (RMSE {metrics['rmse']:.4g}): the training will end with "
            f"exit code 3, and register nothing. Try other features or another estimator."
        )
    return Labelled(path, label, types, metrics, tuple(notes))


def made_orders(place: Place, found: list[History], now: "datetime") -> Labelled:
    """Make first orders and a request of a repo's sources.

    Raises:
        ProjectInitError: There is nothing that a label could be made of, or none that can be learned from.
    """
    selected = place.selected
    base = base_of(found, selected.candidate)
    reasons: list[str] = []
    with open_engine({}) as engine:
        for orders in first_orders(engine, base, now, _taken(selected)):
            rows = completed(orders.rows, engine, found, selected, alike=False)
            write_rows(rows, place.project / ORDERS)
            metrics = _tried(place, orders.label, reasons)
            if metrics is not None:
                request = first_request(engine, base, selected.candidate, now)
                write_rows(completed(request, engine, found, selected, alike=True), place.project / REQUEST)
                _write_online_request(place, (), {})
                return Labelled(ORDERS, orders.label, {}, metrics, tuple(_said(orders.said, orders.label, selected)))
    why = "; ".join(dict.fromkeys(reasons)) or f"no numeric feature of the view {base.view!r} has different values"
    message = f"No orders to learn from can be made of the sources: {why}. Give some with --orders FILE --label COLUMN."
    raise ProjectInitError(message)


def _tried(place: Place, label: str, reasons: list[str]) -> dict[str, float] | None:
    """Return the metrics of a model trained on the first orders; None, and add why, if they are not to be kept."""
    try:
        metrics = place.trained(place.rows(ORDERS, label), label)
    except DriverRankingError as error:
        reasons.append(str(error).replace(f"{place.project}/", "").rstrip("."))
        return None
    if is_better_than_the_mean(metrics):
        return metrics
    reasons.append(f"a model of {label!r} is no better than the mean")
    return None


def _said(label_is: str, label: str, selected: Selected) -> Iterator[str]:
    yield (
        f"The label `{label}` is {label_is}. It was made of the sources so that the project answers at once, and is "
        f"not your problem: replace `{ORDERS}` by orders of your own, with the same columns, and name their label in "
        f"`conf/base/catalog.yml` (`number_columns`) and `conf/base/parameters_training.yml` (`label`)."
    )
    names = made_up(selected)
    if names:
        listed = ", ".join(f"`{name}`" for name in names)
        yield f"Only a request knows {listed}: the values in `{ORDERS}` and `{REQUEST}` are made up."


def _taken(selected: Selected) -> tuple[str, ...]:
    return (TIME, *selected.needed, *selected.features, *(one.name for one in SCORE_FIELDS))


def _label(orders: EntityRows, selected: Selected, choices: Choices, answers: Answers) -> str:
    used = {TIME, *selected.needed, *choices.request_features}
    left = [name for name in orders.columns if name not in used]
    refusal = (
        f"{orders.filepath}: which column is the label? It has {', '.join(map(repr, left)) or 'none that is left'} "
        f"beside what requests have. Say so with --label."
    )
    if not left:
        raise ProjectInitError(refusal)
    return answers.one_of("Label: the column", left, left[0] if len(left) == 1 else None, refusal)


def _types(orders: EntityRows, selected: Selected, request_features: tuple[str, ...]) -> dict[str, str]:
    """Return what request features of a text file are by their values, where the feature repo does not say it."""
    unknown = [name for name in request_features if name not in selected.needed and name not in orders.features]
    types = {}
    with connected() as connection:
        for name in (name for name in unknown if name in orders.columns):
            value = f"trim({quoted(name)})"
            texts = f"SELECT count(*) FROM ({orders.sql}) WHERE {value} <> '' AND TRY_CAST({value} AS DOUBLE) IS NULL"
            (count,) = connection.execute(texts).fetchone() or (0,)
            types[name] = "text" if count else "number"
    return types


def _typed(place: Place, rows: EntityRows, request_features: tuple[str, ...]) -> EntityRows:
    """Return rows read as the feature repo and the model have them."""
    model, _ = with_request_features(place.applied, place.selected, request_features, rows)
    return fitted(rows, place.selected.service, place.applied.defined, model, request_features)


def _write_online_request(place: Place, request_features: tuple[str, ...], types: Mapping[str, str]) -> None:
    """Write the sample request as the body of an online one; that reads it, too, as a batch run does."""
    rows = place.rows(REQUEST, types=types)
    _, contract = with_request_features(place.applied, place.selected, request_features, rows)
    with connected() as connection:
        table = connection.execute(_typed(place, rows, request_features).sql).to_arrow_table()
    body = json.dumps(online_request(table, contract), ensure_ascii=False, indent=2)
    (place.project / ONLINE_REQUEST).write_text(f"{body}\n", encoding="utf-8")
