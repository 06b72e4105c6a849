"""Compares a prediction log with the feature store: chunk by chunk, each feature service with tables of its own."""

from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from driver_ranking.errors import PredictionLogError
from driver_ranking.feature_store.library_errors import own_errors
from driver_ranking.features import Defaults
from driver_ranking.model_features import features_of
from driver_ranking.parity.answers import Chunk, integers
from driver_ranking.parity.brought import NONE, Recorded, ViewTables, recorded, tables_of
from driver_ranking.parity.causes import CAUSES, Cause
from driver_ranking.parity.decisions import Decisions, decisions_of
from driver_ranking.parity.faults import Faults, SeenAnswers, name_answers, name_log, name_rows
from driver_ranking.parity.features import FeatureColumn, columns_of, feature_columns, is_off
from driver_ranking.parity.rows import ViewRows, brought_up_to, compared
from driver_ranking.parity.scores import Scorer, Scorers, logged_scores, of_rows, whole
from driver_ranking.parity.sides import Sides, sides_of
from driver_ranking.parity.tallies import FeatureTally, Tally
from driver_ranking.prediction_log.columns import RANK, STATUS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from feast import FeatureStore

    from driver_ranking.model import ModelRegistry
    from feast_columnar.ledger.books import Ledger
    from feast_columnar.offline.engine import Engine


@dataclass(frozen=True)
class Service:
    """What the rows of a feature service are compared by.

    Attributes:
        sides: What is joined.
        tables: The tables of its views.
        made: Which further tables there are.
    """

    sides: Sides
    tables: tuple[ViewTables, ...]
    made: set[str] = field(default_factory=set)


