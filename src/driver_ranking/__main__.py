"""Run the project as a program: ``python -m driver_ranking --pipelines batch`` is ``kedro run --pipelines batch``.

``driver_ranking init`` makes another project, and needs none to be run in; ``driver_ranking replay REQUEST_ID`` gives a
logged answer again.
"""

import os
import sys
from pathlib import Path


def main() -> None:
    """Run the project's pipelines with the options of ``kedro run``, make a new project, or replay an answer."""
    if sys.argv[1:2] == ["init"]:
        _make_project(sys.argv[2:])
        return
    if sys.argv[1:2] == ["replay"]:
        from driver_ranking.replay.command import command

        command(sys.argv[2:], prog_name="driver_ranking replay")
        return
    from kedro.framework.cli.utils import find_run_command
    from kedro.framework.project import configure_project

    package_name = Path(__file__).parent.name
    configure_project(package_name)
    find_run_command(package_name)()


def _make_project(arguments: list[str]) -> None:
    from driver_ranking.project_init.rendering import LOGGING

    os.environ.setdefault("KEDRO_LOGGING_CONFIG", str(LOGGING))  # Kedro looks when it is imported
    from driver_ranking.project_init.command import command

    command(arguments, prog_name="driver_ranking init")


if __name__ == "__main__":
    main()
