"""What a user of Feast does: plain pip in an empty environment, a repo as ``feast init`` makes it, and three lines."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.slow

PACKAGE = Path(__file__).parents[2]
LINES = re.search(r"```yaml\n(.*?)```", (PACKAGE / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
REDIS = {
    "type": "feast_columnar.SecretRedisOnlineStore",
    "connection_string": "${THE_ADDRESS}",
    "password_variable": "THE_PASSWORD",
}
USED = """
from datetime import UTC, datetime, timedelta
import pandas as pd
from feast import FeatureStore

store = FeatureStore(".")
rows = pd.read_parquet("data/driver_stats.parquet")
rows["event_timestamp"] = pd.to_datetime(rows["event_timestamp"], utc=True)
rows = rows.sort_values("event_timestamp").drop_duplicates(["driver_id", "event_timestamp"], keep="last")
features = ["conv_rate", "acc_rate", "avg_daily_trips"]
named = [f"driver_hourly_stats:{feature}" for feature in features]

minute = timedelta(minutes=1)
asked = rows.groupby("driver_id").tail(50)[["driver_id", "event_timestamp"]]
later = asked.assign(event_timestamp=asked["event_timestamp"] + minute)
given = store.get_historical_features(later, named).to_df()
given = given.assign(event_timestamp=given["event_timestamp"] - minute)
expected = rows[["driver_id", "event_timestamp", *features]]
both = asked.merge(expected).merge(given, on=["driver_id", "event_timestamp"], suffixes=("", "_given"))
assert len(both) == len(asked) > 100
for feature in features:
    pd.testing.assert_series_equal(both[feature], both[f"{feature}_given"], check_names=False, check_dtype=False)

last = rows.groupby("driver_id").tail(1).sort_values("driver_id").set_index("driver_id")
online = store.get_online_features(named, [{"driver_id": int(one)} for one in last.index]).to_df()
online = online.set_index("driver_id")
for feature in features:
    pd.testing.assert_series_equal(last[feature], online[feature], check_names=False, check_dtype=False)
provider = store._get_provider()
used = (provider.online_store, provider.offline_store, provider.batch_engine)
print("as expected:", *(type(one).__name__ for one in used))
"""


@dataclass(frozen=True)
class Place:
    """An empty folder with an environment of its own in it."""

    folder: Path

    def run(self, program: str, *arguments: str, inside: str = "", **variables: str) -> str:
        """Run a program of the environment and return what it prints."""
        kept = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
        done = subprocess.run(
            [str(self.folder / "env/bin" / program), *arguments],
            cwd=self.folder / inside,
            env={**kept, **variables},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert done.returncode == 0, f"{program} {' '.join(arguments)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def packages(self) -> set[str]:
        """Return the names of all that is installed."""
        listed = json.loads(self.run("pip", "list", "--format=json", "--disable-pip-version-check"))
        return {one["name"].lower().replace("_", "-") for one in listed}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A folder with nothing but an empty environment."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "env"], check=True, timeout=120)
    return Place(tmp_path)


def plugged_in(config: Path, **other: object) -> dict[str, str]:
    """Put the three lines of the README into a repo's settings, or others in their place; return the classes."""
    assert LINES is not None
    three = yaml.safe_load(LINES[1])
    assert len(three) == 3
    settings = yaml.safe_load(config.read_text(encoding="utf-8"))
    config.write_text(yaml.safe_dump({**settings, **three, **other}), encoding="utf-8")
    return {section: ({**three, **other})[section]["type"].rpartition(".")[2] for section in three}


@pytest.mark.parametrize("extra", ["", "redis"])
def test_three_lines_plug_it_in(place: Place, redis_server: str, extra: str) -> None:
    place.run("pip", "install", "--disable-pip-version-check", f"{PACKAGE}[{extra}]" if extra else str(PACKAGE))
    packages = place.packages()
    assert {"feast", "feast-columnar", "duckdb"} <= packages
    assert not [name for name in packages if re.match("kedro|mlflow|mlserver|pyspark", name)]
    assert ("redis" in packages) == (extra == "redis")

    place.run("feast", "init", "shop")
    repo = "shop/feature_repo"
    config = place.folder / repo / "feature_store.yaml"
    named = plugged_in(config, **({"online_store": REDIS} if extra == "redis" else {}))
    variables = {"THE_ADDRESS": redis_server, "THE_PASSWORD": ""}
    place.run("feast", "apply", inside=repo, **variables)
    place.run("feast", "materialize", "2020-01-01T00:00:00", "2100-01-01T00:00:00", inside=repo, **variables)
    said = place.run("python", "-c", USED, inside=repo, **variables)
    used = [named[section] for section in ("online_store", "offline_store", "batch_engine")]
    assert said.splitlines()[-1] == f"as expected: {' '.join(used)}"
