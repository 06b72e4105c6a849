"""Every error that this project raises on purpose.

    DriverRankingError                  500
      RequestError                      400  the caller's rows or parameters are at fault
        NotJSONError                    415  the body says that it is something else
        TooManyDriversError             413  more drivers in a request than the service takes
        NoRankableDriverError           422  no driver of the request has all features
      SettingError                      500  the project's configuration lacks something
      ProjectInitError                  500  no project can be made of a feature repo as it is asked for
      FeatureStoreError                 500  the feature repo or a store is at fault
        StoreUnavailableError           503  the online store does not answer, or not in time
          FeaturesLostError             503  the online store has no features at all
        UnservableFeatureError          500  a feature of the model can't be read online
        OnDemandFeatureError            500  an on-demand feature view can't be computed for some drivers
        FeatureServiceNotFoundError     500  the service a model is bound to is not in the repo
        UnservableInputError            500  what requests would have to have can't be told, or can't be sent
        UnloggableModelError            500  answers of the model can't be logged as Feast logs them
        MissingFeatureError             500  a feature of the model's signature is not in its service
      ModelError                        500  the model or the registry is at fault
        ModelNotFoundError              503  no champion, or no such version
        ModelSignatureError             500  the model has no usable signature
        ModelTagError                   500  a tag that says what the model needs can't be used
        ModelInputError                 500  a feature's value can't be given to the model as its signature's type
        ModelAnswerError                500  the model answers with something else than one number a row
        ModelTrialError                 500  the model fails on its input example, or on any row
        ModelValidationError            500  a trained model did not pass its validation; it is not registered
        ModelTimeoutError               503  the model does not answer in time
        NonFiniteScoreError             500  the model gave a score that is not a finite number
        ModelRefusedError               409  a version that was to be served can't be; the old one stays
      PredictionLogError                500  the prediction log can't be read, or lacks what is asked for
      ParityError                       500  what was served differs from the feature store, more than is allowed
      OutputInUseError                  500  another run writes the same output
      OutputPlaceError                  500  an output can't be written, or locked, where it is to be
      SparkError                        500  Spark can't be started, or failed
      NotReadyError                     503  no model is loaded yet
        UnloadedError                   503  the model was taken out of service (404 by the protocol)
      OverloadedError                   503  more requests wait than the service keeps

Each message says what is wrong, where, and what to do. It is written for whoever reads a log or an answer: it names
files and columns of the user's own, never a class or a path of the program. A client of the online service gets the
message itself only where nothing in it comes from elsewhere; of the others it gets ``public_message``.
"""

from http import HTTPStatus


class DriverRankingError(Exception):
    """Base of all errors of this project.

    Attributes:
        status: The HTTP status that an online answer with this error has.
        summary: What a client is told instead of the message; None where the message itself is fit for it.
        depends_on_drivers: Whether other drivers, or requests with other values, may be answered while these fail.
    """

    status: HTTPStatus = HTTPStatus.INTERNAL_SERVER_ERROR
    summary: str | None = "The service failed. Its log says why."
    depends_on_drivers: bool = False

    @property
    def public_message(self) -> str:
        """Return what a client of the online service is told."""
        return self.summary or str(self)


class RequestError(DriverRankingError):
    """The rows or parameters that the caller gave can't be used."""

    status = HTTPStatus.BAD_REQUEST
    summary = None
    depends_on_drivers = True


class NotJSONError(RequestError):
    """The body of a request says that it is something else than JSON."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class TooManyDriversError(RequestError):
    """The request has more drivers than the service takes at once."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class NoRankableDriverError(RequestError):
    """No driver of the request has all features, so there is nothing to rank."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY


class SettingError(DriverRankingError):
    """The configuration of the project lacks something."""


class ProjectInitError(DriverRankingError):
    """No project can be made of a feature repo, or not as it is asked for. Nothing was written."""


class FeatureStoreError(DriverRankingError):
    """The feature repo or a store behind it can't be used."""

    summary: str | None = "The feature store can't be used. The log of the service says why."


