"""The command line of ``driver_ranking replay``, run in a project's folder."""

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import click

from driver_ranking.cli import purposeful

if TYPE_CHECKING:
    from driver_ranking.datasets.prediction_log import PredictionLogRows
    from driver_ranking.model import ModelRegistry
    from driver_ranking.parity.replaying import LoggedAnswer, Replayed

UNLIKE: Final = 4
"""The exit code of a replay that does not give the same answer."""


@click.command(name="driver_ranking replay")
@click.argument("request_id")
@click.option(
    "--version", type=click.IntRange(min=1), help="What another version of the model says of the same features."
)
@click.option("--as-of-now", is_flag=True, help="What is answered by the features that the online store has now.")
@click.option("--since", type=click.DateTime(), help="Look no further back than this, UTC.")
@click.option("--env", help="The configuration environment.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(  # noqa: PLR0913, PLR0917 - the options
    request_id: str,
    version: int | None,
    as_of_now: bool,  # noqa: FBT001 - a flag
    since: datetime | None,
    env: str | None,
    as_json: bool,  # noqa: FBT001 - likewise
) -> None:
    """Give the answer to a request again, from the prediction log, the registry and the rules.

    The id is the request's own; of a request without one it is RUN-ANSWER, as the log has it. The exit code is 4 if the
    answer is not the same to the last bit; what another version or the features of now say may be another one.
    """
    try:
        log, registry, store = _opened(env)
        answer = _found(log, request_id, since.replace(tzinfo=UTC) if since else None)
        replayed = _replayed(answer, registry, store, version, as_of_now=as_of_now)
    except Exception as error:
        ours = purposeful(error)
        if ours is None:
            raise
        raise click.ClickException(str(ours)) from error
    same = _tell(answer, replayed, as_json=as_json)
    if not same and version is None and not as_of_now:
        sys.exit(UNLIKE)


def _opened(env: str | None) -> "tuple[PredictionLogRows, ModelRegistry, Any]":
    """Open the log, the registry and the feature store that the project's catalog names."""
    from kedro.framework.project import configure_project
    from kedro.framework.session import KedroSession
    from kedro.framework.startup import bootstrap_project

    folder = Path.cwd()
    if (folder / "pyproject.toml").is_file():
        bootstrap_project(folder)
    else:
        configure_project("driver_ranking")
    with KedroSession.create(project_path=folder, env=env) as session:
        catalog = cast("KedroSession", session).load_context().catalog
        found = [catalog.load(name) for name in ("prediction_log", "champion_model")]
        return found[0], found[1], lambda: catalog.load("feature_store")


def _found(log: "PredictionLogRows", request_id: str, since: datetime | None) -> "LoggedAnswer":
    from driver_ranking.parity.replaying import found_answer, with_its_batch
    from feast_columnar.online.moments import EPOCH, MICROSECOND

    answer, others = found_answer(log.batches(since), request_id)
    moment = EPOCH + int(answer.now[0]) * MICROSECOND
    return with_its_batch(answer, others, log.batches(moment, moment + timedelta(microseconds=1)))


def _replayed(
    answer: "LoggedAnswer",
    registry: "ModelRegistry",
    store: Any,  # noqa: ANN401 - gives Feast's store
    version: int | None,
    *,
    as_of_now: bool,
) -> "Replayed":
    from driver_ranking.parity.reading_again import ask_now
    from driver_ranking.parity.replaying import ask_version, replay
    from driver_ranking.parity.scores import Scorers

    if as_of_now:
        return ask_now(answer, registry, store(), str(version or answer.chunk.layout.version))
    if version is not None:
        return ask_version(answer, registry, store(), str(version))
    return replay(answer, Scorers(registry).of(answer.chunk.layout))


def _tell(answer: "LoggedAnswer", replayed: "Replayed", *, as_json: bool) -> bool:
    from driver_ranking.parity.replaying import described, is_same

    same, rows = is_same(answer, replayed), described(answer, replayed)
    if as_json:
        click.echo(json.dumps({"same": same, "version": replayed.version, "candidates": rows}, indent=2))
        return same
    moment = answer.chunk.described(0)["read_at"]
    click.echo(
        f"Answered at {moment} by version {answer.chunk.layout.version}; given again by version {replayed.version}."
    )
    click.echo(f"{'candidate':>16} {'rank':>5} {'score':>22} {'again':>5} {'score':>22}")
    for row in sorted(rows, key=lambda one: (one["rank"] is None, one["rank"])):
        logged, again = (_shown(row[name]) for name in ("score", "replayed_score"))
        ranks = (row["rank"] or "-", row["replayed_rank"] or "-")
        click.echo(f"{row['candidate']!s:>16} {ranks[0]:>5} {logged:>22} {ranks[1]:>5} {again:>22}")
    if answer.others:
        click.echo(f"{answer.others} other answer(s) have this id; this is the last one.")
    click.echo("The same, to the last bit." if same else "Not the same.")
    if not same:
        _tell_environment(answer)
    return same


def _tell_environment(answer: "LoggedAnswer") -> None:
    """Say what is another here than where the answer was given: last bits have their reason there."""
    from driver_ranking.prediction_log.environment import environment

    there, here = answer.chunk.layout.said.get("environment") or {}, environment()
    for name in sorted({*there, *here}):
        if there.get(name) != here.get(name):
            click.echo(f"{name}: {there.get(name)} there, {here.get(name)} here")


def _shown(score: float | None) -> str:
    return "excluded" if score is None else repr(score)
