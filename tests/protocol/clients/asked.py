"""What all clients ask, and how they show what they were told: as JSON, to the test that started them."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

MODEL = "driver_ranking"
DRIVERS = [1001, 1002, 1003, 1004, 1005]
UNKNOWN = 9


@dataclass(frozen=True)
class Request:
    """A request, as each client puts it in its own words.

    Attributes:
        driver_id: The ids.
        shape: The input's shape.
        parameters: The request's parameters.
        outputs: The outputs that are asked for; none for those that come by themselves.
        id: The request's id.
        model: The model that is asked.
        version: The model's version.
        datatype: The input's datatype.
    """

    driver_id: list[int]
    shape: list[int]
    parameters: dict[str, int] | None = None
    outputs: list[str] | None = None
    id: str = ""
    model: str = MODEL
    version: str = ""
    datatype: str = "INT64"


ANSWERED = {
    "the best": Request(DRIVERS, [5]),
    "a column": Request(DRIVERS, [5, 1], {"top_k": 3}, id="from a client"),
    "some outputs": Request([*DRIVERS, UNKNOWN], [6], {"top_k": 2}, ["excluded_driver_id", "score"]),
    "by version": Request(DRIVERS, [5], {"top_k": 5}, version="1"),
}
REFUSED = {
    "unknown model": Request(DRIVERS, [5], model="nobody"),
    "unknown version": Request(DRIVERS, [5], version="99"),
    "wrong datatype": Request(DRIVERS, [5], datatype="INT32"),
    "top_k": Request(DRIVERS, [5], {"top_k": 0}),
    "no features": Request([UNKNOWN], [1]),
}


def shown_error(error: BaseException, status: object, message: object) -> dict[str, str]:
    """Return an exception of the client's library, with what it says of the answer."""
    kind = type(error)
    return {"type": f"{kind.__module__}.{kind.__qualname__}", "status": str(status), "message": str(message)}


def show(said: dict[str, Any]) -> None:
    """Print what was said."""
    json.dump(said, sys.stdout)
