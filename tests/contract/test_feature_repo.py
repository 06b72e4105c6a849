"""A feature repo: its definitions, applying them, its services; and extraction from it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typeguard
from support.projects import ROOT

from driver_ranking.errors import FeatureServiceNotFoundError, FeatureStoreError, MissingFeatureError, RequestError
from driver_ranking.feature_store.extraction import feature_columns, point_in_time_features, refuse_columns
from driver_ranking.feature_store.repo import FeatureRepo, features_for, find_defined_service, find_service
from driver_ranking.sample_data import SampleSize, write_sample

SQL = "SELECT make_timestamptz(2026, 6, 3, 0, 0, 0.0) AS event_timestamp, unnest([1002, 1001, 9001, 1002]) AS driver_id"
COLUMNS = ("event_timestamp", "driver_id")
FEATURES = ("conv_rate", "acc_rate", "avg_daily_trips")


@pytest.fixture
def repo(tmp_path: Path) -> FeatureRepo:
    """The project's own feature repo over a small sample."""
    shutil.copytree(ROOT / "feature_repo", tmp_path / "feature_repo", ignore=shutil.ignore_patterns("__pycache__"))
    write_sample(tmp_path / "data/01_raw", SampleSize(drivers=5, hours=72), orders=10)
    return FeatureRepo(tmp_path / "feature_repo")


def edit(repo: FeatureRepo, file: str, old: str, new: str) -> None:
    path = repo.path / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def applied(repo: FeatureRepo) -> list[str]:
    return sorted(service.name for service in repo.apply(repo.definitions()).list_feature_services())


def test_applying_makes_the_registry_what_the_repo_defines(repo: FeatureRepo) -> None:
    assert applied(repo) == ["driver_ranking_v1", "driver_ranking_v2"]
    edit(repo, "feature_services.py", "driver_ranking_v1", "driver_ranking_v2")
    assert applied(repo) == ["driver_ranking_v2"], "what is no longer defined is removed"


def test_applying_leaves_the_process_as_it_was(repo: FeatureRepo) -> None:
    path, folder, bytecode = list(sys.path), Path.cwd(), sys.dont_write_bytecode
    applied(repo)
    assert (sys.path, Path.cwd(), sys.dont_write_bytecode) == (path, folder, bytecode)
    assert not {"entities", "feature_views", "data_sources", "feature_services"} & set(sys.modules)


def test_a_folder_without_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FeatureStoreError, match=r"There is no feature repo at .*: feature_store\.yaml is missing"):
        FeatureRepo(tmp_path).open()


