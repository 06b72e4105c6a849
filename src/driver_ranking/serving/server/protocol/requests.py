"""What a request may say: the V2 inference protocol's tensors, and the plain contract."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mlserver.types import InferenceRequest
from numpy.typing import NDArray

from driver_ranking.errors import RequestError
from driver_ranking.serving.champion import KEY
from driver_ranking.serving.server.protocol.ids import TypedIds, check_count, to_int64, whole_ids
from driver_ranking.serving.server.protocol.json_body import read_plain
from driver_ranking.serving.server.protocol.payload import MOST_SIZES, Tensor

OUTPUTS = {"driver_id": "INT64", "score": "FP64", "excluded_driver_id": "INT64"}
ALL_OUTPUTS = tuple(OUTPUTS)

_MAX_ID_LENGTH = 128
_SHOWN = 40  # characters of a client's text, in a message
_LARGEST = 2**64


@dataclass(frozen=True)
class RankingRequest:
    """A request, checked.

    Attributes:
        driver_id: int64 ``[n]``, n at least 1.
        top_k: How many drivers are wanted, from 1 to n.
        outputs: The names of the wanted outputs, in order.
    """

    driver_id: NDArray[np.int64]
    top_k: int = 1
    outputs: tuple[str, ...] = ALL_OUTPUTS


def parse_request(payload: InferenceRequest, max_driver_ids: int) -> RankingRequest:
    """Check a V2 request.

    Raises:
        RequestError: It is not one that can be answered; the message says what would be.
        TooManyDriversError: It has too many ids.
    """
    driver_id = _driver_id(_one_input(payload.inputs), max_driver_ids)
    parameters = (payload.parameters and payload.parameters.model_extra) or {}
    outputs = _known_outputs(output.name for output in payload.outputs) if payload.outputs else ALL_OUTPUTS
    return RankingRequest(driver_id, _top_k(parameters.get("top_k", 1), len(driver_id)), outputs)


def _known_outputs(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names in their order, each once."""
    wanted = tuple(dict.fromkeys(names))
    unknown = [name for name in wanted if name not in OUTPUTS]
    if unknown:
        message = f"There is no output {unknown[0][:_SHOWN]!r}; there are {', '.join(OUTPUTS)}."
        raise RequestError(message)
    return wanted


def _one_input(inputs: Sequence[Tensor]) -> Tensor:
    if [one.name for one in inputs] != [KEY]:
        names = ", ".join(repr(one.name[:_SHOWN]) for one in inputs) or "none"
        message = f"The request must have the one input {KEY!r}; it has {names}."
        raise RequestError(message)
    return inputs[0]


def _driver_id(tensor: Tensor, max_driver_ids: int) -> NDArray[np.int64]:
    if str(tensor.datatype) != "INT64":
        message = f"The input {KEY!r} has the datatype {str(tensor.datatype)[:20]!r}; it must be 'INT64'."
        raise RequestError(message)
    shape = list(tensor.shape[:MOST_SIZES])
    if len(shape) not in {1, 2} or min(shape) < 0 or shape[1:] not in ([], [1]):
        message = f"The input {KEY!r} has the shape {_shown(shape)}; it must be [n] or [n, 1]."
        raise RequestError(message)
    values = tensor.data
    if not isinstance(values, list | np.ndarray | TypedIds):
        message = f"The data of the input {KEY!r} must be a list of ids."
        raise RequestError(message)
    if len(values) != shape[0]:
        message = f"The input {KEY!r} has the shape {_shown(shape)}, but {len(values)} values."
        raise RequestError(message)
    check_count(len(values), max_driver_ids)
    return to_int64(_flat(values, shape), KEY) if isinstance(values, list) else whole_ids(values)


def _shown(shape: list[int]) -> str:
    """Return a shape for a message; a size may have thousands of digits."""
    sizes = [str(size) if abs(size) <= _LARGEST else "too large" for size in shape]
    more = ["..."] if len(shape) == MOST_SIZES else []
    return f"[{', '.join([*sizes, *more])}]"


def _flat(values: list[Any], shape: list[int]) -> list[Any]:
    if shape[1:] and all(isinstance(value, list) and len(value) == 1 for value in values):
        return [value[0] for value in values]
    return values


def _top_k(value: object, count: int) -> int:
    if type(value) is not int or not 1 <= value <= count:
        message = f"The parameter 'top_k' must be a whole number from 1 to the number of ids, here {count}."
        raise RequestError(message)
    return value


def parse_plain(body: bytes, max_driver_ids: int) -> tuple[RankingRequest, str | None]:
    """Check the body of ``POST /inference`` and return the request and its ``request_id``.

    Raises:
        RequestError: It can't be answered; the message says what would be.
        TooManyDriversError: It has too many ids.
    """
    driver_ids, request_id = read_plain(body)
    if request_id and (len(request_id) > _MAX_ID_LENGTH or not (request_id.isascii() and request_id.isprintable())):
        message = f"The request_id must be at most {_MAX_ID_LENGTH} printable ASCII characters."
        raise RequestError(message)
    check_count(len(driver_ids), max_driver_ids)
    return RankingRequest(to_int64(driver_ids, "driver_ids")), request_id
