"""What a retrieval gives: rows that are not there yet, and each way to get them."""

from __future__ import annotations

import os
import shutil
from contextlib import closing
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa
import pyarrow.parquet as pq
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata

from feast_columnar.offline.engine import explained, open_engine
from feast_columnar.offline.files import LocalRows, beside, local_path, replacing
from feast_columnar.offline.on_demand import ComputedJob, OnDemand, marked
from feast_columnar.offline.rules import literal
from feast_columnar.offline.sources import saved_dataset_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    import pandas as pd
    from feast.on_demand_feature_view import OnDemandFeatureView
    from feast.saved_dataset import SavedDatasetStorage, ValidationReference

    from feast_columnar.offline.query import Query

    Facts = tuple[list[str], datetime | None, datetime | None]


class LazyMetadata(RetrievalMetadata):
    """Feast's metadata of a retrieval; what needs a look at the entity rows is looked up when it is asked for."""

    def __init__(self, features: Sequence[str], facts: Callable[[], Facts]) -> None:
        self.features = list(features)
        self._facts = facts

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  # what Feast declares as plain attributes
        if name not in {"keys", "min_event_timestamp", "max_event_timestamp"}:
            raise AttributeError(name)
        self.keys, self.min_event_timestamp, self.max_event_timestamp = self._facts()
        return getattr(self, name)


class ColumnarJob(LocalRows, RetrievalJob):
    """What the jobs of both stores have in common: a query that has not run yet, and what is added to its rows."""

    def __init__(self, query: Any, metadata: RetrievalMetadata | None, on_demand: OnDemand) -> None:  # noqa: ANN401  # each store's
        self._query = query
        self._metadata = metadata
        self._on_demand = on_demand
        self._in_order = False

    @property
    def full_feature_names(self) -> bool:
        """Whether features are named ``view__feature``."""
        return self._on_demand.full_feature_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        """The on-demand feature views that are computed on the joined rows."""
        return list(self._on_demand.views)

    @property
    def metadata(self) -> RetrievalMetadata | None:
        """The features, entity columns and range of event times; None for the rows of a source."""
        return self._metadata

    def in_request_order(self) -> Self:
        """Return a job with the same rows in the order of the entity rows (of a source: in its order).

        On a cluster it costs a sort of all rows.
        """
        job = copy(self)
        job._in_order = True  # noqa: SLF001  # a job of this very class
        return job

    def transforming_complete_rows(self) -> Self:
        """Return a job whose on-demand features are null where a source of theirs has no row.

        Feast hands such rows over to the transformation, with nulls.
        """
        if not self._on_demand.views:
            return self
        job = copy(self)
        views, present = marked(self._on_demand.views, self._query.views)
        job._query = self._query.with_views(views)  # noqa: SLF001  # of this very class
        job._on_demand = replace(self._on_demand, present=present)  # noqa: SLF001  # likewise
        return job

    def as_known_at(self, moment: datetime) -> Self:
        """Return a job that sees only the source rows that had been written by a moment, by their `created`.

        It gives what it would have given at that moment, whatever has been added since: late rows and corrections. That
        is another question than Feast's ``filter_by_created_timestamp``, which asks it of each entity row at its own
        event time; both can be asked together.

        Args:
            moment: The moment; a naive one is taken as UTC.

        Raises:
            AsofError: A source has no ``created_timestamp_column``; or, when the job runs, a row has no value in it.
        """
        job = copy(self)
        job._query = self._query.as_known_at(moment)  # noqa: SLF001  # of this very class
        return job

    def to_arrow(self, validation_reference: ValidationReference | None = None, timeout: int | None = None) -> pa.Table:
        """Return all rows as a table, on-demand features included.

        Args:
            validation_reference: What the rows are validated against.
            timeout: Has no effect.
        """
        if not self._on_demand.views:
            return super().to_arrow(validation_reference, timeout)
        return ComputedJob(self, self._on_demand).to_arrow(validation_reference, timeout)

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        frame: pd.DataFrame = self._to_arrow_internal(timeout).to_pandas()
        return frame


