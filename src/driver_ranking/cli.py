"""The command ``kedro run`` of this project: Kedro's own, but what goes wrong on purpose ends it with a message.

Kedro takes the commands of a project's ``cli.py`` before its own, and ``python -m driver_ranking`` runs the same.
"""

import traceback
from typing import IO, Any

import click
from kedro.framework.cli.project import run as kedro_run
from omegaconf.errors import OmegaConfBaseException

from driver_ranking.errors import DriverRankingError
from driver_ranking.full_disk import full_disk_message

VERBOSE = "DRIVER_RANKING_VERBOSE"
"""The environment variable that asks for tracebacks, as the option does."""


class RunEndedError(click.ClickException):
    """An error of the project as the command line shows it: the message is the last line, and may be all there is."""

    def __init__(self, message: str, exit_code: int, shown: str) -> None:
        """Take the message and the exit code, and what is shown before."""
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc] # Click asks the instance
        self.shown = shown

    def show(self, file: IO[Any] | None = None) -> None:
        """Write it where Click writes errors."""
        click.echo(self.shown, file=file, err=True)
        super().show(file)


class RunCommand(click.Command):
    """Kedro's command with errors that are messages."""

    def invoke(self, ctx: click.Context) -> object:
        """Run it.

        Raises:
            RunEndedError: The project refused or gave up, or the disk is full; any other error is passed on as it is,
                with its traceback.
        """
        verbose = ctx.params.pop("verbose")
        try:
            return super().invoke(ctx)
        except click.ClickException:
            raise
        except Exception as error:
            ours = purposeful(error)
            message = full_disk_message(error) or (str(ours) if ours else None)
            if message is None:
                raise
            hint = f"Run with --verbose, or with {VERBOSE}=1 in the environment, to see the traceback."
            shown = traceback.format_exc().rstrip() if verbose else hint
            raise RunEndedError(message, getattr(ours, "exit_code", 1), shown) from error


def purposeful(error: BaseException | None) -> DriverRankingError | None:
    """Return the error of the project that an error is, or was raised from as Kedro's and OmegaConf's are; or None."""
    while error is not None and not isinstance(error, DriverRankingError):
        # OmegaConf hides the error of a resolver, but says it
        error = error.__context__ if isinstance(error, OmegaConfBaseException) else error.__cause__
    return error


@click.group()
def cli() -> None:
    """Commands of this project."""


run = RunCommand(
    name="run",
    callback=kedro_run.callback,
    help=kedro_run.help,
    params=[
        *kedro_run.params,
        click.Option(["--verbose", "-v"], is_flag=True, envvar=VERBOSE, help="Show the traceback of an error as well."),
    ],
)
cli.add_command(run)
