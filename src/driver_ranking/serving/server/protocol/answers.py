"""A ranking as an answer of the V2 inference protocol."""

from typing import Any

from mlserver.types import InferenceResponse, ResponseOutput, TensorData
from numpy.typing import NDArray

from driver_ranking.serving.server.protocol.requests import RankingRequest
from driver_ranking.serving.service import Ranked


def encode_answer(answer: Ranked, request: RankingRequest, model_name: str) -> InferenceResponse:
    """Return the V2 response, with the registry's version of the model that made it."""
    outputs = [_output(name, datatype, answer.output(name)) for name, datatype in request.outputs.items()]
    return InferenceResponse.model_construct(
        _fields_set={"model_name", "model_version", "outputs"},
        model_name=model_name,
        model_version=answer.model.version,
        outputs=outputs,
    )


def _output(name: str, datatype: str, values: NDArray[Any]) -> ResponseOutput:
    # MLServer's codecs would make [n, 1] of [n]
    data = TensorData.model_construct(root=values.tolist())
    return ResponseOutput.model_construct(name=name, shape=[len(values)], datatype=datatype, data=data)
