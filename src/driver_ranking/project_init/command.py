"""The command ``driver_ranking init FOLDER --feature-repo PATH``."""

import logging
import sys
from pathlib import Path
from typing import Any, Final

import click

from driver_ranking.cli import VERBOSE, RunCommand
from driver_ranking.project_init.choices import AskedOnTerminal, Choices, Inferred

_LISTS: Final = ("features", "request_features", "trusted_types")


def _option(*names: str, help: str, **rest: Any) -> click.Option:  # noqa: A002, ANN401 - Click's names
    return click.Option(list(names), help=help, **rest)


def init(**given: Any) -> None:  # noqa: ANN401 - what Click hands over
    """Make a project in FOLDER, which is new or empty, of a Feast feature repo, which is only read.

    On a terminal, what no option says is asked for; elsewhere, or with --yes, it is inferred. What was inferred is
    printed, and is in the project's README.
    """
    is_asked = not given.pop("yes") and sys.stdin.isatty()
    given |= {name: tuple(part.strip() for part in (given[name] or "").split(",") if part.strip()) for name in _LISTS}
    from driver_ranking.project_init.project import make_project

    for name in ("driver_ranking", "feast_columnar"):  # what is said of a trial would be taken for the project's runs
        logging.getLogger(name).setLevel(logging.WARNING)
    made = make_project(Choices(**given), AskedOnTerminal() if is_asked else Inferred())
    for note in made.notes:
        click.echo(f"- {note}")
    click.echo(
        f"\nThe project {made.name} is in {made.folder}. Its README.md has this, and the commands:\n\ncd {made.folder}"
    )
    click.echo((made.folder / "README.md").read_text(encoding="utf-8").split("```bash\n")[1].split("```")[0].rstrip())


command = RunCommand(
    name="init",
    callback=init,
    help=init.__doc__,
    params=[
        click.Argument(["folder"], type=click.Path(path_type=Path)),
        _option(
            "--feature-repo", help="The folder with feature_store.yaml.", type=click.Path(path_type=Path), required=True
        ),
        _option("--name", help="Name of the project and of the registered model; the folder's."),
        _option("--feature-service", help="The feature service of the repo that the model takes."),
        _option("--features", help="view:feature,... for a feature service that is written into the project."),
        _option("--candidate-key", help="The join key of what is ranked, where there are several."),
        _option("--orders", help="Labelled orders, CSV, TSV or Parquet.", type=click.Path(path_type=Path)),
        _option("--label", help="Their column with the label."),
        _option("--request-features", help="Columns of theirs that the model takes as well, separated by commas."),
        _option("--estimator", help="Class with scikit-learn's interface; sklearn.linear_model.Ridge."),
        _option("--trusted-types", help="Types inside of it that are not scikit-learn's, separated by commas."),
        _option("--max-rmse", help="Threshold of a model's RMSE; none.", type=float),
        _option("--max-mae", help="Threshold of its MAE; none.", type=float),
        _option("--recent", help="Move the times of copied sources, so that the last row is of now.", is_flag=True),
        _option("--yes", "-y", help="Ask nothing.", is_flag=True),
        _option("--verbose", "-v", help="Show the traceback of an error as well.", is_flag=True, envvar=VERBOSE),
    ],
)
