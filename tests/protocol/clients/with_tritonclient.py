"""Ask with tritonclient: `with_tritonclient.py http|http.aio|grpc|grpc.aio ADDRESS`."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import sys
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from asked import ANSWERED, MODEL, REFUSED, Request, show, shown_error
from tritonclient.utils import InferenceServerException


@dataclass(frozen=True)
class Way:
    """A form of requests and answers over REST, by the options of the client."""

    of_inputs: dict[str, bool] = field(default_factory=dict)
    of_outputs: dict[str, bool] = field(default_factory=dict)
    of_calls: dict[str, str] = field(default_factory=dict)


AS_IT_COMES = Way()
WAYS = {
    "as it comes": AS_IT_COMES,
    "compressed": Way(of_calls={"request_compression_algorithm": "gzip", "response_compression_algorithm": "gzip"}),
    "json": Way({"binary_data": False}, {"binary_data": False}),
    "json answers": Way({}, {"binary_data": False}),
}


class Client:
    """One of tritonclient's four clients, asked in the same way."""

    def __init__(self, name: str, address: str) -> None:
        """Connect."""
        self._library: Any = importlib.import_module(f"tritonclient.{name}")
        self._client = self._library.InferenceServerClient(address)
        # over gRPC, on request, as what JSON would be
        self._as_dict = {} if name.startswith("http") else {"as_json": True}

    async def close(self) -> None:
        """Disconnect."""
        await _value(self._client.close())

    async def call(self, method: str, *arguments: object) -> Any:
        """Call a method that returns something simple."""
        return await _value(getattr(self._client, method)(*arguments))

    async def description(self, method: str, *arguments: object) -> Any:
        """Call a method that returns a structure."""
        return await _value(getattr(self._client, method)(*arguments, **self._as_dict))

    async def infer(self, request: Request, way: Way = AS_IT_COMES) -> dict[str, Any]:
        """Return the answer to a request."""
        tensor = self._library.InferInput("driver_id", request.shape, request.datatype)
        dtype = np.dtype(request.datatype.lower())
        tensor.set_data_from_numpy(np.array(request.driver_id, dtype).reshape(request.shape), **way.of_inputs)
        wanted = request.outputs and [
            self._library.InferRequestedOutput(name, **way.of_outputs) for name in request.outputs
        ]
        answering = self._client.infer(
            request.model,
            [tensor],
            model_version=request.version,
            outputs=wanted,
            request_id=request.id,
            parameters=request.parameters,
            **way.of_calls,
        )
        return _shown(await _value(answering))

    async def error(self, request: Request) -> dict[str, str]:
        """Return the exception that a request ends with."""
        try:
            await self.infer(request)
        except InferenceServerException as error:
            return shown_error(error, (error.status() or "").removeprefix("StatusCode."), error.message())
        return {}


async def _value(answer: Any) -> Any:
    return await answer if inspect.isawaitable(answer) else answer


def _shown(result: Any) -> dict[str, Any]:
    head = result.get_response()
    if not isinstance(head, dict):
        head = {name: getattr(head, name) for name in ("model_name", "model_version", "id", "outputs")}
        head["outputs"] = [{"name": one.name, "datatype": one.datatype} for one in head["outputs"]]
    outputs = [
        {
            "name": one["name"],
            "datatype": one["datatype"],
            "shape": list(result.as_numpy(one["name"]).shape),
            "data": result.as_numpy(one["name"]).tolist(),
        }
        for one in head["outputs"]
    ]
    return {**head, "outputs": outputs}


async def _ask(name: str, address: str) -> dict[str, Any]:
    client = Client(name, address)
    said = {
        "live": await client.call("is_server_live"),
        "ready": await client.call("is_server_ready"),
        "model_ready": await client.call("is_model_ready", MODEL),
        "server": await client.description("get_server_metadata"),
        "model": await client.description("get_model_metadata", MODEL),
        "load": await client.call("load_model", MODEL),
        "index": await client.description("get_model_repository_index"),
        "answers": {case: await client.infer(request) for case, request in ANSWERED.items()},
        "errors": {case: await client.error(request) for case, request in REFUSED.items()},
    }
    if name.startswith("http"):
        said["ways"] = {
            name: {case: await client.infer(request, way) for case, request in ANSWERED.items()}
            for name, way in WAYS.items()
        }
    await client.close()
    return said


if __name__ == "__main__":
    show(asyncio.run(_ask(*sys.argv[1:])))
