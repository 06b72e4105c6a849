"""What Feast's monitoring asks of an offline store: statistics of features, and a place to keep them.

They are kept in Parquet files in ``feast_monitoring`` in the feature repo, with the columns that Feast's own local
stores write there. Runs of one machine wait for each other, and a run that is killed leaves the files whole.
"""

from __future__ import annotations

import fcntl
import json
import math
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from feast.monitoring.monitoring_utils import MONITORING_DIR, monitoring_parquet_meta, normalize_monitoring_row

from feast_columnar.offline.engine import Engine, Relation, open_engine
from feast_columnar.offline.files import replacing
from feast_columnar.offline.metrics import categorical, counted, is_number, numeric
from feast_columnar.offline.rows import with_instants
from feast_columnar.offline.rules import quoted, within
from feast_columnar.offline.sources import checked_source, source_relation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from feast.data_source import DataSource
    from feast.repo_config import RepoConfig

Row = dict[str, Any]

_KINDS = ("feature", "feature_view", "feature_service", "job")
_DATE, _TIME = pa.date32(), pa.timestamp("us", "UTC")
_TYPES = {
    **dict.fromkeys(("computed_at", "max_event_timestamp", "started_at", "completed_at"), _TIME),
    **dict.fromkeys(("row_count", "null_count", "total_row_count", "total_features"), pa.int64()),
    **dict.fromkeys(("features_with_nulls", "total_feature_views"), pa.int64()),
    **dict.fromkeys(("null_rate", "avg_null_rate", "max_null_rate", "mean", "stddev", "min_val"), pa.float64()),
    **dict.fromkeys(("max_val", "p50", "p75", "p90", "p95", "p99"), pa.float64()),
    "metric_date": _DATE,
    "is_baseline": pa.bool_(),
}


class MonitoredStore:
    """The part of an offline store that ``feast monitor`` and Feast's monitoring service use."""

    @staticmethod
    def compute_monitoring_metrics(  # noqa: PLR0913, PLR0917  # Feast's signature
        config: RepoConfig,
        data_source: DataSource,
        feature_columns: list[tuple[str, str]],
        timestamp_field: str,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        histogram_bins: int = 20,
        top_n: int = 10,
    ) -> list[Row]:
        """Work out statistics of features over the rows of a source in a range of event times.

        Args:
            config: The configuration of the feature repo.
            data_source: A FileSource of Parquet files.
            feature_columns: Names of features with ``numeric`` or ``categorical``.
            timestamp_field: The column with the event time.
            start_date: The earliest event time, inclusive; a naive one is taken as UTC.
            end_date: The latest event time, inclusive; a naive one is taken as UTC.
            histogram_bins: How many bins a histogram of numbers has.
            top_n: How many of the most frequent values are told.

        Returns:
            A metric for each feature, as Feast defines it; a feature of lists has counts alone.

        Raises:
            AsofError: If the source is not supported, or lacks a column.
        """
        with _opened(config, data_source, timestamp_field, [name for name, _ in feature_columns]) as (engine, source):
            relation, event_time, columns = source
            rows = f"(SELECT * FROM {relation.sql} WHERE {within(event_time, start_date, end_date)})"

            def metric(name: str, kind: str) -> Row:
                column = columns[name]
                if kind == "categorical":
                    return categorical(engine, rows, name, column, top_n)
                if is_number(relation.columns[column]):
                    return numeric(engine, rows, name, column, histogram_bins)
                return counted(engine, rows, name, kind, column)

            return [metric(name, kind) for name, kind in feature_columns]

    @staticmethod
    def get_monitoring_max_timestamp(
        config: RepoConfig, data_source: DataSource, timestamp_field: str
    ) -> datetime | None:
        """Return the latest event time of a source, in UTC; None if it has none.

        Args:
            config: The configuration of the feature repo.
            data_source: A FileSource of Parquet files.
            timestamp_field: The column with the event time.

        Raises:
            AsofError: If the source is not supported, or lacks the column.
        """
        with _opened(config, data_source, timestamp_field, []) as (engine, (relation, event_time, _)):
            moment = f"make_timestamptz(max(epoch_us({quoted(event_time)})))"
            found = engine.execute(f"SELECT {moment} FROM {relation.sql}").fetchone() or (None,)
            latest: datetime | None = found[0]
            return latest.astimezone(UTC) if latest else None

    @staticmethod
    def ensure_monitoring_tables(config: RepoConfig) -> None:
        """Make the files that metrics are kept in, where they are not there.

        Args:
            config: The configuration of the feature repo.
        """
        for kind in _KINDS:
            with _locked(config, kind) as file:
                if not file.is_file():
                    _write(file, kind, [])

    @staticmethod
    def save_monitoring_metrics(config: RepoConfig, metric_type: str, metrics: list[Row]) -> None:
        """Keep metrics; those of the same feature, date and kind are replaced.

        Args:
            config: The configuration of the feature repo.
            metric_type: ``feature``, ``feature_view``, ``feature_service`` or ``job``.
            metrics: The metrics.

        Raises:
            ValueError: If there is no such kind of metric.
        """
        _, columns, key = monitoring_parquet_meta(metric_type)

        def replaced(rows: list[Row]) -> list[Row]:
            new = [{name: _kept(name, row.get(name)) for name in columns} for row in metrics]
            return list({tuple(row[name] for name in key): row for row in [*rows, *new]}.values())

        _change(config, metric_type, replaced)

    @staticmethod
    def query_monitoring_metrics(  # noqa: PLR0913, PLR0917  # Feast's signature
        config: RepoConfig,
        project: str,
        metric_type: str,
        filters: Row | None = None,
        start_date: date | None = None,
        end_date: date | None = None,
    ) -> list[Row]:
        """Return metrics that were kept, by date.

        Args:
            config: The configuration of the feature repo.
            project: The Feast project; empty for all.
            metric_type: ``feature``, ``feature_view``, ``feature_service`` or ``job``.
            filters: Values that columns have; None is no condition.
            start_date: The earliest date, inclusive.
            end_date: The latest date, inclusive.

        Raises:
            ValueError: If there is no such kind of metric.
        """
        wanted = {name: value for name, value in (filters or {}).items() if value is not None}
        wanted |= {"project_id": project} if project else {}
        first, last = start_date or date.min, end_date or date.max
        with _locked(config, metric_type) as file:
            rows = _read(file, metric_type)
        found = [
            row
            for row in rows
            if all(row.get(name) == value for name, value in wanted.items())
            and first <= (row["metric_date"] or first) <= last
        ]
        in_order = sorted(found, key=lambda row: row["metric_date"] or date.min)
        return [normalize_monitoring_row(row) for row in in_order]

    @staticmethod
    def clear_monitoring_baseline(
        config: RepoConfig,
        project: str,
        feature_view_name: str | None = None,
        feature_name: str | None = None,
        data_source_type: str | None = None,
    ) -> None:
        """Let metrics be a baseline no longer.

        Args:
            config: The configuration of the feature repo.
            project: The Feast project.
            feature_view_name: Of which feature view; None for all.
            feature_name: Of which feature; None for all.
            data_source_type: ``batch`` or ``log``; None for both.
        """
        given = {"feature_view_name": feature_view_name, "feature_name": feature_name}
        given |= {"project_id": project, "data_source_type": data_source_type}
        wanted = {name: value for name, value in given.items() if value is not None}

        def cleared(rows: list[Row]) -> list[Row]:
            return [
                row | {"is_baseline": False} if all(row[name] == value for name, value in wanted.items()) else row
                for row in rows
            ]

        _change(config, "feature", cleared)


