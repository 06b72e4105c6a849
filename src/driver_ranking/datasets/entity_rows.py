"""A Kedro dataset of entity rows: who is asked about and when, from a CSV, TSV or Parquet file.

The file is checked in one streamed pass and never loaded whole. What a node gets is a query over the file, typed and
normalised, which an offline store runs as part of its own.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Never

import fsspec
from kedro.io import AbstractDataset, DatasetError

from driver_ranking.datasets.fetched import FetchedFile
from driver_ranking.datasets.preview import TablePreview, table_preview
from driver_ranking.datasets.request_files import FileSource, QueriedSource
from driver_ranking.datasets.row_checks import check_values, checked_file, connected, rules_for, rules_of, select_typed
from driver_ranking.errors import SettingError
from driver_ranking.feature_store.entity_columns import EntityColumn, Reading

_KEY_TYPES: Final = {"integer": Reading.INTEGER, "text": Reading.TEXT}
_FEATURE_TYPES: Final = {"number": Reading.NUMBER, "text": Reading.TEXT, "boolean": Reading.BOOLEAN}
_PARQUET_TYPES: Final = {"VARCHAR": Reading.TEXT, "BLOB": Reading.BYTES, "BOOLEAN": Reading.BOOLEAN}


@dataclass(frozen=True)
class EntityRows:
    """Checked entity rows, as a query that reads them.

    Attributes:
        filepath: The file or URL they come from, as the user wrote it.
        sql: DuckDB query that gives all columns of the file in the file's order: the event time as TIMESTAMPTZ, integer
            keys as BIGINT, declared numbers as DOUBLE, what has been asked for by ``typed`` as that says, the other
            columns as they are (text, from CSV and TSV). It reads the file, or the copy of one at a URL.
        columns: The names of the columns, in the file's order.
        row_count: The number of rows.
        file: The file, or a copy that is there as long as this is.
        digest: Of all values, if these are text; the same whatever order they are read in.
        filled: The columns that have a value in each row.
        features: What is known of columns that models may take: those that the catalog names so and, of a Parquet file,
            all; one that is neither a text nor bytes nor a boolean is taken for a number.
    """

    filepath: str
    sql: str
    columns: tuple[str, ...]
    row_count: int
    file: FetchedFile = field(repr=False, compare=False)
    digest: int | None = None
    filled: frozenset[str] = frozenset()
    features: Mapping[str, Reading] = field(default_factory=dict, repr=False, compare=False)
    _typed: dict[frozenset[EntityColumn], "EntityRows"] = field(default_factory=dict, repr=False, compare=False)

    @property
    def rows(self) -> str:
        """Return what an offline store takes."""
        return self.sql

    def typed(self, columns: Iterable[EntityColumn]) -> "EntityRows":
        """Return the rows with columns read as a feature repo and a model want them.

        The rows are read once for it, if a column has to be checked, however often it is asked for.

        Raises:
            RequestError: A column has a type or a value that does not fit; the message names the first rows at fault.
        """
        wanted = frozenset(columns)
        if wanted not in self._typed:
            self._typed[wanted] = self._checked(wanted)
        return self._typed[wanted]

    def _checked(self, wanted: Collection[EntityColumn]) -> "EntityRows":
        with connected() as connection:
            source = QueriedSource(self.filepath, f"({self.sql})", connection)
            rules = rules_for(source, sorted(wanted, key=lambda one: self.columns.index(one.name)), self.filled)
            if not rules:
                return self
            check_values(source, rules)
            return replace(self, sql=select_typed(source, rules), _typed={})


class EntityRowsDataset(AbstractDataset[Never, EntityRows]):
    """Entity rows in a CSV, TSV or Parquet file, local or at any URL that fsspec opens.

    CSV and TSV are UTF-8, with a header line; the header tells the separator, comma or tab. Event times are ISO 8601;
    those without an offset are taken as UTC, which the log says once. Every required column must be filled in every
    row; all other columns are kept.
    """

    def __init__(  # noqa: PLR0913 - the keys of a catalog entry
        self,
        *,
        filepath: str,
        timestamp_column: str = "event_timestamp",
        key_columns: Collection[str] | Mapping[str, str] = (),
        number_columns: list[str] | None = None,
        feature_columns: Mapping[str, str] | None = None,
        credentials: Mapping[str, Any] | None = None,
        fs_args: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Name the file and what it must hold.

        Args:
            filepath: Path or URL.
            timestamp_column: The event time of each row.
            key_columns: Columns of keys: a list of integers, or names with ``integer`` or ``text``. The join keys of
                the feature views need not be named: what they are is known of the feature repo.
            number_columns: Columns of finite numbers, labels for example.
            feature_columns: What models take of the rows themselves, names with ``number``, ``text`` or ``boolean``
                (true or false): the request features of a text file, which has no types. A value may be missing.
            credentials: What the file system needs to let one in; with ``fs_args``, what fsspec is given.
            fs_args: More options of the file system.
            metadata: What Kedro's plugins are told of this dataset.

        Raises:
            SettingError: A key or a feature is of another type.
        """
        self._filepath = filepath
        self._timestamp_column = timestamp_column
        self._key_columns = _readings("key_columns", _by_name(key_columns), _KEY_TYPES)
        self._feature_columns = _readings("feature_columns", feature_columns or {}, _FEATURE_TYPES)
        self._number_columns = number_columns or []
        self._options = {**(credentials or {}), **(fs_args or {})}
        self.metadata = metadata
        self._checked: EntityRows | None = None

    def check(self) -> None:
        """Check the whole file now, once.

        Raises:
            RequestError: The file can't be used; the message names it and the first lines at fault.
        """
        self._checked = self._checked or self._check()

    def load(self) -> EntityRows:
        """Return the checked rows; raises as ``check`` does."""
        self.check()
        assert self._checked is not None  # noqa: S101 - check() has set it or raised
        return self._checked

    def save(self, data: Never) -> None:  # noqa: ARG002 - Kedro's interface
        """Refuse: entity rows are an input."""
        message = f"{self._filepath}: entity rows are only read."
        raise DatasetError(message)

    def preview(self, rows: int = 5) -> TablePreview:
        """Return the first rows, for kedro viz."""
        sql = self.load().sql
        with connected() as connection:
            return table_preview(connection.execute(f"{sql} LIMIT {int(rows)}").to_arrow_table())

    def _check(self) -> EntityRows:
        file = FetchedFile(self._filepath, self._options)
        with connected() as connection:
            source = FileSource(self._filepath, str(file.path), connection)
            rules = rules_of(source, self._timestamp_column, self._key_columns, self._number_columns)
            row_count, digest = checked_file(source, rules)
            sql, columns = select_typed(source, rules), tuple(source.types)
            filled = frozenset(rule.column for rule in rules)
            known = {name: _PARQUET_TYPES.get(kind, Reading.NUMBER) for name, kind in source.types.items()}
            features = {**(known if source.is_parquet else {}), **self._feature_columns}
            return EntityRows(self._filepath, sql, columns, row_count, file, digest, filled, features)

    def _exists(self) -> bool:
        file_system, path = fsspec.core.url_to_fs(self._filepath, **self._options)
        return bool(file_system.exists(path))

    def _release(self) -> None:
        self._checked = None

    def _describe(self) -> dict[str, Any]:
        return {
            "filepath": self._filepath,
            "timestamp_column": self._timestamp_column,
            "key_columns": list(self._key_columns),
            "number_columns": self._number_columns,
            "feature_columns": list(self._feature_columns),
        }


def _by_name(key_columns: Collection[str] | Mapping[str, str]) -> Mapping[str, str]:
    return key_columns if isinstance(key_columns, Mapping) else dict.fromkeys(key_columns, "integer")


def _readings(setting: str, types: Mapping[str, str], known: Mapping[str, Reading]) -> dict[str, Reading]:
    for name, kind in types.items():
        if kind not in known:
            message = f"`{setting}` has {kind!r} as the type of {name!r}; it may be {_or(known)}."
            raise SettingError(message)
    return {name: known[kind] for name, kind in types.items()}


def _or(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} or {last}"
