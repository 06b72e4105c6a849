"""The protocol's binary tensor data extension: numbers as bytes after the JSON, in requests and in answers.

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from mlserver.codecs.json import encode_to_json_bytes
from numpy.typing import NDArray

from driver_ranking.errors import RequestError

EXTENSION = "binary_tensor_data"
LENGTH_HEADER = "inference-header-content-length"

_SIZE = "binary_data_size"
_DTYPES = {"INT64": np.dtype("<i8"), "FP64": np.dtype("<f8")}


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


def binary_input(
    datatype: str, parameters: Mapping[str, Any], given: Mapping[str, Any], split: Split
) -> NDArray[np.int64] | None:
    """Return the values of the one input of a request; None if they are in the JSON.

    Args:
        datatype: The input's; of others than INT64 no values are read.
        parameters: The input's.
        given: The input itself.
        split: The body.

    Returns:
        int64 ``[n]``, read from the binary part.

    Raises:
        RequestError: The size is not that of the binary part, or there are values in both.
    """
    size = parameters.get(_SIZE)
    if size is None:
        if split.binary:
            message = f"The body has {len(split.binary)} bytes of binary data; no input has the parameter {_SIZE!r}."
            raise RequestError(message)
        return None
    if "data" in given:
        message = f"The input has both data and the parameter {_SIZE!r}; it must have one of them."
        raise RequestError(message)
    there = len(split.binary or b"")
    if type(size) is not int or size != there:
        message = f"The parameter {_SIZE!r} must be the number of bytes after the JSON, here {there}."
        raise RequestError(message)
    if datatype != "INT64":  # refused where datatypes are looked at
        return np.empty(0, np.int64)
    if there % 8:
        message = f"The binary data has {there} bytes; INT64 takes 8 for each value."
        raise RequestError(message)
    return np.frombuffer(split.binary or b"", _DTYPES["INT64"]).astype(np.int64, copy=False)


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
    """
    parts = []
    for output in content["outputs"]:
        if is_binary(output["name"]):
            part = np.array(output.pop("data"), _DTYPES[output["datatype"]]).tobytes()
            output["parameters"] = {_SIZE: len(part)}
            parts.append(part)
    head = encode_to_json_bytes(content)
    if not parts:
        return head, {}
    headers = {LENGTH_HEADER: str(len(head)), "content-type": "application/octet-stream"}
    return b"".join([head, *parts]), headers