@contextmanager
def _opened(
    config: RepoConfig, data_source: DataSource, timestamp_field: str, features: list[str]
) -> Iterator[tuple[Engine, tuple[Relation, str, dict[str, str]]]]:
    """Open a source; give its rows, the column of the event time, and those of features by their names."""
    source = checked_source(data_source, f"source '{data_source.name}'")
    with open_engine(config.offline_store.settings()) as engine:
        relation = source_relation(engine, source, config.repo_path)
        original = {new: old for old, new in source.field_mapping.items() if old in relation.columns}
        columns = {name: original.get(name, name) for name in features}
        event_time = original.get(timestamp_field, timestamp_field)
        relation.require([event_time, *columns.values()], "which is monitored")
        yield engine, (with_instants(engine, relation, [event_time]), event_time, columns)


# ---- The files -----------------------------------------------------------------------------------------------------


@contextmanager
def _locked(config: RepoConfig, kind: str) -> Iterator[Path]:
    """Give the file of a kind of metrics, while no other run changes it."""
    name, _, _ = monitoring_parquet_meta(kind)
    file = Path(config.repo_path or "") / MONITORING_DIR / name
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.with_name(f".{name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield file


def _change(config: RepoConfig, kind: str, change: Callable[[list[Row]], list[Row]]) -> None:
    with _locked(config, kind) as file:
        _write(file, kind, change(_read(file, kind)))


def _read(file: Path, kind: str) -> list[Row]:
    _, columns, _ = monitoring_parquet_meta(kind)
    if not file.is_file():
        return []
    rows = pq.ParquetFile(file).read().to_pylist()
    return [{name: _kept(name, row.get(name)) for name in columns} for row in rows]


def _write(file: Path, kind: str, rows: list[Row]) -> None:
    _, columns, _ = monitoring_parquet_meta(kind)
    schema = pa.schema([(name, _TYPES.get(name, pa.string())) for name in columns])
    with replacing(file) as partial:
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), partial)


def _kept(name: str, value: Any) -> Any:  # noqa: ANN401  # what Feast and its other stores give
    """Return a value as its column keeps it: Feast hands over times as text as well, other stores have read NaN."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    kind = _TYPES.get(name)
    if kind in {_DATE, _TIME}:
        time = datetime.fromisoformat(value if isinstance(value, str) else value.isoformat())
        return time.date() if kind == _DATE else (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    return value if kind is not None or isinstance(value, str) else json.dumps(value)
