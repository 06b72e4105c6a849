"""Projects that `driver_ranking init` makes of feature repos: what is inferred, and what is refused."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
import yaml
from click.testing import CliRunner
from support.feast_repos import BOTH, HOUR, KEYS, SHOPS, TOWNS, feast_init, made, own_orders, small_repo, walks, weather
from support.projects import ROOT, digests

from driver_ranking.errors import ProjectInitError
from driver_ranking.project_init.choices import AskedOnTerminal, Choices, Inferred
from driver_ranking.project_init.project import make_project
from driver_ranking.project_init.rendering import render

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def shops(tmp_path: Path) -> Path:
    """A repo with one key and no feature service."""
    return small_repo(tmp_path / "theirs", SHOPS, {"stats": walks(KEYS)})


@pytest.fixture
def towns(tmp_path: Path) -> Path:
    """A repo with two keys, and a feature service that has both."""
    return small_repo(tmp_path / "theirs", BOTH, {"stats": walks(KEYS), "weather": weather()})


def training(project: Path) -> dict[str, Any]:
    text = (project / "conf/base/parameters_training.yml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text)["training"])


def test_what_feast_init_makes_becomes_a_project_and_stays_as_it_is(tmp_path: Path) -> None:
    repo = feast_init(tmp_path / "theirs")
    before = digests(repo)
    project = made(repo)
    assert digests(repo) == before
    assert training(project) | {"seed": None} == {
        "feature_service": "driver_activity_v1",  # the one without maps, which no model takes
        "request_features": [],
        "candidate_key": "driver_id",
        "defaults": {},
        "label": "mean_conv_rate",  # Feast draws the values anew for each hour: the next one can't be forecast
        "seed": None,
        "test_size": 0.2,
        "group_column": None,
        "ndcg_k": 10,
        "estimator": {"class": "sklearn.linear_model.Ridge", "arguments": {}},
        "trusted_types": [],
        "thresholds": {},
        "promote": "if_not_worse",
    }
    config = yaml.safe_load((project / "feature_repo/feature_store.yaml").read_text(encoding="utf-8"))
    assert (config["project"], config["registry"], config["auth"]) == (
        "theirs",
        "data/registry.db",
        {"type": "no_auth"},
    )
    assert config["offline_store"]["type"] == "feast_columnar.AsofOfflineStore"
    asked = json.loads((project / "online_request.json").read_text(encoding="utf-8"))
    inputs = {one["name"]: (one["datatype"], one["shape"]) for one in asked["inputs"]}
    assert inputs == {"driver_id": ("INT64", [5]), "val_to_add": ("INT64", [1]), "val_to_add_2": ("INT64", [1])}
    assert [path.name for path in tmp_path.iterdir()] == ["theirs"]


def test_a_service_is_written_where_there_is_none_and_the_next_value_is_the_label_where_it_can_be_forecast(
    shops: Path,
) -> None:
    project = made(shops, name="sellers")
    assert (training(project)["feature_service"], training(project)["label"]) == ("sellers_v1", "next_sales")
    service = (project / "feature_repo/sellers_v1.py").read_text(encoding="utf-8")
    assert 'stats[["sales", "noise"]]' in service
    orders = pd.read_csv(project / "data/01_raw/orders.csv", dtype={"shop": str})
    source = pd.read_parquet(shops / "data/stats.parquet").sort_values(["at", "shop"])
    source["next_sales"] = source.groupby("shop")["sales"].shift(-1)
    expected = source.dropna(subset="next_sales")
    assert sorted(orders["next_sales"]) == pytest.approx(sorted(expected["next_sales"]))
    assert set(orders["shop"]) == set(KEYS)
    assert json.loads((project / "model-settings.json").read_text(encoding="utf-8"))["name"] == "sellers"


def test_keys_of_another_view_are_drawn_from_its_source(towns: Path) -> None:
    project = made(towns, candidate_key="shop")
    orders = pd.read_csv(project / "data/01_raw/orders.csv")
    assert set(orders["town"]) == {"x", "y", "z"}
    request = pd.read_csv(project / "data/01_raw/batch_request.csv", dtype=str)
    assert request["shop"].tolist() == sorted(KEYS)
    assert len(set(request["town"])) == 1
    inputs = json.loads((project / "online_request.json").read_text(encoding="utf-8"))["inputs"]
    assert [(one["name"], one["datatype"], one["shape"]) for one in inputs] == [
        ("shop", "BYTES", [3]),
        ("town", "BYTES", [1]),
    ]


PAIRS = (
    TOWNS
    + """
