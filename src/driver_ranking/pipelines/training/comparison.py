"""The model in use beside the one that was trained, on the same held-out rows, and what follows from it."""

import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driver_ranking.errors import ModelError, ModelNotFoundError, RequestError
from driver_ranking.full_disk import full_disk_message
from driver_ranking.model_flavors import gives_labels
from driver_ranking.model_logging import estimator_scores
from driver_ranking.pipelines.training.estimators import outcome
from driver_ranking.pipelines.training.rows import errors_of, feature_names, feature_rows, label_of
from driver_ranking.ranking import TIE_TOLERANCE, ScoredRows, score_rows
from feast_columnar.redaction import without_secrets

if TYPE_CHECKING:
    from feast import FeatureStore

    from driver_ranking.model import ModelRegistry, Predictor, RegisteredModel


class Promote(StrEnum):
    """When a model that passed its validation gets the alias."""

    IF_NOT_WORSE = "if_not_worse"
    ALWAYS = "always"


class Verdict(StrEnum):
    """What a comparison gave."""

    NO_CHAMPION = "no_champion"
    NOT_WORSE = "not_worse"
    WORSE = "worse"
    NOT_COMPARABLE = "not_comparable"


@dataclass(frozen=True)
class Comparison:
    """The trained model and the champion on the same rows.

    Attributes:
        verdict: What follows.
        champion_version: The version that the alias named; None if it named none.
        reason: Why the two can't be compared; empty if they can.
        rows: How many held-out rows both models could score.
        rows_left_out: How many held-out rows the champion could not, for want of a feature.
        rmse: The trained model's, on these rows; None if the two can't be compared, as the next three.
        mae: Likewise.
        champion_rmse: The champion's.
        champion_mae: Likewise.
    """

    verdict: Verdict
    champion_version: str | None = None
    reason: str = ""
    rows: int = 0
    rows_left_out: int = 0
    rmse: float | None = None
    mae: float | None = None
    champion_rmse: float | None = None
    champion_mae: float | None = None

    @property
    def metrics(self) -> dict[str, float]:
        """Return the figures as metrics of the run; none if the two were not compared."""
        if self.rmse is None or self.mae is None or self.champion_rmse is None or self.champion_mae is None:
            return {}
        return {
            "rmse_on_shared_rows": self.rmse,
            "mae_on_shared_rows": self.mae,
            "champion_rmse": self.champion_rmse,
            "champion_mae": self.champion_mae,
            "shared_rows": float(self.rows),
        }

    def why_kept_back(self, promote: Promote) -> str:
        """Return why the model must not get the alias; nothing if it may."""
        if promote is Promote.ALWAYS or self.verdict in {Verdict.NO_CHAMPION, Verdict.NOT_WORSE}:
            return ""
        if self.verdict is Verdict.WORSE:
            return (
                f"RMSE {self.rmse:.6f} is above {self.champion_rmse:.6f} of version {self.champion_version} on the "
                f"same {self.rows} held-out rows."
            )
        return (
            f"It can't be compared with version {self.champion_version}: {self.reason} With the parameter "
            f"`training.promote: {Promote.ALWAYS}` it would be promoted."
        )

    def as_json(self) -> dict[str, Any]:
        """Return it as what a JSON file holds."""
        return asdict(self)

    @classmethod
    def of_json(cls, values: Mapping[str, Any]) -> "Comparison":
        """Return what ``as_json`` gave."""
        return cls(**{**values, "verdict": Verdict(values["verdict"])})


def promote_rule(training: Mapping[str, Any]) -> Promote:
    """Return when the parameters have a model promoted.

    Raises:
        RequestError: It is neither of the two.
    """
    try:
        return Promote(training["promote"])
    except ValueError as error:
        message = f"`training.promote` is {' or '.join(map(repr, map(str, Promote)))}, not {training['promote']!r}."
        raise RequestError(message) from error


def why_kept_back(compared: Comparison, current_champion: "ModelRegistry", promote: Promote) -> str:
    """Return why the model must not get the alias, as things are now; nothing if it may.

    Whoever moves the alias in between has another champion in mind than the one that was compared: by hand, or by
    another run of training.

    Raises:
        ModelError: The registry can't be used.
    """
    reason = compared.why_kept_back(promote)
    if reason or promote is Promote.ALWAYS:
        return reason
    try:
        named: str | None = current_champion.named_version()
    except ModelNotFoundError:
        named = None
    if named == compared.champion_version:
        return ""
    return (
        f"It was compared with version {compared.champion_version or 'none'}, and by now the alias names version "
        f"{named or 'none'}. Run compare_with_champion and validate_model again."
    )


