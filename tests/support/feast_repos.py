"""Feast feature repos that were not written for this project: small ones, and what ``feast init`` makes."""

from __future__ import annotations

import contextlib
import io
import textwrap
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from driver_ranking.project_init.choices import Choices, Inferred
from driver_ranking.project_init.project import make_project

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

IMPORTS = """
from datetime import timedelta
from feast import BigQuerySource, Entity, FeatureService, FeatureView, Field, FileSource, RequestSource, ValueType
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Array, Bool, Float64, Int64, String

"""
HOUR = timedelta(hours=1)
SHOPS = """
shop = Entity(name="shop_entity", join_keys=["shop"], value_type=ValueType.STRING)
stats = FeatureView(
    name="stats", entities=[shop], ttl=timedelta(days=1),
    schema=[Field(name="sales", dtype=Float64), Field(name="noise", dtype=Float64)],
    source=FileSource(name="stats_source", path="data/stats.parquet", timestamp_field="at"),
)
"""
TOWNS = (
    SHOPS
    + """
town = Entity(name="town", join_keys=["town"], value_type=ValueType.STRING)
weather = FeatureView(
    name="weather", entities=[town], schema=[Field(name="rain", dtype=Float64)],
    source=FileSource(name="weather_source", path="data/weather.parquet", timestamp_field="at"),
)
"""
)
BOTH = TOWNS + 'both = FeatureService(name="both", features=[stats, weather])\n'
KEYS = ["a", "b", "007"]


def feast_init(folder: Path, template: str = "local") -> Path:
    """Make the repo of one of Feast's own templates, as its command does, and return the folder of its definitions."""
    from feast.repo_operations import init_repo

    with contextlib.redirect_stdout(io.StringIO()):
        init_repo(folder.name, template, str(folder))
    return folder / "feature_repo"


def small_repo(folder: Path, definitions: str, tables: Mapping[str, pd.DataFrame], config: str = "") -> Path:
    """Write a repo with its data below it."""
    (folder / "data").mkdir(parents=True)
    for name, rows in tables.items():
        rows.to_parquet(folder / f"data/{name}.parquet", index=False)
    (folder / "definitions.py").write_text(IMPORTS + textwrap.dedent(definitions), encoding="utf-8")
    stores = "provider: local\nregistry: data/registry.db\nentity_key_serialization_version: 3\n"
    (folder / "feature_store.yaml").write_text(f"project: theirs\n{config or stores}", encoding="utf-8")
    return folder


def walks(keys: list[str], rows: int = 40, last: datetime | None = None) -> pd.DataFrame:
    """Return hourly rows of each shop with a value that goes on from the one before it, and one that does not."""
    rng = np.random.default_rng(7)
    last = last or datetime.now(tz=UTC).replace(microsecond=0)
    return pd.concat(
        pd.DataFrame(
            {
                "shop": key,
                "at": [last - HOUR * place for place in reversed(range(rows))],
                "sales": rng.normal(size=rows).cumsum() + 10 * number,
                "noise": rng.normal(size=rows),
            }
        )
        for number, key in enumerate(keys)
    )


def weather() -> pd.DataFrame:
    """Return one row of each town."""
    at = datetime.now(tz=UTC) - timedelta(days=10)
    return pd.DataFrame({"town": ["x", "y", "z"], "at": at, "rain": [0.0, 1.0, 5.0]})


def made(repo: Path, **choices: Any) -> Path:
    """Make a project beside a repo, of what is given and inferred."""
    folder = repo.parent / "made"
    make_project(Choices(folder, repo, **choices), Inferred())
    return folder


def own_orders(repo: Path, rows: int = 60) -> Path:
    """Write labelled orders of shops beside a repo."""
    source = pd.read_parquet(repo / "data/stats.parquet").sort_values("at").tail(rows)
    orders = source[["shop", "at"]].rename(columns={"at": "event_timestamp"})
    orders["event_timestamp"] = [time.isoformat() for time in orders["event_timestamp"]]
    orders = orders.assign(size=np.arange(rows) % 5, kind=["big", "small"] * (rows // 2), profit=source["sales"] * 2)
    orders.to_csv(repo.parent / "mine.csv", index=False)
    return repo.parent / "mine.csv"