trip = RequestSource(name="trip", schema=[Field(name="hurry", dtype=Float64)])
pairs = FeatureView(
    name="pairs", entities=[shop, town], schema=[Field(name="sales", dtype=Float64)],
    source=FileSource(
        name="pairs_source", path="data/pairs.parquet", timestamp_field="seen", created_timestamp_column="written",
        field_mapping={"town_name": "town", "sold": "sales"},
    ),
)


@on_demand_feature_view(sources=[pairs, trip], schema=[Field(name="pace", dtype=Float64)], mode="python")
def pace(inputs):
    return {"pace": [None if None in row else row[0] + row[1] for row in zip(inputs["sales"], inputs["hurry"])]}


all_of_it = FeatureService(name="all_of_it", features=[stats[["noise"]], pace])
"""
)


def pairs() -> pd.DataFrame:
    """Return rows by two keys, each written twice, of which the later one counts."""
    rows = pd.concat(walks(KEYS).assign(town_name=town) for town in ("x", "y"))
    rows = rows.rename(columns={"at": "seen", "sales": "sold"}).drop(columns="noise")
    late = rows.assign(sold=rows["sold"] + 100, written=rows["seen"] + HOUR)
    return pd.concat([late, rows.assign(written=rows["seen"])])


def test_composite_keys_and_what_only_a_request_knows(tmp_path: Path) -> None:
    tables = {"stats": walks(KEYS), "weather": weather(), "pairs": pairs()}
    project = made(small_repo(tmp_path / "theirs", PAIRS, tables), candidate_key="shop")
    orders = pd.read_csv(project / "data/01_raw/orders.csv")
    assert list(orders) == ["event_timestamp", "shop", "town", "next_sales", "hurry"]
    assert (len(orders), orders["next_sales"].min() > 50) == (6 * 39, True)
    request = pd.read_csv(project / "data/01_raw/batch_request.csv", dtype=str)
    assert (request["shop"].tolist(), set(request["town"])) == (sorted(KEYS), {"x"})
    inputs = json.loads((project / "online_request.json").read_text(encoding="utf-8"))["inputs"]
    assert [(one["name"], one["shape"]) for one in inputs] == [("shop", [3]), ("town", [1]), ("hurry", [1])]


def test_keys_with_one_row_each_are_asked_for_at_several_times(tmp_path: Path) -> None:
    keys = [f"shop {number}" for number in range(12)]
    project = made(small_repo(tmp_path / "theirs", SHOPS, {"stats": walks(keys, rows=1)}))
    assert training(project)["label"] == "current_sales"
    orders = pd.read_csv(project / "data/01_raw/orders.csv")
    assert orders.groupby("shop")["event_timestamp"].nunique().min() >= 10


def test_features_that_are_named_make_a_service(towns: Path) -> None:
    choices = Choices(
        towns.parent / "made", towns, features=("stats:sales",), feature_service="mine", max_rmse=9.0, max_mae=0.001
    )
    project, notes = choices.folder, make_project(choices, Inferred()).notes
    assert "Above the threshold: mae; the training will end with exit code 3" in notes[-1]
    assert (training(project)["feature_service"], training(project)["candidate_key"]) == ("mine", "shop")
    assert training(project)["thresholds"] == {"rmse": 9.0, "mae": 0.001}


def test_orders_of_the_user_are_taken_with_what_they_know_of_a_request(shops: Path) -> None:
    project = made(shops, orders=own_orders(shops), request_features=("size", "kind"))
    assert training(project)["label"] == "profit"  # the only column that is left
    catalog = yaml.safe_load((project / "conf/base/catalog.yml").read_text(encoding="utf-8"))["driver_orders"]
    assert (catalog["filepath"], catalog["number_columns"]) == ("data/01_raw/orders.csv", ["profit"])
    assert catalog["feature_columns"] == {"size": "number", "kind": "text"}
    inputs = json.loads((project / "online_request.json").read_text(encoding="utf-8"))["inputs"]
    assert {one["name"]: one["datatype"] for one in inputs} == {"shop": "BYTES", "size": "FP64", "kind": "BYTES"}


def test_orders_that_say_nothing_are_taken_with_a_warning(shops: Path) -> None:
    file = own_orders(shops)
    orders = pd.read_csv(file, dtype={"shop": str})
    orders.loc[45:, "profit"] *= -1  # from then on it is the other way round
    orders.to_csv(file, index=False)
    notes = make_project(Choices(shops.parent / "made", shops, orders=file, label="profit"), Inferred()).notes
    assert "no better than predicting the mean" in " ".join(notes)


def test_rows_that_are_too_old_online_are_told_and_can_be_moved(tmp_path: Path) -> None:
    old = datetime(2021, 4, 12, tzinfo=UTC)
    repo = small_repo(tmp_path / "theirs", SHOPS, {"stats": walks(KEYS, last=old)})
    told = " ".join(make_project(Choices(tmp_path / "old", repo), Inferred()).notes)
    assert "The last row of the feature view `stats` is of 2021-04-12 00:00 UTC" in told
    now = datetime.now(tz=UTC)
    told = " ".join(make_project(Choices(tmp_path / "new", repo, recent=True), Inferred()).notes)
    assert "The last row" not in told
    before, after = (pd.read_parquet(folder / "data/stats.parquet") for folder in (repo, tmp_path / "new/feature_repo"))
    assert now <= after["at"].max() <= datetime.now(tz=UTC)
    assert ((after["at"] - before["at"]).nunique(), list(after["sales"])) == (1, list(before["sales"]))


def test_times_are_moved_in_all_files_of_a_source_or_in_none(tmp_path: Path) -> None:
    old = datetime(2021, 4, 12, tzinfo=UTC)
    definitions = SHOPS.replace("data/stats.parquet", "data/*/part*.parquet")
    repo = small_repo(tmp_path / "theirs", definitions, {})
    rows = walks(KEYS, last=old)
    for place, some in (("x/part1", rows[rows["shop"] == "a"]), ("y/part2", rows[rows["shop"] != "a"])):
        (repo / "data" / place).parent.mkdir()
        some.to_parquet(repo / f"data/{place}.parquet", index=False)
    project = made(repo, recent=True)
    for place in ("x/part1", "y/part2"):
        assert pd.read_parquet(project / f"feature_repo/data/{place}.parquet")["at"].max() > old + timedelta(days=365)
    absolute = SHOPS.replace("data/stats", f"{repo}/data/x/part1")
    there = small_repo(tmp_path / "other", absolute, {})
    with pytest.raises(ProjectInitError, match=r"'stats' stays at .*part1.parquet, so that its times can't be moved"):
        make_project(Choices(tmp_path / "not made", there, recent=True), Inferred())


def test_a_first_materialization_goes_back_to_the_first_row_where_no_ttl_says_so(tmp_path: Path) -> None:
    definitions = SHOPS.replace("ttl=timedelta(days=1)", "ttl=timedelta(0)")
    stats = walks(KEYS, last=datetime(2021, 4, 12, tzinfo=UTC))
    project = made(small_repo(tmp_path / "theirs", definitions, {"stats": stats}))
    text = (project / "conf/base/parameters_materialize.yml").read_text(encoding="utf-8")
    assert str(yaml.safe_load(text)["start"]) == "2021-04-10"


CONFIGS: dict[str, tuple[str, dict[str, Any], int]] = {
    "stores of others": (
        "registry: {registry_type: sql, path: 'postgresql://x'}\nonline_store: {type: redis}\nauth: {type: oidc}\n",
        {"registry": "../data/04_feature/registry.db", "entity_key_serialization_version": 3},
        3,
    ),
    "a registry elsewhere": ("registry: ../../shared/registry.db\n", {"registry": "../data/04_feature/registry.db"}, 1),
    "a registry of variables": ("registry: ${HOME}/registry.db\n", {"registry": "../data/04_feature/registry.db"}, 1),
    "a registry with settings": (
        "registry: {path: data/registry.db, cache_ttl_seconds: 5}\nentity_key_serialization_version: 2\n",
        {"registry": {"path": "data/registry.db", "cache_ttl_seconds": 5}, "entity_key_serialization_version": 3},
        0,
    ),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_the_configuration_is_the_users_but_for_what_is_in_the_way(
    tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, expected, changes = CONFIGS[case]
    monkeypatch.setenv("FEAST_FS_YAML_FILE_PATH", "/nowhere.yaml")  # that of the user's own repo
    repo = small_repo(tmp_path / "theirs", SHOPS, {"stats": walks(KEYS)}, config)
    notes = make_project(Choices(tmp_path / "made", repo), Inferred()).notes
    found = yaml.safe_load((tmp_path / "made/feature_repo/feature_store.yaml").read_text(encoding="utf-8"))
    assert {name: found[name] for name in expected} == expected
    assert found["project"] == "theirs"
    assert "auth" not in found
    assert len([note for note in notes if re.search(r"registry is|online store is|`auth`", note)]) == changes


def test_sources_keep_their_places_beside_the_repo(tmp_path: Path) -> None:
    definitions = (
        SHOPS.replace('path="data/stats.parquet"', 'path="../raw/stats"')
        + """
