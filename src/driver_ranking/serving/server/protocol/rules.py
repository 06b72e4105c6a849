"""What the requests for a model are held against."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from driver_ranking.serving.contract import Input, RankingContract
from driver_ranking.serving.server.protocol.columns import Column
from driver_ranking.serving.server.protocol.ids import check_count

_LISTED = 20


@dataclass(frozen=True, eq=False)
class RequestRules:
    """A model's contract with the service's limits, and what of it each request needs, made once.

    Attributes:
        contract: The model's.
        max_candidates: How many candidates a request may have.
        max_text_bytes: How long each text of a request may be, in UTF-8.
    """

    contract: RankingContract
    max_candidates: int
    max_text_bytes: int

    @cached_property
    def columns(self) -> Mapping[str, Column]:
        """Return what each input has to be, by name, the candidates first."""
        return {name: self._column(one, name) for name, one in self.contract.inputs.items()}

    @cached_property
    def plain_candidate(self) -> Column:
        """Return what the candidates of ``POST /inference`` have to be."""
        return self._column(self.contract.candidate, self.candidates)

    @cached_property
    def required(self) -> tuple[str, ...]:
        """Return the names of the inputs that each request has."""
        return self.contract.required

    @cached_property
    def outputs(self) -> Mapping[str, str]:
        """Return the datatypes of all outputs by name."""
        return self.contract.outputs

    @cached_property
    def default_outputs(self) -> Mapping[str, str]:
        """Return those of a request that names none."""
        return {name: self.outputs[name] for name in self.contract.default_outputs}

    @property
    def candidates(self) -> str:
        """Return what ``POST /inference`` calls the candidates."""
        return f"{self.contract.candidate.name}s"

    @cached_property
    def noun(self) -> str:
        """Return how messages call the candidates."""
        return self.candidates.replace("_", " ")

    def check_count(self, count: int) -> None:
        """Refuse a number of candidates.

        Raises:
            RequestError: There are none.
            TooManyDriversError: There are more than are taken.
        """
        check_count(count, self.max_candidates, self.noun)

    def _column(self, one: Input, label: str) -> Column:
        optional = one in self.contract.request
        return Column(
            one,
            label,
            self.max_text_bytes,
            optional=optional,
            is_feature=optional and one.name in self.contract.features,
            called="its values" if optional else "ids",
        )


def some_of(names: Iterable[str]) -> str:
    """Return names for a message, not without end."""
    listed = list(names)
    more = f", ... ({len(listed)} in all)" if len(listed) > _LISTED else ""
    return f"{', '.join(listed[:_LISTED])}{more}"
