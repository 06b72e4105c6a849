"""Ask with the clients of kserve: `with_kserve.py rest|grpc ADDRESS`."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import httpx
import numpy as np
from asked import ANSWERED, MODEL, REFUSED, Request, show, shown_error
from kserve import (
    InferenceGRPCClient,
    InferenceRESTClient,
    InferInput,
    InferRequest,
    InferResponse,
    RESTConfig,
)
from kserve.protocol.infer_type import RequestedOutput

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Infer = Callable[[InferRequest], Awaitable[InferResponse]]


async def _over_rest(address: str) -> dict[str, Any]:
    # its own default is the protocol's version 1
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        url = f"http://{address}"

        async def infer(request: InferRequest) -> InferResponse:
            return await client.infer(url, request, model_name=request.model_name)

        errors = {case: await _error(infer, one) for case, one in REFUSED.items() if not one.version}
        return {
            "live": await client.is_server_live(url),
            "ready": await client.is_server_ready(url),
            "model_ready": await client.is_model_ready(url, MODEL),
            # its REST requests name no version
            "answers": {case: await _answer(infer, one) for case, one in ANSWERED.items() if not one.version},
            "binary_answer": await _answer(infer, ANSWERED["the best"], binary_data=True),
            "errors": errors,
        }


async def _over_grpc(address: str) -> dict[str, Any]:
    async with InferenceGRPCClient(address) as client:
        typed, raw = partial(_answer, client.infer), partial(_answer, client.infer, binary_data=True)
        return {
            "live": await client.is_server_live(),
            "ready": await client.is_server_ready(),
            "model_ready": await client.is_model_ready(MODEL),
            "answers": {case: await typed(request) for case, request in ANSWERED.items()},
            "raw_answers": {case: await raw(request) for case, request in ANSWERED.items()},
            "errors": {case: await _error(client.infer, request) for case, request in REFUSED.items()},
        }


def _asked(request: Request, *, binary_data: bool = False) -> InferRequest:
    tensor = InferInput("driver_id", request.shape, request.datatype)
    ids = np.array(request.driver_id, request.datatype.lower())
    tensor.set_data_from_numpy(ids.reshape(request.shape), binary_data=binary_data)
    return InferRequest(
        request.model,
        [tensor],
        request_id=request.id or None,
        parameters=request.parameters,
        request_outputs=[RequestedOutput(name) for name in request.outputs or ()],
        model_version=request.version or None,
    )


async def _answer(infer: Infer, request: Request, *, binary_data: bool = False) -> dict[str, Any]:
    response = await infer(_asked(request, binary_data=binary_data))
    outputs = [
        {"name": one.name, "datatype": one.datatype, "shape": one.shape, "data": one.as_numpy().tolist()}
        for one in response.outputs
    ]
    head = {"model_name": response.model_name, "model_version": response.model_version, "id": response.id}
    return {**head, "outputs": outputs}


async def _error(infer: Infer, request: Request, *, binary_data: bool = False) -> dict[str, str]:
    try:
        await infer(_asked(request, binary_data=binary_data))
    except httpx.HTTPStatusError as error:
        return shown_error(error, error.response.status_code, error)
    except grpc.aio.AioRpcError as error:
        return shown_error(error, error.code().name, error.details())
    return {}


if __name__ == "__main__":
    over, address = sys.argv[1:]
    show(asyncio.run({"rest": _over_rest, "grpc": _over_grpc}[over](address)))
