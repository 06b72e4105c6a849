"""The nodes of pipeline ``reporting``. DuckDB or Spark aggregates the output where it is; no node holds its rows."""

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from driver_ranking.errors import RequestError
from feast_columnar.offline.rules import quoted

if TYPE_CHECKING:
    import plotly.graph_objects as go

_BINS = 40


@runtime_checkable
class AnswersSql(Protocol):
    """Rows that are elsewhere, and answer queries there."""

    @property
    def schema(self) -> pa.Schema:
        """Return the columns."""
        ...

    def query(self, name: str, sql: str) -> list[tuple[Any, ...]]:
        """Return what a query gives, in which the rows have a name; it is SQL that DuckDB and Spark share."""
        ...


def plot_score_distribution(batch_output: ds.Dataset | AnswersSql) -> "go.Figure":
    """Plot how many rows have which score, and say how many have none."""
    import plotly.graph_objects as go

    counts, edges = _histogram(batch_output)
    excluded = _query(batch_output, "SELECT count(*) FILTER (WHERE score IS NULL) FROM batch_output")[0][0]
    centers = [(low + high) / 2 for low, high in pairwise(edges)]
    figure = go.Figure([go.Bar(x=centers, y=counts)])
    title = f"Scores of {sum(counts)} rows ({excluded} more have none)"
    return figure.update_layout(title=title, xaxis_title="score", yaxis_title="rows", bargap=0)


def plot_top_drivers(batch_output: ds.Dataset | AnswersSql, top_drivers: int, top_drivers_key: str) -> "go.Figure":
    """Plot the drivers with the highest scores; of a driver with several rows the best one counts.

    Args:
        batch_output: The scored rows.
        top_drivers: How many drivers at most.
        top_drivers_key: The column that names them.

    Raises:
        RequestError: The rows have no such column.
    """
    import plotly.graph_objects as go

    if top_drivers_key not in batch_output.schema.names:
        message = f"The scored rows have no column {top_drivers_key!r}. Name one that they have: `top_drivers_key`."
        raise RequestError(message)
    key = _quoted(batch_output, top_drivers_key)
    best = f"SELECT {key}, max(score) AS best FROM batch_output WHERE score IS NOT NULL GROUP BY {key}"
    rows = _query(batch_output, f"{best} ORDER BY best DESC, {key} LIMIT {int(top_drivers)}")
    figure = go.Figure([go.Bar(x=[str(driver) for driver, _ in rows], y=[score for _, score in rows])])
    figure.update_xaxes(type="category")
    what = top_drivers_key.removesuffix("_id")
    return figure.update_layout(title=f"Top {len(rows)} {what}s", xaxis_title=what, yaxis_title="score")


def _histogram(batch_output: ds.Dataset | AnswersSql) -> tuple[list[int], list[float]]:
    """Return counts of equal bins between the lowest and the highest score, and the bins' edges."""
    ((low, high),) = _query(batch_output, "SELECT min(score), max(score) FROM batch_output")
    if low is None:
        return [], []
    width = (high - low) / _BINS or 1.0
    bins = f"CAST(least(floor((score - {low!r}) / {width!r}), {_BINS - 1}) AS INTEGER)"
    sql = f"SELECT {bins} AS bin, count(*) FROM batch_output WHERE score IS NOT NULL GROUP BY bin"
    found: dict[int, int] = dict(_query(batch_output, sql))
    return [found.get(index, 0) for index in range(_BINS)], [low + index * width for index in range(_BINS + 1)]


def _quoted(batch_output: ds.Dataset | AnswersSql, name: str) -> str:
    """Return a name in the SQL of where the rows are."""
    return f"`{name.replace('`', '``')}`" if isinstance(batch_output, AnswersSql) else quoted(name)


def _query(batch_output: ds.Dataset | AnswersSql, sql: str) -> list[tuple[Any, ...]]:
    if isinstance(batch_output, AnswersSql):
        return batch_output.query("batch_output", sql)
    with duckdb.connect() as connection:
        connection.register("batch_output", batch_output)
        return connection.execute(sql).fetchall()
