"""Features of rows, stored or computed by on-demand views: those of Feast's `get_online_features`, but as columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from feast.protos.feast.types.Value_pb2 import Value
from feast.value_type import ValueType
from numpy.typing import NDArray

from feast_columnar.errors import OnDemandFeatureError
from feast_columnar.online.objects import ObjectType, objects
from feast_columnar.online.stock import Row
from feast_columnar.online.values import is_inexact
from feast_columnar.online.view_keys import ViewKey

_NULL: Final = Value()
_NOT_A_NUMBER: Final = Value(double_val=np.nan)
_NUMBERS: Final = {ValueType.DOUBLE, ValueType.FLOAT, ValueType.INT64, ValueType.INT32}
_NO_ROW: Final = (None, None)


@dataclass(frozen=True)
class Computed:
    """Features of some rows.

    Attributes:
        values: float64 ``[n, k]``, those that are numbers.
        others: Those that are none, by column, ``[n]``.
        inexact: bool ``[n]``, rows with an integer that float64 does not hold exactly, whose numbers are NaN.
    """

    values: NDArray[np.float64]
    others: Mapping[str, NDArray[np.object_]]
    inexact: NDArray[np.bool_]


@dataclass(frozen=True)
class Table:
    """A feature view that is read, and what of it."""

    view: Any
    features: tuple[str, ...]
    key: ViewKey


@dataclass(frozen=True)
class Computation:
    """What makes the features that are taken of one view of the rows that they are made of.

    Attributes:
        at: Which tables those rows are in, by their places.
        tables: What of these tables is needed.
        view: The on-demand feature view that computes them; None where they are taken as they are stored.
        name: How references name the view.
        columns: The columns that are taken and are numbers, with the names of the features.
        others: Those that are none, likewise.
        kinds: What the others are, by column.
    """

    at: tuple[int, ...]
    tables: tuple[Table, ...]
    view: Any
    name: str
    columns: Mapping[str, str]
    others: Mapping[str, str]
    kinds: Mapping[str, ObjectType]

    @property
    def taken(self) -> tuple[str, ...]:
        """Return all columns."""
        return (*self.columns, *self.others)

    @cached_property
    def _asked(self) -> Mapping[str, Any]:
        """Return what the view computes from that only a request has, with Feast's types."""
        return {} if self.view is None else self.view.get_request_data_schema()

    def nulls(
        self, inputs: Mapping[str, Sequence[Any]], rows: Sequence[Sequence[Row | None]], which: NDArray[np.intp]
    ) -> NDArray[np.bool_]:
        """Return which of the values are null that the view computes from, bool ``[m, k]`` of some rows.

        Of what is taken as it is stored, null is a value like any other.

        Args:
            inputs: Feast's messages of what is in the request, by name.
            rows: For each table the rows, in the same order.
            which: The places of those that are looked at.
        """
        if self.view is None:
            return np.zeros((len(which), 0), dtype=np.bool_)
        columns = [[_is_null(inputs[name][place]) for place in which] for name in self._asked if name in inputs]
        for table, found in zip(self.tables, rows, strict=True):
            stored = [(found[place] or _NO_ROW)[1] or {} for place in which.tolist()]
            columns += [[_is_null(row.get(name)) for row in stored] for name in table.features]
        return np.array(columns, dtype=np.bool_).reshape(len(columns), len(which)).T

    def compute(
        self,
        inputs: Mapping[str, Sequence[Any]],
        rows: Sequence[Sequence[Row]],
        count: int,
        *,
        has_nulls: bool = False,
    ) -> Computed:
        """Return the features.

        Args:
            inputs: Feast's messages of what is in the request, keys and all else, by name.
            rows: For each table the rows, in the same order.
            count: How many there are, at least one.
            has_nulls: Whether something is null of what the view computes from, in each row the same.

        Raises:
            OnDemandFeatureError: A view's code fails, or gives what can't be used.
        """
        if has_nulls:
            inputs, rows = self._with_plain_nulls(inputs, rows)
        try:
            if not getattr(self.view, "singleton", False):
                return self._compute(inputs, rows, count)
            return self._joined(
                [  # its code takes one row's values
                    self._compute(
                        {name: [values[place]] for name, values in inputs.items()},
                        [[table[place]] for table in rows],
                        1,
                    )
                    for place in range(count)
                ]
            )
        except (Exception, SystemExit) as error:
            fault = (
                "feature view {!r} can't be read"
                if self.view is None
                else "on-demand feature view {!r} can't be computed"
            )
            message = f"The {fault.format(self.name)}: {type(error).__name__}: {error}"
            raise OnDemandFeatureError(message) from error

    def _with_plain_nulls(
        self, inputs: Mapping[str, Sequence[Any]], rows: Sequence[Sequence[Row]]
    ) -> tuple[Mapping[str, Sequence[Any]], Sequence[Sequence[Row]]]:
        """Return what the view computes from with nulls as columns of their types have them.

        Of numbers, pandas has NaN: without it, a column of nothing else would be one of objects.
        """
        of_numbers = _NOT_A_NUMBER if self.view.mode == "pandas" else _NULL

        def plain(value: Any, kind: ValueType | None) -> Any:  # noqa: ANN401 - protobuf messages
            return value if not _is_null(value) else of_numbers if kind in _NUMBERS else _NULL

        given = {name: [plain(one, self._asked.get(name)) for one in values] for name, values in inputs.items()}
        tables: list[list[Row]] = []
        for table, found in zip(self.tables, rows, strict=True):
            kinds = {field.name: field.dtype.to_value_type() for field in table.view.features}
            tables.append(
                [
                    (time, {name: plain((row or {}).get(name), kinds.get(name)) for name in table.features})
                    for time, row in found
                ]
            )
        return given, tables

    def _joined(self, parts: Sequence[Computed]) -> Computed:
        """Return rows that were computed one by one."""
        values = np.concatenate([one.values for one in parts])
        others = {name: np.concatenate([one.others[name] for one in parts]) for name in self.others}
        return Computed(values, others, np.concatenate([one.inexact for one in parts]))

    def _compute(self, inputs: Mapping[str, Sequence[Any]], rows: Sequence[Sequence[Row]], count: int) -> Computed:
        answer, prefix = self._answer(inputs, rows, count), f"{self.name}__" if self._full_names else ""
        columns = [_numbers(prefix + name, answer, count) for name in self.columns.values()]
        others = {
            column: _objects(prefix + name, answer, count, self.kinds[column]) for column, name in self.others.items()
        }
        inexact = np.zeros(count, dtype=np.bool_)
        values = np.empty((count, len(columns)))
        for place, column in enumerate(columns):
            inexact |= np.array([*map(is_inexact, column)], np.bool_)
            values[:, place] = np.array(column, dtype=np.float64)  # None is NaN
        values[inexact] = np.nan
        return Computed(values, others, inexact)

    @cached_property
    def _full_names(self) -> bool:
        """Return whether features are told apart by the names of their views alone.

        Only then are they named so: Feast does not find what code in Python's mode gives by such names.
        """
        names = [name for table in self.tables for name in table.features]
        return len(set(names)) < len(names)

    def _answer(self, inputs: Mapping[str, Sequence[Any]], rows: Sequence[Sequence[Row]], count: int) -> dict[str, Any]:
        """Return what Feast answers, by column."""
        if self.view is None:
            (table,), (found,) = self.tables, rows
            return {name: [_stored((row or {}).get(name)) for _, row in found] for name in table.features}
        from feast import utils
        from feast.infra.online_stores.online_store import OnlineStore
        from feast.online_response import OnlineResponse
        from feast.protos.feast.serving.ServingService_pb2 import GetOnlineFeaturesResponse

        response = GetOnlineFeaturesResponse(results=[])
        utils._populate_result_rows_from_columnar(response, {name: list(one) for name, one in inputs.items()})  # noqa: SLF001 - Feast has no other door to its own rules
        for table, found in zip(self.tables, rows, strict=True):
            places = tuple([place] for place in range(count))
            utils._populate_response_from_feature_data(  # noqa: SLF001 - Feast has no other door to its own rules
                list(table.features), list(found), places, response, self._full_names, table.view, count
            )
        types = OnlineStore._build_feature_types([(table.view, list(table.features)) for table in self.tables])  # noqa: SLF001 - Feast has no other door to its own rules
        references = [f"{self.name}:{feature}" for feature in (*self.columns.values(), *self.others.values())]
        utils._augment_response_with_on_demand_transforms(  # noqa: SLF001 - Feast has no other door to its own rules
            response, references, [self.view], self._full_names, feature_types=types
        )
        answer: dict[str, Any] = OnlineResponse(response, feature_types=types).to_dict()
        return answer


