"""Whether an online store has features at all, and which keys: an emptied store is told from keys without features."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from feast.types import FeastType
from numpy.typing import NDArray

from feast_columnar.online.access import StoreAccess
from feast_columnar.online.requested import RequestSchema
from feast_columnar.online.sample import NONE, Sampler
from feast_columnar.online.stored_keys import example_keys

_KEPT = 8  # keys of each view; if all are gone, others are looked for
_SOME_KEY = np.zeros(1, dtype=np.int64)


@dataclass
class Presence:
    """Remembers a few keys that the store has rows of, and looks whether it still has.

    Attributes:
        sampler: Finds keys.
        known: int64 ``[m]``, the keys that were found.
    """

    sampler: Sampler
    known: NDArray[np.int64] = field(default_factory=lambda: NONE)

    def lacking(self) -> tuple[str, ...]:
        """Return the views of which the store has no row of any key; those of which it can't be told are left out.

        Rows that are too old to be used count: they are there.
        """
        if self.sampler.key is None:
            return self._lacking_of_any()
        asked = self.known if self.known.size else _SOME_KEY
        there = self.sampler.there(asked)  # also shows that the store answers
        kept, lacking = [asked[np.logical_or.reduce(there)]], []
        for place, name in enumerate(self.sampler.names):
            if there[place].any():
                continue
            found = self.sampler.of_view(place, _KEPT)
            kept.append(found.keys)
            if found.complete and not found.keys.size:
                lacking.append(name)
        self.known = np.unique(np.concatenate(kept))
        return tuple(lacking)

    def _lacking_of_any(self) -> tuple[str, ...]:
        """Return likewise where views are not keyed by one integer: no keys are remembered."""
        sampler = self.sampler
        there = sampler.there_of([key.some_key() for key in sampler.keys])  # also shows that the store answers
        return tuple(
            name
            for place, name in enumerate(sampler.names)
            if not there[place].any() and sampler.has_rows(place) is False
        )


@dataclass(frozen=True)
class StoreReader:
    """What every reader of a store can do, whatever it makes of the rows.

    Attributes:
        columns: What it reads.
        access: The store.
        presence: What is known of its keys.
        schema: What a request has to have.
        others: What it reads that are no numbers.
    """

    columns: tuple[str, ...]
    access: StoreAccess
    presence: Presence
    schema: RequestSchema
    others: tuple[str, ...]

    @property
    def keys(self) -> Mapping[str, FeastType]:
        """Return the keys that a request has to have."""
        return self.schema.keys

    @property
    def request(self) -> Mapping[str, FeastType]:
        """Return what else a request has to have."""
        return self.schema.request

    def sample(self, count: int) -> NDArray[np.int64]:
        """Find keys that the store has rows of."""
        with self.access.reading():
            return self.presence.sampler.sample(count)

    def sample_keys(self, candidate: str, count: int) -> dict[str, list[Any]] | None:
        """Find keys of any kind that the store has rows of, for one request."""
        sampler = self.presence.sampler
        with self.access.reading():
            return example_keys(sampler.source, sampler.keys, candidate, count)

    def lacking(self) -> tuple[str, ...]:
        """Name the feature views of which the store has no row."""
        with self.access.reading():
            return self.presence.lacking()

    def close(self) -> None:
        """Let go of the store's files."""
        self.access.gate.close()
