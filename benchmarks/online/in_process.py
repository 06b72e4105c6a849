"""The parts of a request by themselves, in one process: no server, no other request.

    PYTHONPATH=benchmarks python -m online.in_process PROJECT --seconds 1

Prints, as one line of JSON, microseconds (median) by number of ids and part. The read's floor is what one would write
by hand for this one feature view: redis-py's pipelined HMGET of the same keys, decoded with NumPy.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import struct
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mmh3
import numpy as np
import redis
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from mlserver.grpc import dataplane_pb2 as pb
from mlserver.grpc.converters import ModelInferResponseConverter
from mlserver.rest.responses import Response
from online.requests_for import grpc_message, rest_body
from online.world import location

from driver_ranking.feature_store.repo import FeatureRepo
from driver_ranking.ranking import predicted_rows, rank
from driver_ranking.serving.champion import Champion, ChampionLoader, ScoredCandidates
from driver_ranking.serving.contract import Input, RankingContract
from driver_ranking.serving.server.grpc.messages import decoded
from driver_ranking.serving.server.protocol.answers import encode_answer
from driver_ranking.serving.server.protocol.binary_tensors import Split
from driver_ranking.serving.server.protocol.json_body import read_infer
from driver_ranking.serving.server.protocol.requests import parse_request
from driver_ranking.serving.server.protocol.rules import RequestRules
from driver_ranking.serving.service import Ranked
from feast_columnar.freshness import microseconds_now

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

FIRST, DRIVERS, SIZES = 1001, 30_000, (5, 100, 1000)
VIEW, PROJECT = "driver_stats", "driver_ranking"
RULES = RequestRules(RankingContract(Input("driver_id", "INT64")), 10_000, 1_024)


@dataclass(frozen=True)
class Raw:
    """Reads ``driver_stats`` by hand."""

    client: Any
    fields: tuple[bytes, ...]
    before: bytes
    after: bytes

    def read(self, driver_id: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return values ``[n, 3]`` and event times ``[n]`` in seconds."""
        before, after, pack = self.before, self.after, struct.Struct("<q").pack
        pipe = self.client.pipeline(transaction=False)
        for one in driver_id.tolist():
            pipe.hmget(before + pack(one) + after, *self.fields)
        conversion, acceptance, trips, times = zip(*pipe.execute(), strict=True)
        values = np.column_stack([_floats(conversion), _floats(acceptance), _whole(trips)])
        return values, _whole(times)


def _floats(values: tuple[bytes, ...]) -> NDArray[np.float64]:
    """Decode messages of one float: a tag, then four bytes."""
    return np.frombuffer(b"".join(values), np.dtype([("tag", "u1"), ("value", "<f4")]))["value"].astype(np.float64)


def _whole(values: tuple[bytes, ...]) -> NDArray[np.int64]:
    """Decode messages of one whole number that is not negative: a tag, then seven bits a byte."""
    width = 7
    digits = np.frombuffer(b"".join(value.ljust(width, b"\0") for value in values), np.uint8).reshape(-1, width)[:, 1:]
    number = np.zeros(len(digits), np.int64)
    going_on = np.ones(len(digits), np.bool_)
    for place in range(width - 1):
        number |= np.where(going_on, (digits[:, place] & 0x7F).astype(np.int64) << (7 * place), 0)
        going_on &= digits[:, place] >= 0x80  # noqa: PLR2004 - the bit that says that more follows
    return number


def open_raw() -> Raw:
    """Connect, and take keys apart into what is before and after the id."""
    mark = struct.pack("<q", 0x0123456789ABCDEF)
    key = EntityKey(join_keys=["driver_id"], entity_values=[Value(int64_val=0x0123456789ABCDEF)])
    before, after = serialize_entity_key(key, 3).split(mark)
    names = ("conv_rate", "acc_rate", "avg_daily_trips")
    fields = [struct.pack("<i", mmh3.hash(f"{VIEW}:{name}")) for name in names]
    host, port = os.environ["REDIS_ADDRESS"].split(":")
    client = redis.Redis(host=host, port=int(port))
    return Raw(client, (*fields, f"_ts:{VIEW}".encode()), before, after + PROJECT.encode())


def parts(champion: Champion, raw: Raw, driver_id: NDArray[np.int64]) -> dict[str, Callable[[], Any]]:
    """Return what is timed, by name, after it was seen to give what it should."""
    values = champion.reader.read(driver_id, microseconds_now()).matrix
    by_hand, _ = raw.read(driver_id)
    columns = [("conv_rate", "acc_rate", "avg_daily_trips").index(name) for name in champion.model.feature_names]
    np.testing.assert_array_equal(values, by_hand[:, columns])
    body = json.dumps(rest_body({"driver_id": driver_id})).encode()
    message = grpc_message({"driver_id": driver_id}).SerializeToString()
    rows = predicted_rows(values, champion.predictor.predict)
    answer = Ranked(rank(driver_id, rows), ScoredCandidates(rows, driver_id, champion, 0, 0.0, 0.0))

    def rest() -> bytes:
        request = parse_request(read_infer(Split(body, None)).payload, RULES)
        return bytes(Response(encode_answer(answer, request, PROJECT).model_dump()).body)

    def grpc() -> bytes:
        received = decoded(pb.ModelInferRequest.FromString(message))
        response = encode_answer(answer, parse_request(received, RULES), PROJECT)
        return bytes(ModelInferResponseConverter.from_types(response, use_raw=True).SerializeToString())

    return {
        "read": lambda: champion.reader.read(driver_id, microseconds_now()),
        "raw read": lambda: raw.read(driver_id),
        "score and rank": lambda: rank(driver_id, predicted_rows(values, champion.predictor.predict)),
        "REST parse and encode": rest,
        "gRPC parse and encode": grpc,
    }


def medians(timed: dict[str, Callable[[], Any]], seconds: float) -> dict[str, float]:
    """Time the parts in turns and return the median of each, in microseconds."""
    times: dict[str, list[float]] = {name: [] for name in timed}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, call in timed.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return {name: 1e6 * statistics.median(taken) for name, taken in times.items()}


def main() -> None:
    """Load the champion as the service does, and time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path)
    parser.add_argument("--seconds", type=float, default=10, help="for each number of ids")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # MLServer warns of itself, and each warning takes time
    loader = ChampionLoader(location(options.project), None, FeatureRepo(options.project / "feature_repo"), timeout=5)
    champion, raw, random = loader.load(), open_raw(), np.random.default_rng(9)
    found = {}
    for size in SIZES:
        driver_id = FIRST + random.choice(DRIVERS, size, replace=False)
        found[size] = medians(parts(champion, raw, driver_id), options.seconds)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
