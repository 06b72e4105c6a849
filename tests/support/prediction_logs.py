"""The prediction log of a project, and answers given again from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from driver_ranking.features import FeatureRows
from driver_ranking.prediction_log.reader import batches
from driver_ranking.prediction_log.schema import described

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray


def read_log(folder: Path, service: str) -> pa.Table:
    """Return all rows of one model's log."""
    return pa.Table.from_batches(list(batches(folder, service)))


def frame_of(table: pa.Table) -> pd.DataFrame:
    """Return rows as a frame in which integers stay integers, None where they are null."""
    frame: pd.DataFrame = table.to_pandas(integer_object_nulls=True)
    return frame


def replayed(table: pa.Table, predict: Callable[[Any], NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the scores of the rows of one batch as a model gives them again, NaN of those that were excluded.

    Args:
        table: The rows; some of the batch may be missing.
        predict: The model.
    """
    description = described(table.schema)
    place = np.array(table["__batch_row"].to_pylist(), dtype=object)
    scored = place != None  # noqa: E711 - of each of them
    found = np.full(table.num_rows, np.nan)
    if not scored.any():
        return found
    size, rows = table["__batch_size"][0].as_py(), place[scored].astype(int)
    texts = {"string", "binary"}
    columns = {one["name"]: _values(table, one, description) for one in description["model"]["columns"]}
    kinds = {one["name"]: one["type"] for one in description["model"]["columns"]}
    numbers = np.empty((size, sum(kind not in texts for kind in kinds.values())))
    filled = {name: np.empty(size, dtype=object) for name, kind in kinds.items() if kind in texts}
    for at, name in enumerate(name for name, kind in kinds.items() if kind not in texts):
        numbers[:, at] = columns[name][scored][0]  # in the places of rows that are not there
        numbers[rows, at] = columns[name][scored]
    for name, column in filled.items():
        column[:] = columns[name][scored][0]
        column[rows] = columns[name][scored]
    scores = predict(FeatureRows(numbers, filled) if filled else numbers)
    found[scored] = scores[rows]
    return found


def _values(table: pa.Table, column: dict[str, Any], description: dict[str, Any]) -> NDArray[Any]:
    """Return a feature as the model was given it; what a default stands for is in the file's metadata."""
    name, values = column["name"], np.array(table[column["column"]].to_pylist(), dtype=object)
    standing = np.array([name in some for some in table["__defaulted"].to_pylist()])
    if standing.any():
        default = description["defaults"][name]
        values[standing] = bytes.fromhex(default) if column["type"] == "binary" else default
    if column["type"] not in {"string", "binary"}:
        return values.astype(np.float64)
    return values
