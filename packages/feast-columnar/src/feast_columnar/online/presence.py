"""Whether an online store has features at all: a store that was emptied is told from drivers that have none."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from feast_columnar.online.sample import NONE, Sampler

_KEPT = 8  # drivers of each view; if all are gone, others are looked for
_SOME_DRIVER = np.zeros(1, dtype=np.int64)


@dataclass
class Presence:
    """Remembers a few drivers that the store has rows of, and looks whether it still has.

    Attributes:
        sampler: Finds drivers.
        known: int64 ``[m]``, the drivers that were found.
    """

    sampler: Sampler
    known: NDArray[np.int64] = field(default_factory=lambda: NONE)

    def lacking(self) -> tuple[str, ...]:
        """Return the views of which the store has no row of any driver; those of which it can't be told are left out.

        Rows that are too old to be used count: they are there.
        """
        asked = self.known if self.known.size else _SOME_DRIVER
        there = [rows.times != 0 for rows in self.sampler.source.read(asked)]  # also shows that the store answers
        kept, lacking = [asked[np.logical_or.reduce(there)]], []
        for place, name in enumerate(self.sampler.names):
            if there[place].any():
                continue
            found = self.sampler.of_view(place, _KEPT)
            kept.append(found.driver_id)
            if found.complete and not found.driver_id.size:
                lacking.append(name)
        self.known = np.unique(np.concatenate(kept))
        return tuple(lacking)
