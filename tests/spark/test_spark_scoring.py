"""Scoring on the workers: one model for each Python worker, however many batches and tasks it has."""

from __future__ import annotations

import os
import sys
import uuid
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from pyspark import cloudpickle

from driver_ranking.datasets.spark_rows import MappedRows, SparkRows
from driver_ranking.errors import ModelError, SparkError
from feast_columnar.spark.folder import ParquetFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow
PROCESS = pa.field("process", pa.int64())


@dataclass(frozen=True)
class Noting:
    """In the place of a model: notes where it is opened, from files that it brings along, and by which process."""

    folder: str
    notes: str
    key: str

    def open(self, folder: str) -> Callable[[pa.RecordBatch], pa.RecordBatch]:
        message = (Path(folder) / "model.txt").read_text(encoding="utf-8")
        (Path(self.notes) / f"{os.getpid()}-{uuid.uuid4().hex}").touch()

        def score(batch: pa.RecordBatch) -> pa.RecordBatch:
            if message == "fails":
                raise ModelError(message)
            if message == "loses rows":
                batch = batch.slice(1)
            return batch.append_column(PROCESS, pa.array([os.getpid()] * batch.num_rows, pa.int64()))

        return score


@pytest.fixture(scope="module", autouse=True)
def _brought_along() -> Iterator[None]:
    """Let workers get what is defined here, which they can't import."""
    here = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(here)  # type: ignore[no-untyped-call]  # PySpark leaves it untyped
    yield
    cloudpickle.unregister_pickle_by_value(here)  # type: ignore[no-untyped-call]  # PySpark leaves it untyped


@pytest.fixture
def mapped(session: SparkSession, tmp_path: Path) -> Callable[[str], MappedRows]:
    """Rows in forty tasks, with what is in the place of a model."""

    def of(message: str) -> MappedRows:
        for name in ("model", "notes"):
            (tmp_path / name).mkdir()
        (tmp_path / "model/model.txt").write_text(message, encoding="utf-8")
        frame = session.range(0, 4000, numPartitions=40)
        rows = SparkRows(frame, pa.schema([("id", pa.int64())]))
        noting = Noting(str(tmp_path / "model"), str(tmp_path / "notes"), uuid.uuid4().hex)
        return MappedRows(rows, noting, (PROCESS,), lambda _: None)  # type: ignore[arg-type]

    return of


def test_a_worker_opens_the_model_once(
    mapped: Callable[[str], MappedRows], tmp_path: Path, session: SparkSession
) -> None:
    folder = ParquetFolder(str(tmp_path / "scored"))
    mapped("fine").write_folder(folder)
    scored = Counter(row["process"] for row in folder.read(session).collect())
    opened = Counter(int(path.name.partition("-")[0]) for path in (tmp_path / "notes").iterdir())
    assert scored.total() == 4000
    assert os.getpid() not in opened
    assert opened == dict.fromkeys(scored, 1)
    assert len(opened) < 10  # forty tasks


@pytest.mark.parametrize(
    ("message", "error", "said"),
    [
        ("fails", ModelError, "fails"),
        ("loses rows", SparkError, "Of 4000 rows, 3960 came back from the workers. The last output stays."),
    ],
)
def test_a_model_that_fails_there_leaves_the_last_output(
    mapped: Callable[[str], MappedRows], tmp_path: Path, message: str, error: type[Exception], said: str
) -> None:
    folder = ParquetFolder(str(tmp_path / "scored"))
    with pytest.raises(error) as raised:
        mapped(message).write_folder(folder)
    assert said in str(raised.value)
    assert not Path(folder.path).exists()
