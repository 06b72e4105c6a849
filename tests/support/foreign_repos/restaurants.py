"""Restaurants: text ids, a text feature, and a pipeline of scikit-learn's that encodes it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import mlflow.sklearn
import numpy as np
import pandas as pd
from mlflow.models import infer_signature
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from driver_ranking.serving.contract import Input, RankingContract
from support.foreign_repos.project import ForeignProject, install_definitions, register
from support.queries import Query

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path


CUISINES = ["thai", "phở", "crêpes", "pizza"]
OPEN = [f"{cuisine} {number}" for cuisine in CUISINES for number in range(5)] + [
    "7",
    "007",
    'Chez "Jean", Lyon',
    "東京",
]
HOLES = {"no rating": "rating", "no cuisine": "cuisine", "no price": "price_level", "no delivery": "delivers"}
OTHERS = ["closed long ago", "opens tomorrow", "unknown"]
TAGS = {"feature_service": "restaurants_v1", "defaults": json.dumps({"cuisine": "other", "delivers": False})}
TRAINING = {"feature_service": "restaurants_v1", "defaults": {"cuisine": "other", "delivers": False}}
CONTRACT = RankingContract(
    Input("restaurant_id", "BYTES"),
    features={
        "cuisine": "BYTES",
        "rating": "FP64",
        "orders_per_day": "INT64",
        "delivers": "BOOL",
        "price_level": "INT32",
    },
)


def write_restaurants(project: Path, now: datetime) -> ForeignProject:
    """Make a project one of restaurants."""
    install_definitions(project, "restaurants")
    rng = np.random.default_rng(23)
    _menus(rng, now).to_parquet(project / "data/01_raw/menus.parquet", index=False)
    example = _features(rng, 200)[list(CONTRACT.features)]
    label = example["rating"] + 0.1 * example["price_level"] - (example["cuisine"] == "pizza")
    encoded = ColumnTransformer(
        [("texts", OneHotEncoder(handle_unknown="ignore"), ["cuisine"])], remainder=StandardScaler()
    )
    model = make_pipeline(encoded, LinearRegression()).fit(example, label + rng.normal(size=200))

    def log() -> Any:
        signature = infer_signature(example, model.predict(example))
        return mlflow.sklearn.log_model(
            model, name="model", signature=signature, input_example=example[:3], pip_requirements=["scikit-learn"]
        )

    register(project, log, TAGS)
    mixed = rng.permutation([*OPEN, *HOLES, *OTHERS, "thai 1", "unknown"]).tolist()
    queries = (Query(mixed), Query(["007"]), Query(["no cuisine", "7"]), Query(["unknown", "closed long ago"]))
    defaults = {"cuisine": "other", "delivers": False, "price_level": 2}
    return ForeignProject(project, now, CONTRACT, queries, defaults, TRAINING, example, model.predict)


def _features(rng: np.random.Generator, count: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "rating": rng.uniform(1, 5, count),
            "orders_per_day": rng.integers(0, 500, count),
            "cuisine": rng.choice(np.array(CUISINES, dtype=object), count),
            "delivers": rng.random(count) < 0.5,
            "price_level": rng.integers(1, 5, count).astype(np.int32),
        }
    )


def _menus(rng: np.random.Generator, now: datetime) -> pd.DataFrame:
    """Two rows of each that is open, of which the later one counts, and a correction of some."""
    hour = timedelta(hours=1)
    ages = {"closed long ago": 25 * hour, "opens tomorrow": -24 * hour}
    latest = [(name, now - ages.get(name, hour), now) for name in [*OPEN, *HOLES, *OTHERS[:2]]]
    before = [(name, now - 20 * hour, now) for name in OPEN]
    corrected = [(name, now - hour, now + hour) for name in OPEN[::3]]
    keys = pd.DataFrame([*latest, *before, *corrected], columns=["restaurant_id", "seen_at", "created"])
    menus = _features(rng, len(keys)).convert_dtypes(convert_string=False)  # types that know of nothing
    table = pd.concat([keys, menus], axis=1)
    for name, feature in HOLES.items():
        table.loc[table["restaurant_id"] == name, feature] = None
    return table
