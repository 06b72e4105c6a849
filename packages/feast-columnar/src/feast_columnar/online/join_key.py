"""The one key by which features are read: what requests call it, and what the store does."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from feast_columnar.errors import UnservableFeatureError


@dataclass(frozen=True)
class StoredKey:
    """How a feature view's rows are keyed in the store.

    Attributes:
        join_key: Name of the one join key, in the store.
        value_field: The field of Feast's value message that holds a key, ``int64_val`` or ``int32_val``.
    """

    join_key: str
    value_field: str


def common_key(views: Iterable[Any]) -> str:
    """Return the one join key that all views have.

    Args:
        views: Feature views, projected as a service wants them.

    Raises:
        UnservableFeatureError: There are several.
    """
    named = list(dict.fromkeys(name for view in views for name in _requested(view)))
    if len(named) != 1:
        message = f"What is read online is keyed by one integer; the feature views have the join keys {_listed(named)}."
        raise UnservableFeatureError(message)
    return named[0]


def stored_key(view: Any, key: str) -> StoredKey:  # noqa: ANN401 - a feature view of one of Feast's kinds
    """Return how a view's rows are keyed, where the key is one integer.

    Args:
        view: The view, projected as the service wants it.
        key: What requests call the key.

    Raises:
        UnservableFeatureError: It is keyed otherwise, or not online.
    """
    from feast.types import Int32, Int64

    if not getattr(view, "online", True):
        message = f"The feature view {view.name!r} is not online (`online=False`): it can't be served."
        raise UnservableFeatureError(message)
    fields = {"int64_val": Int64, "int32_val": Int32}
    keys = {column.name: column.dtype for column in view.entity_columns}
    value_field = next((field for field, dtype in fields.items() if [dtype] == list(keys.values())), None)
    if _requested(view) != [key] or value_field is None:
        found = _listed([f"{name} ({dtype})" for name, dtype in keys.items()])
        message = (
            f"The feature view {view.name!r} has the join keys {found}; what is served online is keyed by one integer, "
            f"{key!r}."
        )
        raise UnservableFeatureError(message)
    return StoredKey(next(iter(keys)), value_field)


def _requested(view: Any) -> list[str]:  # noqa: ANN401 - as above
    """Return what requests call a view's join keys."""
    return [view.projection.join_key_map.get(column.name, column.name) for column in view.entity_columns]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
