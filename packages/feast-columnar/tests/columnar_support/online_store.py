"""An online store with a read of its own, as others' stores have."""

from typing import Any

from feast.infra.online_stores.sqlite import SqliteOnlineStore, SqliteOnlineStoreConfig


class OtherSqliteOnlineStoreConfig(SqliteOnlineStoreConfig):
    """Its settings."""

    type: str = "columnar_support.online_store.OtherSqliteOnlineStore"  # type: ignore[assignment] # not a literal of Feast's


class OtherSqliteOnlineStore(SqliteOnlineStore):
    """Feast's SQLite store, but that what reads the database itself can't know so."""

    def online_read(self, *arguments: Any, **named: Any) -> Any:
        """Read as Feast does."""
        return super().online_read(*arguments, **named)
