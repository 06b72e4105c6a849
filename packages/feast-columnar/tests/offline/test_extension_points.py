"""Whatever Feast asks of an offline store, a retrieval job or a batch engine is there, or is refused by name."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest
from feast.infra.compute_engines.base import ComputeEngine
from feast.infra.offline_stores.offline_store import OfflineStore, RetrievalJob

from feast_columnar.materialization.engine import StreamingComputeEngine
from feast_columnar.offline.store import AsofError, AsofOfflineStore, AsofRetrievalJob
from feast_columnar.spark.store import SparkAsofOfflineStore, SparkAsofRetrievalJob

if TYPE_CHECKING:
    from columnar_support.asof_repos import AsofRepo

PAIRS: list[tuple[type[Any], type[Any]]] = [
    (AsofOfflineStore, OfflineStore),
    (SparkAsofOfflineStore, OfflineStore),
    (AsofRetrievalJob, RetrievalJob),
    (SparkAsofRetrievalJob, RetrievalJob),
    (StreamingComputeEngine, ComputeEngine),
]


def bare(base: type[Any]) -> list[str]:
    """Return the members of Feast's interface that do nothing but raise NotImplementedError."""

    def source(member: Any) -> str:
        function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        return inspect.getsource(function) if inspect.isfunction(function) else ""

    return [name for name, member in vars(base).items() if "raise NotImplementedError" in source(member)]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_no_member_of_feasts_interface_is_left_without_an_answer(ours: type[Any], theirs: type[Any]) -> None:
    assert bare(theirs), "the interface has changed"
    left = [name for name in bare(theirs) if getattr(ours, name) is getattr(theirs, name)]
    # this one looks at whether the store says that it can, which both do; the others are the ways that Feast takes
    assert left in ([], ["ensure_filter_by_created_timestamp_supported"])
    if left:
        ours().ensure_filter_by_created_timestamp_supported()


def test_the_way_to_a_cloud_is_refused_by_name(asof_repo: AsofRepo) -> None:
    asof_repo.apply(asof_repo.view(rows=[(1, asof_repo.noon(), None, 1)]))
    job = asof_repo.job("SELECT 1 AS driver_id, TIMESTAMPTZ '2026-01-31 12:00:00+00' AS event_timestamp")
    assert not job.supports_remote_storage_export()
    with pytest.raises(AsofError, match=r"to_remote_storage is not supported: .* Use persist"):
        job.to_remote_storage()


def test_a_feast_data_frame_says_what_it_has(asof_repo: AsofRepo) -> None:
    asof_repo.apply(asof_repo.view(rows=[(1, asof_repo.noon(), None, 1)]))
    job = asof_repo.job("SELECT 1 AS driver_id, TIMESTAMPTZ '2026-01-31 12:00:00+00' AS event_timestamp")
    assert job.to_feast_df().data["trips"].to_pylist() == [1]