def _stored(value: Any) -> Any:  # noqa: ANN401 - a protobuf message, and whatever it holds
    """Return what a value message holds; None for null."""
    kind = None if value is None else value.WhichOneof("val")
    return None if kind in {None, "null_val"} else getattr(value, kind)


def _is_null(value: Any) -> bool:  # noqa: ANN401 - a protobuf message, if there is one
    return value is None or value.WhichOneof("val") in {None, "null_val"}


def _column(name: str, answer: dict[str, list[Any]], count: int) -> list[Any]:
    """Return a column of an answer.

    Raises:
        ValueError: It is not there, or has another length.
    """
    if name not in answer:
        message = f"there is no {name!r} in what it gives"
        raise ValueError(message)
    values = answer[name]
    if len(values) != count:
        message = f"{name!r} has {len(values)} values for {count} keys"
        raise ValueError(message)
    return values


def _numbers(name: str, answer: dict[str, list[Any]], count: int) -> list[Any]:
    """Return a column of an answer, of numbers and None.

    Raises:
        ValueError: It is not there, has another length, or holds something else than numbers.
    """
    values = _column(name, answer, count)
    if not all(value is None or isinstance(value, (int, float, np.number, np.bool_)) for value in values):
        message = f"{name!r} holds something else than numbers"
        raise ValueError(message)
    return values


def _objects(name: str, answer: dict[str, list[Any]], count: int, kind: ObjectType) -> NDArray[np.object_]:
    """Return a column of an answer, of objects and None.

    Raises:
        ValueError: It is not there, has another length, or holds something else.
    """
    try:
        return objects([kind.computed(value) for value in _column(name, answer, count)])
    except TypeError as error:
        message = f"{name!r} holds something else than {kind.kinds[0].__name__}"
        raise ValueError(message) from error
