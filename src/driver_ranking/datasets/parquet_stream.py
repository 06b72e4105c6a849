"""A Kedro dataset of one Parquet file that is read and written as a stream, and replaced as a whole."""

import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, runtime_checkable

import fsspec
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from kedro.io import AbstractVersionedDataset, DatasetError, Version
from kedro.io.core import get_filepath_str, get_protocol_and_path

from driver_ranking.atomic_file import replacing
from driver_ranking.datasets.preview import TablePreview, table_preview
from driver_ranking.errors import SettingError


@runtime_checkable
class WritesParquet(Protocol):
    """What can write itself as a Parquet file, an engine's query for example."""

    def write_parquet(self, path: str) -> int:
        """Write all rows to a file and return their number."""
        ...


class ParquetStreamDataset(AbstractVersionedDataset[WritesParquet | pa.RecordBatchReader | pa.Table, ds.Dataset]):
    """One Parquet file, at a path or any URL that fsspec opens; neither loading nor saving holds it whole.

    Loading gives a ``pyarrow.dataset.Dataset``. Saving takes what writes itself, a reader of record batches, or a
    table. The file is written under a temporary name and renamed into place, or, for a URL, uploaded when it is
    complete; so a run that is killed leaves the last one as it was.
    """

    made_by_runs = True  # and read from beginning to end by others: see `driver_ranking.output_locks`

    def __init__(
        self,
        *,
        filepath: str,
        version: Version | None = None,
        credentials: Mapping[str, Any] | None = None,
        fs_args: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Name the file.

        Args:
            filepath: Path or URL.
            version: Which version to load and save, if the catalog has ``versioned: true``.
            credentials: What the file system needs to let one in; with ``fs_args``, what fsspec is given.
            fs_args: More options of the file system.
            metadata: What Kedro's plugins are told of this dataset.

        Raises:
            SettingError: fsspec does not know the scheme, or lacks the package for it, which the message names.
        """
        if "::" in filepath:
            message = f"{filepath} can't be opened: chains of file systems are only for what is read, such as requests."
            raise SettingError(message)
        self._protocol, path = get_protocol_and_path(filepath, version)
        try:
            self._file_system = fsspec.filesystem(self._protocol, **(credentials or {}), **(fs_args or {}))
        except (ImportError, ValueError) as error:
            message = f"{filepath} can't be opened: {error}"
            raise SettingError(message) from error
        if self._protocol not in {
            "http",
            "https",
        }:  # of some other schemes, Kedro leaves out the first part of the path
            path = self._file_system._strip_protocol(filepath)  # noqa: SLF001 - fsspec has no other name for it
        self.metadata = metadata
        super().__init__(
            filepath=PurePosixPath(path),
            version=version,
            exists_function=self._file_system.exists,
            glob_function=self._file_system.glob,
        )

    def load(self) -> ds.Dataset:
        """Open the file.

        Raises:
            DatasetError: It is not there.
        """
        path = get_filepath_str(self._get_load_path(), self._protocol)
        if not self._file_system.isfile(path):
            message = f"There is no file {path}. Run the pipeline that makes it first."
            raise DatasetError(message)
        return ds.dataset(path, format="parquet", filesystem=None if self._is_local else self._file_system)

    def save(self, data: WritesParquet | pa.RecordBatchReader | pa.Table) -> None:
        """Write the file and put it in the place of the last one."""
        path = get_filepath_str(self._get_save_path(), self._protocol)
        if self._is_local:
            with replacing(Path(path)) as temporary:
                _write(temporary, data)
        else:
            self._upload(path, data)
        self._invalidate_cache()

    def preview(self, rows: int = 5) -> TablePreview:
        """Return the first rows, for kedro viz."""
        return table_preview(self.load().head(rows))

    @property
    def _is_local(self) -> bool:
        return bool(self._protocol == "file")

    def _upload(self, path: str, data: WritesParquet | pa.RecordBatchReader | pa.Table) -> None:
        """Write a local file first: object stores show a file once all of it is there."""
        with tempfile.TemporaryDirectory() as folder:
            temporary = Path(folder) / "rows.parquet"
            _write(temporary, data)
            self._file_system.put_file(str(temporary), path)

    def _exists(self) -> bool:
        try:
            path = get_filepath_str(self._get_load_path(), self._protocol)
        except DatasetError:  # no version yet
            return False
        return bool(self._file_system.isfile(path))

    def _release(self) -> None:
        super()._release()
        self._invalidate_cache()

    def _invalidate_cache(self) -> None:
        """Forget listings of the folder: fsspec keeps them."""
        self._file_system.invalidate_cache(get_filepath_str(self._filepath.parent, self._protocol))

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "protocol": self._protocol, "version": self._version}


def _write(path: Path, data: WritesParquet | pa.RecordBatchReader | pa.Table) -> None:
    if isinstance(data, WritesParquet):
        data.write_parquet(str(path))
    else:
        _write_batches(path, data)


def _write_batches(path: Path, data: pa.RecordBatchReader | pa.Table) -> None:
    reader = data.to_reader() if isinstance(data, pa.Table) else data
    strings = [field.name for field in reader.schema if pa.types.is_string(field.type)]
    # numbers hardly repeat: a dictionary of them costs time and saves nothing
    with pq.ParquetWriter(path, reader.schema, use_dictionary=strings) as writer:
        for batch in reader:
            writer.write_batch(batch)
