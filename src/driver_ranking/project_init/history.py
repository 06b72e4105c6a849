"""The rows of the sources behind a feature service, as tables that orders and requests are made of."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from driver_ranking.errors import ProjectInitError
from driver_ranking.feature_store.joinable import joined_views, keys_of
from driver_ranking.feature_store.repo import explained
from driver_ranking.project_init.applied import Applied
from driver_ranking.project_init.selection import NUMBERS, Selected
from feast_columnar.offline.rules import literal, quoted

if TYPE_CHECKING:
    from feast_columnar.offline.engine import Engine

TIME: Final = "event_timestamp"


@dataclass(frozen=True)
class History:
    """The rows of one feature view, as a DuckDB query.

    Attributes:
        view: The view's name.
        keys: The columns of its join keys, as orders call them.
        numbers: Its features that are numbers.
        sql: The query: keys, ``event_timestamp`` and, as doubles, the numbers; of one key and time the row that was
            written last. Rows of the future, and such without a key, are left out.
        ttl: How long a row counts, in seconds; None for ever.
    """

    view: str
    keys: tuple[str, ...]
    numbers: tuple[str, ...]
    sql: str
    ttl: float | None

    def times(self, engine: "Engine") -> tuple[datetime, datetime] | None:
        """Return the first and the last time; None if there is no row."""
        first, last = engine.execute(f"SELECT min({TIME}), max({TIME}) FROM {self.sql}").fetchone() or (None, None)
        return None if first is None else (first, last)


def histories(applied: Applied, selected: Selected, now: datetime) -> list[History]:
    """Return the rows of each view that a service is joined from, those first that make the best orders.

    These have the key of what is ranked, then most keys, then most numbers.

    Raises:
        FeatureStoreError: A source can't be read.
    """
    found = list(_histories(applied, selected, now))
    return sorted(found, key=lambda one: (selected.candidate not in one.keys, -len(one.keys), -len(one.numbers)))


def base_of(found: list[History], candidate: str) -> History:
    """Return the rows that orders are made of.

    Raises:
        ProjectInitError: None of them has a number.
    """
    for one in found:
        if candidate in one.keys and one.numbers:
            return one
    views = ", ".join(repr(one.view) for one in found if candidate in one.keys)
    message = (
        f"The feature views of {candidate!r}, {views}, have no numeric feature, so that no label can be made of them. "
        f"Give labelled orders with --orders FILE --label COLUMN."
    )
    raise ProjectInitError(message)


def _histories(applied: Applied, selected: Selected, now: datetime) -> Iterator[History]:
    seen: set[tuple[str, tuple[str, ...]]] = set()
    for place, (view, projection) in enumerate(joined_views(selected.service, applied.defined)):
        keys = tuple(keys_of(view, projection, applied.defined))
        if (view.name, keys) in seen:
            continue
        seen.add((view.name, keys))
        file = applied.scratch / f"history-{place}.parquet"
        source_keys = [field.name for field in view.entity_columns if not field.name.startswith("__")]
        numbers = tuple(field.name for field in projection.features if str(field.dtype) in NUMBERS)
        _write_rows(applied, view, source_keys, numbers, file)
        named = dict(zip(keys, source_keys, strict=True))
        sql = _rows_sql(view.batch_source, named, numbers, file, now)
        ttl = view.ttl.total_seconds() if view.ttl else None
        yield History(view.name, keys, numbers, sql, ttl)


def _write_rows(applied: Applied, view: Any, keys: list[str], numbers: tuple[str, ...], file: Path) -> None:  # noqa: ANN401 - Feast has several kinds of views
    """Write the columns that are wanted of a view's source, under the names that the view has for them."""
    source = view.batch_source
    original = {new: old for old, new in source.field_mapping.items()}
    offline_store: Any = applied.store._get_provider().offline_store  # noqa: SLF001 - Feast has no other way
    with explained(f"The rows of the feature view {view.name!r} can't be read"):
        offline_store.pull_all_from_table_or_query(
            config=applied.store.config,
            data_source=source,
            join_key_columns=[original.get(name, name) for name in keys],
            feature_name_columns=[original.get(name, name) for name in numbers],
            timestamp_field=original.get(source.timestamp_field, source.timestamp_field),
            created_timestamp_column=original.get(source.created_timestamp_column, source.created_timestamp_column),
        ).write_parquet(str(file))


def _rows_sql(source: Any, keys: dict[str, str], numbers: tuple[str, ...], file: Path, now: datetime) -> str:  # noqa: ANN401 - Feast has no types
    original = {new: old for old, new in source.field_mapping.items()}

    def column(name: str) -> str:
        return quoted(original.get(name, name))

    time, created = column(source.timestamp_field), source.created_timestamp_column
    own = [f"{column(name)} AS {quoted(key)}" for key, name in keys.items()]
    values = [f"{_finite(column(name))} AS {quoted(name)}" for name in numbers]
    present = " AND ".join(f"{column(name)} IS NOT NULL" for name in [*keys.values(), source.timestamp_field])
    partition = ", ".join([*map(column, keys.values()), time])
    last = f"ORDER BY {column(created)} DESC NULLS LAST" if created else ""
    until = f"CAST({time} AS TIMESTAMPTZ) <= TIMESTAMPTZ {literal(now.isoformat())}"
    return (
        f"(SELECT {', '.join([*own, f'CAST({time} AS TIMESTAMPTZ) AS {TIME}', *values])} "
        f"FROM read_parquet({literal(str(file))}) WHERE {present} AND {until} "
        f"QUALIFY row_number() OVER (PARTITION BY {partition} {last}) = 1)"
    )


def _finite(column: str) -> str:
    number = f"CAST({column} AS DOUBLE)"
    return f"CASE WHEN isfinite({number}) THEN {number} END"