class StoreUnavailableError(FeatureStoreError):
    """The online store can't be read, or does not answer in time."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    summary: str | None = "The online feature store can't be read at the moment. Try again later."


class FeaturesLostError(StoreUnavailableError):
    """The online store answers, but has no features of any driver."""

    summary = None


class UnservableFeatureError(FeatureStoreError):
    """A feature that the model takes can't be read online by the id of a driver alone."""

    summary = None


class OnDemandFeatureError(FeatureStoreError):
    """An on-demand feature view fails for drivers that have its inputs."""

    summary = "An on-demand feature view can't be computed for drivers of the request. The log of the service says why."
    depends_on_drivers = True


class FeatureServiceNotFoundError(FeatureStoreError):
    """The feature service that is asked for is not defined."""

    summary = None


class MissingFeatureError(FeatureStoreError):
    """A feature that the model's signature wants is not in its feature service."""

    summary = None


class UnservableInputError(FeatureStoreError):
    """A key or a request feature of the model can't be an input of requests, or what is ranked can't be told."""

    summary = None


class UnloggableModelError(FeatureStoreError):
    """The prediction log of the model would have columns that Feast can't log, or two of one name."""

    summary = None


class ModelError(DriverRankingError):
    """The model or the model registry can't be used."""

    summary: str | None = "The model can't be used. The log of the service says why."
    depends_on_drivers = True


class ModelNotFoundError(ModelError):
    """The registry has no model under the alias or version that is asked for."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    summary = None


class ModelSignatureError(ModelError):
    """The model has no signature, or one that names no columns."""

    summary = None


class ModelTagError(ModelError):
    """A tag of the model's version, or of a feature in the feature repo, says what can't be."""

    summary = None


class ModelInputError(ModelError):
    """A value of a feature can't be given to the model exactly, in the type that its signature names."""

    summary = None


class ModelAnswerError(ModelError):
    """The model answers with something else than one number a row."""

    summary = None


class ModelTrialError(ModelError):
    """The model fails on rows that it has to be able to score.

    Attributes:
        reason: How, fit for a client; None where there is none.
    """

    def __init__(self, message: str, reason: str | None = None) -> None:
        """Keep the whole message for the log and the reason for the client."""
        super().__init__(message)
        self.reason = reason

    @property
    def public_message(self) -> str:
        """Return the reason."""
        return self.reason or super().public_message


class ModelValidationError(ModelError):
    """A trained model did not pass its validation, so it is not registered.

    Attributes:
        exit_code: What `kedro run` ends with, so that a scheduler can tell it from a fault.
    """

    exit_code = 3


class ModelTimeoutError(ModelError):
    """The model does not answer, or is not loaded, in time."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    summary = None


class NonFiniteScoreError(ModelError):
    """The model gave a score that is NaN or infinite."""

    summary = None


class ModelRefusedError(ModelError):
    """A version that was to be served can't be; whatever was served before goes on.

    Attributes:
        reason: Why, fit for a client.
    """

    status = HTTPStatus.CONFLICT

    def __init__(self, message: str, reason: str) -> None:
        """Keep the whole message for the log and the reason for the client."""
        super().__init__(message)
        self.reason = reason

    @property
    def public_message(self) -> str:
        """Return the reason."""
        return self.reason


class PredictionLogError(DriverRankingError):
    """The prediction log can't be read, or lacks what is asked for."""


class ParityError(DriverRankingError):
    """What was served is not what the feature store, the model and the rules give, more than is allowed.

    Attributes:
        exit_code: What `kedro run` ends with, so that a scheduler can tell it from a fault.
    """

    exit_code = 4


class OutputInUseError(DriverRankingError):
    """Another run writes what this one would write."""

    summary = "Another run writes the same output. The log says which."


class OutputPlaceError(DriverRankingError):
    """An output of a run can't be written, or locked, where it is to be."""

    summary = "An output can't be written. The log says which."


class SparkError(DriverRankingError):
    """Spark can't be started, or a job on it failed."""

    summary = "Spark can't be used. The log says why."


class NotReadyError(DriverRankingError):
    """No model is loaded."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    summary = None


class UnloadedError(NotReadyError):
    """The model was taken out of service. To the protocol, which names it, it is a model that is not there."""


class OverloadedError(DriverRankingError):
    """More requests wait than the service keeps."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    summary = None
