"""Couriers: views of different ttl, one of them under two keys, one of none, and what is computed from the request."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import mlflow.sklearn
import numpy as np
import pandas as pd
from mlflow.models import infer_signature
from sklearn.ensemble import RandomForestRegressor

from driver_ranking.serving.contract import Input, RankingContract
from support.foreign_repos.project import ForeignProject, install_definitions, register
from support.queries import Query

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path


COURIERS = [*range(1, 21), 2**31 - 1]
MOODLESS, SLEEPY, GONE, UNKNOWN, NULL = 31, 32, 33, 34, 35
TAGS = {
    "feature_service": "couriers_v1",
    "candidate_key": "courier_id",
    "defaults": json.dumps({"buddy__speed": 12.5}),
}
TRAINING = {"feature_service": "couriers_v1", "candidate_key": "courier_id", "defaults": {"buddy__speed": 12.5}}
CONTRACT = RankingContract(
    Input("courier_id", "INT32"),
    keys=(Input("buddy_id", "INT32"),),
    request=(Input("weight_kg", "FP64"), Input("stops", "INT64"), Input("is_express", "BOOL")),
    features={
        "pay__bonus": "FP64",
        "riding__speed": "FP32",
        "buddy__speed": "FP32",
        "moods__energy": "FP64",
        "arrival__minutes": "FP64",
        "weather__rain": "FP32",
        "weather__is_dark": "BOOL",
        "riding__deliveries": "INT32",
    },
)


def write_couriers(project: Path, now: datetime) -> ForeignProject:
    """Make a project one of couriers."""
    install_definitions(project, "couriers")
    rng = np.random.default_rng(31)
    for name, rows in _tables(rng, now).items():
        rows.to_parquet(project / f"data/01_raw/{name}.parquet", index=False)
    example = _features(rng, 300)[list(CONTRACT.features)]
    label = example["arrival__minutes"] / 10 - example["moods__energy"] + example["buddy__speed"] / 30
    model = RandomForestRegressor(n_estimators=20, random_state=31).fit(example, label)

    def log() -> Any:
        return mlflow.sklearn.log_model(
            model,
            name="model",
            signature=infer_signature(example),
            input_example=example[:3],
            pip_requirements=["scikit-learn"],
            skops_trusted_types=["sklearn.tree._tree.Tree"],
        )

    register(project, log, TAGS)
    defaults = {"buddy__speed": 12.5, "moods__energy": 0.25}
    return ForeignProject(project, now, CONTRACT, _queries(rng), defaults, TRAINING, example, model.predict)


def _features(rng: np.random.Generator, count: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "riding__speed": rng.uniform(8, 25, count).astype(np.float32),
            "riding__deliveries": rng.integers(0, 900, count).astype(np.int32),
            "buddy__speed": rng.uniform(8, 25, count).astype(np.float32),
            "moods__energy": rng.random(count),
            "weather__rain": rng.random(count, dtype=np.float32),
            "weather__is_dark": rng.random(count) < 0.5,
            "arrival__minutes": rng.uniform(3, 60, count),
            "pay__bonus": rng.uniform(0, 9, count),
        }
    )


def _tables(rng: np.random.Generator, now: datetime) -> dict[str, pd.DataFrame]:
    """What is known of couriers and of the weather; moods are soon forgotten, and some have never been told."""
    hour = timedelta(hours=1)
    known = [*COURIERS, MOODLESS, SLEEPY, GONE, NULL]
    riding = pd.DataFrame({"courier_id": np.array(known, dtype=np.int32), "at": now - 2 * hour})
    riding = riding.assign(**_of(rng, len(riding), "riding__speed", "riding__deliveries"))
    riding.loc[riding["courier_id"] == GONE, "at"] = now - 49 * hour
    riding["speed"] = riding["speed"].where(riding["courier_id"] != NULL)
    moods = pd.DataFrame({"courier_id": np.array([*COURIERS, SLEEPY, NULL], dtype=np.int32), "at": now - hour})
    moods = moods.assign(**_of(rng, len(moods), "moods__energy"))
    moods.loc[moods["courier_id"] == SLEEPY, "at"] = now - 7 * hour
    weather = pd.DataFrame({"at": [now - 90 * hour, now - 80 * hour]})  # of no ttl
    return {
        "riding": riding,
        "moods": moods,
        "weather": weather.assign(**_of(rng, 2, "weather__rain", "weather__is_dark")),
    }


def _of(rng: np.random.Generator, count: int, *names: str) -> dict[str, Any]:
    """Return some features for rows, by the names that their views give them."""
    features = _features(rng, count)[list(names)]
    return {str(name).split("__")[1]: column for name, column in features.items()}


def _queries(rng: np.random.Generator) -> tuple[Query, ...]:
    """Baskets that are the same for all couriers; then buddies and baskets that differ, and what is missing."""

    def query(couriers: list[int], buddy: list[int], **request: list[Any]) -> Query:
        basket: dict[str, list[Any]] = {"weight_kg": [4.5], "stops": [2], "is_express": [True]}
        return Query(couriers, {"buddy_id": buddy}, basket | request)

    mixed = rng.permutation([*COURIERS, MOODLESS, SLEEPY, GONE, UNKNOWN, NULL]).tolist()
    count = len(mixed)
    return (
        query(mixed, [3]),
        query(mixed, [3], weight_kg=[30.0], stops=[9], is_express=[False]),
        query(mixed, [UNKNOWN]),
        query(
            mixed,
            rng.choice([1, 2, GONE, UNKNOWN], count).tolist(),
            weight_kg=rng.choice(np.array([0.5, 9.0, 9.0, None]), count).tolist(),
            stops=rng.choice(np.array([0, 1, 1, None]), count).tolist(),
            is_express=rng.choice(np.array([True, True, False, None]), count).tolist(),
        ),
        query([1, 2, GONE], [1], weight_kg=[None]),
        query([1, 2], [1], is_express=[None]),
    )
