"""gRPC's messages and MLServer's types, both ways.

What a request says is counted before it is copied, and refused at the first fault.
"""

import math
from typing import Any

import numpy as np
from google.protobuf.unknown_fields import UnknownFieldSet
from mlserver.grpc import dataplane_pb2 as pb
from mlserver.grpc.converters import ModelInferResponseConverter
from mlserver.types import InferenceRequest, InferenceResponse
from numpy.typing import NDArray

from driver_ranking.errors import RequestError
from driver_ranking.serving.champion import KEY
from driver_ranking.serving.server.protocol.ids import TypedIds, to_int64
from driver_ranking.serving.server.protocol.payload import (
    MOST_SIZES,
    Tensor,
    checked_id,
    payload_of,
    require_few_outputs,
    require_one_input,
)

_UNREADABLE = "The tensors can't be read: their contents must fit their datatypes and shapes."
# KServe's description of the protocol has kinds of parameters that MLServer's lacks: their numbers in it
_DOUBLE_PARAM, _UINT64_PARAM = 4, 5
_VARINT = 0
_MOST_BYTES = 64
_FIELDS = {"INT64": ("int64_contents", "<i8"), "FP64": ("fp64_contents", "<f8")}
_WHOLE = {"int_contents", "uint_contents", "uint64_contents"}


def decoded(request: pb.ModelInferRequest) -> InferenceRequest:
    """Return a request in MLServer's types. MLServer's converter goes through all that a message has.

    Raises:
        RequestError: The contents don't fit the datatypes and shapes, or there are too many parts.
    """
    inputs, raw = request.inputs, request.raw_input_contents
    require_one_input(len(inputs), (tensor.name for tensor in inputs))
    require_few_outputs(len(request.outputs))
    if raw and len(raw) != len(inputs):
        raise RequestError(_UNREADABLE)
    given = {"top_k": _value(request.parameters["top_k"])} if "top_k" in request.parameters else {}
    tensors = [_input(tensor, raw[place] if raw else None) for place, tensor in enumerate(inputs)]
    # a message can't tell an empty id from none
    return payload_of(checked_id(request.id or None), given, tensors, [output.name for output in request.outputs])


def _value(parameter: pb.InferParameter) -> object:
    """Return a parameter's value; None if it has none."""
    choice = parameter.WhichOneof("parameter_choice")
    if choice is not None:
        return getattr(parameter, choice)
    value = None
    if parameter.ByteSize() > _MOST_BYTES:  # it would take seconds to list what a full message has
        return value
    for field in UnknownFieldSet(parameter):  # of one choice the last is meant
        if field.field_number == _UINT64_PARAM and field.wire_type == _VARINT:
            value = int(field.data)
        elif field.field_number == _DOUBLE_PARAM:
            value = None
    return value


def _input(tensor: pb.ModelInferRequest.InferInputTensor, raw: bytes | None) -> Tensor:
    shape = list(tensor.shape[:MOST_SIZES])
    data: list[Any] | TypedIds | NDArray[np.int64] = []
    if raw is not None and tensor.contents.ListFields():
        message = f"The input {KEY!r} has typed and raw contents; it must have one of them."
        raise RequestError(message)
    if tensor.datatype == "INT64":  # others are refused where datatypes are looked at
        data = _typed(tensor.contents) if raw is None else _unpacked(raw, shape)
    return Tensor(tensor.name, shape, tensor.datatype, data)


def _unpacked(raw: bytes, shape: list[int]) -> NDArray[np.int64]:
    fits = len(raw) % 8 == 0 and (len(shape) not in {1, 2} or 8 * math.prod(shape) == len(raw))
    if not fits:
        raise RequestError(_UNREADABLE)
    return np.frombuffer(raw, "<i8").astype(np.int64, copy=False)


def _typed(contents: pb.InferTensorContents) -> TypedIds:
    """Return the ids of typed contents.

    Raises:
        RequestError: They are in another field than INT64's, or in several.
    """
    held = contents.ListFields()
    for field, values in held:
        if field.name in _WHOLE:
            message = f"The input {KEY!r} has its values in {field.name!r}; those of INT64 are in 'int64_contents'."
            raise RequestError(message)
        if field.name != "int64_contents":
            to_int64(list(values[:1]), KEY)  # says what it is
    return TypedIds(contents.int64_contents)


def encoded(answer: InferenceResponse, *, raw: bool) -> pb.ModelInferResponse:
    """Return an answer as a message, its tensors raw if the request's were."""
    if answer.parameters is not None or any(output.datatype not in _FIELDS for output in answer.outputs):
        return ModelInferResponseConverter.from_types(answer, use_raw=raw)
    message = pb.ModelInferResponse(
        model_name=answer.model_name, model_version=answer.model_version or "", id=answer.id or ""
    )
    for output in answer.outputs:
        field, dtype = _FIELDS[output.datatype]
        tensor = message.outputs.add(name=output.name, datatype=output.datatype, shape=output.shape)
        if raw:
            message.raw_output_contents.append(np.array(output.data.root, dtype).tobytes())
        else:
            getattr(tensor.contents, field).extend(output.data.root)
    return message
