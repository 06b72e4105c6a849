"""On-demand feature views over the ASOF store: their types, the rows that they see, their faults, their names."""

from __future__ import annotations

import inspect
import textwrap
from itertools import permutations
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import FeatureService, Field, RequestSource
from feast.aggregation import Aggregation
from feast.on_demand_feature_view import OnDemandFeatureView, on_demand_feature_view
from feast.transformation.pandas_transformation import PandasTransformation
from feast.transformation.python_transformation import PythonTransformation
from feast.types import Float32, Float64, Int64

from feast_columnar.offline.on_demand import settled_refs
from feast_columnar.offline.store import AsofError

if TYPE_CHECKING:
    from pathlib import Path

    from columnar_support.asof_repos import AsofRepo

pytestmark = pytest.mark.filterwarnings("ignore:On demand feature view is an experimental feature")


def on_demand(function: Any, source: Any, **fields: Any) -> OnDemandFeatureView:
    mode = fields.pop("mode", "pandas")
    singleton = fields.pop("singleton", False)
    schema = [Field(name=name, dtype=kind) for name, kind in fields.items()]
    kind: Any = PandasTransformation if mode == "pandas" else PythonTransformation
    text = textwrap.dedent(inspect.getsource(function))
    return OnDemandFeatureView(
        name=function.__name__,
        sources=[source],
        schema=schema,
        feature_transformation=kind(udf=function, udf_string=text),
        mode=mode,
        singleton=singleton,
    )


def ratio(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"ratio": (inputs["trips"] / 3).astype("float32")})


def twice(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"twice": [trips * 2 for trips in inputs["trips"]]}


def one(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"one": inputs["trips"] + 1}


@pytest.fixture
def repo(asof_repo: AsofRepo) -> AsofRepo:
    noon = asof_repo.noon
    stats = asof_repo.view(rows=[(1, noon(0), noon(0), 10), (2, noon(0), noon(0), 20)])
    views = [
        on_demand(ratio, stats, ratio=Float32),
        on_demand(twice, stats, twice=Int64, mode="python"),
        on_demand(one, stats, one=Int64, mode="python", singleton=True),
    ]
    service = FeatureService(name="named", features=[views[0].with_name("share"), stats])
    asof_repo.apply(stats, *views, service)
    return asof_repo


def asked(repo: AsofRepo, *drivers: int) -> pd.DataFrame:
    return pd.DataFrame({"driver_id": drivers, "event_timestamp": [repo.noon(1)] * len(drivers)})


def test_what_is_recorded_of_a_file_is_found_by_its_readers(repo: AsofRepo, tmp_path: Path) -> None:
    job = repo.job(asked(repo, 1), ("ratio:ratio",))
    job.write_parquet(tmp_path / "a.parquet", metadata={"key": "value"})
    plain = repo.job(asked(repo, 1))
    plain.write_parquet(tmp_path / "b.parquet", metadata={"key": "value"})
    for name in ("a", "b"):
        file = pq.ParquetFile(tmp_path / f"{name}.parquet")
        assert file.schema_arrow.metadata == {b"key": b"value"}
        assert file.metadata.metadata[b"key"] == b"value"
        assert str(file.schema_arrow.field("event_timestamp").type) == "timestamp[us, tz=UTC]"


def test_rows_without_a_source_row_do_not_reach_a_transformation_if_so_asked(repo: AsofRepo, tmp_path: Path) -> None:
    job = repo.job(asked(repo, 2, 9, 1, 9), ("twice:twice", "ratio:ratio", "one:one"))
    with pytest.raises(AsofError, match="'twice' fails on the joined rows, in which values may be null: TypeError"):
        job.to_arrow()
    table = job.transforming_complete_rows().to_arrow()
    assert table.column_names == ["driver_id", "event_timestamp", "trips", "twice", "ratio", "one"]
    assert table["twice"].to_pylist() == [40, None, 20, None]
    assert table["one"].to_pylist() == [21, None, 11, None]
    assert table.schema.field("ratio").type == pa.float32()
    assert job.transforming_complete_rows().write_parquet(tmp_path / "a.parquet") == 4
    assert pq.read_table(tmp_path / "a.parquet").equals(table)
    nobody = repo.job(asked(repo, 9), ("twice:twice",)).transforming_complete_rows().to_arrow()
    assert nobody.schema.field("twice").type == pa.int64()
    everyone = repo.job(asked(repo, 1), ("twice:twice",)).transforming_complete_rows().to_arrow()
    assert everyone["twice"].to_pylist() == [20]
    plain = repo.job(asked(repo, 1))
    assert plain.transforming_complete_rows() is plain


def test_a_singleton_gets_one_row_at_a_time(repo: AsofRepo) -> None:
    assert repo.job(asked(repo, 1, 2), ("one:one",)).to_df()["one"].tolist() == [11, 21]


def test_computed_rows_know_what_the_job_knows(repo: AsofRepo) -> None:
    from feast_columnar.offline.on_demand import ComputedJob, OnDemand

    job = repo.job(asked(repo, 1), ("one:one",))
    computed = ComputedJob(job, OnDemand(full_feature_names=True))
    assert computed.full_feature_names
    assert computed.metadata is job.metadata


