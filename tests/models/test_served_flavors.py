"""One server takes models of natural flavors one after the other, and answers for each as the batch pipeline does."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import cloudpickle  # type: ignore[import-untyped] # it has no types
import httpx
import mlflow.sklearn
import numpy as np
import pandas as pd
import pytest
from feast import FeatureStore
from mlflow.models import infer_signature
from models import natural
from sklearn.linear_model import LinearRegression
from support.projects import run_pipeline
from support.registries import registry_forgotten
from support.servers import Serving, serving
from support.versions import ALIAS, NAME, SERVICE, Versions, load_champion

from driver_ranking.model import ModelRegistry, RegistryLocation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.slow

FLAVORS = (
    "scikit-learn, probabilities",
    "pyfunc on pandas",
    "pyfunc, probabilities",
    "LightGBM",
    "XGBoost, probabilities",
    "CatBoost",
    "ONNX",
    "ONNX, probabilities by name",
)
DRIVERS = list(range(1001, 1051))
WIDE = """

from datetime import timedelta

from feast import FeatureView, Field
from feast.types import Float64

from data_sources import driver_stats_source
from entities import driver

wide = FeatureView(
    name="wide",
    entities=[driver],
    ttl=timedelta(days=36500),
    schema=[Field(name=name, dtype=Float64) for name in ("conv_rate", "acc_rate", "avg_daily_trips")],
    source=driver_stats_source,
    online=True,
)
wide_v1 = FeatureService(name="wide_v1", features=[wide])
"""


@dataclass(frozen=True)
class Shop:
    """A served project, and versions that were registered by hand.

    Attributes:
        versions: Its registered model.
        server: What serves it.
        scores: float64 ``[50]`` of the batch pipeline, by the flavor's name.
        numbers: The versions, by the flavor's name.
    """

    versions: Versions
    server: Serving
    scores: dict[str, NDArray[np.float64]]
    numbers: dict[str, str]

    def load(self, version: str) -> httpx.Response:
        self.versions.name_champion(version)
        return load_champion(self.server)

    def answer(self) -> dict[str, Any]:
        asked = {"name": "driver_id", "shape": [len(DRIVERS)], "datatype": "INT64", "data": DRIVERS}
        request = {"inputs": [asked], "parameters": {"top_k": len(DRIVERS)}}
        return dict(httpx.post(self.server.infer_url, json=request, timeout=30).raise_for_status().json())


def register(project: Path, make: Callable[[], natural.Logged], service: str = SERVICE) -> str:
    """Log a model by hand where the project's registry is now, register it, and return its version."""
    registry = ModelRegistry(RegistryLocation(NAME, ALIAS, project / "data/06_models/mlflow"))
    registry._connect()  # noqa: SLF001 - as what trains does before it logs
    registry._ensure_experiment()  # noqa: SLF001 - likewise
    log, _ = make()
    return Versions(project).register(log().model_uri, service)


def batch_scores(project: Path, version: str) -> NDArray[np.float64]:
    request = project / "request.csv"
    pd.DataFrame({"event_timestamp": datetime.now(tz=UTC).isoformat(), "driver_id": DRIVERS}).to_csv(
        request, index=False
    )
    run_pipeline(project, "batch", {"batch_request": str(request), "model_version": version})
    output = pd.read_parquet(project / "data/07_model_output/batch_output.parquet")
    assert set(output["model_version"]) == {version}
    assert output["driver_id"].tolist() == DRIVERS
    return output["score"].to_numpy(np.float64)


@pytest.fixture(scope="module")
def shop(_trained_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A project of its own; models find their code in what was logged, not in these tests."""
    project = shutil.copytree(_trained_once, tmp_path_factory.mktemp("flavors") / "project")
    with (project / "feature_repo/feature_services.py").open("a", encoding="utf-8") as services:
        services.write(WIDE)
    cloudpickle.register_pickle_by_value(natural)
    with registry_forgotten():
        try:
            numbers = {flavor: register(project, natural.SCORING[flavor]) for flavor in FLAVORS}
        finally:
            cloudpickle.unregister_pickle_by_value(natural)
        scores = {flavor: batch_scores(project, version) for flavor, version in numbers.items()}
        run_pipeline(project, "materialize")
        with serving(project) as server:
            yield Shop(Versions(project), server, scores, numbers)


def test_the_frame_that_feast_gives_has_the_signature_of_these_models(shop: Shop) -> None:
    orders = pd.DataFrame({"driver_id": DRIVERS[:6], "event_timestamp": pd.Timestamp.now(tz="UTC")})
    store = FeatureStore(str(shop.versions.project / "feature_repo"))
    frame = store.get_historical_features(orders, store.get_feature_service(SERVICE)).to_df()[list(natural.NAMES)]
    with pytest.warns(UserWarning, match="contains integer column"):
        assert infer_signature(frame).inputs == natural.SIGNATURE.inputs


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_natural_model_is_loaded_and_answers_as_batch_does(shop: Shop, flavor: str) -> None:
    shop.load(shop.numbers[flavor]).raise_for_status()
    answer = shop.answer()
    assert answer["model_version"] == shop.numbers[flavor]
    given = {output["name"]: output["data"] for output in answer["outputs"]}
    scores = shop.scores[flavor]
    score_of = {driver: score for driver, score in zip(DRIVERS, scores.tolist(), strict=True) if not np.isnan(score)}
    assert len(score_of) > 40  # the others lack a feature
    assert sorted(given["driver_id"]) == list(score_of)
    np.testing.assert_allclose(given["score"], [score_of[driver] for driver in given["driver_id"]], rtol=1e-12)


def too_narrow() -> natural.Logged:
    """Take doubles of the feature repo as floats."""
    fitted = LinearRegression().fit(natural.FRAME, natural.SCORE)
    narrow = infer_signature(natural.FRAME.astype(np.float32))
    options: Any = {"name": "model", "signature": narrow, "pip_requirements": ["mlflow"]}
    return lambda: mlflow.sklearn.log_model(fitted, **options), lambda: natural.SCORE


@pytest.mark.parametrize(
    ("make", "service", "why"),
    [
        (natural.LABELLING["scikit-learn, classifier"], SERVICE, "predicts labels, which are no scores"),
        (natural.LABELLING["XGBoost"], SERVICE, "predicts labels, which are no scores"),
        (too_narrow, "wide_v1", "'conv_rate' is Float64 in the feature repo and float in the signature"),
    ],
    ids=["labels of scikit-learn", "labels of XGBoost", "a column that is too narrow"],
)
def test_a_model_that_can_not_be_served_is_refused_with_409_and_the_champion_goes_on(
    shop: Shop, make: Callable[[], natural.Logged], service: str, why: str
) -> None:
    champion = shop.numbers["ONNX"]
    shop.load(champion).raise_for_status()
    before = shop.answer()
    refused = shop.load(register(shop.versions.project, make, service))
    assert (refused.status_code, why in refused.text) == (409, True), refused.text
    after = shop.answer()
    assert after["model_version"] == champion
    assert after["outputs"] == before["outputs"]
    assert shop.server.is_ready()
