"""Features that on-demand feature views compute from rows, as Feast's `get_online_features` does, but as numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feast_columnar.errors import OnDemandFeatureError
from feast_columnar.online.join_key import StoredKey
from feast_columnar.online.stock import Row
from feast_columnar.online.values import is_inexact

# float64 [n, k]; bool [n], keys with an integer that float64 does not hold exactly, whose features are NaN
Computed = tuple[NDArray[np.float64], NDArray[np.bool_]]


@dataclass(frozen=True)
class Table:
    """A feature view that is read, and what of it."""

    view: Any
    features: tuple[str, ...]
    key: StoredKey


@dataclass(frozen=True)
class Computation:
    """What computes the features of keys from their rows.

    Attributes:
        tables: What is read.
        views: The on-demand feature views.
        references: The features that are taken, as ``view:feature``.
        full_feature_names: Whether columns are named ``view__feature``.
        columns: The columns that are taken, in order.
        key: What requests call the key.
    """

    tables: tuple[Table, ...]
    views: tuple[Any, ...]
    references: tuple[str, ...]
    full_feature_names: bool
    columns: tuple[str, ...]
    key: str

    def compute(self, keys: Sequence[int], rows: Sequence[Sequence[Row]]) -> Computed:
        """Return the features, and which of them are no doubles.

        Args:
            keys: The keys, at least one.
            rows: For each table the keys' rows, in their order.

        Raises:
            OnDemandFeatureError: A view's code fails, or gives what can't be used.
        """
        alone = any(getattr(view, "singleton", False) for view in self.views)  # their code takes one key's values
        try:
            if not alone:
                return self._compute(keys, rows)
            parts = [self._compute([one], [[table[place]] for table in rows]) for place, one in enumerate(keys)]
            return np.concatenate([values for values, _ in parts]), np.concatenate([inexact for _, inexact in parts])
        except (Exception, SystemExit) as error:
            named = ", ".join(repr(view.name) for view in self.views)
            plural = "views" if len(self.views) > 1 else "view"
            message = f"The on-demand feature {plural} {named} can't be computed: {type(error).__name__}: {error}"
            raise OnDemandFeatureError(message) from error

    def _compute(self, keys: Sequence[int], rows: Sequence[Sequence[Row]]) -> Computed:
        answer = self._answer(keys, rows)
        columns = [_numbers(name, answer, len(keys)) for name in self.columns]
        inexact = np.logical_or.reduce([np.array([*map(is_inexact, column)], np.bool_) for column in columns])
        values = np.array(columns, dtype=np.float64).T  # None is NaN
        values[inexact] = np.nan
        return values, inexact

    def _answer(self, keys: Sequence[int], rows: Sequence[Sequence[Row]]) -> dict[str, list[Any]]:
        """Return what Feast answers, by column."""
        from feast import utils
        from feast.infra.online_stores.online_store import OnlineStore
        from feast.online_response import OnlineResponse
        from feast.protos.feast.serving.ServingService_pb2 import GetOnlineFeaturesResponse
        from feast.protos.feast.types.Value_pb2 import Value

        field, count = self.tables[0].key.value_field, len(keys)
        response = GetOnlineFeaturesResponse(results=[])
        ids = [Value(**{field: key}) for key in keys]  # type: ignore[arg-type] # one of its integers
        utils._populate_result_rows_from_columnar(response, {self.key: ids})  # noqa: SLF001 - Feast has no other door to its own rules
        for table, found in zip(self.tables, rows, strict=True):
            places = tuple([place] for place in range(count))
            utils._populate_response_from_feature_data(  # noqa: SLF001 - Feast has no other door to its own rules
                list(table.features), list(found), places, response, self.full_feature_names, table.view, count
            )
        types = OnlineStore._build_feature_types([(table.view, list(table.features)) for table in self.tables])  # noqa: SLF001 - Feast has no other door to its own rules
        utils._augment_response_with_on_demand_transforms(  # noqa: SLF001 - Feast has no other door to its own rules
            response, list(self.references), list(self.views), self.full_feature_names, feature_types=types
        )
        answer: dict[str, list[Any]] = OnlineResponse(response, feature_types=types).to_dict()
        return answer


def _numbers(name: str, answer: dict[str, list[Any]], count: int) -> list[Any]:
    """Return a column of an answer, of numbers and None.

    Raises:
        ValueError: It is not there, has another length, or holds something else than numbers.
    """
    if name not in answer:
        message = f"there is no {name!r} in what it gives"
        raise ValueError(message)
    values = answer[name]
    if len(values) != count:
        message = f"{name!r} has {len(values)} values for {count} keys"
        raise ValueError(message)
    if not all(value is None or isinstance(value, (int, float, np.number, np.bool_)) for value in values):
        message = f"{name!r} holds something else than numbers"
        raise ValueError(message)
    return values
