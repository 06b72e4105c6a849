"""Files and names that would make other rows of what they hold: what the local store refuses or reads right."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from columnar_support.drawn_tables import BIG, NASTY, NOON, DrawnTable, drawn_tables
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from offline import test_asof_files
from offline.test_asof_files import asked, over, register, require_expected, table, write
from spark.taken import taken

from feast_columnar.errors import AsofError

if TYPE_CHECKING:
    from columnar_support.spark_repos import SparkAsofRepo

pytestmark = pytest.mark.slow

REFUSED = re.compile(r".*[.`].*|\*", re.DOTALL)
TAKEN = {
    "test_an_empty_day_written_by_pandas_does_not_make_other_drivers_of_large_ids",
    "test_a_source_without_any_row_has_no_features",
    "test_keys_are_not_compared_in_floating_point",
    "test_decimal_keys_are_not_compared_with_floating_point",
    "test_a_folder_with_rows_that_were_removed_is_refused",
}
tests = {name for name in vars(test_asof_files) if name.startswith("test_")}
globals().update(taken(test_asof_files, tests - TAKEN))


# a job takes a second: few examples, each with one kind of entity rows, and what fails is not made smaller
@settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(drawn=drawn_tables(), kind=st.sampled_from(["file", "table", "frame"]))
def test_one_file_many_files_and_any_names_give_what_a_plain_loop_gives(
    shared_asof_repo: SparkAsofRepo, tmp_path_factory: pytest.TempPathFactory, drawn: DrawnTable, kind: str
) -> None:
    register(shared_asof_repo, drawn, tmp_path_factory.mktemp("files"))
    rows = pa.Table.from_pylist(drawn.requests)
    request = tmp_path_factory.mktemp("request") / "[a]*.parquet"
    pq.write_table(rows, request)
    entities = {"file": request, "table": rows, "frame": pd.DataFrame(drawn.requests)}[kind]
    if not any(map(REFUSED.fullmatch, (drawn.feature, drawn.kept))):
        require_expected(shared_asof_repo, drawn, entities)
        return
    with pytest.raises(AsofError, match="PySpark takes none with a dot or a backtick, nor '\\*': rename it") as error:
        require_expected(shared_asof_repo, drawn, entities)
    assert any(f"'{name}'" in str(error.value) for name in (drawn.feature, drawn.kept))


@pytest.mark.parametrize("name", ["a.b", "a`b", "*"])
def test_a_name_that_pyspark_cannot_hand_over_is_refused(asof_repo: SparkAsofRepo, name: str) -> None:
    over(asof_repo, write(asof_repo.folder / "one", table([1], [1], **{name: [2]})), name)
    with pytest.raises(AsofError, match="PySpark takes none with a dot or a backtick, nor '\\*': rename it"):
        asof_repo.features(asked(1), (f"stats:{name}",))


def test_no_message_quotes_a_record_of_a_file(asof_repo: SparkAsofRepo) -> None:
    over(asof_repo, write(asof_repo.folder / "one", table([1], [1])))
    quiet = "c0ffee canary"
    (asof_repo.folder / "rows.txt").write_text(f"x,{quiet}\n", encoding="utf-8")
    rows = f"FROM text.`{asof_repo.folder}/rows.txt`"
    for driver, message in (
        ("from_csv(value, 'a INT, b STRING', map('mode', 'FAILFAST')).a", "Malformed records are detected"),
        ("CAST(split(value, ',')[0] AS BIGINT)", "The value 'x' of the type"),
    ):
        with pytest.raises(AsofError, match=message) as error:
            asof_repo.trips(f"SELECT {driver} AS driver_id, timestamp '2026-01-31 12:00:00' AS event_timestamp {rows}")
        assert quiet not in str(error.value)


def test_too_many_columns_are_refused_before_they_are_joined(asof_repo: SparkAsofRepo) -> None:
    over(asof_repo, write(asof_repo.folder / "one", table([1], [1])))
    columns = ", ".join(f"1 AS c{number}" for number in range(10**4))
    with pytest.raises(AsofError, match="the entity rows: there are 10002 columns; 10000 are the most"):
        asof_repo.trips(f"SELECT 1 AS driver_id, timestamp '2026-01-31' AS event_timestamp, {columns}")


def test_any_names_give_what_they_give_locally(asof_repo: SparkAsofRepo) -> None:
    plain = [name for name in NASTY if name != "FILENAME" and not REFUSED.fullmatch(name)]
    values = {name: [number, number + 1000] for number, name in enumerate(plain)}
    files = [table([BIG - 1, BIG], [7, 8], **values), table([1], [9])]
    over(asof_repo, write(asof_repo.folder / "days", *files), *plain[:12])
    kept = {f"my {name}": [f"{name}1", f"{name}2", None] for name in plain}
    entities = pd.concat([asked(BIG, BIG - 1, 1), pd.DataFrame(kept)], axis="columns")
    found = asof_repo.features(entities, tuple(f"stats:{name}" for name in plain[:12]))
    for name in plain[:12]:
        assert [row[name] for row in found] == [*reversed(values[name]), None]
    for name, column in kept.items():
        assert [row[name] for row in found] == column
    assert [row["driver_id"] for row in found] == [BIG, BIG - 1, 1]
    given = pa.Table.from_pandas(pd.DataFrame({"driver_id": [1], "event_timestamp": [NOON], "file": [1]}))
    assert asof_repo.features(given, (f"stats:{plain[0]}",))[0]["file"] == 1
