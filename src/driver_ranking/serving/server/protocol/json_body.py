"""JSON bodies, read once and checked by hand, so that what is wrong ends the work where it is found.

A body costs what its bytes cost to read, whatever they say: its parts are counted before they are made, a list is
counted before it is looked into, and the first fault ends it. What validates everything and then tells the first of a
million faults, as pydantic does, holds up all other requests meanwhile.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

from mlserver.types import Datatype, InferenceRequest, Parameters
from pydantic_core import from_json

from driver_ranking.errors import RequestError
from driver_ranking.serving.champion import KEY
from driver_ranking.serving.server.protocol.binary_tensors import Split, binary_input, wants_binary

MAX_ID_LENGTH = 256
MOST_SIZES = 8  # of a shape that are looked at; two are taken
# Lists within lists are the dearest parts of a body: they take 10 times what their bytes take to read
_MOST_PARTS = 100_000
_MOST_OUTPUTS = 100  # each may be named again, but not without end
_NAMED = 10
_SHOWN = 40
_DATATYPES = frozenset(datatype.value for datatype in Datatype)
_OF_DATATYPES = f"Input should be one of {', '.join(sorted(_DATATYPES))}"
_REQUIRED, _INTEGER, _OBJECT = "Field required", "Input should be a valid integer", "Input should be an object"

Fields = dict[str, Any]


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


class Body(NamedTuple):
    """A V2 request as a body has it.

    Attributes:
        payload: The request, in MLServer's types.
        binary_outputs: The names of outputs that are wanted in binary.
        all_binary: Whether an output that is not named is wanted in binary.
    """

    payload: InferenceRequest
    binary_outputs: list[str]
    all_binary: bool


def read_json(body: bytes) -> Fields:
    """Return the object that a JSON body is.

    Raises:
        RequestError: It is not JSON, not an object, or has more parts than any request needs.
    """
    if body.count(b"[") + body.count(b"{") > _MOST_PARTS:
        message = f"The body has more than {_MOST_PARTS} lists and objects, which is the most that is taken."
        raise RequestError(message)
    try:
        content = from_json(body, cache_strings="keys")
    except ValueError as error:
        fault = str(error)[:200]
        what = "can't be read" if fault.startswith("number out of range") else "is not JSON"
        message = f"The body {what}: {fault}."
        raise RequestError(message) from None
    return _is_object(content, "the body")


def read_infer(split: Split) -> Body:
    """Return the V2 request that a body has.

    Raises:
        RequestError: It is not of the protocol's form; the message says where.
    """
    content = read_json(split.json)
    request_id = checked_id(_optional(content, "id", str, "string"))
    parameters = _object_or_nothing(content, "parameters", "parameters")
    asked = _optional(content, "outputs", list, "array")
    outputs = _outputs(asked) if asked else {}
    inputs = _needed(content, "inputs", list, "array", "")
    if len(inputs) > 1:
        require_one_input(len(inputs), (_name_of(one) for one in inputs))
    tensors = [_input(_is_object(one, "inputs.0"), split) for one in inputs]
    payload = payload_of(request_id, parameters, tensors, list(outputs))
    if split.binary and not inputs:
        message = "The body has binary data, but no input that it belongs to."
        raise RequestError(message)
    all_binary = wants_binary(parameters, "binary_data_output", default=False)
    binary = [name for name, given in outputs.items() if wants_binary(given, "binary_data", default=all_binary)]
    return Body(payload, binary, all_binary and not outputs)


def read_plain(body: bytes) -> tuple[list[Any], str | None]:
    """Return the ``driver_ids``, unchecked, and the ``request_id`` of a body of ``POST /inference``.

    Raises:
        RequestError: It is not of this form; the message says where.
    """
    content = read_json(body)
    request_id = _optional(content, "request_id", str, "string")
    return _needed(content, "driver_ids", list, "array", ""), request_id


def read_ready_only(body: bytes) -> bool | None:
    """Return the ``ready`` of a body that asks for the repository's index; an empty body asks for all.

    Raises:
        RequestError: It is not of this form; the message says where.
    """
    content = read_json(body) if body else {}
    return cast("bool | None", _optional(content, "ready", bool, "boolean"))


def checked_id(request_id: str | None) -> str | None:
    """Return a request's id, which comes back in the answer and its headers.

    Raises:
        RequestError: It is longer than what clients read from a header.
    """
    if request_id is not None and len(request_id) > MAX_ID_LENGTH:
        message = f"The id has {len(request_id)} characters; it may have at most {MAX_ID_LENGTH}."
        raise RequestError(message)
    return request_id


def require_one_input(count: int, names: Iterable[str | None]) -> None:
    """Refuse more than one input; that there is one is looked at with its name.

    Args:
        count: How many there are.
        names: Their names, as far as they have some; only the first are looked at.

    Raises:
        RequestError: There are more.
    """
    if count > 1:
        first = [repr(name[:_SHOWN]) if name is not None else "one without a name" for _, name in _first(names)]
        more = f", ... ({count} in all)" if count > _NAMED else ""
        message = f"The request must have the one input {KEY!r}; it has {', '.join(first)}{more}."
        raise RequestError(message)


def require_few_outputs(count: int) -> None:
    """Refuse a list of outputs that is longer than any request needs.

    Raises:
        RequestError: It is.
    """
    if count > _MOST_OUTPUTS:
        message = f"The request names {count} outputs; at most {_MOST_OUTPUTS} are taken."
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


def _name_of(one: object) -> str | None:
    name = one.get("name") if isinstance(one, dict) else None
    return name if isinstance(name, str) else None


def _outputs(outputs: Sequence[Any]) -> dict[str, Fields]:
    """Return the parameters of each wanted output by its name; the first mention counts."""
    require_few_outputs(len(outputs))
    named: dict[str, Fields] = {}
    for place, output in enumerate(outputs):
        where = f"outputs.{place}"
        name = _needed(_is_object(output, where), "name", str, "string", where)
        named.setdefault(name, _object_or_nothing(output, "parameters", f"{where}.parameters"))
    return named


def _input(given: Fields, split: Split) -> Tensor:
    where = "inputs.0"
    name = _needed(given, "name", str, "string", where)
    shape = _needed(given, "shape", list, "array", where)
    for place, size in enumerate(shape[:MOST_SIZES]):
        if type(size) is not int:
            raise _unreadable(_INTEGER, where, "shape", place)
    datatype = _needed(given, "datatype", str, "string", where)
    if datatype not in _DATATYPES:
        raise _unreadable(_OF_DATATYPES, where, "datatype")
    data = binary_input(datatype, _object_or_nothing(given, "parameters", f"{where}.parameters"), given, split)
    if data is None:
        if "data" not in given:
            raise _unreadable(_REQUIRED, where, "data")
        data = given["data"]
    return Tensor(name, shape, datatype, data)


def _is_object(value: object, where: str) -> Fields:
    if not isinstance(value, dict):
        raise _unreadable(_OBJECT, where)
    return value


def _needed(given: Fields, name: str, kind: type, called: str, where: str) -> Any:  # noqa: ANN401 - of the kind
    if name not in given:
        raise _unreadable(_REQUIRED, where, name)
    if type(given[name]) is not kind:
        what = f"Input should be a valid {called}"
        raise _unreadable(what, where, name)
    return given[name]


def _optional(given: Fields, name: str, kind: type, called: str) -> Any:  # noqa: ANN401 - of the kind, or None
    return None if given.get(name) is None else _needed(given, name, kind, called, "")


def _object_or_nothing(given: Fields, name: str, where: str) -> Fields:
    value = given.get(name)
    return {} if value is None else _is_object(value, where)


def _unreadable(what: str, *where: str | int) -> RequestError:
    place = ".".join(str(part) for part in where if part != "")
    return RequestError(f"The body can't be read: {place}: {what}.")
