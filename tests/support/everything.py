"""A project whose feature repo holds one of each kind of thing."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd

REPO = Path(__file__).parents[1] / "e2e" / "everything"
DRIVERS = range(1001, 1051)
NOW = pd.Timestamp("2026-06-15", tz="UTC")
UNRATED, OLD_RATING = 1003, 1004  # drivers without a row, and with one that is older than the ttl


def add_everything(project: Path) -> None:
    """Copy the definitions into a project's feature repo, and write what they read."""
    shutil.copytree(REPO, project / "feature_repo", dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    raw, rng = project / "data/01_raw", np.random.default_rng(1)
    days = pd.date_range("2026-06-01", "2026-06-14", tz="UTC").as_unit("us")
    history = pd.DataFrame([(driver, day) for day in days for driver in DRIVERS], columns=["id", "when"])
    rated = history[(history["id"] != UNRATED) & ((history["id"] != OLD_RATING) | (history["when"] == days[0]))]
    rated = rated.assign(s=rng.random(len(rated)), votes=rng.integers(0, 9, len(rated)).astype("int32"))
    for day, rows in rated.groupby("when"):
        folder = raw / f"ratings/day={pd.Timestamp(str(day)):%Y-%m-%d}"
        folder.mkdir(parents=True)
        rows.to_parquet(folder / "part.parquet", index=False)
    drivers = history.rename(columns={"id": "driver_id", "when": "event_timestamp"})
    count = len(drivers)
    duty = rng.random(count) < 0.5
    drivers.assign(calls=rng.integers(0, 99, count), on_duty=duty).to_parquet(raw / "calls.parquet", index=False)
    there = drivers.assign(zone_id=drivers["driver_id"] % 3, trips_there=rng.integers(0, 50, count))
    there.to_parquet(raw / "zones.parquet", index=False)
    vectors = [rng.random(4).astype("float32") for _ in range(count)]
    drivers.assign(vector=pd.Series(vectors), language="de").to_parquet(raw / "profiles.parquet", index=False)
    rain = pd.DataFrame({"event_timestamp": days, "rain": np.linspace(0, 1, len(days), dtype="float32")})
    rain.to_parquet(raw / "weather.parquet", index=False)


def widened(rows: pd.DataFrame) -> pd.DataFrame:
    """Add the columns that the widest service needs of entity rows."""
    driver = rows["driver_id"].where(rows["driver_id"].isin(DRIVERS), 1001)
    return rows.assign(partner_id=2051 - driver, zone_id=driver % 3, price=1.5)
