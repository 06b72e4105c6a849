"""compose.yaml: what it must not be without, told without starting anything."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from support.projects import ROOT
from support.stack import DEPLOY, UnsetError, compose_file

if TYPE_CHECKING:
    from pathlib import Path

PASSWORDS = {"REDIS_PASSWORD": "of-redis", "GRAFANA_PASSWORD": "of-grafana"}
EXAMPLE = (DEPLOY / ".env.example").read_text(encoding="utf-8")


@pytest.mark.parametrize("missing", PASSWORDS)
def test_without_a_password_nothing_starts(missing: str) -> None:
    given = {name: value for name, value in PASSWORDS.items() if name != missing}
    with pytest.raises(UnsetError, match=r"copy deploy/\.env\.example to deploy/\.env"):
        compose_file(given)


def test_the_example_has_no_password_and_names_all_settings() -> None:
    set_there = dict(line.split("=", 1) for line in EXAMPLE.splitlines() if re.match(r"[A-Z]", line))
    assert set_there == dict.fromkeys(PASSWORDS, "")
    named = set(re.findall(r"^(?:# )?([A-Z_]+)=", EXAMPLE, flags=re.MULTILINE))
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    assert named == set(re.findall(r"\$\{(\w+)", text))


def test_ports_are_published_on_loopback_alone() -> None:
    services = compose_file(PASSWORDS)["services"]
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert len(published) == 5
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_every_service_that_stays_is_checked_and_restarted_and_every_image_is_pinned() -> None:
    for name, service in compose_file(PASSWORDS)["services"].items():
        job = name in {"materialize", "task"}
        assert service["restart"] == ("no" if job else "unless-stopped")
        assert service["healthcheck"].keys() == {"disable"} if job else service["healthcheck"]["test"][0] == "CMD"
        assert re.search(r":v?\d+\.\d+\.\d+(-alpine)?$", service["image"]) or "build" in service


def test_what_it_mounts_of_the_project_is_there() -> None:
    mounted = [
        text.split(":")[0] for one in compose_file(PASSWORDS)["services"].values() for text in one.get("volumes", [])
    ]
    folders = [DEPLOY / source for source in mounted if source.startswith(".")]
    assert len(folders) == 3
    assert all(any(folder.rglob("*.*")) for folder in folders)


def make(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = ["make", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_make_up_wants_the_passwords_first(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_bytes((ROOT / "Makefile").read_bytes())
    (tmp_path / "deploy").mkdir()
    refused = make("up", folder=tmp_path)
    assert refused.returncode != 0
    assert "deploy/.env is missing: copy deploy/.env.example" in refused.stdout
    (tmp_path / "deploy/.env").touch()
    assert "docker compose --file deploy/compose.yaml up --detach" in make("--dry-run", "up", folder=tmp_path).stdout
    task = make("--dry-run", "task", "RUN=kedro run --pipelines batch", folder=tmp_path).stdout
    assert "docker compose --file deploy/compose.yaml run --rm task kedro run --pipelines batch" in task
    assert "docker compose --file deploy/compose.yaml down" in make("--dry-run", "down", folder=tmp_path).stdout
