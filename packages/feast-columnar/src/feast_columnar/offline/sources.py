"""The sources of feature views, as what the store can read; anything else is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from feast.data_format import ParquetFormat
from feast.infra.offline_stores.file_source import FileSource, SavedDatasetFileStorage

from feast_columnar.errors import AsofError
from feast_columnar.offline.engine import URL_CHAIN, URL_SCHEME, Engine, Relation
from feast_columnar.offline.parquet import parquet_relation

if TYPE_CHECKING:
    from feast.data_source import DataSource
    from feast.saved_dataset import SavedDatasetStorage

_STEPS = {
    "feature_transformation": "a transformation",
    "aggregations": "aggregations",
    "filter": "a filter",
}


def checked_source(source: DataSource | None, owner: str) -> FileSource:
    """Return a source that can be read; `owner` names it in errors.

    Raises:
        AsofError: It is none.
    """
    if source is None:
        message = f"{owner} has no batch source; give it a FileSource"
        raise AsofError(message)
    if not isinstance(source, FileSource):
        message = f"{owner} has a {type(source).__name__}; only a FileSource of Parquet files is supported"
        raise AsofError(message)
    if source.file_format is not None and not isinstance(source.file_format, ParquetFormat):
        message = f"{owner}: {type(source.file_format).__name__} is not supported, only Parquet is"
        raise AsofError(message)
    if source.s3_endpoint_override or source.connection_ref:
        message = f"{owner}: s3_endpoint_override and connection_ref are not supported; set them in fsspec's own config"
        raise AsofError(message)
    return source


def located(path: str, repo_path: Path | None) -> str:
    """Return a path or URL; a relative path starts at the feature repo."""
    return path if URL_SCHEME.match(path) or URL_CHAIN.match(path) else str(Path(repo_path or "") / path)


def saved_dataset_path(storage: SavedDatasetStorage, repo_path: Path | None) -> str:
    """Return where a saved dataset is; a relative path starts at the feature repo.

    Raises:
        AsofError: The storage is not one of Parquet files.
    """
    if not isinstance(storage, SavedDatasetFileStorage):
        message = f"cannot persist to a {type(storage).__name__}, only to a SavedDatasetFileStorage"
        raise AsofError(message)
    source = checked_source(storage.to_data_source(), f"the saved dataset at '{storage.file_options.uri}'")
    return located(source.path, repo_path)


def source_relation(engine: Engine, source: FileSource, repo_path: Path | None) -> Relation:
    """Return the rows of a source."""
    return parquet_relation(engine, located(source.path, repo_path), f"source '{source.name}'")


def joined_source(view: Any) -> FileSource:  # noqa: ANN401  # Feast has several kinds of views
    """Return the source of a view whose rows are its features as they are; of a view of other views that is its sink.

    Raises:
        AsofError: The view makes its features of the source's rows, or the source can't be read.
    """
    step = next((what for name, what in _STEPS.items() if getattr(view, name, None)), None)
    if step is not None and not view.source_views:
        message = (
            f"feature view '{view.name}' has {step}: a join over its source would not have the features that it makes "
            "of it. Write the made features to Parquet, and give the model's service a view of those"
        )
        raise AsofError(message)
    return checked_source(view.batch_source, f"feature view '{view.name}'")