class Comparison:
    """Compares chunks of the log, one after the other."""

    def __init__(
        self, store: "FeatureStore", registry: "ModelRegistry", ledger: "Ledger", since: datetime | None
    ) -> None:
        """Look nothing up yet.

        Args:
            store: The applied feature store.
            registry: The registry of the model.
            ledger: The materializations.
            since: From when on rows were read.
        """
        self.tally = Tally()
        self._store = store
        self._ledger = ledger
        self._since = since
        self._scorers = Scorers(registry)
        self._service: tuple[str, Service] | None = None
        self._seen = SeenAnswers()
        self._versions: dict[str, Scorer] = {}

    def run(self, chunks: Iterable[Chunk]) -> Tally:
        """Compare chunks; those of one feature service should follow each other.

        Raises:
            FeatureStoreError: The features can't be joined again.
            ModelError: A version is not in the registry, or fails.
            PredictionLogError: The log does not have what is needed.
        """
        with self._engine() as engine:
            for chunk in chunks:
                _require_keys(chunk)
                scorer = self._scorers.of(chunk.layout)
                with own_errors():
                    self._compare(chunk, scorer, self._of_service(engine, chunk, scorer))
        return self.tally

    @contextmanager
    def _engine(self) -> "Iterator[Engine]":
        from feast_columnar.offline.engine import open_engine

        options: Any = self._store.config.offline_store
        with open_engine(options.settings() if hasattr(options, "settings") else {}) as engine:
            yield engine

    def _of_service(self, engine: "Engine", chunk: Chunk, scorer: Scorer) -> Service:
        features = features_of(scorer.predictor.model, _service(self._store, chunk.layout.service))
        key = f"{chunk.layout.service}/{features.service.full_names}"
        if self._service is None or self._service[0] != key:
            sides = sides_of(self._store, features.service)
            history = {view.base: self._recorded(view.base) for view in sides.stored}
            self._service = key, Service(sides, tables_of(engine, sides, history))
        return self._service[1]

    def _recorded(self, view: str) -> Recorded:
        return recorded(self._ledger.history(view).entries, self._since)

    def _compare(self, chunk: Chunk, scorer: Scorer, service: Service) -> None:
        views = {one.view.name: compared(chunk, one, service.made) for one in service.tables}
        features = feature_columns(chunk, service.sides, views)
        faults = Faults()
        for view in views.values():
            name_rows(faults, chunk, view)
        _name_transformations(faults, features, service.sides, views)
        requested = scorer.requested(chunk)
        logged = columns_of(features, requested, "logged")
        ours = scorer.score(logged)
        self._versions.setdefault(chunk.layout.version, scorer)
        name_answers(faults, chunk, scorer, ours, self._others(scorer))
        self.tally.faults.missing_rows += name_log(faults, chunk, self._seen)
        self._count(chunk, views, features, faults)
        self.tally.rounded_scores += int((ours.score != logged_scores(chunk).score)[ours.scored].sum())
        self._decide(chunk, scorer, views, columns_of(features, requested, "known"), features, faults)

    def _others(self, scorer: Scorer) -> list[Scorer]:
        """Return the other versions that the registry has, those that can be loaded."""
        return [one for version, one in self._versions.items() if version != scorer.layout.version]

    def _count(
        self, chunk: Chunk, views: Mapping[str, ViewRows], features: list[FeatureColumn], faults: Faults
    ) -> None:
        tally = self.tally
        tally.rows += len(chunk)
        tally.versions[chunk.layout.version] += len(chunk)
        for one in pc.value_counts(whole(chunk.rows[STATUS])).to_pylist():
            tally.statuses[str(one["values"])] += one["counts"]
        first, last = int(chunk.now.min()), int(chunk.now.max())
        tally.first = first if tally.first is None else min(first, tally.first)
        tally.last = last if tally.last is None else max(last, tally.last)
        for feature in features:
            tally.features.setdefault(feature.name, FeatureTally()).add(feature)
        self._count_faults(chunk, views, faults)
        for name, view in views.items():
            cause = np.where(view.faulty, np.int8(Cause.UNEXPLAINED), view.cause)
            found = np.unique(cause[cause != Cause.NONE], return_counts=True)
            counts = tally.row_causes.setdefault(name, type(tally.decisions.by_cause)())
            counts.update(dict(zip(*(one.tolist() for one in found), strict=True)))
            up_to = brought_up_to(chunk, view.tables)
            lag = (chunk.now - up_to)[up_to != NONE] / 1e6
            tally.lag.setdefault(name, type(tally.decisions.lost)()).add(lag)

    def _count_faults(self, chunk: Chunk, views: Mapping[str, ViewRows], faults: Faults) -> None:
        tally = self.tally.faults
        tally.rows += int(faults.any(len(chunk)).sum() - faults.rows.get("missing_rows", np.zeros(1, bool)).sum())
        for kind, rows in faults.rows.items():
            tally.kinds[kind] += int(rows.sum())
            for row in np.flatnonzero(rows)[: max(0, tally.room(kind))].tolist():
                tally.examples.setdefault(kind, []).append({**chunk.described(row), **_shown(views, row)})

    def _decide(  # noqa: PLR0913, PLR0917 - all that a decision depends on
        self,
        chunk: Chunk,
        scorer: Scorer,
        views: Mapping[str, ViewRows],
        known: Mapping[str, pa.Array],
        features: list[FeatureColumn],
        faults: Faults,
    ) -> None:
        """Rank the candidates as of the reads by what is known now, and count what would have been another answer."""
        theirs = logged_scores(chunk)
        changed = faults.any(len(chunk))
        for view in views.values():
            changed |= view.has_changed
        rows = np.flatnonzero(changed)
        score = theirs.score.copy()
        if rows.size:
            found = scorer.score(of_rows(known, rows))
            score[rows] = np.where(found.scored, found.score, np.nan)
        rank = np.maximum(integers(chunk.rows, RANK), 0).astype(np.int32)
        decisions = decisions_of(chunk.request, chunk.candidate, rank, score, changed)
        causes = _causes_of_requests(chunk, features, faults, len(decisions.best))
        self.tally.decisions.add(decisions, causes, _available(views, decisions))


