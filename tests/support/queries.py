"""Requests that batch and online serving are both asked, as a file of entity rows and as queries."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from driver_ranking.serving.query import RankingQuery

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from numpy.typing import NDArray

    from driver_ranking.serving.contract import RankingContract

_DTYPES: dict[str, Any] = {"INT64": np.int64, "INT32": np.int64, "BOOL": np.bool_, "BYTES": np.object_}


@dataclass(frozen=True)
class Query:
    """What is asked in one request.

    Attributes:
        candidates: What is to be ranked.
        keys: The other keys by name: of each one value, or one for each candidate.
        request: The request features likewise; None where a value is missing.
    """

    candidates: list[Any]
    keys: Mapping[str, list[Any]] = field(default_factory=dict)
    request: Mapping[str, list[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class AskedProject:
    """A project, and what is to be asked of it.

    Attributes:
        folder: The project.
        now: The time that is asked for.
        contract: What requests have to have, and what can be asked for.
        queries: The requests.
        defaults: What stands for missing features.
    """

    folder: Path
    now: datetime
    contract: RankingContract
    queries: Sequence[Query]
    defaults: Mapping[str, Any]


def ranking_query(query: Query, contract: RankingContract) -> RankingQuery:
    """Return a request as the service takes it."""

    def column(name: str, values: list[Any]) -> NDArray[Any]:
        datatype = contract.inputs[name].datatype
        if datatype in {"FP32", "FP64"}:
            return np.array(values, dtype=np.float64)  # NaN of None
        return np.array(values, dtype=object if None in values else _DTYPES[datatype])

    keys, request = (
        {name: column(name, values) for name, values in columns.items()} for columns in (query.keys, query.request)
    )
    return RankingQuery(column(contract.candidate.name, query.candidates), keys, request)


def entity_rows(asked: AskedProject) -> pd.DataFrame:
    """Return a row for each candidate of each request; the column ``asked`` says which request it is of."""
    key = asked.contract.candidate.name
    rows = [row for place, query in enumerate(asked.queries) for row in _rows(query, key, place)]
    frame = pd.DataFrame(rows, dtype=object)
    frame.insert(0, "event_timestamp", asked.now.isoformat())
    return frame


def _rows(query: Query, candidate: str, place: int) -> Iterator[dict[str, Any]]:
    others = {**query.keys, **query.request}
    for row, value in enumerate(query.candidates):
        yield {"asked": place, candidate: value} | {name: one[row % len(one)] for name, one in others.items()}


def write_request(asked: AskedProject) -> Path:
    """Write the rows of a project's requests as a CSV file; what is missing is empty."""
    path = asked.folder / "request.csv"
    entity_rows(asked).to_csv(path, index=False)
    return path
