"""HTTP as clients speak it, well or badly, to a real server with small limits."""

from __future__ import annotations

import contextlib
import gzip
import json
import random
import re
import shutil
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import httpx
import psutil  # type: ignore[import-untyped]
import pytest
from support.servers import Serving, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BODY = b'{"inputs": [{"name": "driver_id", "shape": [2], "datatype": "INT64", "data": [1001, 1002]}]}'
JSON = {"Content-Type": "application/json"}
CONNECTIONS = 50
SECONDS = 2.0
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def strict(served_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server whose limits a test reaches in a moment."""
    limits = {
        "DRIVER_RANKING_MAX_CONNECTIONS": str(CONNECTIONS),
        "DRIVER_RANKING_REQUEST_TIMEOUT": str(SECONDS),
        "DRIVER_RANKING_MAX_UNREAD_BYTES": str(8 * MIB),
        "DRIVER_RANKING_LOG_REQUESTS": "false",
    }
    with serving(served_project, limits, folder=tmp_path_factory.mktemp("strict")) as running:
        yield running


@contextlib.contextmanager
def connected(server: Serving, seconds: float = 20) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=seconds) as connection:
        yield connection


def answer(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Read one answer with a length."""
    got = b""
    while b"\r\n\r\n" not in got:
        more = connection.recv(65536)
        assert more, f"the connection was closed after {got!r}"
        got += more
    head, _, body = got.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): text for name, _, text in (line.partition(": ") for line in lines)}
    while len(body) < int(headers.get("content-length", 0)):
        more = connection.recv(65536)
        assert more, "the connection was closed within the body"
        body += more
    return int(first.split()[1]), headers, body


def asked(server: Serving, *parts: bytes, pause: float = 0.0) -> tuple[int, dict[str, str], bytes]:
    with connected(server) as connection:
        for part in parts:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(part)
            time.sleep(pause)
        return answer(connection)


def head(*lines: str, path: str = "/v2/models/driver_ranking/infer", length: int = len(BODY)) -> bytes:
    first = (f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {length}", *lines)
    return "\r\n".join(first).encode() + b"\r\n\r\n"


def failures(server: Serving, status: int) -> float:
    found = re.search(rf'driver_ranking_requests_failed_total{{status="{status}"}} (\S+)', server.metrics())
    return float(found[1]) if found else 0.0


def is_alive(server: Serving) -> bool:
    return httpx.get(f"{server.url}/v2/health/live", timeout=5).status_code == httpx.codes.OK


OFFERS = [
    ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"),
    ("Connection: upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: x"),
    ("Upgrade: TLS/1.0, h2c", "Connection: Keep-Alive, Upgrade"),
]


@pytest.mark.parametrize("offer", OFFERS)
@pytest.mark.parametrize("cut", [False, True])
def test_an_offer_to_upgrade_is_answered_as_if_it_were_not_there(
    strict: Serving, offer: tuple[str, ...], *, cut: bool
) -> None:
    whole = head(*offer) + BODY
    parts = [whole[start : start + 40] for start in range(0, len(whole), 40)] if cut else [whole]
    status, _, body = asked(strict, *parts, pause=0.002 if cut else 0)
    assert status == httpx.codes.OK, body
    assert json.loads(body)["outputs"][0]["data"] == [1001]


def test_after_an_offer_to_upgrade_the_connection_serves_on(strict: Serving) -> None:
    chunked = b"POST /v2/models/driver_ranking/infer HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n"
    chunked += b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
    with connected(strict) as connection:
        for _ in range(2):
            connection.sendall(chunked)
            assert answer(connection)[0] == httpx.codes.OK
            connection.sendall(head() + BODY)
            assert answer(connection)[0] == httpx.codes.OK
        connection.sendall(head(*OFFERS[0]) + BODY + head(*OFFERS[0]) + BODY)  # the second before the first's answer
        got = b""
        while got.count(b'"outputs"') < 2:
            got += connection.recv(65536)


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_curl_is_answered_with_http2_wanted(strict: Serving) -> None:
    command = ["curl", "-sS", "--http2", "-H", "Content-Type: application/json", "-d", BODY.decode(), strict.infer_url]
    told = subprocess.run(command, capture_output=True, check=True, timeout=30)
    assert json.loads(told.stdout)["outputs"][0]["data"] == [1001]


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready", "/v2/models/driver_ranking/ready", "/v2"])
def test_head_is_answered_like_get_without_the_body(strict: Serving, path: str) -> None:
    got, told = httpx.get(strict.url + path), httpx.head(strict.url + path)
    assert (told.status_code, told.content) == (httpx.codes.OK, b"")
    assert told.headers["content-length"] == got.headers["content-length"]


def zipped(*members: bytes) -> bytes:
    return b"".join(gzip.compress(member) for member in members)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (zipped(BODY[:20], BODY[20:]), 200),
        (zipped(BODY, b"", b"  \n"), 200),
        (zipped(BODY) + b"\0" * 100, 200),
        (zipped(BODY) + b"garbage", 400),
        (zipped(BODY)[:-3], 400),
        (zipped(BODY[:20], BODY[20:])[:-3], 400),
        (zipped(BODY, *[b""] * 5000), 400),
        (zipped(BODY, b" " * 5 * MIB), 413),
        (b"", 400),
    ],
)
def test_gzipped_bodies_may_have_several_members_and_nothing_else(strict: Serving, body: bytes, status: int) -> None:
    told = httpx.post(strict.infer_url, content=body, headers=JSON | {"Content-Encoding": "gzip"})
    assert told.status_code == status, told.text
    assert status == httpx.codes.OK or set(told.json()) == {"error"}


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "zstd"])
def test_other_encodings_are_refused_with_the_one_that_is_taken(strict: Serving, encoding: str) -> None:
    for path in (strict.infer_url, f"{strict.url}/inference"):
        told = httpx.post(path, content=BODY, headers=JSON | {"Content-Encoding": encoding})
        assert (told.status_code, told.headers["accept-encoding"]) == (415, "gzip")


