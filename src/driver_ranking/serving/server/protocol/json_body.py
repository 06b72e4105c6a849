"""JSON bodies, read once and checked by hand, so that what is wrong ends the work where it is found.

A body costs what its bytes cost to read, whatever they say: its parts are counted before they are made, a list is
counted before it is looked into, and the first fault ends it. What validates everything and then tells the first of a
million faults, as pydantic does, holds up all other requests meanwhile.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from mlserver.types import Datatype, InferenceRequest
from pydantic_core import from_json

from driver_ranking.errors import RequestError
from driver_ranking.serving.server.protocol.binary_tensors import BinaryParts, Split, wants_binary
from driver_ranking.serving.server.protocol.payload import (
    MOST_SIZES,
    Tensor,
    checked_id,
    payload_of,
    require_few_inputs,
    require_few_outputs,
    shown_names,
)
from driver_ranking.serving.server.protocol.rules import RequestRules, some_of

# Lists within lists are the dearest parts of a body: they take 10 times what their bytes take to read
_MOST_PARTS = 100_000
_DATATYPES = frozenset(datatype.value for datatype in Datatype)
_OF_DATATYPES = f"Input should be one of {', '.join(sorted(_DATATYPES))}"
REQUEST_ID, FEATURES = "request_id", "features"  # fields of POST /inference
_REQUIRED, _INTEGER, _OBJECT = "Field required", "Input should be a valid integer", "Input should be an object"

Fields = dict[str, Any]


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
    require_few_inputs(len(inputs), map(_name_of, inputs))
    parts = BinaryParts(split.binary or b"", len(inputs))
    tensors = [_input(one, f"inputs.{place}", parts) for place, one in enumerate(inputs)]
    payload = payload_of(request_id, parameters, tensors, list(outputs))
    if split.binary and not inputs:
        message = "The body has binary data, but no input that it belongs to."
        raise RequestError(message)
    parts.require_end()
    all_binary = wants_binary(parameters, "binary_data_output", default=False)
    binary = [name for name, given in outputs.items() if wants_binary(given, "binary_data", default=all_binary)]
    return Body(payload, binary, all_binary and not outputs)


class Plain(NamedTuple):
    """What a body of ``POST /inference`` has, its values unchecked.

    Attributes:
        candidates: The candidates.
        others: The values of the other inputs that are there, by name.
        request_id: How the client calls the request.
    """

    candidates: list[Any]
    others: dict[str, list[Any]]
    request_id: str | None


def read_plain(body: bytes, rules: RequestRules) -> Plain:
    """Return what a body of ``POST /inference`` has.

    Raises:
        RequestError: It is not of this form, or names what there is not; the message says where.
    """
    content = read_json(body)
    request_id = _optional(content, REQUEST_ID, str, "string")
    candidates = _needed(content, rules.candidates, list, "array", "")
    keys, request = ([one.name for one in some] for some in (rules.contract.keys, rules.contract.request))
    features = _object_or_nothing(content, FEATURES, FEATURES)
    _require_known(features, request, "request feature")
    for name in rules.required[1:]:
        if name not in (features if name in request else content):
            raise _unreadable(_REQUIRED, *([FEATURES] if name in request else []), name)
    if len(rules.columns) > 1:  # where there is nothing that could be meant, what is there besides is let be
        _require_known(content, [REQUEST_ID, rules.candidates, *keys, FEATURES], "field")
    others = {name: content[name] for name in keys} | features
    return Plain(candidates, {name: _as_list(value) for name, value in others.items()}, request_id)


def _require_known(given: Fields, known: list[str], called: str) -> None:
    """Refuse names that there are not."""
    unknown = next((name for name in given if name not in known), None)
    if unknown is not None:
        message = f"There is no {called} {shown_names([unknown])}; there are {some_of(known) or 'none'}."
        raise RequestError(message)


def _as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def read_ready_only(body: bytes) -> bool | None:
    """Return the ``ready`` of a body that asks for the repository's index; an empty body asks for all.

    Raises:
        RequestError: It is not of this form; the message says where.
    """
    content = read_json(body) if body else {}
    return cast("bool | None", _optional(content, "ready", bool, "boolean"))


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


def _input(one: object, where: str, parts: BinaryParts) -> Tensor:
    given = _is_object(one, where)
    name = _needed(given, "name", str, "string", where)
    shape = _needed(given, "shape", list, "array", where)
    for place, size in enumerate(shape[:MOST_SIZES]):
        if type(size) is not int:
            raise _unreadable(_INTEGER, where, "shape", place)
    datatype = _needed(given, "datatype", str, "string", where)
    if datatype not in _DATATYPES:
        raise _unreadable(_OF_DATATYPES, where, "datatype")
    parameters = _object_or_nothing(given, "parameters", f"{where}.parameters")
    data = parts.of(datatype, given, parameters) if parameters else None
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
