"""Every error that this project raises on purpose.

    DriverRankingError                  500
      RequestError                      400  the caller's rows or parameters are at fault
      FeatureStoreError                 500  the feature repo or a store is at fault
        FeatureServiceNotFoundError     500  the service a model is bound to is not in the repo
        MissingFeatureError             500  a feature of the model's signature is not in its service
      ModelError                        500  the model or the registry is at fault
        ModelNotFoundError              503  no champion, or no such version
        ModelSignatureError             500  the model has no usable signature
        NonFiniteScoreError             500  the model gave a score that is not a finite number

Each message says what is wrong, where, and what to do. It is written for whoever reads a log or an answer: it names
files and columns of the user's own, never a class or a path of the program.
"""

from http import HTTPStatus


class DriverRankingError(Exception):
    """Base of all errors of this project.

    Attributes:
        status: The HTTP status that an online answer with this error has.
    """

    status: HTTPStatus = HTTPStatus.INTERNAL_SERVER_ERROR


class RequestError(DriverRankingError):
    """The rows or parameters that the caller gave can't be used."""

    status = HTTPStatus.BAD_REQUEST


class FeatureStoreError(DriverRankingError):
    """The feature repo or a store behind it can't be used."""


class FeatureServiceNotFoundError(FeatureStoreError):
    """The feature service that is asked for is not defined."""


class MissingFeatureError(FeatureStoreError):
    """A feature that the model's signature wants is not in its feature service."""


class ModelError(DriverRankingError):
    """The model or the model registry can't be used."""


class ModelNotFoundError(ModelError):
    """The registry has no model under the alias or version that is asked for."""

    status = HTTPStatus.SERVICE_UNAVAILABLE


class ModelSignatureError(ModelError):
    """The model has no signature, or one that names no columns."""


class NonFiniteScoreError(ModelError):
    """The model gave a score that is NaN or infinite."""
