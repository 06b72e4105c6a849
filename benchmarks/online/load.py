"""A load: clients that each send a request as soon as they have the last one's answer. A process of its own.

    python load.py rest http://127.0.0.1:8172/v2/models/driver_ranking/infer bodies.txt --clients 16 --seconds 8

Bodies are ready to send, one a line: JSON for REST, base64 of the message for gRPC. Nothing is parsed but the status,
so that what is measured is the server. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import itertools
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import grpc

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    Call = Callable[[bytes], Awaitable[bool]]  # whether it was answered well

INFER = "/inference.GRPCInferenceService/ModelInfer"


@dataclass
class Counts:
    """What has been answered so far; latencies in seconds."""

    latencies: list[float] = field(default_factory=list)
    errors: int = 0


async def rest_client(url: str) -> Call:
    """Return a client with a connection of its own."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\nContent-Length: "

    async def call(body: bytes) -> bool:
        writer.write(f"{head}{len(body)}\r\n\r\n".encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.split(b":")[1]))
        return answer.startswith(b"HTTP/1.1 200 ")

    return call


async def grpc_client(address: str) -> Call:
    """Return a client with a connection of its own, which gRPC would share among channels."""
    channel = grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
    await channel.channel_ready()
    method = channel.unary_unary(INFER)  # bytes in, bytes out

    async def call(body: bytes) -> bool:
        try:
            await method(body)
        except grpc.aio.AioRpcError:
            return False
        return True

    return call


async def send(call: Call, bodies: Iterator[bytes], end: float, counts: Counts) -> None:
    """Send one after the other until it is time."""
    while (start := time.perf_counter()) < end:
        answered = await call(next(bodies))
        counts.latencies.append(time.perf_counter() - start)
        counts.errors += not answered


async def load(protocol: str, target: str, bodies: list[bytes], clients: int, seconds: float) -> dict[str, float]:
    """Let the clients loose and return the figures, times in ms."""
    connect = rest_client if protocol == "rest" else grpc_client
    calls = [await connect(target) for _ in range(clients)]
    counts, shared = Counts(), itertools.cycle(bodies)
    start = time.perf_counter()
    await asyncio.gather(*(send(call, shared, start + seconds, counts) for call in calls))
    taken, latencies = time.perf_counter() - start, sorted(counts.latencies)
    p50, p99 = (latencies[int(len(latencies) * share)] * 1000 for share in (0.5, 0.99))
    return {"requests": len(latencies), "seconds": taken, "errors": counts.errors, "p50": p50, "p99": p99}


def main() -> None:
    """Read the arguments, send, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("protocol", choices=("rest", "grpc"))
    parser.add_argument("target", help="the URL of infer, or for gRPC host:port")
    parser.add_argument("bodies", type=Path)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=8)
    options = parser.parse_args()
    lines = options.bodies.read_bytes().splitlines()
    bodies = lines if options.protocol == "rest" else [base64.b64decode(line) for line in lines]
    print(json.dumps(asyncio.run(load(options.protocol, options.target, bodies, options.clients, options.seconds))))


if __name__ == "__main__":
    main()
