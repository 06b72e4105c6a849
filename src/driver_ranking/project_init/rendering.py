"""The template of a project, rendered: a folder of files beside this module, in the format of Kedro's starters."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

TEMPLATES: Final = Path(__file__).parent / "templates"
PROJECT: Final = TEMPLATES / "project"
LOGGING: Final = PROJECT / "{{ cookiecutter.folder }}/conf/logging.yml"


def defaults() -> dict[str, str]:
    """Return what the template asks for, with the values that it has of itself: those of the sample project."""
    values: dict[str, str] = json.loads((PROJECT / "cookiecutter.json").read_text(encoding="utf-8"))
    return values


def render(folder: Path, values: Mapping[str, str]) -> None:
    """Render the template into a folder, which may be there; its other files stay.

    Args:
        folder: The project's folder.
        values: What the template asks for; of the rest, the values that it has of itself.
    """
    # not `cookiecutter.main`, which reads settings of the user's home, and writes there what it was given
    from cookiecutter.generate import generate_files

    context = {"cookiecutter": {**defaults(), **values, "folder": folder.name}}
    generate_files(str(PROJECT), context, str(folder.parent), overwrite_if_exists=True, accept_hooks=False)


def yaml_of(value: object) -> str:
    """Return a value as the template takes it: JSON, which is YAML."""
    return json.dumps(value, ensure_ascii=False)
