"""The answers of ``POST /inference``."""

from fastapi import Response
from fastapi.responses import JSONResponse

from driver_ranking.errors import DriverRankingError

REQUEST_ID_HEADER = "X-Request-ID"


def plain_answer(driver_id: int, request_id: str | None) -> Response:
    """Return the best driver; the request's id goes into a header."""
    headers = {REQUEST_ID_HEADER: request_id} if request_id else None
    return JSONResponse({"prediction": driver_id, "error": None}, headers=headers)


def plain_error(error: DriverRankingError) -> Response:
    """Return why there is none."""
    return JSONResponse({"prediction": None, "error": error.public_message}, error.status)
