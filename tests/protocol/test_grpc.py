"""gRPC as its clients speak it: streams, parameters of any kind, raw and typed contents, health and reflection."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import grpc
import httpx
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub
from mlserver.grpc import dataplane_pb2 as pb
from mlserver.grpc.dataplane_pb2_grpc import GRPCInferenceServiceStub
from support.servers import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.servers import Serving

INVALID = grpc.StatusCode.INVALID_ARGUMENT
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
PROTOCOL = "inference.GRPCInferenceService"


@pytest.fixture
def channel(server: Serving) -> Iterator[grpc.Channel]:
    """A connection to the session's server."""
    with grpc.insecure_channel(server.grpc_address) as opened:
        yield opened


def request(
    *driver_id: int, contents: dict[str, Any] | None = None, raw: tuple[bytes, ...] = ()
) -> pb.ModelInferRequest:
    asked = pb.ModelInferRequest(model_name="driver_ranking", id=str(driver_id[0]), raw_input_contents=raw)
    held = {"int64_contents": driver_id} if contents is None else contents
    tensor = asked.inputs.add(name="driver_id", datatype="INT64", shape=[len(driver_id)])
    tensor.contents.CopyFrom(pb.InferTensorContents(**held))
    return asked


def best(answer: pb.ModelInferResponse) -> list[int]:
    return list(answer.outputs[0].contents.int64_contents)


def test_each_request_of_a_stream_is_answered(channel: grpc.Channel) -> None:
    asked = [request(1001), request(1002, 1003), request(1003)]
    answers = list(GRPCInferenceServiceStub(channel).ModelStreamInfer(iter(asked), timeout=10))
    assert [answer.id for answer in answers] == ["1001", "1002", "1003"]
    assert [len(answer.outputs) for answer in answers] == [3, 3, 3]


def test_a_stream_ends_with_the_status_of_the_request_that_fails(channel: grpc.Channel) -> None:
    asked = [request(1001), request(9001), request(1002)]
    answers = GRPCInferenceServiceStub(channel).ModelStreamInfer(iter(asked), timeout=10)
    assert best(next(answers)) == [1001]
    with pytest.raises(grpc.RpcError, match="No driver") as refusal:
        next(answers)
    assert refusal.value.code() == grpc.StatusCode.FAILED_PRECONDITION


def with_top_k(serialized: bytes) -> pb.ModelInferRequest:
    asked = request(1001, 1002, 1003)
    asked.parameters["top_k"].CopyFrom(pb.InferParameter.FromString(serialized))
    return asked


# as KServe's description has them, field and value: MLServer's knows the first three
TOP_K = {"int64_param": b"\x10\x02", "uint64_param": b"\x28\x02"}
NO_TOP_K = {
    "bool_param": b"\x08\x01",
    "string_param": b"\x1a\x012",
    "double_param": b"\x21\0\0\0\0\0\0\x00\x40",
    "a huge uint64_param": b"\x28\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    "uint64_param 0": b"\x28\x00",
    "none": b"",
}


@pytest.mark.parametrize("kind", TOP_K)
def test_top_k_is_a_whole_number_of_either_kind(channel: grpc.Channel, kind: str) -> None:
    answer = GRPCInferenceServiceStub(channel).ModelInfer(with_top_k(TOP_K[kind]), timeout=10)
    assert len(best(answer)) == 2


@pytest.mark.parametrize("kind", NO_TOP_K)
def test_top_k_of_another_kind_is_refused(channel: grpc.Channel, kind: str) -> None:
    with pytest.raises(grpc.RpcError, match=r"'top_k' must be a whole number from 1") as refusal:
        GRPCInferenceServiceStub(channel).ModelInfer(with_top_k(NO_TOP_K[kind]), timeout=10)
    assert refusal.value.code() == INVALID


EIGHT = (1001).to_bytes(8, "little")
CONTENTS = {
    "typed and raw": (request(1001, raw=(EIGHT,)), "typed and raw contents"),
    "another field of whole numbers": (request(1001, contents={"int_contents": [1001]}), "has its values in 'int_con"),
    "unsigned ones": (request(1001, contents={"uint64_contents": [1001]}), "in 'uint64_contents'"),
    "two fields": (request(1001, contents={"int64_contents": [1], "fp32_contents": [1]}), "is not a whole number"),
    "raw for two inputs": (request(1001, contents={}, raw=(EIGHT, EIGHT)), "contents must fit"),
}


