"""The protocol's binary tensor data extension: values as bytes after the JSON, in requests and in answers.

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from mlserver.codecs.json import encode_to_json_bytes

from driver_ranking.errors import RequestError
from driver_ranking.serving.contract import SCORE
from driver_ranking.serving.server.protocol.columns import Sent
from driver_ranking.serving.server.protocol.tensor_bytes import DTYPES, fits_exactly, from_bytes, to_bytes

EXTENSION = "binary_tensor_data"
LENGTH_HEADER = "inference-header-content-length"

_SIZE = "binary_data_size"
_NOT_ALL_JSON = {"BYTES", "FP64", "FP32"}
_ASK = "ask for it with the parameter 'binary_data', or over gRPC"


class Split(NamedTuple):
    """A body in its two parts.

    Attributes:
        json: The request, in JSON.
        binary: The bytes after it, which belong to the inputs; None where the headers don't name such a part.
    """

    json: bytes
    binary: bytes | None


def split_body(headers: Mapping[str, str], body: bytes) -> Split:
    """Divide a body where its header says so.

    Raises:
        RequestError: The header is not a length within the body.
    """
    said = headers.get(LENGTH_HEADER)
    if said is None:
        return Split(body, None)
    digits = said.strip()
    # no number of more digits is a length within a body
    length = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < len(str(2**63)) else -1
    if not 0 <= length <= len(body):
        message = (
            f"The header Inference-Header-Content-Length must be a length within the body, which has {len(body)} bytes."
        )
        raise RequestError(message)
    return Split(body[:length], body[length:])


class BinaryParts:
    """The bytes after the JSON, which belong to the inputs in their order."""

    def __init__(self, data: bytes, inputs: int) -> None:
        """Take nothing yet.

        Args:
            data: The bytes.
            inputs: How many inputs there are.
        """
        self._data = data
        self._is_one = inputs == 1
        self._taken = 0
        self._is_named = False

    def of(self, datatype: str, given: Mapping[str, Any], parameters: Mapping[str, Any]) -> Sent | None:
        """Return the values of the next input, not yet counted; None if they are in the JSON.

        Args:
            datatype: The input's.
            given: The input itself.
            parameters: Its parameters.

        Raises:
            RequestError: The sizes are not those of the binary part, or there are values in both.
        """
        size = parameters.get(_SIZE)
        if size is None:
            return None
        self._is_named = True
        if "data" in given:
            message = f"The input has both data and the parameter {_SIZE!r}; it must have one of them."
            raise RequestError(message)
        left = len(self._data) - self._taken
        if type(size) is not int or not (size == left if self._is_one else 0 <= size <= left):
            raise self._other_size()
        if not fits_exactly(datatype, size):
            message = f"The binary data has {size} bytes; {datatype} takes {DTYPES[datatype].itemsize} for each value."
            raise RequestError(message)
        self._taken += size
        return from_bytes(datatype, self._data[self._taken - size : self._taken])

    def require_end(self) -> None:
        """Refuse bytes that belong to no input.

        Raises:
            RequestError: There are some.
        """
        if self._taken < len(self._data):
            if self._is_named:
                raise self._other_size()
            message = f"The body has {len(self._data)} bytes of binary data; no input has the parameter {_SIZE!r}."
            raise RequestError(message)

    def _other_size(self) -> RequestError:
        must = (
            f"The parameter {_SIZE!r} must"
            if self._is_one
            else f"The parameters {_SIZE!r} of the inputs must add up to"
        )
        be = "be the" if self._is_one else "the"
        return RequestError(f"{must} {be} number of bytes after the JSON, here {len(self._data)}.")


def wants_binary(parameters: Mapping[str, Any], name: str, *, default: bool) -> bool:
    """Return what a parameter of a request or an output says of the answer's form.

    Raises:
        RequestError: It is not a boolean.
    """
    wanted = parameters.get(name, default)
    if not isinstance(wanted, bool):
        message = f"The parameter {name!r} must be true or false."
        raise RequestError(message)
    return wanted


def packed(content: dict[str, Any], is_binary: Callable[[str], bool]) -> tuple[bytes, dict[str, str]]:
    """Return an answer as a body, and the headers that say what it is.

    Args:
        content: The answer; the values of its binary outputs are taken out of it.
        is_binary: Tells by its name whether an output is to be binary.

    Raises:
        RequestError: JSON has no way to say a value of an output.
    """
    parts = []
    for output in content["outputs"]:
        if is_binary(output["name"]):
            part = to_bytes(output["datatype"], output.pop("data"))
            output["parameters"] = {_SIZE: len(part)}
            parts.append(part)
        elif output["datatype"] in _NOT_ALL_JSON:
            output["data"] = in_json(output["name"], output["data"])
    head = encode_to_json_bytes(content)
    if not parts:
        return head, {}
    headers = {LENGTH_HEADER: str(len(head)), "content-type": "application/octet-stream"}
    return b"".join([head, *parts]), headers


def in_json(name: str, values: list[Any]) -> list[Any]:
    """Return an output's values as JSON has them; NaN becomes null where it is written.

    Raises:
        RequestError: JSON has no way to say one of them.
    """
    if name == SCORE:  # finite numbers, by the rules
        return values
    if math.inf in values or -math.inf in values:
        message = f"The output {name!r} has an infinite value, which JSON does not have; {_ASK}."
        raise RequestError(message)
    try:
        return [value.decode() if isinstance(value, bytes) else value for value in values]
    except UnicodeDecodeError:
        message = f"The output {name!r} has bytes that are not UTF-8, which JSON can't carry; {_ASK}."
        raise RequestError(message) from None
