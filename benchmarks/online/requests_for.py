"""The requests of a load, and what their right answers are."""

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from mlserver.grpc import dataplane_pb2 as pb
from numpy.typing import NDArray

MODEL = "driver_ranking"
IDS_SENT = 500_000  # in all bodies of one size together
MOST_BODIES = 20_000
_DATATYPES = {"i": "INT64", "f": "FP64", "O": "BYTES"}

Asked: TypeAlias = Mapping[str, NDArray[Any]]
"""What a request has: its inputs by name, int64, float64 or objects that are texts; the candidates first."""


@dataclass(frozen=True)
class Requests:
    """Bodies of one size, and what they ask for.

    Attributes:
        asked: What each asks for, of distinct candidates.
        rest: File with a JSON body a line.
        grpc: File with a message a line, base64.
    """

    asked: Sequence[Asked]
    rest: Path
    grpc: Path


def write_requests(folder: Path, known: NDArray[Any], request: Callable[[NDArray[Any]], Asked], size: int) -> Requests:
    """Write bodies of ``size`` ids each.

    Args:
        folder: Where to.
        known: The candidates that ids are drawn from.
        request: Makes a request of some.
        size: How many.
    """
    count = min(MOST_BODIES, IDS_SENT // size)
    asked = [request(ids) for ids in _draw(known, size, count)]
    rest, grpc = folder / f"rest-{size}.txt", folder / f"grpc-{size}.txt"
    rest.write_text("".join(f"{json.dumps(rest_body(one), ensure_ascii=False)}\n" for one in asked), encoding="utf-8")
    grpc.write_bytes(b"\n".join(base64.b64encode(grpc_message(one).SerializeToString()) for one in asked))
    return Requests(asked, rest, grpc)


def _draw(known: NDArray[Any], size: int, count: int) -> Iterator[NDArray[Any]]:
    random = np.random.default_rng(size)
    while True:
        shuffled = random.permutation(known)
        for first in range(0, len(known) - size + 1, size):
            yield shuffled[first : first + size]
            count -= 1
            if not count:
                return


def rest_body(asked: Asked) -> dict[str, object]:
    """Return the JSON of a request."""
    tensors = [
        {"name": name, "shape": [len(values)], "datatype": _DATATYPES[values.dtype.kind], "data": values.tolist()}
        for name, values in asked.items()
    ]
    return {"inputs": tensors}


def grpc_message(asked: Asked) -> pb.ModelInferRequest:
    """Return the message of a request; with raw contents, as tritonclient sends it."""
    tensor = pb.ModelInferRequest.InferInputTensor
    return pb.ModelInferRequest(
        model_name=MODEL,
        inputs=[
            tensor(name=name, datatype=_DATATYPES[values.dtype.kind], shape=[len(values)])
            for name, values in asked.items()
        ],
        raw_input_contents=[_raw(values) for values in asked.values()],
    )


def _raw(values: NDArray[Any]) -> bytes:
    if values.dtype.kind != "O":
        return values.tobytes()
    texts = [text.encode() for text in values.tolist()]
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)
