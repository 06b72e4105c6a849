"""The statement alone: it knows no files and no Feast, so any engine can run it, whole or per partition."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from feast_columnar.offline.engine import open_engine
from feast_columnar.offline.store import EntityRows, Feature, JoinKey, ViewJoin, point_in_time_sql
from feast_columnar.spark.workers import joining

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
ENTITIES = EntityRows("entities", ("driver_id", "event_timestamp", "request"), "event_timestamp", ("request",))
VIEW = ViewJoin(
    relation='"the features"',
    keys=(JoinKey("driver", "driver_id"),),
    event_time="at",
    features=(Feature("trips", "trips"),),
    source_order=("number",),
    created="made",
    ttl=timedelta(minutes=30),
)


def run(sql: str, entities: pa.Table, features: pa.Table) -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("entities", entities)
        connection.register("the features", features)
        rows: list[tuple[Any, ...]] = connection.execute(sql).fetchall()
        return rows


def some_rows(seed: int) -> tuple[pa.Table, pa.Table]:
    draw = random.Random(seed)  # noqa: S311  # test data

    def moments(count: int) -> list[datetime]:
        return [NOON + timedelta(minutes=draw.randrange(60)) for _ in range(count)]

    entities = pa.table(
        {
            "driver_id": [draw.randrange(8) for _ in range(300)],
            "event_timestamp": moments(300),
            "request": range(300),
        },
    )
    features = pa.table(
        {
            "driver": [draw.randrange(8) for _ in range(200)],
            "at": moments(200),
            "made": moments(200),
            "number": range(200),
            "trips": range(200),
        },
    )
    return entities, features


@pytest.mark.parametrize("filter_by_created", [False, True])
def test_partitions_by_key_give_what_the_whole_gives(*, filter_by_created: bool) -> None:
    entities, features = some_rows(1)
    sql = point_in_time_sql(ENTITIES, [VIEW], filter_by_created=filter_by_created)
    parts: list[tuple[Any, ...]] = []
    for part in range(3):
        mine = [
            [driver.as_py() % 3 == part for driver in column] for column in (entities["driver_id"], features["driver"])
        ]
        parts += run(sql, entities.filter(mine[0]), features.filter(mine[1]))
    assert sorted(parts, key=lambda row: int(row[2])) == run(sql, entities, features)


def test_a_worker_of_spark_gives_what_the_statement_gives() -> None:
    entities, features = some_rows(3)
    sql = point_in_time_sql(ENTITIES, [VIEW])
    schema = entities.cast(entities.schema.set(1, pa.field("event_timestamp", pa.timestamp("us", "UTC")))).schema
    join = joining(sql, ("entities", "the features"), schema.append(pa.field("trips", pa.int64())), "64MB")
    rows = [tuple(row.values()) for row in join(entities, features).to_pylist()]
    assert rows == run(sql, entities, features)


def test_without_an_order_every_row_still_comes_once() -> None:
    entities, features = some_rows(2)
    unordered = EntityRows("entities", ENTITIES.columns, "event_timestamp")
    rows = run(point_in_time_sql(unordered, [VIEW]), entities, features)
    assert sorted(rows, key=lambda row: int(row[2])) == run(point_in_time_sql(ENTITIES, [VIEW]), entities, features)


def test_the_order_of_features_is_that_of_their_positions() -> None:
    first = ViewJoin("f", (), "t", (Feature("a", "a", 2), Feature("b", "b", 0)), ("n",))
    second = ViewJoin("g", (), "t", (Feature("c", "c", 1),), ("n",))
    sql = point_in_time_sql(EntityRows("e", ("t",), "t"), [first, second])
    relation = "SELECT TIMESTAMP '2026-01-31' AS t, 1 AS n, 'a' AS a, 'b' AS b, 'c' AS c"
    with duckdb.connect() as connection:
        for name in "efg":
            connection.execute(f"CREATE VIEW {name} AS {relation}")
        result = connection.execute(sql).to_arrow_table()
    assert result.column_names == ["t", "b", "c", "a"]
    assert [result[name].to_pylist() for name in "abc"] == [["a"], ["b"], ["c"]]


def test_a_ttl_beyond_all_times_is_none() -> None:
    endless = ViewJoin("f", (), "t", (Feature("a", "a"),), ("n",), ttl=timedelta.max)
    assert "e.t - v0.t" not in point_in_time_sql(EntityRows("e", ("t",), "t"), [endless])


def test_a_view_whose_rows_have_no_numbers_is_refused() -> None:
    with pytest.raises(ValueError, match="source_order is empty: name the columns that number the rows"):
        ViewJoin("f", (), "t", (), ())


def test_entity_rows_in_memory_are_not_joined_one_by_one() -> None:
    times = pa.array([0], pa.timestamp("us", "UTC"))
    rows = pa.table({"k": [1], "t": times})
    features = rows.append_column("f", pa.array([1.0])).append_column("n", pa.array([0]))
    with open_engine({}) as engine:
        entities = EntityRows(engine.register(rows), ("k", "t"), "t")
        view = ViewJoin(engine.register(features), (JoinKey("k", "k"),), "t", (Feature("f", "f"),), ("n",))
        plan = engine.execute(f"EXPLAIN {point_in_time_sql(entities, [view])}").fetchall()
    assert "ASOF_JOIN" in plan[0][1]
    assert "NESTED_LOOP_JOIN" not in plan[0][1]
