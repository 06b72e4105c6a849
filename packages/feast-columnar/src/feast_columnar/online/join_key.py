"""The keys by which features are read: what requests call them, and what the store does."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from feast.types import FeastType, Int32, Int64

from feast_columnar.errors import UnservableFeatureError
from feast_columnar.online.keys import KEY_TYPES
from feast_columnar.online.view_keys import KeyColumn, ViewKey


def view_key(view: Any, key: str | None) -> ViewKey:  # noqa: ANN401 - a feature view of one of Feast's kinds
    """Return how a view's rows are keyed.

    Args:
        view: The view, projected as the service wants it.
        key: What requests call the one integer by which all is read; None where any keys will do.

    Raises:
        UnservableFeatureError: It is keyed otherwise, or not online.
    """
    if not getattr(view, "online", True):
        message = f"The feature view {view.name!r} is not online (`online=False`): it can't be served."
        raise UnservableFeatureError(message)
    names = view.projection.join_key_map
    columns = tuple(
        KeyColumn(column.name, names.get(column.name, column.name), column.dtype.to_value_type())
        for column in view.entity_columns
    )
    odd = next((column for column in view.entity_columns if column.dtype.to_value_type() not in KEY_TYPES), None)
    one = [column.asked for column in columns] == [key] and view.entity_columns[0].dtype in (Int64, Int32)
    if key is not None and not one:
        found = _listed([f"{column.name} ({column.dtype})" for column in view.entity_columns])
        message = (
            f"The feature view {view.name!r} has the join keys {found}; what is served online is keyed by one integer, "
            f"{key!r}."
        )
        raise UnservableFeatureError(message)
    if odd is not None:
        message = (
            f"The feature view {view.name!r} has the join key {odd.name} ({odd.dtype}); Feast's online stores take "
            "keys that are integers, strings, bytes or timestamps."
        )
        raise UnservableFeatureError(message)
    return ViewKey(columns)


def asked_keys(views: Iterable[Any], keys: Sequence[ViewKey]) -> Mapping[str, FeastType]:
    """Return the keys that requests have to have, with their types; an integer is of 64 bits where one view has it so.

    Args:
        views: The views, projected as the service wants them.
        keys: How they are keyed.

    Raises:
        UnservableFeatureError: Two views want values of different types by one name.
    """
    asked: dict[str, FeastType] = {}
    for view, key in zip(views, keys, strict=True):
        dtypes = {column.name: column.dtype for column in view.entity_columns}
        for one in key.columns:
            if one.asked not in key.asked:
                continue  # it stands for none
            dtype = dtypes[one.stored]
            before = asked.setdefault(one.asked, dtype)
            if before != dtype:
                if {before, dtype} != {Int32, Int64}:
                    message = (
                        f"The join key {one.asked!r} is {before} in one feature view and {dtype} in {view.name!r}: "
                        "give one of them another name by `with_join_key_map`."
                    )
                    raise UnservableFeatureError(message)
                asked[one.asked] = Int64
    return asked


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
