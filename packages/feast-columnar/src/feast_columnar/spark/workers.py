"""The join as Spark's Python workers run it. It imports little, and not Feast: every worker pays for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from feast_columnar.offline.engine import open_engine

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa


def joining(
    sql: str, names: tuple[str, str], schema: pa.Schema, memory_limit: str | None
) -> Callable[[pa.Table, pa.Table], pa.Table]:
    """Return what joins the entity rows and the feature rows of a group.

    Args:
        sql: The statement.
        names: What it calls the entity rows and the feature rows.
        schema: What it gives.
        memory_limit: How much memory DuckDB may take beside the rows; what is over goes to disk.
    """

    def joined(entity_rows: pa.Table, feature_rows: pa.Table) -> pa.Table:  # pragma: no cover - on workers
        with open_engine({"memory_limit": memory_limit, "threads": 1}) as engine:
            engine.register(entity_rows, names[0])
            engine.register(feature_rows, names[1])
            return engine.execute(sql).to_arrow_table().cast(schema)

    return joined
