"""A Kedro dataset of one Parquet file that is read and written as a stream, and replaced as a whole."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from kedro.io import AbstractDataset, DatasetError

from driver_ranking.atomic_file import replacing
from driver_ranking.datasets.preview import TablePreview, table_preview


@runtime_checkable
class WritesParquet(Protocol):
    """What can write itself as a Parquet file, an engine's query for example."""

    def write_parquet(self, path: str) -> int:
        """Write all rows to a file and return their number."""
        ...


class ParquetStreamDataset(AbstractDataset[WritesParquet | pa.RecordBatchReader | pa.Table, ds.Dataset]):
    """One local Parquet file; neither loading nor saving holds it whole.

    Loading gives a ``pyarrow.dataset.Dataset``. Saving takes what writes itself, a reader of record batches, or a
    table; the file is written under a temporary name and renamed into place, so a run that is killed leaves the last
    one as it was.
    """

    def __init__(self, *, filepath: str, metadata: Mapping[str, Any] | None = None) -> None:
        """Name the file."""
        self._path = Path(filepath)
        self.metadata = metadata

    def load(self) -> ds.Dataset:
        """Open the file.

        Raises:
            DatasetError: It is not there.
        """
        if not self._path.is_file():
            message = f"There is no file {self._path}. Run the pipeline that makes it first."
            raise DatasetError(message)
        return ds.dataset(self._path, format="parquet")

    def save(self, data: WritesParquet | pa.RecordBatchReader | pa.Table) -> None:
        """Write the file and put it in the place of the last one."""
        with replacing(self._path) as temporary:
            if isinstance(data, WritesParquet):
                data.write_parquet(str(temporary))
            else:
                _write_batches(temporary, data)

    def preview(self, rows: int = 5) -> TablePreview:
        """Return the first rows, for kedro viz."""
        return table_preview(self.load().head(rows))

    def _exists(self) -> bool:
        return self._path.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._path)}


def _write_batches(path: Path, data: pa.RecordBatchReader | pa.Table) -> None:
    reader = data.to_reader() if isinstance(data, pa.Table) else data
    strings = [field.name for field in reader.schema if pa.types.is_string(field.type)]
    # numbers hardly repeat: a dictionary of them costs time and saves nothing
    with pq.ParquetWriter(path, reader.schema, use_dictionary=strings) as writer:
        for batch in reader:
            writer.write_batch(batch)
