"""What the application answers with: JSON, and one form of error, ``{"error": ...}``."""

from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from mlserver.rest.responses import Response as MLServerResponse
from starlette.exceptions import HTTPException

from driver_ranking.serving.server.failures import FAILED


def json_answer(content: object, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer in JSON."""
    response: Response = MLServerResponse(content, status, headers)
    return response


def answer_errors(app: FastAPI) -> None:
    """Let an application answer errors in this form; none has a text that was not written for clients."""
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _failed)


async def _http_error(_: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", HTTPStatus.INTERNAL_SERVER_ERROR)
    detail = str(getattr(error, "detail", FAILED))
    return json_answer({"error": f"{detail}."}, status, headers=getattr(error, "headers", None))


async def _invalid(_: Request, error: Exception) -> Response:
    del error  # it quotes the request
    return json_answer({"error": "The request can't be read."}, HTTPStatus.BAD_REQUEST)


async def _failed(_: Request, error: Exception) -> Response:
    del error  # the server logs it
    return json_answer({"error": FAILED}, HTTPStatus.INTERNAL_SERVER_ERROR)