def test_a_view_goes_by_the_alias_of_a_feature_service(repo: AsofRepo) -> None:
    store = repo.open()
    frame = store.get_historical_features(asked(repo, 1), store.get_feature_service("named")).to_df()
    assert frame["ratio"].tolist() == pytest.approx([10 / 3])
    full = store.get_historical_features(asked(repo, 1), store.get_feature_service("named"), full_feature_names=True)
    assert full.to_df()["share__ratio"].tolist() == pytest.approx([10 / 3])


def test_one_alias_of_two_views_is_refused(repo: AsofRepo) -> None:
    store = repo.open()
    views = {view.name: view for view in store.list_on_demand_feature_views()}
    store.apply(FeatureService(name="other", features=[views["twice"].with_name("share")]))
    with pytest.raises(AsofError, match="'share' is an alias of the on-demand feature views 'ratio', 'twice'; rename"):
        store.get_historical_features(asked(repo, 1), store.get_feature_service("named"))


def test_a_view_of_aggregations_is_refused_by_name(repo: AsofRepo) -> None:
    store = repo.open()
    made = OnDemandFeatureView(
        name="sums",
        sources=[store.get_feature_view("stats")],
        schema=[Field(name="sum_trips", dtype=Float64)],
        aggregations=[Aggregation(column="trips", function="sum")],
        mode="python",
    )
    store.apply(made)
    with pytest.raises(AsofError, match="'sums' has aggregations, which Feast computes online alone"):
        store.get_historical_features(asked(repo, 1), ["sums:sum_trips"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda _: pd.DataFrame({"odd": [1.5]}), "declares 'odd' as int64, but gives double"),
        (lambda _: pd.DataFrame({"odd": [1, 2]}), "gives 2 rows for 1"),
        (lambda _: pd.DataFrame({"even": [1]}), "gives 'even', but no 'odd'"),
    ],
)
def test_what_a_view_does_not_declare_is_refused(asof_repo: AsofRepo, given: Any, message: str) -> None:
    def odd(inputs: pd.DataFrame) -> pd.DataFrame:
        if len(inputs) and inputs["amount"].iloc[0] == 7:
            made: pd.DataFrame = given(inputs)
            return made
        return pd.DataFrame({"odd": inputs["amount"]})

    view = on_demand(odd, RequestSource(name="r", schema=[Field(name="amount", dtype=Int64)]), odd=Int64)
    asof_repo.apply(view)
    store = asof_repo.open()
    applied = store.get_on_demand_feature_view("odd")
    applied.feature_transformation.udf = odd
    from feast_columnar.offline.on_demand import OnDemand

    rows = pa.table({"amount": [7]})
    with pytest.raises(AsofError, match=message):
        OnDemand((applied,), ("odd:odd",)).add(rows)


def test_no_rows_have_no_features_but_columns_of_them(repo: AsofRepo) -> None:
    from feast_columnar.offline.on_demand import OnDemand

    view = repo.open().get_on_demand_feature_view("twice")
    nobody = pa.table({"trips": pa.array([], pa.int32())})
    for present in ({}, {"twice": ()}):
        made = OnDemand((view,), ("twice:twice",), present=present).add(nobody)
        assert made.schema == pa.schema({"trips": pa.int32(), "twice": pa.int64()})


def test_a_type_without_columns_is_refused_by_name() -> None:
    from feast_columnar.offline.on_demand import _declared

    with pytest.raises(AsofError, match="'stats' declares nothing known, which has no column type"):
        _declared("nothing known", "stats")


def test_precomputed_features_are_materialized_and_read_online(asof_repo: AsofRepo) -> None:
    noon = asof_repo.noon
    stats = asof_repo.view(rows=[(1, noon(0), noon(0), 10), (2, noon(0), noon(0), 20)])

    def plus(inputs: pd.DataFrame) -> pd.DataFrame:
        inputs["plus"] = inputs["trips"] + 0.5
        return inputs

    made = on_demand_feature_view(
        sources=[stats],
        entities=[asof_repo.entity()],
        schema=[Field(name="plus", dtype=Float64)],
        write_to_online_store=True,
    )(plus)
    asof_repo.apply(stats, made)
    store = asof_repo.open()
    assert store.get_historical_features(asked(asof_repo, 1), ["plus:plus"]).to_df()["plus"].tolist() == [10.5]
    store.materialize(noon(-60), noon(60))
    answer = store.get_online_features(["plus:plus"], [{"driver_id": 2}]).to_dict()
    assert answer["plus"] == [20.5]


def test_needed_features_have_one_order_however_feast_lists_them(asof_repo: AsofRepo) -> None:
    stats = asof_repo.view(rows=[(1, asof_repo.noon(0), asof_repo.noon(0), 10)])
    stats.projection.features = [Field(name=name, dtype=Int64) for name in ("trips", "calls", "stars")]
    views = [on_demand(ratio, stats, ratio=Float32)]
    asked = [f"{stats.name}:other", "ratio:ratio"]
    needed = [f"{stats.name}:{name}" for name in ("trips", "calls", "stars")]
    for listed in permutations(needed):
        assert settled_refs([*asked, *listed], views) == [*asked, *needed]
    assert settled_refs([needed[2], *asked, *needed[:2]], views) == [needed[2], *asked, *needed[:2]]
