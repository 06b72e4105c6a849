"""The dashboard and the alerts ask for what the service really exports."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import grpc
import httpx
import pytest
from mlserver.grpc.dataplane_pb2 import ModelInferRequest
from mlserver.grpc.dataplane_pb2_grpc import GRPCInferenceServiceStub
from support.promql import alert_queries, dashboard_queries, label_names, metric_names

if TYPE_CHECKING:
    from support.servers import Serving

OF_PROMETHEUS = {"up"}  # what Prometheus says itself of what it reads
LABELS_OF_PROMETHEUS = {"job", "instance"}
REQUEST = {"inputs": [{"name": "driver_id", "shape": [1], "datatype": "INT64", "data": [1001]}]}


@pytest.fixture(scope="module")
def exported(server: Serving) -> str:
    """What the service exports once it has answered, and refused, a request over REST and one over gRPC."""
    httpx.post(server.infer_url, json=REQUEST)
    httpx.post(server.infer_url, json={"inputs": []})
    request = ModelInferRequest(model_name="driver_ranking")
    request.inputs.add(name="driver_id", datatype="INT64", shape=[1]).contents.int64_contents.append(1001)
    with grpc.insecure_channel(server.grpc_address) as channel:
        assert GRPCInferenceServiceStub(channel).ModelInfer(request).model_version == "1"
    return server.metrics()


def test_a_query_s_metrics_are_told_from_everything_else_in_it() -> None:
    query = 'histogram_quantile(0.9, sum by (le) (rate(a_bucket{job="b"}[5m]))) / on (c) d:e > 0 or vector(1e3)'
    assert metric_names(query) == {"a_bucket", "d:e"}
    assert label_names(query) == {"le", "job", "c"}


@pytest.mark.parametrize("query", [*dashboard_queries(), *alert_queries()])
def test_every_metric_and_label_in_a_query_is_exported(exported: str, query: str) -> None:
    names = metric_names(query)
    assert names, "a query without a metric"
    labels: set[str] = set()
    for name in names - OF_PROMETHEUS:
        series = re.findall(rf"^{name}(?:\{{(.*)\}})? ", exported, flags=re.MULTILINE)
        assert series, f"{name} is not exported"
        labels |= {label for one in series for label in re.findall(r"(\w+)=", one)}
    assert label_names(query) <= labels | LABELS_OF_PROMETHEUS


def test_all_metrics_of_ours_are_shown(exported: str) -> None:
    ours = set(re.findall(r"^# TYPE (driver_ranking_\w+) ", exported, flags=re.MULTILINE))
    shown = {re.sub("_(bucket|count|sum)$", "", name) for query in dashboard_queries() for name in metric_names(query)}
    assert {name for name in ours if not name.endswith("_created")} <= shown
