"""No input takes much longer to refuse than its bytes take to read: a search for ones that do."""

from __future__ import annotations

import gc
import gzip
import itertools
import json
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import httpx
import pytest
from mlserver.grpc import dataplane_pb2 as pb
from mlserver.grpc.dataplane_pb2_grpc import GRPCInferenceServiceStub
from pydantic_core import from_json

from driver_ranking.errors import DriverRankingError
from driver_ranking.serving.contract import Input, RankingContract
from driver_ranking.serving.server.grpc.messages import decoded
from driver_ranking.serving.server.protocol.binary_tensors import split_body
from driver_ranking.serving.server.protocol.json_body import read_infer, read_ready_only
from driver_ranking.serving.server.protocol.requests import parse_plain, parse_request
from driver_ranking.serving.server.protocol.rules import RequestRules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.servers import Serving

SIZE = 4 * 1024 * 1024
RULES = RequestRules(RankingContract(Input("driver_id", "INT64")), 10_000, 1_024)
# how many times longer than a flat list of as many bytes: objects are dearer to make than numbers, by as much as this
MOST_TIMES = 8

# --- bodies -----------------------------------------------------------------------------------------------------------

# what is repeated until the body is full, and what is put around it
REPEATED = {
    "objects": b"{},",
    "lists": b"[],",
    "lists in lists": b"[[]],",
    "ids in lists": b"[1],",
    "small numbers": b"1,",
    "numbers": b"1001,",
    "numbers of 20 digits": b"99999999999999999999,",
    "numbers of 4,000 digits": b"9" * 4_000 + b",",
    "fractions": b"1.2345678901234567890e-5,",
    "exponents": b"1e999,",
    "empty texts": b'"",',
    "texts": b'"ab",',
    "escapes": b'"\\u00e9\\ud83d\\ude00",',
    "nulls": b"null,",
    "truths": b"true,",
    "constants": b"NaN,",
    "inputs": b'{"name":"driver_id","shape":[1],"datatype":"INT64","data":[1]},',
    "outputs": b'{"name":"score"},',
    "named": b'{"name":""},',
}
KEYS = {"keys": b'"%x":1,', "long keys": b'"' + b"k" * 200 + b'%x":{},', "one key": b'"top_k":[],'}
WHOLE = {
    "deep lists": b"[" * SIZE,
    "deep objects": b'{"a":' * (SIZE // 5),
    "a long number": b"9" * SIZE,
    "a long fraction": b"0." + b"9" * SIZE,
    "a long exponent": b"1e" + b"9" * SIZE,
    "a long text": b'"' + b"a" * SIZE + b'"',
    "a text of escapes": b'"' + b"\\u0000" * (SIZE // 6) + b'"',
    "a text without an end": b'"' + b"\\" * SIZE,
    "blanks": b" " * SIZE,
}
PLACES = {
    "the body": b"%s",
    "id": b'{"id":%s,"inputs":[]}',
    "inputs": b'{"inputs":%s}',
    "parameters": b'{"parameters":%s,"inputs":[]}',
    "top_k": b'{"parameters":{"top_k":%s},"inputs":[{"name":"driver_id","shape":[1],"datatype":"INT64","data":[1]}]}',
    "outputs": b'{"outputs":%s,"inputs":[{"name":"driver_id","shape":[1],"datatype":"INT64","data":[1]}]}',
    "an output": b'{"outputs":[%s],"inputs":[]}',
    "an input": b'{"inputs":[%s]}',
    "name": b'{"inputs":[{"name":%s,"shape":[1],"datatype":"INT64","data":[1]}]}',
    "shape": b'{"inputs":[{"name":"driver_id","shape":%s,"datatype":"INT64","data":[1]}]}',
    "datatype": b'{"inputs":[{"name":"driver_id","shape":[1],"datatype":%s,"data":[1]}]}',
    "data": b'{"inputs":[{"name":"driver_id","shape":[1],"datatype":"INT64","data":%s}]}',
    "data of a column": b'{"inputs":[{"name":"driver_id","shape":[100000,1],"datatype":"INT64","data":%s}]}',
    "an input's parameters": b'{"inputs":[{"parameters":%s,"name":"x","shape":[1],"datatype":"INT64","data":[]}]}',
    "driver_ids": b'{"driver_ids":%s}',
    "request_id": b'{"driver_ids":[1],"request_id":%s}',
    "ready": b'{"ready":%s}',
}


def filled(unit: bytes, size: int = SIZE) -> bytes:
    return b"[" + (unit * (size // len(unit)))[:-1] + b"]"


def keyed(unit: bytes) -> bytes:
    count = SIZE // (len(unit) + 3)
    return b"{" + b",".join(unit[:-1] % place if b"%" in unit else unit[:-1] for place in range(count)) + b"}"


def contents() -> Iterator[tuple[str, bytes]]:
    yield from ((name, filled(unit)) for name, unit in REPEATED.items())
    yield from ((name, keyed(unit)) for name, unit in KEYS.items())
    yield from WHOLE.items()


def infer(body: bytes) -> None:
    parse_request(read_infer(split_body({}, body)).payload, RULES)


def plain(body: bytes) -> None:
    parse_plain(body, RULES)


def seconds(read: Callable[[bytes], object], content: bytes) -> float:
    """Return the processor time of a refusal; of two, as others are on the machine as well."""
    taken = []
    for _ in range(2):
        start = time.process_time()
        with pytest.raises(DriverRankingError):
            read(content)
        taken.append(time.process_time() - start)
        if taken[-1] < 0.1:
            break
    return min(taken)


@pytest.fixture(scope="module")
def allowed() -> float:
    """The seconds that a refusal may take."""
    flat = filled(b"1001,")
    gc.collect()
    start = time.process_time()
    from_json(flat)
    return max((time.process_time() - start) * MOST_TIMES, 0.25)


# what reads a list to its end before it is refused is the same wherever it stands
SHARED = {"the body", "inputs", "outputs", "data", "data of a column", "shape", "parameters", "driver_ids"}


@pytest.mark.parametrize("place", PLACES)
def test_no_body_is_slow_to_refuse(place: str, allowed: float) -> None:
    read = {
        "driver_ids": lambda body: parse_plain(body, RULES),
        "request_id": lambda body: parse_plain(body, RULES),
    }
    reader = read_ready_only if place == "ready" else read.get(place, infer)
    some = contents() if place in SHARED else itertools.islice(contents(), 0, None, 5)
    slow = {}
    for name, content in some:
        if place == "ready" and name == "no":
            continue
        taken = seconds(reader, PLACES[place].replace(b"%s", content))
        if taken > allowed:
            slow[name] = taken
    assert slow == {}


# --- messages ---------------------------------------------------------------------------------------------------------


def varint(number: int) -> bytes:
    encoded = b""
    while number > 0x7F:
        encoded += bytes([number & 0x7F | 0x80])
        number >>= 7
    return encoded + bytes([number])


def field(number: int, content: bytes) -> bytes:
    """Return a field of bytes, of a message."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def of_input(*fields: bytes) -> bytes:
    named = field(1, b"driver_id") + field(2, b"INT64")
    return field(5, named + b"".join(fields))


HUGE = varint(2**63 - 1)
MESSAGES = {
    "empty inputs": field(5, b"") * (SIZE // 2),
    "inputs": of_input() * (SIZE // 25),
    "empty outputs": field(6, b"") * (SIZE // 2),
    "outputs": of_input() + field(6, field(1, b"score")) * (SIZE // 9),
    "empty raw contents": field(7, b"") * (SIZE // 2),
    "empty raw contents of one input": of_input() + field(7, b"") * (SIZE // 2),
    "parameters": b"".join(field(4, field(1, b"%x" % place) + field(2, b"")) for place in range(SIZE // 12)),
    "one parameter again and again": of_input() + field(4, field(1, b"top_k") + field(2, b"\x10\x00")) * (SIZE // 15),
    "a parameter of unknown fields": of_input(field(3, b"\x01"), field(5, field(3, b"\x01")))
    + field(4, field(1, b"top_k") + field(2, b"\x28\x00" * (SIZE // 2))),
    "a shape of huge sizes": of_input(field(3, HUGE * (SIZE // 9))) + field(7, b"\0" * 8),
    "a shape of sizes": of_input(field(3, b"\x01" * SIZE)) + field(7, b"\0" * 8),
    "typed contents": of_input(field(3, b"\x01"), field(5, field(3, b"\x01" * SIZE))),
    "typed contents one by one": of_input(field(3, b"\x01"), field(5, b"\x18\x01" * (SIZE // 2))),
    "booleans": of_input(field(3, b"\x01"), field(5, field(1, b"\x01" * SIZE))),
    "texts": of_input(field(3, b"\x01"), field(5, field(8, b"") * (SIZE // 2))),
    "raw contents": of_input(field(3, b"\x01")) + field(7, b"\0" * SIZE),
    "raw texts": field(5, field(1, b"driver_id") + field(2, b"BYTES") + field(3, b"\x01")) + field(7, b"\0" * SIZE),
    "an id": field(3, b"a" * SIZE),
    "a name": field(5, field(1, b"a" * SIZE)),
    "a datatype": field(5, field(1, b"driver_id") + field(2, b"a" * SIZE)),
    "unknown fields": b"\x78\x01" * (SIZE // 2),
    "an output's name": of_input(field(3, b"\x01"), field(5, field(3, b"\x01"))) + field(6, field(1, b"a" * SIZE)),
}


@pytest.mark.parametrize("case", MESSAGES)
def test_no_message_is_slow_to_refuse(case: str, allowed: float) -> None:
    def read(content: bytes) -> None:
        parse_request(decoded(pb.ModelInferRequest.FromString(content)), RULES)

    assert seconds(read, MESSAGES[case]) < allowed


# --- the server -------------------------------------------------------------------------------------------------------

TAKEN = SIZE - 1_000  # with what is around it
EMPTY_INPUTS = b'{"inputs":' + filled(b"{},", TAKEN) + b"}"
BODIES = {
    "/v2/models/driver_ranking/infer": EMPTY_INPUTS,
    "/v2/models/driver_ranking/versions/1/infer": EMPTY_INPUTS,
    "/inference": b'{"driver_ids":' + filled(b"{},", TAKEN) + b"}",
    "/v2/repository/index": b'{"ready":' + filled(b"{},", TAKEN) + b"}",
    "/v2/repository/models/nobody/load": EMPTY_INPUTS,
}


def resident(server: Serving) -> int:
    """Return how many KiB of memory the server holds."""
    status = Path(f"/proc/{server.process.pid}/status").read_text(encoding="ascii")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


def send_all(server: Serving, answers: list[Any]) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    for path, body in BODIES.items():
        answers.append(
            httpx.post(server.url + path, content=gzip.compress(body), headers=headers, timeout=60).status_code
        )
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(server.grpc_address, options=options) as channel:
        huge = of_input(field(3, HUGE * (TAKEN // 9))) + field(7, b"\0" * 8)
        for message in (field(5, b"") * (TAKEN // 2), huge):
            request = pb.ModelInferRequest.FromString(message)
            request.model_name = "driver_ranking"
            try:
                GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=60)
            except grpc.RpcError as error:
                answers.append(error.code())


def test_health_answers_while_hostile_bodies_are_refused_and_memory_returns(server: Serving) -> None:
    answers: list[Any] = []
    waited: list[float] = []
    before = resident(server)
    sending = threading.Thread(target=send_all, args=(server, answers))
    start = time.monotonic()
    sending.start()
    with httpx.Client(base_url=server.url, timeout=30) as client:
        while sending.is_alive():
            asked = time.monotonic()
            assert client.get("/v2/health/live").status_code == httpx.codes.OK
            waited.append(time.monotonic() - asked)
            time.sleep(0.01)
    sending.join()
    assert answers == [400, 400, 400, 400, 404, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.INVALID_ARGUMENT]
    assert time.monotonic() - start < 20
    assert max(waited) < 2
    assert resident(server) - before < 400 * 1024


def test_what_is_refused_names_the_first_inputs_and_their_number(server: Serving) -> None:
    body = {"inputs": [{"name": f"input {place}"} for place in range(1_000)]}
    said = httpx.post(server.infer_url, content=json.dumps(body)).json()["error"]
    assert "it has 'input 0', 'input 1'," in said
    assert said.endswith("'input 9', ... (1000 in all).")
    assert len(said) < 300
