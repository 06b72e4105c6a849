"""A Redis with TLS, or spoken to in the newer protocol, is read over one connection, as any other."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import redis
import uvloop
from columnar_support.online_repos import NOON, NOON_US, OnlineRepo, listed
from feast import FeatureService
from feast.types import Float32
from processes import free_port, running_redis

from feast_columnar.online.redis_link import RedisLink
from feast_columnar.online.redis_socket import _wake, receive, send_all

if TYPE_CHECKING:
    from collections.abc import Iterator

READS = 100
MANY = 20_000


@pytest.fixture(scope="module")
def tls_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`host:port` of a Redis that speaks TLS only, and where its certificate is."""
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    subprocess.run([*made, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    tls = {"tls-port": str(free_port()), "tls-cert-file": str(key.with_name("certificate.pem"))}
    tls |= {"tls-key-file": str(key), "tls-auth-clients": "no", "tls-ca-cert-file": str(certificate)}
    with running_redis(folder, free_port(), **tls):
        yield f"127.0.0.1:{tls['tls-port']},ssl=true,ssl_ca_certs={certificate}"


def repo_at(folder: Path, connection_string: str) -> OnlineRepo:
    repo = OnlineRepo(folder, "counted", {"type": "redis", "connection_string": connection_string})
    view = repo.view({"rate": Float32})
    repo.apply(view, FeatureService(name="service", features=[view]))
    repo.write("stats", [(driver, NOON, {"rate": 0.5}) for driver in range(1, 2_000)])
    return repo


async def read_often(reader: Any, drivers: int) -> list[list[float | None]]:
    with ThreadPoolExecutor(1) as thread:
        asked = np.arange(1, drivers + 1)
        for _ in range(READS):
            features = await reader.read_async(asked, NOON_US, thread)
            await asyncio.get_running_loop().run_in_executor(thread, reader.lacking)
    return listed(features)


def connections(connection_string: str) -> int:
    host, port = connection_string.split(",", maxsplit=1)[0].split(":")
    options: dict[str, Any] = dict(part.split("=") for part in connection_string.split(",")[1:])
    tls = {"ssl": True, "ssl_ca_certs": options["ssl_ca_certs"]} if "ssl" in options else {}
    with redis.Redis(host, int(port), **tls) as client:
        return int(client.info("stats")["total_connections_received"])


@pytest.mark.parametrize("kind", ["tls", "the newer protocol", "both", "neither"])
def test_a_hundred_reads_and_probes_open_few_connections(
    kind: str, tls_redis: str, redis_server: str, tmp_path: Path
) -> None:
    at = tls_redis if kind in {"tls", "both"} else redis_server
    repo = repo_at(tmp_path, f"{at},protocol=3" if kind in {"the newer protocol", "both"} else at)
    before = connections(at)
    with closing(repo.reader("service", "rate")) as reader:
        assert uvloop.run(read_often(reader, 1_000)) == [[0.5]] * 1_000
        assert asyncio.run(read_often(reader, 3)) == [[0.5]] * 3
    assert connections(at) - before <= 4  # the link's, redis-py's, the one that asks


def test_all_replies_come_over_tls_however_many_there_are(tls_redis: str) -> None:
    address, _, certificate = tls_redis.split(",")
    host, port = address.split(":")
    with redis.Redis(host, int(port), ssl=True, ssl_ca_certs=certificate.split("=")[1], socket_timeout=20) as client:
        client.hset("many", mapping={"a": "1"})
        link = RedisLink(client)
        link.connect()
        wire = b"*3\r\n$5\r\nHMGET\r\n$4\r\nmany\r\n$1\r\na\r\n" * MANY  # more than a socket holds
        assert asyncio.run(link.exchange(wire, MANY)) == [[b"1"]] * MANY
        link.close()


def test_more_than_the_system_takes_at_once_is_sent_over_tls(tls_redis: str) -> None:
    """Several megabytes, to an end that reads none of them before the sender has waited."""
    certificate = Path(tls_redis.rpartition("=")[2])
    ours, theirs = socket.socketpair()
    context = ssl.create_default_context(cafile=str(certificate))
    of_server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    of_server.load_cert_chain(certificate, certificate.with_name("key.pem"))
    data, may_read = b"x" * 8_000_000, threading.Event()

    def serve() -> int:
        with of_server.wrap_socket(theirs, server_side=True) as tls:
            may_read.wait(10)
            received = 0
            while received < len(data) and (part := tls.recv(1 << 20)):  # none once the sender has failed
                received += len(part)
            tls.sendall(b"+OK")
            return received

    async def talk() -> bytes:
        with context.wrap_socket(ours, server_hostname="127.0.0.1") as tls:
            tls.setblocking(False)  # noqa: FBT003 - the standard library's
            asyncio.get_running_loop().call_later(0.05, may_read.set)  # the loop turns once the sender waits
            await send_all(tls, data)
            assert may_read.is_set()
            return await receive(tls)

    with ThreadPoolExecutor(1) as thread:
        serving = thread.submit(serve)
        assert asyncio.run(talk()) == b"+OK"
        assert serving.result() == len(data)


def test_waking_who_waits_no_longer_does_nothing() -> None:
    async def work() -> None:
        turn = asyncio.get_running_loop().create_future()
        turn.cancel()
        _wake(turn)
        assert turn.cancelled()

    asyncio.run(work())