@pytest.mark.parametrize(
    ("accepted", "gets"),
    [
        ("gzip", "gzip"),
        ("*", "gzip"),
        ("br;q=1.0, GZIP;q=0.2", "gzip"),
        ("gzip;q=0", None),
        ("gzip; q=0.0, *", None),
        ("identity, gzip;q=0.5", None),
        ("br", None),
        ("gzip;q=x", None),
        ("xgzipx", None),
    ],
)
def test_answers_are_gzipped_for_who_accepts_that(strict: Serving, accepted: str, gets: str | None) -> None:
    many = list(range(1001, 1051))
    body = {
        "parameters": {"top_k": 50},
        "inputs": [{"name": "driver_id", "shape": [50], "datatype": "INT64", "data": many}],
    }
    told = httpx.post(strict.infer_url, json=body, headers={"Accept-Encoding": accepted})
    page = httpx.get(f"{strict.url}/v2/docs/dataplane.json", headers={"Accept-Encoding": accepted})
    for one in (told, page):
        assert one.status_code == httpx.codes.OK
        assert one.headers.get("content-encoding") == gets
        assert one.headers["vary"].lower() == "accept-encoding"


REFUSED = {
    "a large header": (head(f"X: {'x' * MIB}"), 431),
    "a header that does not end": (b"POST /inference HTTP/1.1\r\nX: " + b"x" * MIB, 431),
    "many headers": (head(*[f"X-{n}: {n}" for n in range(10_000)]), 431),
    "headers without an end": (b"GET /v2 HTTP/1.1\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(60)) * 300, 431),
    "a long URL": (b"GET /v2?" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    "a length of many digits": (
        b"POST /inference HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\n",
        400,
    ),
    "two lengths": (b"POST /inference HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400),
    "a length and chunks": (
        b"POST /inference HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "a large trailer": (
        b"POST /inference HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\nX: " + b"x" * MIB,
        431,
    ),
    "a large extension of a chunk": (
        b"POST /inference HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"x" * MIB,
        431,
    ),
    "a proxy": (b"CONNECT localhost:1 HTTP/1.1\r\nHost: localhost:1\r\n\r\n", 405),
    "no method": (b"NONSENSE / HTTP/1.1\r\n\r\n", 400),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "a path that is no text": (b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a null in a header": (b"GET /v2 HTTP/1.1\r\nX: \x00\r\n\r\n", 400),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_too_much_or_no_http_is_refused_in_json_and_counted(strict: Serving, kind: str) -> None:
    sent, status = REFUSED[kind]
    before = failures(strict, status)
    got, headers, body = asked(strict, sent)
    assert (got, headers["content-type"]) == (status, "application/json")
    assert set(json.loads(body)) == {"error"}
    assert failures(strict, status) == before + 1
    assert is_alive(strict)


def test_a_length_with_leading_zeros_is_a_length(strict: Serving) -> None:
    zeros = b"0" * 5_000
    sent = b"POST /v2/models/driver_ranking/infer HTTP/1.1\r\nHost: x\r\nContent-Length: %b%d\r\n\r\n" % (
        zeros,
        len(BODY),
    )
    assert asked(strict, sent + BODY)[0] == httpx.codes.OK


@pytest.mark.parametrize(("path", "status"), [("/none", 404), ("/v2/models/driver_ranking/infer", 405), ("//v2", 404)])
def test_every_answer_that_is_no_success_is_counted(strict: Serving, path: str, status: int) -> None:
    before = failures(strict, status)
    told = httpx.get(strict.url + path)
    assert (told.status_code, set(told.json())) == (status, {"error"})
    assert failures(strict, status) == before + 1


def test_bodies_that_can_not_be_parsed_are_counted_once(strict: Serving) -> None:
    before = failures(strict, 400)
    for path in (strict.infer_url, f"{strict.url}/inference", f"{strict.url}/v2/repository/index"):
        assert httpx.post(path, content=b"{", headers=JSON).status_code == httpx.codes.BAD_REQUEST
    assert failures(strict, 400) == before + 3


def test_a_client_that_is_slow_to_ask_is_told_so(strict: Serving) -> None:
    start = time.monotonic()
    with connected(strict) as silent, connected(strict) as slow, connected(strict) as half:
        slow.sendall(b"POST /v2/models/driver_ranking/infer HT")
        half.sendall(head() + BODY[:10])
        for one in (slow, half):
            status, _, body = answer(one)
            assert (status, set(json.loads(body))) == (408, {"error"})
        assert silent.recv(1) == b""
    assert SECONDS <= time.monotonic() - start < SECONDS + 5
    assert "Requests come too slowly" in strict.log.read_text(encoding="utf-8")


def resident(server: Serving) -> float:
    return float(psutil.Process(server.process.pid).memory_info().rss) / MIB


def test_bodies_that_never_end_hold_little_and_give_it_back(strict: Serving) -> None:
    with contextlib.ExitStack() as stack:
        before = resident(strict)
        clients = [stack.enter_context(connected(strict)) for _ in range(CONNECTIONS - 10)]
        for one in clients:
            one.sendall(head(length=4 * MIB))
            one.setblocking(False)  # noqa: FBT003 - the standard library's
        peak, end = before, time.monotonic() + SECONDS - 0.5
        while time.monotonic() < end:
            for one in clients:
                with contextlib.suppress(OSError):
                    one.send(b"x" * 65_536)
            peak = max(peak, resident(strict))
        assert is_alive(strict)
        assert httpx.post(strict.infer_url, content=BODY, headers=JSON).status_code == httpx.codes.OK
    assert peak - before < 60
    assert "Bodies are refused" in strict.log.read_text(encoding="utf-8")
    time.sleep(0.5)
    assert resident(strict) - before < 30


def test_silent_connections_make_room_for_those_that_ask(strict: Serving) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(3 * CONNECTIONS):
            stack.enter_context(connected(strict))
        assert httpx.post(strict.infer_url, content=BODY, headers=JSON).status_code == httpx.codes.OK
        assert is_alive(strict)
    assert "Idle connections are closed" in strict.log.read_text(encoding="utf-8")


def test_more_connections_that_ask_than_are_taken_are_refused_with_a_reason(strict: Serving) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(CONNECTIONS):
            stack.enter_context(connected(strict)).sendall(head())
        time.sleep(0.3)
        status, _, body = answer(stack.enter_context(connected(strict)))
    assert (status, set(json.loads(body))) == (503, {"error"})
    assert "Connections are refused" in strict.log.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
        {"Origin": "http://elsewhere.example:{port}", "Host": "elsewhere.example:{port}"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_a_foreign_web_page_can_not_unload_the_model(strict: Serving, headers: dict[str, str]) -> None:
    named = {name: text.format(port=strict.http_port) for name, text in headers.items()}
    for order in ("unload", "load"):
        told = httpx.post(f"{strict.url}/v2/repository/models/driver_ranking/{order}", headers=named, content=b"")
        assert (told.status_code, set(told.json())) == (403, {"error"})
    assert strict.is_ready()


def test_the_own_page_and_programs_may_give_orders(strict: Serving) -> None:
    index = f"{strict.url}/v2/repository/index"
    for named in ({}, {"Origin": strict.url}, {"Origin": strict.url, "Sec-Fetch-Site": "same-origin"}):
        assert httpx.post(index, headers=named, json={}).status_code == httpx.codes.OK


def test_no_bytes_make_it_slow_or_end_in_a_traceback(strict: Serving) -> None:
    chance = random.Random(7)  # noqa: S311 - not for secrets
    whole = head("Connection: upgrade", "Upgrade: h2c", "Expect: 100-continue", "Content-Encoding: gzip") + BODY
    for _ in range(150):
        mixed = bytearray(whole)
        for _ in range(chance.randint(1, 8)):
            place = chance.randrange(len(mixed))
            mixed[place : place + chance.randint(0, 9)] = chance.randbytes(chance.randint(0, 9)) * chance.choice(
                (1, 99)
            )
        with connected(strict) as connection:
            connection.sendall(bytes(mixed))
            connection.shutdown(socket.SHUT_WR)
            first = connection.recv(65536).split(b"\r\n")[0]
            assert not first.startswith(b"HTTP/1.1 5"), bytes(mixed)
    start = time.monotonic()
    assert is_alive(strict)
    assert time.monotonic() - start < 1
    assert "Traceback" not in strict.log.read_text(encoding="utf-8")
