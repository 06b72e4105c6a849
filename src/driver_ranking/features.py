"""Features of rows, as a model takes them: numbers as one array, texts beside it, and what stands for missing ones.

Pure NumPy. A model that takes numbers alone is given float64 ``[n, k]`` alone; one that takes texts as well is given
`FeatureRows`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class FeatureRows:
    """Features of which some are texts.

    Attributes:
        numbers: float64 ``[n, k]``, the columns of the model's signature that are numbers, in its order; NaN where a
            value is missing.
        texts: Its other columns by name, objects ``[n]``: str or bytes, None where a value is missing.
    """

    numbers: NDArray[np.float64]
    texts: Mapping[str, NDArray[np.object_]]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.numbers)

    def __getitem__(self, rows: Any) -> "FeatureRows":  # noqa: ANN401 - whatever NumPy takes
        """Return some of the rows: a mask, indices or a slice."""
        return FeatureRows(self.numbers[rows], {name: values[rows] for name, values in self.texts.items()})


Features: TypeAlias = NDArray[np.float64] | FeatureRows
"""What a model takes of n rows."""


def numbers_of(features: Features) -> NDArray[np.float64]:
    """Return the features that are numbers, float64 ``[n, k]``."""
    return features.numbers if isinstance(features, FeatureRows) else features


def has_all_features(features: Features) -> NDArray[np.bool_]:
    """Return for each row whether no feature is missing, bool ``[n]``."""
    complete = np.asarray(~np.isnan(numbers_of(features)).any(axis=1))
    if isinstance(features, FeatureRows):
        for values in features.texts.values():
            complete &= values != None  # noqa: E711 - of each of them
    return complete


@dataclass(frozen=True)
class Defaults:
    """What stands for features that are missing; a feature without one excludes the row.

    Attributes:
        numbers: float64 ``[k]``, for the columns of `FeatureRows.numbers`; NaN where there is no default.
        texts: By column.
    """

    numbers: NDArray[np.float64]
    texts: Mapping[str, str | bytes] = field(default_factory=dict)

    def fill(self, features: Features) -> tuple[Features, NDArray[np.bool_]]:
        """Return the rows with the defaults in place of what is missing, and which rows have one, bool ``[n]``.

        The rows that were given stay as they are.
        """
        numbers = numbers_of(features)
        missing = np.isnan(numbers) & ~np.isnan(self.numbers)
        defaulted = np.asarray(missing.any(axis=1))
        filled = np.where(missing, self.numbers, numbers) if defaulted.any() else numbers
        if not isinstance(features, FeatureRows):
            return filled, defaulted
        texts = dict(features.texts)
        for name, default in self.texts.items():
            absent = np.asarray(texts[name] == None, dtype=np.bool_)  # noqa: E711 - of each of them
            if absent.any():
                texts[name] = texts[name].copy()
                texts[name][absent] = default
                defaulted = defaulted | absent
        return FeatureRows(filled, texts), defaulted
