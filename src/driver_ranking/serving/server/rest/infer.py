"""The REST endpoint of inference: a body in, the body of an answer out."""

from collections.abc import Mapping

from mlserver.handlers import DataPlane
from mlserver.utils import extract_headers, insert_headers

from driver_ranking.serving.server.failures import answered
from driver_ranking.serving.server.protocol.binary_tensors import packed, split_body
from driver_ranking.serving.server.protocol.headers import require_json, sendable_headers
from driver_ranking.serving.server.protocol.json_body import read_infer

_JSON = {"content-type": "application/json"}


class InferEndpoint:
    """Answers requests to infer."""

    def __init__(self, data_plane: DataPlane) -> None:
        """Answer with a data plane."""
        self._data_plane = data_plane

    async def answer(
        self, headers: Mapping[str, str], body: bytes, model_name: str, model_version: str | None = None
    ) -> tuple[bytes, dict[str, str]]:
        """Return the body of the answer and its headers, which say what it is.

        Raises:
            MLServerError: The request can't be answered; with a message for the client.
        """
        with answered():
            require_json(headers)
            request = read_infer(split_body(headers, body))
        insert_headers(request.payload, dict(headers))
        answer = await self._data_plane.infer(request.payload, model_name, model_version)
        extra = sendable_headers(extract_headers(answer))
        content = answer.model_dump()
        if not content.get("parameters"):
            content.pop("parameters", None)
        body, described = packed(content, lambda name: request.all_binary or name in request.binary_outputs)
        return body, _JSON | extra | described
