"""Features from the online store: the library's reader, with errors of this project."""

from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from driver_ranking.feature_store.library_errors import own_errors
from driver_ranking.feature_store.repo import ServiceFeatures

if TYPE_CHECKING:
    from collections.abc import Mapping

    from feast import FeatureStore
    from feast.types import FeastType

    from feast_columnar.online.features import OnlineFeatures
    from feast_columnar.online.reader import OnlineReader
    from feast_columnar.online.requested import Columns, Keys


def open_reader(
    store: "FeatureStore", features: ServiceFeatures, wanted: tuple[str, ...], *, timeout: float
) -> "OnlineReader":
    """Return a reader of the stored features that a model takes, by whatever keys they have.

    Args:
        store: The applied feature store.
        features: The model's feature service.
        wanted: The columns of the model's signature that the service offers, in order: the reader has those that are
            numbers, booleans among them, as its ``columns``, and texts and bytes as its ``others``.
        timeout: How long the store may take to answer, in seconds, where it can be told.

    Raises:
        FeatureStoreError: A feature can't be read online.
    """
    from feast_columnar.online import reader as columnar_reader  # needs Feast, which `FeatureRepo.open` imports faster

    with own_errors():
        return _Reader(
            columnar_reader.open_reader(
                store, features.service, columns=wanted, full_feature_names=features.full_names, timeout=timeout
            )
        )


@dataclass(frozen=True)
class _Reader:
    """A reader of the library's whose errors are this project's. Its methods are those of `OnlineReader`."""

    reader: "OnlineReader"

    @property
    def columns(self) -> tuple[str, ...]:
        return self.reader.columns

    @property
    def others(self) -> tuple[str, ...]:
        return self.reader.others

    @property
    def keys(self) -> "Mapping[str, FeastType]":
        return self.reader.keys

    @property
    def request(self) -> "Mapping[str, FeastType]":
        return self.reader.request

    def read(self, keys: "Keys", now: int | None = None, *, request: "Columns | None" = None) -> "OnlineFeatures":
        with own_errors():
            return self.reader.read(keys, now, request=request)

    async def read_async(
        self,
        keys: "Keys",
        now: int | None = None,
        thread: Executor | None = None,
        *,
        request: "Columns | None" = None,
    ) -> "OnlineFeatures":
        with own_errors():
            return await self.reader.read_async(keys, now, thread, request=request)

    def sample(self, count: int) -> NDArray[np.int64]:
        with own_errors():
            return self.reader.sample(count)

    def sample_keys(self, candidate: str, count: int) -> dict[str, list[Any]] | None:
        with own_errors():
            return self.reader.sample_keys(candidate, count)

    def lacking(self) -> tuple[str, ...]:
        with own_errors():
            return self.reader.lacking()

    def close(self) -> None:
        self.reader.close()
