"""Requests that the API's page shows, and that can be tried as they are."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from driver_ranking.serving.contract import Input, RankingContract
from driver_ranking.serving.query import RankingQuery

_MOST = 5  # candidates
_MADE_UP: dict[str, list[Any]] = {
    "INT64": [1001, 1002, 1003, 1004, 1005],
    "INT32": [1001, 1002, 1003, 1004, 1005],
    "FP64": [1.0],
    "FP32": [1.0],
    "BOOL": [True],
    "BYTES": ["a", "b", "c", "d", "e"],
}


def infer_example(contract: RankingContract, known: RankingQuery | None) -> dict[str, Any]:
    """Return a V2 request.

    Args:
        contract: The model's.
        known: A request that can be answered; one is made up in its place, if none is known.
    """
    values = _values(contract, known)
    inputs = [
        {"name": name, "shape": [len(values[name])], "datatype": one.datatype, "data": values[name]}
        for name, one in contract.inputs.items()
    ]
    return {"inputs": inputs, "parameters": {"top_k": min(2, len(values[contract.candidate.name]))}}


def plain_example(contract: RankingContract, known: RankingQuery | None) -> dict[str, Any]:
    """Return a request to ``POST /inference``; the same one."""
    values = _values(contract, known)
    name = contract.candidate.name
    request: dict[str, Any] = {"request_id": "uuid-1", f"{name}s": values[name]}
    request |= {key.name: _alone(values[key.name]) for key in contract.keys}
    features = {one.name: _alone(values[one.name]) for one in contract.request}
    return request | ({"features": features} if features else {})


def _values(contract: RankingContract, known: RankingQuery | None) -> dict[str, list[Any]]:
    made_up = {name: _made_up(one, contract) for name, one in contract.inputs.items()}
    if known is None:
        return made_up
    given = {contract.candidate.name: known.candidate, **known.keys, **known.request}
    try:
        return made_up | {name: _in_json(values[:_MOST]) for name, values in given.items()}
    except UnicodeDecodeError:  # keys may be bytes that JSON can't carry
        return made_up


def _made_up(one: Input, contract: RankingContract) -> list[Any]:
    values = _MADE_UP[one.datatype]
    return values if one == contract.candidate else values[:1]


def _in_json(values: NDArray[Any]) -> list[Any]:
    if values.dtype.kind == "f":
        return [float(value) if np.isfinite(value) else None for value in values]
    return [value.decode() if isinstance(value, bytes) else value for value in values.tolist()]


def _alone(values: list[Any]) -> Any:  # noqa: ANN401 - JSON
    return values[0] if len(values) == 1 else values
