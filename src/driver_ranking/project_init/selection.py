"""What the model takes: a feature service of the repo that fits, or one that is written; and what is ranked."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from driver_ranking.errors import DriverRankingError, ProjectInitError
from driver_ranking.feature_store.entity_columns import EntityColumn, service_columns
from driver_ranking.feature_store.joinable import joined_views, keys_of, refuse_unjoinable
from driver_ranking.feature_store.online import open_reader
from driver_ranking.feature_store.repo import features_for
from driver_ranking.model_features import features_of
from driver_ranking.pipelines.training.planned import PlannedModel, planned_model
from driver_ranking.project_init.applied import Applied
from driver_ranking.project_init.choices import Answers, Choices
from driver_ranking.serving.contract import DRIVER, RankingContract, contract_of

if TYPE_CHECKING:
    from feast import FeatureService
    from feast.types import FeastType

    from driver_ranking.datasets.entity_rows import EntityRows

NUMBERS: Final = ("Int32", "Int64", "Float32", "Float64")
_SCALARS: Final = (*NUMBERS, "Bool", "String", "Bytes")
_TIMEOUT: Final = 5.0  # seconds, which a SQLite file of nothing does not need


@dataclass(frozen=True)
class Selected:
    """A feature service that the model can be bound to.

    Attributes:
        service: The feature service.
        candidate: The join key of what is ranked.
        needed: What it needs of orders and requests.
        request: What on-demand feature views take from these, with types.
        contract: What online requests have to have.
    """

    service: "FeatureService"
    candidate: str
    needed: Mapping[str, EntityColumn]
    request: "Mapping[str, FeastType]"
    contract: RankingContract

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the columns of its join keys."""
        return tuple(name for name, column in self.needed.items() if column.required)

    @property
    def features(self) -> tuple[str, ...]:
        """Return the columns of its features."""
        return features_for(self.service).columns


def select(applied: Applied, choices: Choices, answers: Answers) -> Selected | None:
    """Return the feature service that was named, or is inferred; None if the repo has none that fits.

    Raises:
        ProjectInitError: The one that was named does not fit, or what is ranked can't be told.
    """
    services = applied.services
    if choices.feature_service is not None:
        if choices.feature_service not in services:
            known = ", ".join(services) or "none"
            message = f"The feature repo has no feature service {choices.feature_service!r}; it has: {known}."
            raise ProjectInitError(message)
        return selected(applied, services[choices.feature_service], choices.candidate_key, answers)
    fitting = {name: service for name, service in services.items() if misfit(applied, service, choices) is None}
    if not fitting:
        return None
    most = max(fitting, key=lambda name: len(features_for(fitting[name]).columns))
    chosen = answers.one_of("Feature service", list(fitting), most, "")
    return selected(applied, fitting[chosen], choices.candidate_key, answers)


def misfit(applied: Applied, service: "FeatureService", choices: Choices) -> str | None:
    """Return why a model can't be bound to a feature service; None if it can."""
    try:
        keys = list(_needed(applied, service)[1])
        selected_by(applied, service, choices.candidate_key or next(iter(keys), None))
    except DriverRankingError as error:
        return str(error)
    return None


def selected(applied: Applied, service: "FeatureService", candidate: str | None, answers: Answers) -> Selected:
    """Return a feature service with what is ranked, which is asked for if it can't be told.

    Raises:
        ProjectInitError: The service does not fit, or nobody can be asked.
    """
    if candidate is None:
        _, keys = _needed(applied, service)
        inferred = keys[0] if len(keys) == 1 else next((key for key in keys if key == DRIVER), None)
        refusal = (
            f"The join keys of the feature service {service.name!r} are {', '.join(map(repr, keys)) or 'none'}; "
            f"which of them names what is ranked? Say so with --candidate-key."
        )
        candidate = answers.one_of("What is ranked: the join key", keys, inferred, refusal) if keys else None
    try:
        return selected_by(applied, service, candidate)
    except ProjectInitError:
        raise
    except DriverRankingError as error:
        message = f"The feature service {service.name!r} does not fit a model: {error}"
        raise ProjectInitError(message) from error


def selected_by(applied: Applied, service: "FeatureService", candidate: str | None) -> Selected:
    """Return a feature service by which candidates are ranked, checked as batch, training and the server check it.

    Raises:
        DriverRankingError: It does not fit.
    """
    needed, keys = _needed(applied, service)
    _require_scalars(service)
    if not keys:
        message = f"The feature service {service.name!r} has no join key: there is nothing that it could rank."
        raise ProjectInitError(message)
    if candidate not in keys:
        message = (
            f"{candidate!r} is no join key of the feature service {service.name!r}; those are "
            f"{', '.join(map(repr, keys))}."
        )
        raise ProjectInitError(message)
    model = planned(service, needed, candidate)
    contract, request = _contract(applied, model, service)
    return Selected(service, candidate, needed, request, contract)


def with_request_features(
    applied: Applied, one: Selected, request_features: tuple[str, ...], orders: "EntityRows"
) -> tuple[PlannedModel, RankingContract]:
    """Return the model that is to be trained, and what online requests for it have to have.

    Args:
        applied: The repo.
        one: Its feature service.
        request_features: Columns of the orders that the model takes.
        orders: The orders.

    Raises:
        DriverRankingError: The orders don't have these columns, or the service has features of their names.
    """
    model = planned(one.service, one.needed, one.candidate, request_features, orders)
    return model, _contract(applied, model, one.service)[0]


def planned(
    service: "FeatureService",
    needed: Mapping[str, EntityColumn],
    candidate: str | None,
    request_features: Iterable[str] = (),
    orders: "EntityRows | None" = None,
) -> PlannedModel:
    """Return the model that would be trained on a service, and on columns of orders."""
    training: dict[str, Any] = {"candidate_key": candidate, "feature_service": service.name, "defaults": {}}
    training["request_features"] = list(request_features)
    return planned_model(training, service, needed, orders)  # type: ignore[arg-type] # looked at for their columns alone


def _needed(applied: Applied, service: "FeatureService") -> tuple[Mapping[str, EntityColumn], list[str]]:
    """Return what a service needs of a request, and which of it are keys."""
    columns = [
        key for view, one in joined_views(service, applied.defined) for key in keys_of(view, one, applied.defined)
    ]
    needed = service_columns(service, applied.defined)
    refuse_unjoinable(service, (*columns, *needed), applied.defined)
    return needed, [name for name, column in needed.items() if column.required]


def _contract(
    applied: Applied, model: PlannedModel, service: "FeatureService"
) -> "tuple[RankingContract, Mapping[str, FeastType]]":
    features = features_of(model, service)
    reader = open_reader(applied.store, features.service, features.stored, timeout=_TIMEOUT)
    try:
        return contract_of(model, features, reader.keys, reader.request), reader.request
    finally:
        reader.close()


def _require_scalars(service: "FeatureService") -> None:
    odd = [
        f"{projection.name_alias or projection.name}:{field.name} ({str(field.dtype).partition('(')[0]})"
        for projection in service.feature_view_projections
        for field in projection.features
        if not is_scalar(field)
    ]
    if odd:
        message = f"{', '.join(odd)} can't be a feature of a model; numbers, booleans, texts and bytes can."
        raise ProjectInitError(message)


def is_scalar(field: Any) -> bool:  # noqa: ANN401 - Feast has no types
    """Return whether a feature can be one of a model."""
    return str(field.dtype) in _SCALARS
