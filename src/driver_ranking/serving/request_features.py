"""What comes with a request, as a model and the views take it: in its columns, beside what is stored."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from driver_ranking.errors import RequestError
from driver_ranking.features import FeatureRows, Features
from driver_ranking.model_columns import is_exact
from driver_ranking.model_version import RegisteredModel
from driver_ranking.serving.contract import shown
from driver_ranking.serving.query import NOT_GIVEN, as_objects, is_missing
from feast_columnar.exactness import EXACT_INTEGERS
from feast_columnar.online.features import OnlineFeatures


@dataclass(frozen=True)
class FeatureColumns:
    """Where the columns of a model's signature come from.

    Attributes:
        model: The model.
        requested: Its columns that come with the request.
    """

    model: RegisteredModel
    requested: tuple[str, ...] = ()

    @cached_property
    def _numbers(self) -> tuple[str, ...]:
        return self.model.number_columns

    @cached_property
    def _texts(self) -> tuple[str, ...]:
        return self.model.text_columns

    @cached_property
    def _stored(self) -> list[int]:
        """Return which of the numbers are stored, by their places."""
        return [place for place, name in enumerate(self._numbers) if name not in self.requested]

    def given(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return the columns that come with the request, of n rows or one: float64 with NaN, or objects with None.

        Args:
            inputs: What the request has, by name.

        Raises:
            RequestError: A number is none that the column's type holds exactly.
        """
        types = self.model.types if self.requested else {}
        return {
            name: _number(name, inputs.get(name, NOT_GIVEN), types[name])
            if name in self._numbers
            else as_objects(inputs.get(name, NOT_GIVEN))
            for name in self.requested
        }

    def put_together(self, read: OnlineFeatures, given: Mapping[str, NDArray[Any]]) -> Features:
        """Return the features of n rows; where all are numbers that were read, it is those, not a copy.

        Args:
            read: What was read of the stored columns.
            given: What came with the request.
        """
        numbers = read.matrix
        if len(self._stored) != len(self._numbers):
            numbers = np.empty((len(read.matrix), len(self._numbers)))
            numbers[:, self._stored] = read.matrix
            for place, name in enumerate(self._numbers):
                if name in given:
                    numbers[:, place] = given[name]
        if not self._texts:
            return numbers
        texts = {**read.others, **given}
        return FeatureRows(numbers, {name: _of_all(texts[name], len(numbers)) for name in self._texts})


def _of_all(values: NDArray[np.object_], count: int) -> NDArray[np.object_]:
    return values if len(values) == count else np.repeat(values, count)


def _number(name: str, values: NDArray[Any], kind: str) -> NDArray[np.float64]:
    """Return a column as float64, NaN where a value is missing, if its type in the signature holds it exactly."""
    missing = is_missing(values)
    present = np.array(values[~missing].tolist())  # in a type of their own, where they are objects
    if present.dtype.kind not in "fiub":
        message = f"The input {name!r} must have numbers that 64 bits hold; it has {shown(present[0])}."
        raise RequestError(message)
    numbers = present.astype(np.float64)
    held = is_exact(numbers, kind)
    if present.dtype.kind in "iu":
        held &= np.abs(numbers) < EXACT_INTEGERS
    if not held.all():
        message = (
            f"The input {name!r} has {shown(present[~held][0])}, which the model can't be given exactly: it takes "
            f"{kind}, and integers below 2^53."
        )
        raise RequestError(message)
    column = np.full(len(values), np.nan)
    column[~missing] = numbers
    return column


def for_views(inputs: Mapping[str, NDArray[Any]], wanted: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    """Return what on-demand feature views compute from, as the reader takes it.

    Args:
        inputs: What the request has, by name.
        wanted: The datatypes of what the views want.
    """
    return {name: _for_view(inputs.get(name, NOT_GIVEN), datatype) for name, datatype in wanted.items()}


def _for_view(values: NDArray[Any], datatype: str) -> NDArray[Any]:
    """Return a column in which only numbers are NaN where they are missing: the reader knows it as a number."""
    is_number = values.dtype.kind == "f" and datatype.startswith("FP")
    return as_objects(values) if values.dtype.kind in "fO" and not is_number else values
