"""Entity rows made to fit: with all that a feature service and a model want of them, read as these declare it."""

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

    from feast import FeatureService

    from driver_ranking.feature_store.entity_columns import EntityColumn
    from driver_ranking.feature_store.joinable import DefinedViews
    from driver_ranking.model import RegisteredModel


class TakesTypes(Protocol):
    """Checked entity rows, wherever they are."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the names of the columns."""
        ...

    def typed(self, columns: "Iterable[EntityColumn]") -> Any:  # noqa: ANN401 - rows of the same kind
        """Return the rows with columns read as they are wanted."""
        ...


Rows = TypeVar("Rows", bound=TakesTypes)


def fitted(
    rows: Rows,
    service: "FeatureService",
    defined: "DefinedViews",
    model: "RegisteredModel | None" = None,
    requested: tuple[str, ...] = (),
) -> Rows:
    """Return entity rows of which the columns that are wanted have been checked, and are read as they are declared.

    Args:
        rows: The rows; ``refuse_unjoinable`` has let them pass.
        service: The feature service whose features are to be joined to them.
        defined: What it refers to.
        model: The model that will take the features, if there is one.
        requested: Which columns of its signature come with the request.

    Raises:
        RequestError: The rows lack a request feature that has no default, or have a column with a type or a value that
            does not fit.
        FeatureStoreError: Two views of the service declare a column in different ways.
        ModelSignatureError: The model takes a column as something else than what the repo declares.
    """
    from driver_ranking.feature_store.entity_columns import (
        require_request_features,
        service_columns,
        with_request_features,
    )

    wanted = service_columns(service, defined)
    if model is not None:
        present = require_request_features(model, requested, rows.columns)
        wanted = with_request_features(wanted, model, present)
    typed: Rows = rows.typed(wanted.values())
    return typed
