"""What a request may say: the V2 inference protocol's tensors, and the plain contract."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mlserver.types import InferenceRequest

from driver_ranking.errors import RequestError
from driver_ranking.serving.query import RankingQuery
from driver_ranking.serving.server.protocol.inputs import query_of, require_length
from driver_ranking.serving.server.protocol.json_body import read_plain
from driver_ranking.serving.server.protocol.payload import SHOWN
from driver_ranking.serving.server.protocol.rules import RequestRules, some_of

_MAX_ID_LENGTH = 128


@dataclass(frozen=True)
class RankingRequest:
    """A request, checked.

    Attributes:
        query: What is to be ranked, and what the request says of it.
        top_k: How many candidates are wanted, from 1 to n.
        outputs: The datatypes of the wanted outputs by name, in order.
    """

    query: RankingQuery
    top_k: int
    outputs: Mapping[str, str]


def parse_request(payload: InferenceRequest, rules: RequestRules) -> RankingRequest:
    """Check a V2 request.

    Raises:
        RequestError: It is not one that can be answered; the message says what would be.
        TooManyDriversError: It has too many candidates.
    """
    query = query_of(payload.inputs, rules)
    parameters = (payload.parameters and payload.parameters.model_extra) or {}
    outputs = _known(rules, (output.name for output in payload.outputs)) if payload.outputs else rules.default_outputs
    return RankingRequest(query, _top_k(parameters.get("top_k", 1), len(query.candidate)), outputs)


def _known(rules: RequestRules, names: Iterable[str]) -> dict[str, str]:
    """Return the outputs of these names in their order, each once."""
    wanted = dict.fromkeys(names)
    unknown = next((name for name in wanted if name not in rules.outputs), None)
    if unknown is not None:
        message = f"There is no output {unknown[:SHOWN]!r}; there are {some_of(rules.outputs)}."
        raise RequestError(message)
    return {name: rules.outputs[name] for name in wanted}


def _top_k(value: object, count: int) -> int:
    if type(value) is not int or not 1 <= value <= count:
        message = f"The parameter 'top_k' must be a whole number from 1 to the number of ids, here {count}."
        raise RequestError(message)
    return value


def parse_plain(body: bytes, rules: RequestRules) -> tuple[RankingQuery, str | None]:
    """Check the body of ``POST /inference`` and return what it asks for and its ``request_id``.

    Raises:
        RequestError: It can't be answered; the message says what would be.
        TooManyDriversError: It has too many candidates.
    """
    candidates, others, request_id = read_plain(body, rules)
    if request_id and (len(request_id) > _MAX_ID_LENGTH or not (request_id.isascii() and request_id.isprintable())):
        message = f"The request_id must be at most {_MAX_ID_LENGTH} printable ASCII characters."
        raise RequestError(message)
    rules.check_count(len(candidates))
    columns, contract = rules.columns, rules.contract
    candidate = rules.plain_candidate.of(candidates, contract.candidate.datatype)
    for name, values in others.items():
        require_length(name, len(values), count=len(candidate), candidate=rules.candidates)
    read = {name: columns[name].of(values, columns[name].one.datatype) for name, values in others.items()}
    keys = {key.name: read[key.name] for key in contract.keys}
    request = {
        one.name: read[one.name] if one.name in read else columns[one.name].nothing() for one in contract.request
    }
    return RankingQuery(candidate, keys, request), request_id
