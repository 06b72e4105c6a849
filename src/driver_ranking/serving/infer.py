"""The REST endpoint of inference: a body in, the content of an answer out."""

from collections.abc import Mapping
from typing import Any

from mlserver.handlers import DataPlane
from mlserver.types import InferenceRequest
from mlserver.utils import extract_headers, insert_headers

from driver_ranking.serving.data_plane import answered
from driver_ranking.serving.protocol import parse_json, require_json, sendable_headers


class InferEndpoint:
    """Answers requests to infer."""

    def __init__(self, data_plane: DataPlane) -> None:
        """Answer with a data plane."""
        self._data_plane = data_plane

    async def answer(
        self, headers: Mapping[str, str], body: bytes, model_name: str, model_version: str | None = None
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """Return the content of the answer and its headers.

        Raises:
            MLServerError: The request can't be answered; with a message for the client.
        """
        with answered():
            require_json(headers)
            payload = parse_json(InferenceRequest, body)
        if payload.parameters is not None:
            payload.parameters.headers = None  # they are the request's own
        insert_headers(payload, dict(headers))
        answer = await self._data_plane.infer(payload, model_name, model_version)
        extra = sendable_headers(extract_headers(answer))
        content = answer.model_dump()
        if not content.get("parameters"):
            content.pop("parameters", None)
        return content, extra
