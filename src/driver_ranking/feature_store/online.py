"""Features of drivers from the online store: the library's reader, with errors of this project."""

from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from driver_ranking.feature_store.library_errors import own_errors
from driver_ranking.feature_store.repo import ServiceFeatures

if TYPE_CHECKING:
    from feast import FeatureStore

    from feast_columnar.online.features import OnlineFeatures
    from feast_columnar.online.reader import OnlineReader


def open_reader(
    store: "FeatureStore", features: ServiceFeatures, wanted: tuple[str, ...], *, key: str, timeout: float
) -> "OnlineReader":
    """Return a reader of the features that a model takes.

    Args:
        store: The applied feature store.
        features: The model's feature service.
        wanted: The columns of the model's signature, in order.
        key: The column that names the driver in requests.
        timeout: How long the store may take to answer, in seconds, where it can be told.

    Raises:
        FeatureStoreError: A feature can't be read online by this key.
    """
    from feast_columnar.online import reader as columnar_reader  # needs Feast, which `FeatureRepo.open` imports faster

    with own_errors():
        reader = columnar_reader.open_reader(
            store,
            features.service,
            columns=wanted,
            key=key,
            full_feature_names=features.full_names,
            timeout=timeout,
        )
    return _Reader(reader)


@dataclass(frozen=True)
class _Reader:
    """A reader of the library's whose errors are this project's. Its methods are those of `OnlineReader`."""

    reader: "OnlineReader"

    @property
    def columns(self) -> tuple[str, ...]:
        return self.reader.columns

    def read(self, keys: NDArray[np.int64], now: int | None = None) -> "OnlineFeatures":
        with own_errors():
            return self.reader.read(keys, now)

    async def read_async(
        self, keys: NDArray[np.int64], now: int | None = None, thread: Executor | None = None
    ) -> "OnlineFeatures":
        with own_errors():
            return await self.reader.read_async(keys, now, thread)

    def sample(self, count: int) -> NDArray[np.int64]:
        with own_errors():
            return self.reader.sample(count)

    def lacking(self) -> tuple[str, ...]:
        with own_errors():
            return self.reader.lacking()

    def close(self) -> None:
        self.reader.close()
