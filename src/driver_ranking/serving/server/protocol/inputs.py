"""The inputs of a request, held against what the model takes."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from driver_ranking.errors import RequestError
from driver_ranking.serving.query import RankingQuery
from driver_ranking.serving.server.protocol.columns import Column, TypedValues, Values, datatypes_for
from driver_ranking.serving.server.protocol.payload import MOST_SIZES, Tensor, shown_names
from driver_ranking.serving.server.protocol.rules import RequestRules, some_of
from driver_ranking.serving.server.protocol.tensor_bytes import PackedTexts

_LARGEST = 2**64
_COUNTABLE = (list, np.ndarray, TypedValues)
_CANDIDATES, _OTHERS = "[n] or [n, 1]", "[1], [n], [1, 1] or [n, 1]"


def query_of(inputs: Sequence[Tensor], rules: RequestRules) -> RankingQuery:
    """Return what the inputs of a request ask for.

    Raises:
        RequestError: One is unknown, missing, there twice, or not what the contract says; the message says what is
            wrong with the first of them.
        TooManyDriversError: There are too many candidates.
    """
    columns, contract = rules.columns, rules.contract
    name = contract.candidate.name
    if len(columns) == len(inputs) == 1 and inputs[0].name == name:  # the usual case, in half the time
        return RankingQuery(_read(inputs[0], columns[name], _CANDIDATES, rules.check_count))
    named = _named(inputs, rules)
    candidate = _read(named[name], columns[name], _CANDIDATES, rules.check_count)

    count = len(candidate)
    return RankingQuery(
        candidate,
        {key.name: _other(named.get(key.name), columns[key.name], name, count) for key in contract.keys},
        {one.name: _other(named.get(one.name), columns[one.name], name, count) for one in contract.request},
    )


def _other(tensor: Tensor | None, column: Column, candidate: str, count: int) -> NDArray[Any]:
    """Return the values of an input beside the candidates, which have this name and are so many."""
    if tensor is None:
        return column.nothing()
    return _read(
        tensor, column, _OTHERS, functools.partial(require_length, tensor.name, count=count, candidate=candidate)
    )


def require_length(label: str, length: int, *, count: int, candidate: str) -> None:
    """Refuse what has neither one value nor one for each candidate.

    Raises:
        RequestError: It is so; the message says both.
    """
    if length not in {1, count}:
        message = f"The input {label!r} has {length} values; it must have 1, or {count} as {candidate!r} has."
        raise RequestError(message)


def _named(inputs: Sequence[Tensor], rules: RequestRules) -> dict[str, Tensor]:
    """Return the inputs by name, of which none is unknown, missing or there twice."""
    named = {one.name: one for one in inputs}
    columns = rules.columns
    if len(named) == len(inputs) and named.keys() <= columns.keys() and all(name in named for name in rules.required):
        return named
    if len(columns) == 1:
        message = f"The request must have the one input {rules.contract.candidate.name!r}; it has {_have(inputs)}."
        raise RequestError(message)
    seen: set[str] = set()
    for one in inputs:
        if one.name not in columns:
            message = f"There is no input {shown_names([one.name])}; there are {some_of(columns)}."
            raise RequestError(message)
        if one.name in seen:
            message = f"The input {one.name!r} is there twice."
            raise RequestError(message)
        seen.add(one.name)
    lacking = next(name for name in rules.required if name not in named)
    message = (
        f"The input {lacking!r} is missing; the request must have {some_of(rules.required)}, and has {_have(inputs)}."
    )
    raise RequestError(message)


def _have(inputs: Sequence[Tensor]) -> str:
    return shown_names((one.name for one in inputs), len(inputs))


def _read(tensor: Tensor, column: Column, shapes: str, check: Callable[[int], None]) -> NDArray[Any]:
    """Return the values of an input; they are counted, and their number is checked, before they are copied."""
    _require_datatype(tensor, column)
    shape = list(tensor.shape[:MOST_SIZES])
    if len(shape) not in {1, 2} or min(shape) < 0 or shape[1:] not in ([], [1]):
        message = f"The input {tensor.name!r} has the shape {_shown(shape)}; it must be {shapes}."
        raise RequestError(message)
    values = tensor.data
    if isinstance(values, PackedTexts):
        check(shape[0])
        values = _unpacked(values, tensor.name, shape[0])
    if not isinstance(values, _COUNTABLE):
        message = f"The data of the input {tensor.name!r} must be a list of {column.called.removeprefix('its ')}."
        raise RequestError(message)
    if len(values) != shape[0]:
        message = f"The input {tensor.name!r} has the shape {_shown(shape)}, but {len(values)} values."
        raise RequestError(message)
    check(len(values))
    if isinstance(values, TypedValues):
        values = values.copied()
    return column.of(_flat(values, shape), tensor.datatype)


def _require_datatype(tensor: Tensor, column: Column) -> None:
    if tensor.datatype != column.one.datatype and tensor.datatype not in datatypes_for(column.one):
        wanted = " or ".join(map(repr, datatypes_for(column.one)))
        message = f"The input {tensor.name!r} has the datatype {str(tensor.datatype)[:20]!r}; it must be {wanted}."
        raise RequestError(message)
    sent = tensor.data
    if isinstance(sent, TypedValues) and sent.misplaced:
        message = f"The input {tensor.name!r} has its values in {sent.misplaced!r}, which are not for {sent.datatype}."
        raise RequestError(message)


def _unpacked(values: PackedTexts, name: str, count: int) -> list[bytes]:
    found = values.unpacked(count)
    if found is None:
        message = f"The bytes of the input {name!r} are not {count} values, each after its length in 4 bytes."
        raise RequestError(message)
    return found


def _shown(shape: list[int]) -> str:
    """Return a shape for a message; a size may have thousands of digits."""
    sizes = [str(size) if abs(size) <= _LARGEST else "too large" for size in shape]
    more = ["..."] if len(shape) == MOST_SIZES else []
    return f"[{', '.join([*sizes, *more])}]"


def _flat(values: Values, shape: list[int]) -> Values:
    one_by_one = shape[1:] and isinstance(values, list)
    if one_by_one and all(isinstance(value, list) and len(value) == 1 for value in values):
        return [value[0] for value in values]
    return values
