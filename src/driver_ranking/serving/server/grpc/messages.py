"""gRPC's messages and MLServer's types, both ways.

What a request says is counted before it is copied, and refused at the first fault.
"""

import math
import operator

from google.protobuf.unknown_fields import UnknownFieldSet
from mlserver.grpc import dataplane_pb2 as pb
from mlserver.grpc.converters import ModelInferResponseConverter
from mlserver.types import InferenceRequest, InferenceResponse

from driver_ranking.errors import RequestError
from driver_ranking.serving.server.protocol.columns import Sent, TypedValues
from driver_ranking.serving.server.protocol.ids import to_int64
from driver_ranking.serving.server.protocol.payload import (
    MOST_SIZES,
    SHOWN,
    Tensor,
    checked_id,
    payload_of,
    require_few_inputs,
    require_few_outputs,
)
from driver_ranking.serving.server.protocol.tensor_bytes import DTYPES, as_bytes, from_bytes, to_bytes

_UNREADABLE = "The tensors can't be read: their contents must fit their datatypes and shapes."
# KServe's description of the protocol has kinds of parameters that MLServer's lacks: their numbers in it
_DOUBLE_PARAM, _UINT64_PARAM = 4, 5
_VARINT = 0
_MOST_BYTES = 64
_FIELDS = {
    "INT64": "int64_contents",
    "INT32": "int_contents",
    "FP64": "fp64_contents",
    "FP32": "fp32_contents",
    "BOOL": "bool_contents",
    "BYTES": "bytes_contents",
}
_NAME = operator.attrgetter("name")
_WHOLE = {"int_contents", "uint_contents", "uint64_contents"}


def decoded(request: pb.ModelInferRequest) -> InferenceRequest:
    """Return a request in MLServer's types. MLServer's converter goes through all that a message has.

    Raises:
        RequestError: The contents don't fit the datatypes and shapes, or there are too many parts.
    """
    inputs, raw = request.inputs, request.raw_input_contents
    require_few_inputs(len(inputs), map(_NAME, inputs))
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
    data: Sent = []
    if raw is not None and tensor.contents.ListFields():
        message = f"The input {tensor.name[:SHOWN]!r} has typed and raw contents; it must have one of them."
        raise RequestError(message)
    if tensor.datatype in _FIELDS:  # others are refused where datatypes are looked at
        data = _typed(tensor) if raw is None else _unpacked(tensor.datatype, raw, shape)
    return Tensor(tensor.name, shape, tensor.datatype, data)


def _unpacked(datatype: str, raw: bytes, shape: list[int]) -> Sent:
    if datatype in DTYPES:
        width = DTYPES[datatype].itemsize
        fits = len(raw) % width == 0 and (len(shape) not in {1, 2} or width * math.prod(shape) == len(raw))
        if not fits:
            raise RequestError(_UNREADABLE)
    return from_bytes(datatype, raw)


def _typed(tensor: pb.ModelInferRequest.InferInputTensor) -> TypedValues:
    """Return the typed contents of a tensor; whether its datatype is right is looked at first, where it is known.

    Raises:
        RequestError: They are INT64's, and in another field than theirs, or in several.
    """
    datatype, name, contents = tensor.datatype, tensor.name[:SHOWN], tensor.contents
    own = _FIELDS[datatype]
    for field, values in contents.ListFields():
        if field.name == own:
            continue
        if datatype == "INT64" and field.name not in _WHOLE:
            to_int64(list(values[:1]), name)  # says what it is
        if datatype != "INT64":
            return TypedValues((), datatype, misplaced=field.name)
        message = f"The input {name!r} has its values in {field.name!r}; those of {datatype} are in {own!r}."
        raise RequestError(message)
    return TypedValues(getattr(contents, own), datatype)


def encoded(answer: InferenceResponse, *, raw: bool) -> pb.ModelInferResponse:
    """Return an answer as a message, its tensors raw if the request's were."""
    if answer.parameters is not None or any(output.datatype not in _FIELDS for output in answer.outputs):
        return ModelInferResponseConverter.from_types(answer, use_raw=raw)
    message = pb.ModelInferResponse(
        model_name=answer.model_name, model_version=answer.model_version or "", id=answer.id or ""
    )
    for output in answer.outputs:
        tensor = message.outputs.add(name=output.name, datatype=output.datatype, shape=output.shape)
        values = output.data.root
        if raw:
            message.raw_output_contents.append(to_bytes(output.datatype, values))
        else:
            sent = map(as_bytes, values) if output.datatype == "BYTES" else values
            getattr(tensor.contents, _FIELDS[output.datatype]).extend(sent)
    return message