def test_another_configuration_may_be_named(repo: FeatureRepo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    text = repo.config_file.read_text(encoding="utf-8")
    other.write_text(text.replace("online_store.db", "elsewhere.db"), encoding="utf-8")
    monkeypatch.setenv("FEAST_FS_YAML_FILE_PATH", str(other))
    applied(repo)
    assert (tmp_path / "data/04_feature/elsewhere.db").is_file()


def test_a_configuration_may_be_given_and_the_environment_has_the_last_word(
    repo: FeatureRepo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given = FeatureRepo(repo.path, repo.path / "feature_store_redis.yaml")
    assert given.config_file == repo.path / "feature_store_redis.yaml"
    monkeypatch.setenv("FEAST_FS_YAML_FILE_PATH", str(tmp_path / "named.yaml"))
    assert given.config_file == tmp_path / "named.yaml"


def test_a_variable_that_a_configuration_names_must_be_set(repo: FeatureRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    given = FeatureRepo(repo.path, repo.path / "feature_store_redis.yaml")
    with pytest.raises(FeatureStoreError, match=r"needs the environment variables REDIS_ADDRESS, REDIS_PASSWORD"):
        given.open()
    monkeypatch.setenv("REDIS_ADDRESS", "127.0.0.1:1")
    monkeypatch.setenv("REDIS_PASSWORD", "")
    assert given.open().config.online_store.connection_string == "127.0.0.1:1"


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("feature_store.yaml", "provider: local", "provider: [local", "The configuration .* can't be used: "),
        ("entities.py", "from feast import", "from nowhere import", "definitions in .* can't be read: No module named"),
        (
            "entities.py",
            'name="driver"',
            "name=",
            r"definitions in .* can't be read: (invalid syntax|expected argument)",
        ),
        ("entities.py", "driver = Entity(", "raise SystemExit\ndriver = Entity(", "can't be read: SystemExit"),
    ],
)
def test_a_broken_repo_is_an_error_that_says_where(
    repo: FeatureRepo, file: str, old: str, new: str, message: str
) -> None:
    edit(repo, file, old, new)
    with pytest.raises(FeatureStoreError, match=message):
        repo.definitions()


@pytest.mark.parametrize(
    ("file", "more", "what"),
    [
        (
            "other.py",
            "import feast; zone = feast.Entity(name='zone', join_keys=['id'], value_type=feast.ValueType.STRING)\n",
            "entities",
        ),
        (
            "feature_services.py",
            'other = FeatureService(name="driver_ranking_v1", features=[zone_stats])\n',
            "feature services",
        ),
    ],
)
def test_one_name_of_two_things_is_refused(repo: FeatureRepo, file: str, more: str, what: str) -> None:
    with (repo.path / file).open("a", encoding="utf-8") as added:
        added.write(more)
    with pytest.raises(FeatureStoreError, match=f"have two {what} named '.*' that differ: rename one of them"):
        repo.definitions()


def test_a_definition_that_is_there_twice_is_one(repo: FeatureRepo) -> None:
    (repo.path / "again.py").write_text((repo.path / "entities.py").read_text(encoding="utf-8"), encoding="utf-8")
    names = [entity.name for entity in repo.definitions().entities]
    assert (names.count("driver"), names.count("zone")) == (2, 2)


def test_a_store_that_can_not_be_reached_is_an_error(repo: FeatureRepo) -> None:
    edit(repo, "feature_store.yaml", "../data/04_feature/online_store.db", "/proc/nowhere/online_store.db")
    definitions = repo.definitions()
    with pytest.raises(FeatureStoreError, match="can't be applied: "):
        repo.apply(definitions)


def test_a_required_service_is_looked_up(repo: FeatureRepo) -> None:
    definitions = repo.definitions()
    assert find_defined_service(definitions, "driver_ranking_v1").name == "driver_ranking_v1"
    with pytest.raises(FeatureServiceNotFoundError, match="no feature service 'v9'; it has: driver_ranking_v1"):
        find_defined_service(definitions, "v9")
    definitions.feature_services.clear()
    with pytest.raises(FeatureServiceNotFoundError, match="no feature service 'v9'; it has: none"):
        find_defined_service(definitions, "v9")


def test_a_repo_that_was_not_applied_has_no_service_and_gets_no_registry_by_being_asked(repo: FeatureRepo) -> None:
    store = repo.open()
    registry = store.repo_path / store.config.registry.path
    registry.unlink(missing_ok=True)
    with pytest.raises(FeatureServiceNotFoundError, match=r"registry is not there.*: apply the feature repo"):
        find_service(store, "driver_ranking_v1")
    assert not registry.exists()


def test_a_service_offers_its_columns(repo: FeatureRepo) -> None:
    service = find_service(repo.apply(repo.definitions()), "driver_ranking_v1")
    offered = features_for(service, ("acc_rate",))
    assert (offered.columns, offered.full_names) == (FEATURES, False)
    full = features_for(service, ("driver_stats__acc_rate",))
    assert (full.columns, full.full_names) == (tuple(f"driver_stats__{name}" for name in FEATURES), True)
    with pytest.raises(MissingFeatureError, match="wants 'rating', but the feature service 'driver_ranking_v1' offers"):
        features_for(service, ("acc_rate", "rating"))


def test_features_of_one_name_need_the_names_of_their_views(repo: FeatureRepo) -> None:
    edit(
        repo,
        "feature_services.py",
        "features=[driver_stats]",
        'features=[driver_stats, driver_stats.with_name("twin")]',
    )
    service = find_service(repo.apply(repo.definitions()), "driver_ranking_v1")
    with pytest.raises(FeatureStoreError, match="has features of one name"):
        features_for(service, FEATURES)
    assert features_for(service, ("twin__acc_rate", "driver_stats__acc_rate")).full_names
    assert features_for(service).columns[::3] == ("driver_stats__conv_rate", "twin__conv_rate"), "to be trained on"


@pytest.mark.parametrize("offline_store", ["feast_columnar.AsofOfflineStore", "duckdb"])
def test_extraction_keeps_rows_order_and_metadata_whatever_the_store(
    repo: FeatureRepo, tmp_path: Path, offline_store: str
) -> None:
    edit(repo, "feature_store.yaml", "  memory_limit: 1GB # what is over goes to disk\n", "")
    edit(repo, "feature_store.yaml", "feast_columnar.AsofOfflineStore", offline_store)
    edit(repo, "data_sources.py", "../data", str(tmp_path / "data"))
    store = repo.apply(repo.definitions())
    features = features_for(find_service(store, "driver_ranking_v1"))
    extracted = point_in_time_features(store, features, SQL, COLUMNS, {"purpose": "test"})
    path = tmp_path / "features.parquet"
    assert extracted.write_parquet(str(path)) == 4
    table = pq.read_table(path)
    assert table.column("driver_id").to_pylist() == [1002, 1001, 9001, 1002]
    assert table.column_names == [*COLUMNS, *FEATURES]
    assert [row is None for row in table.column("avg_daily_trips").to_pylist()] == [False, False, True, False]
    assert table.schema.field("avg_daily_trips").type == pa.int32()
    assert feature_columns(table.schema) == FEATURES
    assert table.schema.metadata[b"purpose"] == b"test"
    assert table.schema.metadata[b"driver_ranking.feature_service"] == b"driver_ranking_v1"


def test_a_column_with_a_features_name_is_refused(repo: FeatureRepo) -> None:
    store = repo.apply(repo.definitions())
    features = features_for(find_service(store, "driver_ranking_v1"))
    with pytest.raises(RequestError, match="The column 'acc_rate' of the entity rows has the name of a feature"):
        point_in_time_features(store, features, SQL, (*COLUMNS, "acc_rate"), {})


def test_columns_of_other_names_are_welcome_whatever_their_case() -> None:
    refuse_columns(("note",), ("score",), "an output column")
    with pytest.raises(RequestError, match="The column 'Score'"):
        refuse_columns(("note", "Score"), ("score",), "an output column")


def test_rows_that_were_not_extracted_have_no_feature_columns() -> None:
    with pytest.raises(RequestError, match=r"have no record of 'driver_ranking\.features'"):
        feature_columns(pa.schema([("conv_rate", pa.float32())]))


def test_an_offline_store_that_fails_is_an_error(repo: FeatureRepo, tmp_path: Path) -> None:
    store = repo.apply(repo.definitions())
    features = features_for(find_service(store, "driver_ranking_v1"))
    extracted = point_in_time_features(store, features, SQL, COLUMNS, {})
    (tmp_path / "data/01_raw/driver_stats.parquet").unlink()
    with pytest.raises(FeatureStoreError, match="The features can't be extracted: source 'driver_stats_source'"):
        extracted.write_parquet(str(tmp_path / "features.parquet"))
    assert not (tmp_path / "features.parquet").exists()


def test_a_registry_that_is_no_file_needs_no_lock(repo: FeatureRepo, tmp_path: Path) -> None:
    edit(repo, "feature_store.yaml", "  path: ../data/04_feature/registry.db", f"  path: sqlite:///{tmp_path}/r.db")
    edit(repo, "feature_store.yaml", "registry:\n", "registry:\n  registry_type: sql\n")
    assert applied(repo) == ["driver_ranking_v1", "driver_ranking_v2"]


def test_runs_at_the_same_time_do_not_tear_the_registry(repo: FeatureRepo) -> None:
    applied(repo)
    script = (
        "from pathlib import Path; from driver_ranking.feature_store.repo import FeatureRepo, find_service\n"
        f"repo = FeatureRepo(Path({str(repo.path)!r})); definitions = repo.definitions()\n"
        "for _ in range(30):\n"
        "    repo.apply(definitions); find_service(repo.open(), 'driver_ranking_v1')\n"
    )
    runs = [subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True) for _ in range(3)]
    assert [run.communicate(timeout=120)[1] or run.returncode for run in runs] == [0, 0, 0]


