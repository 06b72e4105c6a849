"""A V2 request as both REST and gRPC hand it on: counted part by part before anything is copied."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from mlserver.types import InferenceRequest, Parameters

from driver_ranking.errors import RequestError
from driver_ranking.serving.contract import MOST_INPUTS

MOST_SIZES = 8  # of a shape that are looked at; two are taken
MAX_ID_LENGTH = 256

MOST_OUTPUTS = 500  # each may be named again, but not without end
_NAMED = 10
SHOWN = 40


class Tensor(NamedTuple):
    """An input, with the names that MLServer's has.

    Attributes:
        name: Its name.
        shape: Its shape; only the first sizes are looked at.
        datatype: Its datatype.
        data: Its values, not yet counted.
    """

    name: str
    shape: list[int]
    datatype: str
    data: Any


class WantedOutput(NamedTuple):
    """An output that is asked for.

    Attributes:
        name: Its name.
    """

    name: str


def checked_id(request_id: str | None) -> str | None:
    """Return a request's id, which comes back in the answer and its headers.

    Raises:
        RequestError: It is longer than what clients read from a header.
    """
    if request_id is not None and len(request_id) > MAX_ID_LENGTH:
        message = f"The id has {len(request_id)} characters; it may have at most {MAX_ID_LENGTH}."
        raise RequestError(message)
    return request_id


def require_few_inputs(count: int, names: Iterable[str | None]) -> None:
    """Refuse a list of inputs that is longer than any model needs; which ones it needs is looked at later.

    Args:
        count: How many there are.
        names: Their names, as far as they have some; only the first are looked at.

    Raises:
        RequestError: There are too many.
    """
    if count > MOST_INPUTS:
        message = f"The request may have at most {MOST_INPUTS} inputs; it has {shown_names(names, count)}."
        raise RequestError(message)


def shown_names(names: Iterable[str | None], count: int = 0) -> str:
    """Return names that a client made up for a message, the first of them.

    Args:
        names: The names; None of what has none.
        count: How many there are, if they are too many to be made a list of.
    """
    first = [repr(name[:SHOWN]) if name is not None else "one without a name" for _, name in _first(names)]
    more = f", ... ({count} in all)" if count > _NAMED else ""
    return f"{', '.join(first)}{more}" if first else "none"


def require_few_outputs(count: int) -> None:
    """Refuse a list of outputs that is longer than any request needs.

    Raises:
        RequestError: It is.
    """
    if count > MOST_OUTPUTS:
        message = f"The request names {count} outputs; at most {MOST_OUTPUTS} are taken."
        raise RequestError(message)


def payload_of(
    request_id: str | None, parameters: Mapping[str, Any], inputs: list[Tensor], outputs: list[str]
) -> InferenceRequest:
    """Return a request in the type that MLServer hands to its runtimes.

    Its inputs are ours, as they were checked: MLServer's own would be gone through again. Of the parameters it has the
    ones that say something to the ranking.
    """
    known = {"top_k": parameters["top_k"]} if "top_k" in parameters else {}
    payload = InferenceRequest(id=request_id, parameters=Parameters(**known), inputs=[])
    payload.inputs = inputs
    if outputs:
        payload.outputs = [WantedOutput(name) for name in outputs]
    return payload


def _first(names: Iterable[str | None]) -> Iterable[tuple[int, str | None]]:
    return zip(range(_NAMED), names, strict=False)
