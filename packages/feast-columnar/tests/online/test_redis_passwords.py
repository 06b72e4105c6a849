"""Any password works that the environment has for a Redis, and its file never holds it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import redis
from feast.infra.provider import get_provider
from feast.repo_config import load_repo_config

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PASSWORDS = ["1e5", "null", "x #1", "a: b", "  spaces  ", "a,b=c", "$HOME ${HOME}", "'single' \"double\"", "two\nlines"]
CONFIG = """
project: passwords
provider: local
registry: registry.db
online_store:
  type: feast_columnar.SecretRedisOnlineStore
  connection_string: ${THE_ADDRESS}
  password_variable: THE_PASSWORD
  username_variable: THE_USER
entity_key_serialization_version: 3
"""


@pytest.fixture(params=PASSWORDS)
def password(request: pytest.FixtureRequest, redis_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A password that the environment holds, of a user that the Redis that all share has for a while."""
    host, port = redis_server.split(":")
    secret: str = request.param
    with redis.Redis(host, int(port)) as admin:
        admin.acl_setuser("one", enabled=True, reset=True, passwords=[f"+{secret}"], keys=["*"], commands=["+@all"])
        monkeypatch.setenv("THE_ADDRESS", redis_server)
        monkeypatch.setenv("THE_USER", "one")
        monkeypatch.setenv("THE_PASSWORD", secret)
        yield secret
        admin.acl_deluser("one")


def opened(folder: Path, text: str = CONFIG) -> tuple[Any, Any]:
    """Return the online store of a configuration, and its settings."""
    file = folder / "feature_store.yaml"
    file.write_text(text, encoding="utf-8")
    config = load_repo_config(folder, file)
    return get_provider(config).online_store, config.online_store


def test_any_password_is_taken_as_it_is(password: str, tmp_path: Path) -> None:
    assert password
    store, settings = opened(tmp_path)
    assert store._get_client(settings).acl_whoami() == "one"  # noqa: SLF001 - Feast shows it nowhere else

    async def name() -> str:
        client = await store._get_client_async(settings)  # noqa: SLF001 - likewise
        told: str = await client.acl_whoami()
        await client.aclose()
        return told

    assert asyncio.run(name()) == "one"


def test_an_empty_password_is_none_and_one_that_is_not_set_is_asked_for(
    redis_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_ADDRESS", redis_server)
    monkeypatch.delenv("THE_PASSWORD", raising=False)
    store, settings = opened(tmp_path, CONFIG.replace("  username_variable: THE_USER\n", ""))
    with pytest.raises(ValueError, match="THE_PASSWORD is not set: set it, if only to nothing"):
        store._get_client(settings)  # noqa: SLF001 - likewise
    monkeypatch.setenv("THE_PASSWORD", "")
    assert store._get_client(settings).acl_whoami() == "default"  # noqa: SLF001 - likewise
