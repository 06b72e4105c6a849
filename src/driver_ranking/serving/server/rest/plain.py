"""The answers of ``POST /inference``."""

from fastapi import Response
from fastapi.responses import JSONResponse

from driver_ranking.errors import DriverRankingError

PREDICTION = "prediction"
REQUEST_ID_HEADER = "X-Request-ID"


def plain_answer(prediction: int | str, request_id: str | None) -> Response:
    """Return the best candidate; the request's id goes into a header."""
    return JSONResponse({PREDICTION: prediction, "error": None}, headers=_headers(request_id))


def plain_error(error: DriverRankingError, request_id: str | None) -> Response:
    """Return why there is none."""
    return JSONResponse({PREDICTION: None, "error": error.public_message}, error.status, _headers(request_id))


def _headers(request_id: str | None) -> dict[str, str] | None:
    return {REQUEST_ID_HEADER: request_id} if request_id else None
