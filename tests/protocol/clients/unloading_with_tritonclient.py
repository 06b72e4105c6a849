"""Take the model away with one of tritonclient's clients and look with the other: `... REST-ADDRESS GRPC-ADDRESS`."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from asked import ANSWERED, MODEL, show
from with_tritonclient import Client


async def _while_away(client: Client) -> dict[str, Any]:
    index = await client.description("get_model_repository_index")
    return {
        "live": await client.call("is_server_live"),
        "ready": await client.call("is_server_ready"),
        "index": index,
        "error": await client.error(ANSWERED["the best"]),
    }


async def _unload(by: Client, other: Client) -> dict[str, Any]:
    await by.call("unload_model", MODEL)
    away = await _while_away(other)
    await by.call("load_model", MODEL)
    return {**away, "ready_again": await other.call("is_server_ready"), "best": await _best(other)}


async def _best(client: Client) -> int:
    answer = await client.infer(ANSWERED["the best"])
    best: int = answer["outputs"][0]["data"][0]
    return best


async def _ask(rest: str, grpc: str) -> dict[str, Any]:
    over_rest, over_grpc = Client("http", rest), Client("grpc", grpc)
    said = {"by_rest": await _unload(over_rest, over_grpc), "by_grpc": await _unload(over_grpc, over_rest)}
    await over_rest.close()
    await over_grpc.close()
    return said


if __name__ == "__main__":
    show(asyncio.run(_ask(*sys.argv[1:])))
