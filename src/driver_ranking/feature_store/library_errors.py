"""The errors of the library, told as this project's. It imports little: every run of a pipeline pays for it."""

import contextlib
from collections.abc import Iterator, Mapping

from driver_ranking import errors
from feast_columnar import errors as columnar

_OWN: Mapping[type[columnar.ColumnarError], type[errors.DriverRankingError]] = {
    columnar.ColumnarError: errors.FeatureStoreError,  # and all that derives from it, but for:
    columnar.RequestError: errors.RequestError,
    columnar.UnservableFeatureError: errors.UnservableFeatureError,
    columnar.StoreUnavailableError: errors.StoreUnavailableError,
    columnar.FeaturesLostError: errors.FeaturesLostError,
    columnar.OnDemandFeatureError: errors.OnDemandFeatureError,
}


@contextlib.contextmanager
def own_errors() -> Iterator[None]:
    """Turn the library's errors into this project's, which have a status and what a client is told.

    Raises:
        FeatureStoreError: The library has raised an error; the message is its own.
        RequestError: It was given keys or request features that it can't use; likewise.
    """
    try:
        yield
    except columnar.ColumnarError as error:
        kind = next(_OWN[one] for one in type(error).__mro__ if one in _OWN)
        raise kind(str(error)) from error