import pathlib

more = FeatureView(
    name="more", entities=[shop], schema=[Field(name="sales", dtype=Float64)],
    source=FileSource(
        name="more_source", path=str(pathlib.Path(__file__).parent / "data/*/part*.parquet"), timestamp_field="at"
    ),
)
"""
    )
    repo = small_repo(tmp_path / "theirs", definitions, {"unused": walks(KEYS)})
    for place in ("../raw/stats/one.parquet", "data/x/part1.parquet", "data/y/part2.parquet"):
        (repo / place).parent.mkdir(parents=True, exist_ok=True)
        walks(KEYS).to_parquet(repo / place, index=False)
    (repo / ".env").write_text("SECRET=1", encoding="utf-8")
    project = made(repo)
    copied = sorted(str(path.relative_to(project)) for path in project.rglob("*.parquet"))
    parts = ["feature_repo/data/x/part1.parquet", "feature_repo/data/y/part2.parquet"]
    assert copied == [*parts, "raw/stats/one.parquet"]
    assert not (project / "feature_repo/.env").exists()


def test_on_a_terminal_what_was_not_said_is_asked_for(towns: Path) -> None:
    answers = ["towns", "town", "", "0.9", "", ""]  # name, key, estimator, thresholds, orders
    with CliRunner().isolation(input="\n".join(answers) + "\n") as (_, shown, _output):
        make_project(Choices(towns.parent / "made", towns, feature_service="both"), AskedOnTerminal())
        said = shown.getvalue().decode()
    assert "What is ranked: the join key (shop, town): " in said
    project = towns.parent / "made"
    assert training(project)["candidate_key"] == "town"
    assert training(project)["thresholds"] == {"rmse": 0.9}


def compared(text: str) -> dict[str, Any]:
    """Return what a file of the configuration says, but for the sample's keys and what descriptions call its rows."""
    entries: dict[str, Any] = yaml.safe_load(text)
    left_out = {"key_columns", "metadata", "candidate_key"}
    return {
        name: {key: value for key, value in entry.items() if key not in left_out} if isinstance(entry, dict) else entry
        for name, entry in entries.items()
    }


def test_the_template_has_the_configuration_of_the_sample(tmp_path: Path) -> None:
    render(tmp_path / "made", {})
    ours = [path for path in (ROOT / "conf/base").glob("*.yml") if path.name != "airflow.yml"]
    assert sorted(path.name for path in (tmp_path / "made/conf/base").iterdir()) == sorted(path.name for path in ours)
    for path in ours:
        rendered, own = (
            (folder / path.name).read_text(encoding="utf-8") for folder in (tmp_path / "made/conf/base", path.parent)
        )
        assert compared(rendered) == compared(own), path.name
        assert comments(rendered) >= comments(own), path.name
    for name in ("settings.json", "model-settings.json", ".telemetry", "conf/logging.yml"):
        assert (tmp_path / "made" / name).read_text(encoding="utf-8") == (ROOT / name).read_text(encoding="utf-8")


def comments(text: str) -> set[str]:
    return {line.strip() for line in text.splitlines() if line.strip().startswith("#")}