class AsofRetrievalJob(ColumnarJob):
    """A query that has not run yet. Each way to get its rows runs it once, on a connection of its own.

    Event times come as ``timestamp[us, tz=UTC]``; the other columns keep their Arrow types.
    """

    def __init__(
        self,
        query: Query,
        options: Mapping[str, Any],
        repo_path: Path | None,
        *,
        metadata: RetrievalMetadata | None = None,
        on_demand: OnDemand | None = None,
    ) -> None:
        super().__init__(query, metadata, on_demand or OnDemand())
        self._options = options
        self._repo_path = repo_path

    def to_sql(self) -> str:
        """Return the DuckDB statement, on-demand features aside. In-memory entity rows appear under a made-up name.

        Raises:
            AsofError: If the sources, the entity rows or the request don't fit.
        """
        with open_engine(self._options) as engine:
            statement: str = self._query.sql(engine, in_order=self._in_order)
            return statement

    def to_record_batches(self, rows_per_batch: int = 65_536) -> pa.RecordBatchReader:
        """Return the rows as a stream, on-demand features included; memory does not grow with their number.

        Args:
            rows_per_batch: About how many rows a batch has.

        Raises:
            AsofError: If the sources, the entity rows or the request don't fit.
        """
        batches = self._batches(rows_per_batch)
        # The first batch is a promise of the schema; it also starts the generator, so that dropping it closes DuckDB.
        schema = next(batches).schema
        return pa.RecordBatchReader.from_batches(schema, batches)

    def write_parquet(self, path: str | os.PathLike[str], *, metadata: Mapping[str, str] | None = None) -> int:
        """Write the rows to one local Parquet file, which appears when it is complete and not before.

        Args:
            path: Where to; folders are made, a file that is there is replaced.
            metadata: Key-value pairs for the footer of the file.

        Returns:
            The number of rows.

        Raises:
            AsofError: If the path is a URL, or the sources, the entity rows or the request don't fit.
        """
        target = Path(local_path(os.fspath(path)))
        write = self._write_batches if self.on_demand_feature_views else self._copy
        with replacing(target) as partial:
            return write(partial, dict(metadata or {}))

    def persist(
        self,
        storage: SavedDatasetStorage,
        allow_overwrite: bool = False,  # noqa: FBT001, FBT002  # Feast's signature
        timeout: int | None = None,  # noqa: ARG002  # Feast's signature; no local store of Feast has a timeout
    ) -> None:
        """Write the rows to the place of a saved dataset: one Parquet file, or a folder with one.

        Args:
            storage: A file storage with a local path; relative ones are taken from the feature repo.
            allow_overwrite: Whether to replace what is there.
            timeout: Has no effect.

        Raises:
            AsofError: If the storage is not one of local Parquet files.
            SavedDatasetLocationAlreadyExists: If something is there and may not be replaced.
        """
        target = Path(local_path(saved_dataset_path(storage, self._repo_path)))
        if target.exists() and not allow_overwrite:
            raise SavedDatasetLocationAlreadyExists(location=storage.file_options.uri)  # type: ignore[attr-defined]  # checked above
        if target.suffix == ".parquet":
            self.write_parquet(target)
        else:
            self._write_folder(target)

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:  # noqa: ARG002  # Feast's signature
        with open_engine(self._options) as engine:
            sql = self._query.sql(engine, in_order=self._in_order)
            return engine.execute(sql).to_arrow_table()

    def _batches(self, rows_per_batch: int) -> Iterator[pa.RecordBatch]:
        """Yield an empty batch with the schema, then the rows."""
        with open_engine(self._options) as engine, explained("DuckDB could not run the query"):
            result = engine.execute(self._query.sql(engine, in_order=self._in_order))
            with closing(result.to_arrow_reader(rows_per_batch)) as reader:
                if self.on_demand_feature_views:
                    yield from self._computed(reader)
                else:
                    yield pa.RecordBatch.from_pylist([], schema=reader.schema)
                    yield from reader

    def _computed(self, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        yield pa.RecordBatch.from_pylist([], schema=self._on_demand.schema(reader.schema))
        for batch in reader:
            yield from self._on_demand.add(pa.Table.from_batches([batch])).to_batches()

    def _copy(self, partial: Path, metadata: dict[str, str]) -> int:
        pairs = ", ".join(f"{literal(key)}: {literal(value)}" for key, value in metadata.items())
        options = f"FORMAT parquet, KV_METADATA {{{pairs}}}" if pairs else "FORMAT parquet"
        with open_engine(self._options) as engine:
            sql = self._query.sql(engine, in_order=self._in_order)
            written = engine.execute(f"COPY ({sql}) TO {literal(str(partial))} ({options})").fetchone()
        return int(written[0]) if written else 0

    def _write_batches(self, partial: Path, metadata: dict[str, str]) -> int:
        rows, reader = 0, self.to_record_batches()
        # As metadata of the schema, which readers find: what is added to the footer later, Arrow's own readers hide.
        with reader, pq.ParquetWriter(partial, reader.schema.with_metadata(metadata)) as writer:
            for batch in reader:
                writer.write_batch(batch)
                rows += batch.num_rows
        return rows

    def _write_folder(self, target: Path) -> None:
        partial, old = beside(target), beside(target)
        try:
            self.write_parquet(partial / "part-0.parquet")
            if target.exists():
                target.rename(old)
            partial.rename(target)
        except BaseException:
            if old.exists() and not target.exists():  # what was there stays
                old.rename(target)
            raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)
