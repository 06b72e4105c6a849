"""The requests of a load, and what their right answers are."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mlserver.grpc import dataplane_pb2 as pb
from numpy.typing import NDArray

MODEL = "driver_ranking"
DRIVERS_SENT = 500_000  # in all bodies of one size together
MOST_BODIES = 20_000


@dataclass(frozen=True)
class Requests:
    """Bodies of one size, and what they ask for.

    Attributes:
        driver_ids: int64 ``[bodies, n]``, distinct within a row.
        rest: File with a JSON body a line.
        grpc: File with a message a line, base64.
    """

    driver_ids: NDArray[np.int64]
    rest: Path
    grpc: Path


def write_requests(folder: Path, known: NDArray[np.int64], size: int) -> Requests:
    """Write bodies of ``size`` ids each, drawn from the known drivers."""
    count = min(MOST_BODIES, DRIVERS_SENT // size)
    drawn = np.array(list(_draw(known, size, count)))
    rest, grpc = folder / f"rest-{size}.txt", folder / f"grpc-{size}.txt"
    rest.write_text("".join(f"{json.dumps(rest_body(ids))}\n" for ids in drawn), encoding="utf-8")
    grpc.write_bytes(b"\n".join(base64.b64encode(grpc_message(ids).SerializeToString()) for ids in drawn))
    return Requests(drawn, rest, grpc)


def _draw(known: NDArray[np.int64], size: int, count: int) -> Iterator[NDArray[np.int64]]:
    random = np.random.default_rng(size)
    while True:
        shuffled = random.permutation(known)
        for first in range(0, len(known) - size + 1, size):
            yield shuffled[first : first + size]
            count -= 1
            if not count:
                return


def rest_body(driver_id: NDArray[np.int64]) -> dict[str, object]:
    """Return the JSON of a request."""
    tensor = {"name": "driver_id", "shape": [len(driver_id)], "datatype": "INT64", "data": driver_id.tolist()}
    return {"inputs": [tensor]}


def grpc_message(driver_id: NDArray[np.int64]) -> pb.ModelInferRequest:
    """Return the message of a request; with raw contents, as tritonclient sends it."""
    tensor = pb.ModelInferRequest.InferInputTensor(name="driver_id", datatype="INT64", shape=[len(driver_id)])
    return pb.ModelInferRequest(model_name=MODEL, inputs=[tensor], raw_input_contents=[driver_id.tobytes()])
