"""A sample request, as rows for batch and as the body of an online request."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from driver_ranking.errors import ProjectInitError
from driver_ranking.project_init.history import TIME, History
from driver_ranking.serving.contract import Input, RankingContract
from feast_columnar.offline.rules import literal, quoted

if TYPE_CHECKING:
    from datetime import datetime

    from feast_columnar.offline.engine import Engine

_CANDIDATES: Final = 10
_TOP_K: Final = 3


def first_request(engine: "Engine", base: History, candidate: str, now: "datetime") -> pa.Table:
    """Return candidates that a view has rows of, those seen last; where it has further keys, of one of them."""
    own, others = quoted(candidate), [quoted(key) for key in base.keys if key != candidate]
    rows = f"SELECT {', '.join([own, *others])}, max({TIME}) AS seen FROM {base.sql} GROUP BY ALL"
    if others:
        listed = ", ".join(others)
        most = f"SELECT {listed} FROM ({rows}) GROUP BY ALL ORDER BY count(*) DESC, {listed} LIMIT 1"
        rows = f"SELECT * FROM ({rows}) WHERE ({listed}) IN ({most})"
    columns = ", ".join([f"TIMESTAMPTZ {literal(now.isoformat())} AS {TIME}", own, *others])
    last = f"SELECT * FROM ({rows}) ORDER BY seen DESC, {own} LIMIT {_CANDIDATES}"
    return engine.execute(f"SELECT {columns} FROM ({last}) ORDER BY {own}").to_arrow_table()


def request_of_orders(engine: "Engine", sql: str, candidate: str, columns: tuple[str, ...]) -> pa.Table:
    """Return the candidates of the last orders, each once, with what else the orders say of them, at the last time.

    Args:
        engine: Runs the query.
        sql: The orders.
        candidate: The column of the candidates.
        columns: What a request has to have, the candidates too.
    """
    own = quoted(candidate)
    last = f"SELECT * FROM {sql} QUALIFY row_number() OVER (PARTITION BY {own} ORDER BY {TIME} DESC) = 1"
    names = ", ".join(map(quoted, columns))
    some = f"SELECT {names} FROM ({last}) ORDER BY {TIME} DESC, {own} LIMIT {_CANDIDATES}"
    return engine.execute(
        f"SELECT (SELECT max({TIME}) FROM {sql}) AS {TIME}, {names} FROM ({some}) ORDER BY {own}"
    ).to_arrow_table()


def online_request(rows: pa.Table, contract: RankingContract) -> dict[str, Any]:
    """Return the body of a V2 request for rows that have been read as the feature repo declares them."""
    values = {name: _in_json(rows.column(name), one) for name, one in contract.inputs.items()}
    shared = {name: [one[0]] if _is_shared(one, name, contract) else one for name, one in values.items()}
    return {
        "parameters": {"top_k": _TOP_K},
        "inputs": [
            {"name": name, "shape": [len(shared[name])], "datatype": one.datatype, "data": shared[name]}
            for name, one in contract.inputs.items()
        ],
    }


def write_rows(rows: pa.Table, path: Path) -> None:
    """Write rows as CSV, times in ISO 8601.

    Raises:
        ProjectInitError: Bytes are no text.
    """
    frame = rows.to_pandas()
    for name in rows.column_names:
        if pa.types.is_binary(rows.schema.field(name).type):
            frame[name] = [_text(name, value) for value in frame[name]]
    frame[TIME] = [time.isoformat() for time in frame[TIME]]
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(path, index=False)


def _text(name: str, value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError as error:
        message = f"The column {name!r} has bytes that are no UTF-8, which a sample request in CSV can't have."
        raise ProjectInitError(message) from error


def _is_shared(values: list[Any], name: str, contract: RankingContract) -> bool:
    return name != contract.candidate.name and all(value == values[0] for value in values)


_FROM_ROWS: Final[Mapping[str, Any]] = {"INT64": int, "INT32": int, "FP64": float, "FP32": float, "BOOL": bool}


def _in_json(column: pa.ChunkedArray, one: Input) -> list[Any]:
    read = _FROM_ROWS.get(one.datatype)
    return [_value(value, read) for value in column.to_pylist()]


def _value(value: Any, read: Any) -> Any:  # noqa: ANN401 - whatever a column holds
    if value is None:
        return None
    if read is not None:
        return read(value)
    return value.decode() if isinstance(value, bytes) else str(value)
