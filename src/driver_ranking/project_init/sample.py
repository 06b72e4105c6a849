"""What orders and requests lack of what a feature service needs: keys from the sources, request features made up."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driver_ranking.project_init.history import History
from driver_ranking.project_init.selection import Selected
from feast_columnar.offline.rules import quoted

if TYPE_CHECKING:
    from feast_columnar.offline.engine import Engine

SEED: Final = 17
_MOST_KEYS: Final = 100


def completed(
    rows: pa.Table, engine: "Engine", found: Iterable[History], selected: Selected, *, alike: bool
) -> pa.Table:
    """Return rows with all columns that a feature service needs.

    Args:
        rows: Rows with keys of one view.
        engine: Reads the sources.
        found: The rows of all views.
        selected: The feature service.
        alike: Whether all rows get the same values, as the candidates of one request have.
    """
    rng = np.random.default_rng(SEED)
    for one in found:
        lacking = [key for key in one.keys if key not in rows.column_names]
        if lacking:
            known = _keys(one, lacking, engine)
            drawn = known.take(pa.array(_places(rng, len(known), len(rows), alike=alike)))
            for name in lacking:
                rows = rows.append_column(name, drawn.column(name))
    for name, kind in selected.request.items():
        if name not in rows.column_names:
            values = _made_up(rng, str(kind), len(rows))
            rows = rows.append_column(name, pa.array((values[:1] * len(rows)) if alike else values))
    return rows


def made_up(selected: Selected) -> list[str]:
    """Return what no source has."""
    return [name for name in selected.request if name not in selected.keys]


def _keys(one: History, names: list[str], engine: "Engine") -> pa.Table:
    """Return some of the keys of a view, each once; those that were seen last."""
    columns = ", ".join(map(quoted, names))
    sql = f"SELECT {columns} FROM {one.sql} GROUP BY {columns} ORDER BY max(event_timestamp) DESC, {columns}"
    return engine.execute(f"{sql} LIMIT {_MOST_KEYS}").to_arrow_table()


def _places(rng: np.random.Generator, known: int, count: int, *, alike: bool) -> NDArray[np.int64]:
    if not known:  # of a view without rows: nothing is joined in any case
        return np.zeros(0, dtype=np.int64)
    return np.zeros(count, dtype=np.int64) if alike else rng.integers(0, known, count)


def _made_up(rng: np.random.Generator, kind: str, count: int) -> list[Any]:
    """Return small values: a feature that is added to one of the sources does not bury it."""
    if kind.startswith("Int"):
        return list(rng.integers(0, 2, count).tolist())
    if kind.startswith("Float"):
        return list(rng.random(count).round(3).tolist())
    if kind == "Bool":
        return list((rng.random(count) < 0.5).tolist())  # noqa: PLR2004 - half of them
    return list(rng.choice(["a", "b"], count).tolist())
