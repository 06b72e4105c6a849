"""Ask with nothing but stubs that protoc has made: `with_compiled_stubs.py ADDRESS`, the stubs on PYTHONPATH."""

from __future__ import annotations

import struct
import sys
from typing import Any

import grpc
import grpc_predict_v2_pb2 as pb
from asked import ANSWERED, MODEL, REFUSED, Request, show, shown_error
from google.protobuf.json_format import MessageToDict
from grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

CONTENTS = {"INT64": "int64_contents", "INT32": "int_contents", "FP64": "fp64_contents"}
RAW = {"INT64": "q", "INT32": "i", "FP64": "d"}


def _asked(request: Request, *, raw: bool) -> pb.ModelInferRequest:
    tensor = {"name": "driver_id", "datatype": request.datatype, "shape": request.shape}
    packed = struct.pack(f"<{len(request.driver_id)}{RAW[request.datatype]}", *request.driver_id)
    typed = {"contents": {CONTENTS[request.datatype]: request.driver_id}}
    return pb.ModelInferRequest(
        model_name=request.model,
        model_version=request.version,
        id=request.id,
        parameters={name: pb.InferParameter(int64_param=value) for name, value in (request.parameters or {}).items()},
        inputs=[tensor if raw else tensor | typed],
        outputs=[{"name": name} for name in request.outputs or ()],
        raw_input_contents=[packed] if raw else [],
    )


def _answer(stub: GRPCInferenceServiceStub, request: Request, *, raw: bool) -> dict[str, Any]:
    response = stub.ModelInfer(_asked(request, raw=raw))
    outputs = [
        {
            "name": one.name,
            "datatype": one.datatype,
            "shape": list(one.shape),
            "data": _unpacked(one.datatype, response.raw_output_contents[place])
            if raw
            else list(getattr(one.contents, CONTENTS[one.datatype])),
        }
        for place, one in enumerate(response.outputs)
    ]
    head = {name: getattr(response, name) for name in ("model_name", "model_version", "id")}
    return {**head, "outputs": outputs}


def _unpacked(datatype: str, content: bytes) -> list[float]:
    return [value for (value,) in struct.iter_unpack(f"<{RAW[datatype]}", content)]


def _error(stub: GRPCInferenceServiceStub, request: Request) -> dict[str, str]:
    try:
        stub.ModelInfer(_asked(request, raw=False))
    except grpc.RpcError as error:
        return shown_error(error, error.code().name, error.details())
    return {}


def _ask(address: str) -> dict[str, Any]:
    with grpc.insecure_channel(address) as channel:
        stub = GRPCInferenceServiceStub(channel)
        return {
            "live": stub.ServerLive(pb.ServerLiveRequest()).live,
            "ready": stub.ServerReady(pb.ServerReadyRequest()).ready,
            "model_ready": stub.ModelReady(pb.ModelReadyRequest(name=MODEL)).ready,
            "server": MessageToDict(stub.ServerMetadata(pb.ServerMetadataRequest())),
            "model": MessageToDict(stub.ModelMetadata(pb.ModelMetadataRequest(name=MODEL))),
            "answers": {case: _answer(stub, request, raw=False) for case, request in ANSWERED.items()},
            "raw_answers": {case: _answer(stub, request, raw=True) for case, request in ANSWERED.items()},
            "errors": {case: _error(stub, request) for case, request in REFUSED.items()},
        }


if __name__ == "__main__":
    show(_ask(sys.argv[1]))