def test_typeguard_is_off_only_while_feast_is_imported(monkeypatch: pytest.MonkeyPatch, repo: FeatureRepo) -> None:
    before, during = typeguard.typechecked, []
    monkeypatch.delitem(sys.modules, "feast")
    with monkeypatch.context() as patched:
        patched.setattr("importlib.import_module", lambda name: during.append((name, typeguard.typechecked(int))))
        patched.setattr(FeatureRepo, "config_file", Path("nowhere"))
        with pytest.raises(FeatureStoreError, match="There is no feature repo"):
            repo.open()
    assert during == [("feast", int)]
    assert typeguard.typechecked is before


def test_feast_is_imported_without_its_own_type_checks_and_typeguard_stays_as_it_is(repo: FeatureRepo) -> None:
    script = (
        "import sys, typeguard; before = typeguard.typechecked\n"
        "from pathlib import Path; from driver_ranking.feature_store.repo import FeatureRepo\n"
        f"FeatureRepo(Path({str(repo.path)!r})).open()\n"
        "assert typeguard.typechecked is before and 'feast' in sys.modules\n"
        "from feast import Entity\n"
        "Entity(name='driver', description=None)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, timeout=120)


def test_without_a_lock_a_registry_can_be_read_and_not_written(repo: FeatureRepo) -> None:
    """As in a folder that is mounted to be read only; a folder in the lock's place keeps even root from opening it."""
    store = repo.apply(repo.definitions())
    lock = next((repo.path.parent / "data/04_feature").glob(".registry.db.lock"))
    lock.unlink()
    lock.mkdir()
    assert find_service(store, "driver_ranking_v1").name == "driver_ranking_v1"
    with pytest.raises(FeatureStoreError, match="can't be applied"):
        repo.apply(repo.definitions())
