"""The model in use beside the one that was trained, on the same held-out rows, and what follows from it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driver_ranking.errors import ModelError, ModelNotFoundError, RequestError
from driver_ranking.full_disk import full_disk_message
from driver_ranking.model_flavors import gives_labels
from driver_ranking.model_logging import estimator_scores
from driver_ranking.pipelines.training.champion_scores import champion_scores
from driver_ranking.pipelines.training.estimators import outcome
from driver_ranking.pipelines.training.group_metrics import best_differs, group_metrics, rmse_interval
from driver_ranking.pipelines.training.rows import errors_of, feature_rows, groups_of, label_of
from driver_ranking.ranking import TIE_TOLERANCE, ScoredRows
from feast_columnar.redaction import without_secrets

if TYPE_CHECKING:
    from feast import FeatureStore

    from driver_ranking.model import ModelRegistry, Predictor


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
        order: How well the trained model orders the candidates of each trip, and the ends of the interval of its RMSE;
            empty without a group column, as the next.
        champion_order: Likewise, of the champion.
        trips: How many trips have several candidates among these rows.
        trips_with_another_best: In how many of them the two models' best candidates differ.
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
    order: Mapping[str, float] = field(default_factory=dict)
    champion_order: Mapping[str, float] = field(default_factory=dict)
    trips: int = 0
    trips_with_another_best: int = 0

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
            **{f"{name}_on_shared_rows": value for name, value in self.order.items()},
            **{f"champion_{name}": value for name, value in self.champion_order.items()},
        }

    @property
    def summary(self) -> str:
        """Return the figures of both models in a line; nothing if the order of trips was not measured."""
        ours, theirs = {"rmse": self.rmse, **self.order}, {"rmse": self.champion_rmse, **self.champion_order}
        names = [name for name in ours if f"{name}_low" in ours and f"{name}_low" in theirs]
        if not names:
            return ""
        figures = "; ".join(f"{_titled(name)} {_shown(ours, name)} and {_shown(theirs, name)}" for name in names)
        return (
            f"The trained model and version {self.champion_version} on the same {self.rows} held-out rows, with 95 % "
            f"intervals: {figures}. The best one differs in {self.trips_with_another_best} of {self.trips} trips."
        )

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
        return {**asdict(self), "summary": self.summary}

    @classmethod
    def of_json(cls, values: Mapping[str, Any]) -> "Comparison":
        """Return what ``as_json`` gave."""
        known = {name: value for name, value in values.items() if name != "summary"}
        return cls(**{**known, "verdict": Verdict(values["verdict"])})


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
        scored = champion_scores(predictor, rows, feature_store, training["feature_service"])
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
    score, champion_score = estimator_scores(fitted_model, feature_rows(rows)), champion.score[champion.scored]
    rmse, mae = errors_of(label, score)
    champion_rmse, champion_mae = errors_of(label, champion_score)
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
        **_by_trip(rows, label, score, champion_score, training),
    )


def _by_trip(
    rows: pa.Table,
    label: NDArray[np.float64],
    score: NDArray[np.float64],
    champion_score: NDArray[np.float64],
    training: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the fields of a comparison that are about the order of trips."""
    if training["group_column"] is None:
        return {}
    group, seed, k = groups_of(rows, training), training["seed"], training["ndcg_k"]

    def order(score: NDArray[np.float64]) -> dict[str, float]:
        interval = rmse_interval(score - label, group, seed)
        return interval | group_metrics(group, label > 0, score, k=k, seed=seed)

    differs = best_differs(group, score, champion_score)
    return {
        "order": order(score),
        "champion_order": order(champion_score),
        "trips": differs.size,
        "trips_with_another_best": int(differs.sum()),
    }


def _titled(metric: str) -> str:
    titles = {"rmse": "RMSE", "mrr": "MRR", "hit_rate_at_1": "hit rate@1"}
    return titles.get(metric, metric.replace("ndcg_at_", "NDCG@"))


def _shown(figures: Mapping[str, Any], name: str) -> str:
    return f"{figures[name]:.4f} ({figures[name + '_low']:.4f} to {figures[name + '_high']:.4f})"


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


def _one_line(error: Exception) -> str:
    said = without_secrets(" ".join(str(error).split())) or type(error).__name__
    return said if said.endswith((".", "!", "?")) else f"{said}."