@pytest.mark.parametrize("case", CONTENTS)
def test_contents_that_can_be_read_in_two_ways_are_refused(channel: grpc.Channel, case: str) -> None:
    asked, message = CONTENTS[case]
    with pytest.raises(grpc.RpcError, match=message) as refusal:
        GRPCInferenceServiceStub(channel).ModelInfer(asked, timeout=10)
    assert refusal.value.code() == INVALID


def failed(server: Serving, status: int) -> float:
    counted = re.search(rf'requests_failed_total{{status="{status}"}} (\S+)', server.metrics())
    return float(counted[1]) if counted else 0


def test_a_call_that_fails_is_counted_once(server: Serving, channel: grpc.Channel) -> None:
    before = failed(server, 422), failed(server, 404)
    stub = GRPCInferenceServiceStub(channel)
    for asked in (lambda: stub.ModelInfer(request(9001)), lambda: stub.ModelReady(pb.ModelReadyRequest(name="nobody"))):
        with pytest.raises(grpc.RpcError):
            asked()  # type: ignore[no-untyped-call] # gRPC is not typed
    assert (failed(server, 422), failed(server, 404)) == (before[0] + 1, before[1] + 1)


def test_a_call_that_reaches_no_method_is_counted(server: Serving, channel: grpc.Channel) -> None:
    before = failed(server, 404), failed(server, 400)
    for method, code in (("Nothing", grpc.StatusCode.UNIMPLEMENTED), ("ModelInfer", INVALID)):
        with pytest.raises(grpc.RpcError) as refusal:
            channel.unary_unary(f"/{PROTOCOL}/{method}")(b"\xff\xff not a message", timeout=10)
        assert refusal.value.code() == code
        assert "class" not in refusal.value.details()
    assert (failed(server, 404), failed(server, 400)) == (before[0] + 1, before[1] + 1)


def test_a_name_of_a_megabyte_is_not_sent_back_in_a_header(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError, match="Model aaa") as refusal:
        GRPCInferenceServiceStub(channel).ModelReady(pb.ModelReadyRequest(name="a" * 1_000_000), timeout=10)
    assert refusal.value.code() == grpc.StatusCode.NOT_FOUND
    assert len(refusal.value.details()) <= 1_000


def check(channel: grpc.Channel, service: str) -> int:
    asked = health_pb2.HealthCheckRequest(service=service)
    return int(HealthStub(channel).Check(asked, timeout=10).status)


@pytest.mark.parametrize("service", ["", "readiness", "liveness", PROTOCOL, "grpc.health.v1.Health"])
def test_health_of_each_service(channel: grpc.Channel, service: str) -> None:
    assert check(channel, service) == SERVING


def test_health_of_what_is_not_there(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as refusal:
        check(channel, "nobody")
    assert refusal.value.code() == grpc.StatusCode.NOT_FOUND
    watched = HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service="nobody"), timeout=10)
    assert next(watched).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    watched.cancel()


def test_health_follows_readiness_and_lets_go_when_the_server_stops(served_project: Path) -> None:
    with serving(served_project) as own, grpc.insecure_channel(own.grpc_address) as channel:
        watched = HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=""), timeout=60)
        assert next(watched).status == SERVING
        httpx.post(f"{own.url}/v2/repository/models/driver_ranking/unload").raise_for_status()
        assert next(watched).status == NOT_SERVING
        assert [check(channel, service) for service in ("", PROTOCOL, "liveness")] == [
            NOT_SERVING,
            NOT_SERVING,
            SERVING,
        ]
        httpx.post(f"{own.url}/v2/repository/models/driver_ranking/load").raise_for_status()
        assert next(watched).status == SERVING
        own.process.terminate()
        assert [told.status for told in watched] == [NOT_SERVING]
        assert own.process.wait(timeout=4) == 0  # gRPC waits 5 s for calls that don't end


def test_reflection_describes_the_protocol(channel: grpc.Channel) -> None:
    asked = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=PROTOCOL),
    ]
    listed, described = ServerReflectionStub(channel).ServerReflectionInfo(iter(asked), timeout=10)
    names = [service.name for service in listed.list_services_response.service]
    assert {PROTOCOL, "grpc.health.v1.Health", "inference.model_repository.ModelRepositoryService"} <= set(names)
    (file,) = described.file_descriptor_response.file_descriptor_proto
    [service] = FileDescriptorProto.FromString(file).service
    assert "ModelInfer" in [method.name for method in service.method]
