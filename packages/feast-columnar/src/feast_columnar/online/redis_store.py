"""A Redis online store whose password is a value of the environment, whatever characters it has.

Plugged in by class path in feature_store.yaml:

    online_store:
      type: feast_columnar.SecretRedisOnlineStore
      connection_string: ${REDIS_ADDRESS}
      password_variable: REDIS_PASSWORD   # the name of the variable, without a dollar sign

Feast puts what ``${REDIS_PASSWORD}`` stands for into the text of the file before it is read as YAML, then splits the
connection string at its commas, and takes what looks like JSON for JSON: ``1e5`` becomes a number, ``a,b`` two
settings, ``x #1`` a comment, and what can't be read is quoted in an error. Here the file never holds the password.
Pushes are recorded in the ledger, if the repo keeps one (`feast_columnar.ledger`). It is Feast's own Redis store in all
else.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from feast.infra.online_stores.redis import RedisOnlineStore, RedisOnlineStoreConfig
from pydantic import StrictStr  # noqa: TC002 - pydantic evaluates the annotations

from feast_columnar.ledger.recording import written

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from feast import FeatureView
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value
    from feast.repo_config import RepoConfig

    Written = tuple[EntityKey, dict[str, Value], datetime, datetime | None]

STORE_TYPE = "feast_columnar.SecretRedisOnlineStore"


class SecretRedisOnlineStoreConfig(RedisOnlineStoreConfig):
    """The `online_store` section of feature_store.yaml.

    Attributes:
        type: The class path of the store.
        password_variable: The environment variable that holds the password, which may be empty for none.
        username_variable: Likewise the user's name.
    """

    type: StrictStr = STORE_TYPE  # type: ignore[assignment] # not a literal of Feast's
    password_variable: StrictStr = "REDIS_PASSWORD"  # noqa: S105 - a name
    username_variable: StrictStr | None = None


class SecretRedisOnlineStore(RedisOnlineStore):
    """Feast's Redis store with its password from the environment."""

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[Written],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Write as Feast does; a push is recorded, if the repo keeps a ledger."""
        with written(config, table, data):
            super().online_write_batch(config, table, data, progress)

    async def online_write_batch_async(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[Written],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Write as Feast does; likewise."""
        with written(config, table, data):
            await super().online_write_batch_async(config, table, data, progress)

    def _get_client(self, online_store_config: Any) -> Any:  # noqa: ANN401 - Feast's interface
        self._credentials = _credentials(online_store_config)
        return super()._get_client(online_store_config)

    async def _get_client_async(self, online_store_config: Any) -> Any:  # noqa: ANN401 - Feast's interface
        self._credentials = _credentials(online_store_config)
        return await super()._get_client_async(online_store_config)

    def _parse_connection_string(self, connection_string: str) -> tuple[list[dict[str, str]], dict[str, Any]]:  # type: ignore[override] # Feast's needs no object
        """Return Feast's reading of a connection string, with the credentials."""
        nodes, settings = RedisOnlineStore._parse_connection_string(connection_string)  # noqa: SLF001 - it is the parent's
        return nodes, settings | self._credentials


def _credentials(config: Any) -> dict[str, str]:  # noqa: ANN401 - of the class above
    """Return what the environment has for the client.

    Raises:
        ValueError: A variable is not set.
    """
    found = {}
    for setting, variable in (("password", config.password_variable), ("username", config.username_variable)):
        if variable is None:
            continue
        if variable not in os.environ:
            message = f"The environment variable {variable} is not set: set it, if only to nothing."
            raise ValueError(message)
        if os.environ[variable]:
            found[setting] = os.environ[variable]
    return found
