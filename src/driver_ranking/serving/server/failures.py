"""What clients are told of what fails: the protocol's statuses, and no text that was not written for them."""

import contextlib
from collections.abc import Iterator
from http import HTTPStatus

from mlserver.errors import MLServerError

from driver_ranking.errors import DriverRankingError, UnloadedError
from driver_ranking.serving.fault_log import log_failure

FAILED = "The server failed. Its log says why."


@contextlib.contextmanager
def answered() -> Iterator[None]:
    """Let no error pass that has a text not written for clients."""
    try:
        yield
    except MLServerError:
        raise
    except DriverRankingError as error:
        raise protocol_error(error) from error
    except Exception as error:
        log_failure(error)
        raise MLServerError(FAILED, HTTPStatus.INTERNAL_SERVER_ERROR) from error


def protocol_error(error: DriverRankingError) -> MLServerError:
    """Return what MLServer answers a client with; the log says it too."""
    log_failure(error)
    # the protocol has no status for a model that is known and unloaded: as to MLServer, it is not there
    status = HTTPStatus.NOT_FOUND if isinstance(error, UnloadedError) else error.status
    return MLServerError(error.public_message, status)