def _service(store: "FeatureStore", name: str) -> Any:  # noqa: ANN401 - Feast has no types
    from driver_ranking.feature_store.repo import find_service

    return find_service(store, name)


def _require_keys(chunk: Chunk) -> None:
    unseen = [name for name in (*chunk.layout.keys, *chunk.layout.said["request"]) if name in chunk.layout.unseen]
    if unseen:
        message = (
            f"The prediction log leaves out or hashes {', '.join(map(repr, unseen))}, by which features are joined. "
            "Log it as it is, or compare a sample by `--params sample=N`."
        )
        raise PredictionLogError(message)


def _name_transformations(
    faults: Faults, features: list[FeatureColumn], sides: Sides, views: Mapping[str, ViewRows]
) -> None:
    """Name where an on-demand view gave something else, though its inputs are right, or are not known not to be."""
    computed = {view.name: view for view in sides.computed}
    for place, feature in enumerate(features):
        if feature.view not in computed:
            continue
        off = is_off(feature)
        sources = [views[name] for name in computed[feature.view].sources]
        for view in sources:
            off &= ~view.faulty & ~(view.ambiguous if view.logged is None else np.zeros(len(off), dtype=np.bool_))
        faults.add("transformation", off)
        features[place] = replace(feature, cause=np.where(off, np.int8(Cause.UNEXPLAINED), feature.cause))


def _causes_of_requests(
    chunk: Chunk, features: list[FeatureColumn], faults: Faults, count: int
) -> dict[int, NDArray[np.bool_]]:
    from driver_ranking.parity.features import differences

    found = {int(cause): np.zeros(count, dtype=np.bool_) for cause in CAUSES}
    for feature in features:
        _, causes = differences(feature)
        for cause in np.unique(causes[causes != Cause.NONE]).tolist():
            found[cause][chunk.request[causes == cause]] = True
    for kind, rows in faults.rows.items():
        cause = Cause.VERSION if kind == "version" else Cause.UNEXPLAINED
        found[int(cause)][chunk.request[rows]] = True
    return found


def _available(views: Mapping[str, ViewRows], decisions: Decisions) -> NDArray[np.float64]:
    """Return for how long the stale rows of both bests had been there to be brought, in seconds; NaN of none."""
    least = np.full(len(decisions.best), np.inf)
    for view in views.values():
        is_stale = (view.cause == Cause.STALE) | (view.cause == Cause.EXPIRED)
        for row in (decisions.best, decisions.other_best):
            counts = (row >= 0) & is_stale[row]
            least[counts] = np.minimum(least[counts], view.available[row[counts]] / 1e6)
    return np.where(np.isinf(least), np.nan, np.maximum(least, 0.0))


def _shown(views: Mapping[str, ViewRows], row: int) -> dict[str, Any]:
    """Return what was read and what was brought, of views that are faulty in a row."""
    shown: dict[str, Any] = {}
    for name, view in views.items():
        if view.faulty[row] and view.logged is not None:
            brought = view.brought
            shown[name] = {
                "read": {"event_time": _time(view.logged.time[row])}
                | {feature: _plain(values[row]) for feature, values in view.logged.values.items()},
                "brought": {"event_time": _time(brought.time[row])}
                | {feature: _plain(brought.used(feature)[row]) for feature in view.logged.values},
            }
    return {"views": shown} if shown else {}


def _time(micros: int) -> str | None:
    from feast_columnar.online.moments import EPOCH, MICROSECOND

    return None if micros == NONE else (EPOCH + int(micros) * MICROSECOND).isoformat()


def _plain(value: pa.Scalar) -> object:
    plain = value.as_py()
    return plain if isinstance(plain, int | float | str | bool | None) else repr(plain)


__all__ = ["Comparison", "Defaults", "Service"]
