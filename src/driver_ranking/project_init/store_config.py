"""The configuration of the copied feature repo: the user's own, with this project's stores plugged in."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from driver_ranking.errors import ProjectInitError
from driver_ranking.feature_store.repo import CONFIG_FILE

REGISTRY: Final = "../data/04_feature/registry.db"
ONLINE_STORE: Final = "../data/04_feature/online_store.db"
OFFLINE_STORE: Final = {"type": "feast_columnar.AsofOfflineStore", "memory_limit": "1GB"}
BATCH_ENGINE: Final = {
    "type": "feast_columnar.StreamingComputeEngine",
    "ledger": {"path": "../data/04_feature/ledger", "keep_days": 365, "keep_entries": 20000},
}
_KEY_VERSION: Final = 3
_HEADING: Final = "# Paths are relative to this folder. Another file can be named with FEAST_FS_YAML_FILE_PATH.\n"


@dataclass(frozen=True)
class StoreConfig:
    """A configuration, and what was changed in it that the user may want to know.

    Attributes:
        values: What ``feature_store.yaml`` says.
        changes: A sentence for each change.
    """

    values: dict[str, Any]
    changes: tuple[str, ...]

    def write(self, folder: Path, **instead: object) -> Path:
        """Write it into a folder, with some values instead of its own."""
        import yaml

        path = folder / CONFIG_FILE
        text = yaml.safe_dump({**self.values, **instead}, sort_keys=False, allow_unicode=True)
        path.write_text(_HEADING + text, encoding="utf-8")
        return path


def read_config(repo: Path) -> StoreConfig:
    """Return the configuration for the copy of a feature repo.

    Raises:
        ProjectInitError: The repo has none, or one that names no project.
    """
    given = _given(repo)
    changes: list[str] = []
    values = {**given, "provider": "local", "registry": _registry(given.get("registry"), changes)}
    values["online_store"] = {"type": "feast_columnar.SharedSqliteOnlineStore", "path": ONLINE_STORE}
    values["offline_store"], values["batch_engine"] = OFFLINE_STORE, BATCH_ENGINE
    values["entity_key_serialization_version"] = max(_KEY_VERSION, _version(given))
    online = _type_of(given.get("online_store"), "sqlite")
    if online not in {"sqlite", values["online_store"]["type"]}:
        changes.append(f"The online store is a SQLite file of the project's, not your {online}.")
    if _type_of(given.get("auth"), "no_auth") != "no_auth":
        del values["auth"]
        changes.append("`auth` is left out: the project's registry and stores are files of its own.")
    return StoreConfig(values, tuple(changes))


def _given(repo: Path) -> dict[str, Any]:
    import yaml

    file = repo / CONFIG_FILE
    if not file.is_file():
        below = sorted(path.parent for path in repo.glob(f"*/{CONFIG_FILE}"))
        hint = f" Did you mean {', '.join(map(str, below))}?" if below else ""
        message = f"There is no feature repo at {repo}: {CONFIG_FILE} is missing.{hint}"
        raise ProjectInitError(message)
    try:
        given = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        message = f"{file} can't be read as YAML: {error}"
        raise ProjectInitError(message) from error
    if not isinstance(given, dict) or not isinstance(given.get("project"), str):
        message = f"{file} names no `project`."
        raise ProjectInitError(message)
    return given


def _registry(given: object, changes: list[str]) -> object:
    """Return the registry: the user's if that is a file in the copied folders, else one of the project's own."""
    path = given.get("path") if isinstance(given, dict) else given
    kind = _type_of(given, "file", "registry_type")
    if kind == "file" and isinstance(path, str) and _is_inside(path):
        return given
    if given is not None:
        changes.append(f"The registry is a file of the project's, {REGISTRY}, so that yours stays as it is.")
    return REGISTRY


def _is_inside(path: str) -> bool:
    """Return whether a path that counts from the feature repo stays in the project."""
    if "://" in path or "$" in path or os.path.isabs(path):  # noqa: PTH117 - no path yet
        return False
    return not os.path.normpath(Path("feature_repo") / path).startswith("..")


def _type_of(given: object, default: str, key: str = "type") -> str:
    return str(given.get(key) or default) if isinstance(given, dict) else default


def _version(given: dict[str, Any]) -> int:
    version = given.get("entity_key_serialization_version")
    return version if isinstance(version, int) else _KEY_VERSION
