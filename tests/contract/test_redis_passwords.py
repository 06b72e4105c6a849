"""Any password of a Redis works, or is refused without being shown."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis
from feast.repo_config import load_repo_config

from driver_ranking.errors import FeatureStoreError
from driver_ranking.feature_store.repo import FeatureRepo, explained

if TYPE_CHECKING:
    from collections.abc import Iterator

SHIPPED = Path(__file__).parents[2] / "feature_repo/feature_store_redis.yaml"
PASSWORDS = [
    "1e5",
    "null",
    "true",
    "x #1",
    "a: b",
    "  spaces in front and behind  ",
    "a,b=c",
    "{}[]&*!|>%@`",
    "'single' \"double\"",
    "$HOME ${HOME}",
    "käse-パス",
    "back\\slash",
    "two\nlines",
    "123",
    "~",
]


@pytest.fixture(params=PASSWORDS)
def password(request: pytest.FixtureRequest, redis_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A password that the environment holds, of a user that the Redis that all share has for a while."""
    host, port = redis_server.split(":")
    secret: str = request.param
    with redis.Redis(host, int(port)) as admin:
        admin.acl_setuser("someone", enabled=True, reset=True, passwords=[f"+{secret}"], keys=["*"], commands=["+@all"])
        monkeypatch.setenv("REDIS_ADDRESS", f"{redis_server},username=someone")
        monkeypatch.setenv("REDIS_PASSWORD", secret)
        yield secret
        admin.acl_deluser("someone")


def client_of(config: Any) -> Any:
    """Return the client of the online store, opened as Feast's command opens it."""
    from feast.infra.provider import get_provider

    store: Any = get_provider(config).online_store
    return store._get_client(config.online_store)  # noqa: SLF001 - Feast shows it nowhere else


def test_the_configuration_that_is_shipped_takes_any_password(password: str, tmp_path: Path) -> None:
    assert password
    for config in (load_repo_config(tmp_path, SHIPPED), FeatureRepo(tmp_path, SHIPPED).open().config):
        assert client_of(config).acl_whoami() == "someone"


def test_feasts_own_asynchronous_reads_have_the_password_too(
    redis_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, port = redis_server.split(":")
    monkeypatch.setenv("REDIS_ADDRESS", f"{redis_server},username=another")
    monkeypatch.setenv("REDIS_PASSWORD", "a: b")
    from feast.infra.provider import get_provider

    config = FeatureRepo(tmp_path, SHIPPED).open().config
    store: Any = get_provider(config).online_store

    async def name() -> str:
        client = await store._get_client_async(config.online_store)  # noqa: SLF001 - Feast shows it nowhere else
        told: str = await client.acl_whoami()
        await client.aclose()
        return told

    with redis.Redis(host, int(port)) as admin:
        admin.acl_setuser("another", enabled=True, reset=True, passwords=["+a: b"], keys=["*"], commands=["+@all"])
        assert asyncio.run(name()) == "another"
        admin.acl_deluser("another")


def test_the_password_in_the_text_of_a_connection_string_works_or_is_refused_and_not_shown(
    password: str, tmp_path: Path
) -> None:
    text = SHIPPED.read_text(encoding="utf-8")
    start, end = text.index("  type: feast_columnar.SecretRedisOnlineStore"), text.index("offline_store:")
    stock = "  type: redis\n  connection_string: ${REDIS_ADDRESS},password=${REDIS_PASSWORD}\n"
    file = tmp_path / "feature_store.yaml"
    file.write_text(text[:start] + stock + text[end:], encoding="utf-8")
    refused: FeatureStoreError | None = None
    try:
        config = FeatureRepo(tmp_path).open().config
    except FeatureStoreError as error:
        refused = error
    if refused is None:
        assert client_of(config).acl_whoami() == "someone"
        return
    assert "REDIS_PASSWORD" in str(refused)
    assert password not in str(refused)
    assert refused.__cause__ is None


@pytest.mark.parametrize("variable", ["REDIS_PASSWORD"])
def test_a_password_that_is_not_set_at_all_is_asked_for(
    variable: str, redis_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_ADDRESS", redis_server)
    monkeypatch.delenv(variable, raising=False)
    with pytest.raises(FeatureStoreError, match=f"needs the environment variables {variable}"):
        FeatureRepo(tmp_path, SHIPPED).open()
    with pytest.raises(ValueError, match=f"{variable} is not set"):
        client_of(load_repo_config(tmp_path, SHIPPED))
    monkeypatch.setenv(variable, "")
    assert client_of(FeatureRepo(tmp_path, SHIPPED).open().config).ping()


@pytest.mark.parametrize(
    ("line", "value", "refused"),
    [
        ("path: ${ANY}", "x #1", True),
        ("path: ${ANY}", "", False),
        ("path: ${ANY}", "12", False),
        ("path: a/${ANY}/b", "c: d", True),
        ("path: [a, '${ANY}']", "it's", True),
        ("path: [a, '${ANY}']", "x", False),
        ("path: {a: ${ANY}}", "{b", True),
    ],
)
def test_values_of_the_environment_are_values_not_yaml(
    line: str,
    value: str,
    refused: bool,  # noqa: FBT001 - pytest gives it by its name
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from driver_ranking.feature_store.repo_values import require_plain_values

    monkeypatch.setenv("ANY", value)
    file = tmp_path / "feature_store.yaml"
    file.write_text(f"project: p\n{line}\n", encoding="utf-8")
    if not refused:
        require_plain_values(file)
        return
    with pytest.raises(FeatureStoreError, match="environment variables ANY as they are"):
        require_plain_values(file)


def test_what_is_no_yaml_is_left_to_feast_to_tell(tmp_path: Path) -> None:
    from driver_ranking.feature_store.repo_values import require_plain_values

    file = tmp_path / "feature_store.yaml"
    file.write_text("a: [", encoding="utf-8")
    require_plain_values(file)


def test_an_error_that_quotes_a_password_is_shown_without_it_and_without_its_cause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REDIS_PASSWORD", "se cret")
    message = "input_value='host:1,password=se cret'"
    with pytest.raises(FeatureStoreError) as raised, explained("It fails"):
        raise ValueError(message)
    assert "se cret" not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__