def compare(
    fitted_model: Any,  # noqa: ANN401 - any scikit-learn estimator
    rows: pa.Table,
    current_champion: "ModelRegistry",
    feature_store: "FeatureStore",
    training: Mapping[str, Any],
) -> Comparison:
    """Let both models score the held-out rows.

    Whatever is wrong with the champion is an answer, not an error: the trained model is not lost for it. What another
    attempt may not meet again is an error: a full disk or memory, a lost connection.

    Raises:
        ModelError: The registry can't be used.
    """
    try:
        version = current_champion.named_version()
    except ModelNotFoundError:
        return Comparison(Verdict.NO_CHAMPION)
    try:
        predictor = current_champion.load(current_champion.resolve(version))
        require_one_scale(fitted_model, predictor, label_of(rows, training))
        scored = _champion_scores(predictor, rows, feature_store, training)
    except Exception as error:
        if full_disk_message(error) or isinstance(error, MemoryError | ConnectionError | TimeoutError):
            raise
        return Comparison(Verdict.NOT_COMPARABLE, version, _one_line(error))
    return measured(fitted_model, rows, scored, training, version)


def measured(
    fitted_model: Any,  # noqa: ANN401 - as above
    held_out: pa.Table,
    champion: ScoredRows,
    training: Mapping[str, Any],
    version: str,
) -> Comparison:
    """Return the errors of both models on the rows that the champion has scored, and which is worse.

    Args:
        fitted_model: The trained model.
        held_out: The rows, with all features of the trained model.
        champion: The champion's scores of them; at least one row is scored.
        training: The parameters.
        version: The champion's.
    """
    rows = held_out.filter(pa.array(champion.scored))
    label = outcome(fitted_model, label_of(rows, training))
    rmse, mae = errors_of(label, estimator_scores(fitted_model, feature_rows(rows)))
    champion_rmse, champion_mae = errors_of(label, champion.score[champion.scored])
    # the same model twice may differ in the last bits: see `order_by_score`
    not_worse = rmse <= champion_rmse + TIE_TOLERANCE * max(champion_rmse, float(np.abs(label).max()))
    return Comparison(
        verdict=Verdict.NOT_WORSE if not_worse else Verdict.WORSE,
        champion_version=version,
        rows=rows.num_rows,
        rows_left_out=held_out.num_rows - rows.num_rows,
        rmse=rmse,
        mae=mae,
        champion_rmse=champion_rmse,
        champion_mae=champion_mae,
    )


def require_one_scale(fitted_model: object, predictor: "Predictor", label: NDArray[np.float64]) -> None:
    """Refuse to measure a probability and a prediction of the label against one another, unless the label is 0 or 1.

    Raises:
        ModelError: One is a classifier and the other is none, or is not known to be one.
    """
    if gives_labels(fitted_model) == predictor.gives_probabilities or np.isin(label, (0, 1)).all():
        return
    message = (
        "One of the two gives probabilities and the other does not, and the label has other values than 0 and 1, so "
        "that their errors are on different scales."
    )
    raise ModelError(message)


def _champion_scores(
    predictor: "Predictor", rows: pa.Table, feature_store: "FeatureStore", training: Mapping[str, Any]
) -> ScoredRows:
    """Let the champion score the rows.

    Raises:
        ModelError: It can score none of them, or gives a score that is not a finite number.
    """
    features = _champion_features(predictor.model, rows, feature_store, training)
    scored = score_rows(features, predictor.predict)
    if not scored.scored.any():
        message = "No held-out row has all of its features."
        raise ModelError(message)
    return scored


def _champion_features(
    champion: "RegisteredModel", rows: pa.Table, feature_store: "FeatureStore", training: Mapping[str, Any]
) -> NDArray[np.float64]:
    """Return what the champion takes of each row, NaN where it lacks a feature: at hand, or extracted now."""
    from driver_ranking.scoring import feature_matrix

    own = feature_names(rows)
    if champion.feature_service != training["feature_service"] or not set(champion.feature_names) <= set(own):
        rows = _extracted(champion, rows.drop_columns(list(own)), feature_store)
    (batch,) = rows.combine_chunks().to_batches()
    return feature_matrix(batch, champion, lambda row: f"held-out row {row + 1}")


def _extracted(champion: "RegisteredModel", entity_rows: pa.Table, feature_store: "FeatureStore") -> pa.Table:
    """Join rows to the features of the champion's service, as they were known at each row's time."""
    import pyarrow.parquet as pq

    from driver_ranking.feature_store.extraction import point_in_time_features
    from driver_ranking.feature_store.joinable import DefinedViews, refuse_unjoinable
    from driver_ranking.feature_store.repo import find_service
    from driver_ranking.model_features import features_of
    from feast_columnar.offline.rules import literal

    columns = tuple(entity_rows.column_names)
    service = find_service(feature_store, champion.feature_service)
    refuse_unjoinable(service, columns, DefinedViews.of_store(feature_store))
    features = features_of(champion, service)
    with tempfile.TemporaryDirectory(prefix="driver_ranking_held_out_") as folder:
        asked, answered = Path(folder) / "rows.parquet", Path(folder) / "features.parquet"
        pq.write_table(entity_rows, asked)
        sql = f"SELECT * FROM read_parquet({literal(str(asked))})"
        point_in_time_features(feature_store, features, sql, columns, {}).write_parquet(str(answered))
        return pq.read_table(answered, memory_map=False)


def _one_line(error: Exception) -> str:
    said = without_secrets(" ".join(str(error).split())) or type(error).__name__
    return said if said.endswith((".", "!", "?")) else f"{said}."
