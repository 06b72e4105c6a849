"""The event loop's own connection to Redis: what it gives, and that whatever goes wrong leaves the client to it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import redis
from processes import free_port

from feast_columnar.online.redis_link import RedisLink
from feast_columnar.online.redis_wire import LinkLostError

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = b"redis_link_test"
HMGET = b"*3\r\n$5\r\nHMGET\r\n$15\r\n%b\r\n$1\r\na\r\n" % KEY
# answered only once something is pushed to the list, however fast the server is
BLPOP = b"*3\r\n$5\r\nBLPOP\r\n$15\r\nredis_link_list\r\n$1\r\n0\r\n"


@pytest.fixture
def client(redis_server: str) -> Iterator[Any]:
    """A client of the Redis that all share, with one hash of its own."""
    host, port = redis_server.split(":")
    with redis.Redis(host, int(port), socket_timeout=10, client_name=KEY.decode()) as made:
        made.delete(KEY)
        made.hset(KEY.decode(), mapping={"a": "1"})
        yield made
        made.delete(KEY)


@pytest.fixture
def link(client: Any) -> Iterator[RedisLink]:
    """An open link."""
    made = RedisLink(client)
    made.connect()
    yield made
    made.close()


def exchange(link: RedisLink, wire: bytes = HMGET, replies: int = 1) -> Any:
    return asyncio.run(link.exchange(wire, replies))


def drop(client: Any) -> None:
    """Let the server close the link's connection."""
    for one in client.client_list():
        if one["name"] == KEY.decode() and one["id"] != str(client.client_id()):
            client.client_kill_filter(_id=one["id"])


def test_all_replies_come_in_order_however_many_there_are(client: Any, link: RedisLink) -> None:
    many = 20_000  # more than a socket holds
    assert exchange(link, HMGET * many, many) == [[b"1"]] * many
    client.hset(KEY.decode(), "a", "2")
    assert exchange(link) == [[b"2"]]
    assert link.is_open


def test_a_closed_link_gives_nothing(client: Any) -> None:
    link = RedisLink(client)
    assert not link.is_open
    with pytest.raises(LinkLostError):
        exchange(link)


def test_a_connection_that_the_server_closes_is_lost_and_can_be_made_anew(client: Any, link: RedisLink) -> None:
    drop(client)
    with pytest.raises(LinkLostError):
        exchange(link)
    assert not link.is_open
    link.connect()
    assert exchange(link) == [[b"1"]]


def test_an_error_of_one_key_stands_for_its_reply(client: Any, link: RedisLink) -> None:
    client.delete(KEY)
    client.set(KEY.decode(), "no hash")
    other = HMGET.replace(KEY, b"redis_link_none")
    assert [str(reply) for reply in exchange(link, other + HMGET + other, 3)] == [
        "[None]",
        "WRONGTYPE Operation against a key holding the wrong kind of value",
        "[None]",
    ]
    assert link.is_open


def test_another_error_for_a_reply_closes_the_link_as_others_may_be_on_their_way(link: RedisLink) -> None:
    with pytest.raises(LinkLostError):
        exchange(link, b"*1\r\n$5\r\nHMGET\r\n" * 3, 3)
    assert not link.is_open


def test_what_takes_longer_than_the_client_s_limit_ends_in_a_timeout(redis_server: str) -> None:
    host, port = redis_server.split(":")
    with redis.Redis(host, int(port), socket_timeout=0.2) as impatient:
        link = RedisLink(impatient)
        link.connect()
        with pytest.raises(TimeoutError):
            exchange(link, BLPOP)
        assert not link.is_open


def test_where_nobody_listens_the_link_stays_closed() -> None:
    with redis.Redis(port=free_port(), socket_connect_timeout=1) as client:
        link = RedisLink(client)
        link.connect()
        assert not link.is_open


def test_messages_of_the_newer_protocol_that_nobody_asked_for_are_left_out(client: Any, redis_server: str) -> None:
    host, port = redis_server.split(":")
    with redis.Redis(host, int(port), protocol=3, socket_timeout=1) as newer:
        link = RedisLink(newer)
        link.connect()
        tracking = b"*3\r\n$6\r\nCLIENT\r\n$8\r\nTRACKING\r\n$2\r\nON\r\n"
        assert exchange(link, tracking + HMGET, 2) == [b"OK", [b"1"]]
        client.hset(KEY.decode(), "a", "2")  # the link is told of it, as it has read the key
        assert exchange(link) == [[b"2"]]
        link.close()


def test_closed_for_good_during_an_exchange_it_answers_it_and_is_not_opened_again(client: Any, link: RedisLink) -> None:
    async def work() -> Any:
        answer = asyncio.create_task(link.exchange(BLPOP, 1))
        await asyncio.sleep(0)
        link.close()
        assert link.is_open
        client.rpush("redis_link_list", "1")
        return await answer

    assert asyncio.run(work()) == [[b"redis_link_list", b"1"]]
    assert not link.is_open
    link.connect()
    assert not link.is_open


def test_closed_for_good_while_it_connects_it_lets_go_of_the_connection(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    link, connect = RedisLink(client), redis.Connection.connect

    def connect_and_close(connection: redis.Connection) -> None:
        connect(connection)  # type: ignore[no-untyped-call] # redis-py's
        link.close()

    monkeypatch.setattr(redis.Connection, "connect", connect_and_close)
    link.connect()
    assert not link.is_open


def test_of_two_exchanges_at_once_the_second_is_left_to_the_client_and_the_first_gets_its_own(
    client: Any, link: RedisLink
) -> None:
    async def both() -> Any:
        first = asyncio.create_task(link.exchange(BLPOP, 1))
        await asyncio.sleep(0)
        with pytest.raises(LinkLostError):
            await link.exchange(HMGET, 1)
        client.rpush("redis_link_list", "1")
        return await first

    assert asyncio.run(both()) == [[b"redis_link_list", b"1"]]
    assert exchange(link) == [[b"1"]]
