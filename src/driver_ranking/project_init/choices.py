"""What a user says of the project that is to be made, and who is asked for what was not said."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import click

from driver_ranking.errors import ProjectInitError


@dataclass(frozen=True)
class Choices:
    """What was said. What is None or empty is inferred.

    Attributes:
        folder: The project's folder, to be made.
        feature_repo: The Feast feature repo; only read.
        name: The name of the project and of the registered model.
        feature_service: Of the repo, or the name of the one that is made of ``features``.
        features: Features as ``view:feature``.
        candidate_key: The join key of what is ranked.
        orders: A file of labelled orders.
        label: Its column with the label.
        request_features: Its columns that the model takes, beside what on-demand feature views do.
        estimator: The class of the model.
        trusted_types: Types inside of it that MLflow may load.
        max_rmse: The threshold of its RMSE.
        max_mae: Likewise of its MAE.
        recent: Whether event times of the copied sources are moved so that the last one is of now.
    """

    folder: Path
    feature_repo: Path
    name: str | None = None
    feature_service: str | None = None
    features: tuple[str, ...] = ()
    candidate_key: str | None = None
    orders: Path | None = None
    label: str | None = None
    request_features: tuple[str, ...] = ()
    estimator: str | None = None
    trusted_types: tuple[str, ...] = ()
    max_rmse: float | None = None
    max_mae: float | None = None
    recent: bool = False


class Answers(Protocol):
    """Answers questions for the user, or has the user answer them."""

    def one_of(self, question: str, options: Sequence[str], inferred: str | None, refusal: str) -> str:
        """Return one of the options.

        Args:
            question: What is asked.
            options: What may be answered.
            inferred: What is taken without an answer; None where nothing can be inferred.
            refusal: What to say where nothing can be inferred and nobody can be asked.
        """
        ...

    def text(self, question: str, inferred: str) -> str:
        """Return a text; the inferred one without an answer."""
        ...


class Inferred:
    """Nobody is asked."""

    def one_of(self, question: str, options: Sequence[str], inferred: str | None, refusal: str) -> str:  # noqa: ARG002 - the protocol's
        """Return what was inferred.

        Raises:
            ProjectInitError: Nothing was.
        """
        if inferred is None:
            raise ProjectInitError(refusal)
        return inferred

    def text(self, question: str, inferred: str) -> str:  # noqa: ARG002 - the protocol's
        """Return what was inferred."""
        return inferred


class AskedOnTerminal:
    """Each question is put on the terminal, with what was inferred as the answer to none."""

    def one_of(self, question: str, options: Sequence[str], inferred: str | None, refusal: str) -> str:  # noqa: ARG002 - the protocol's
        """Ask, until it is one of the options; not where there is but one."""
        if inferred is not None and list(options) == [inferred]:
            return inferred
        return str(click.prompt(question, type=click.Choice(list(options)), default=inferred, err=True))

    def text(self, question: str, inferred: str) -> str:
        """Ask; the answer may be nothing if nothing was inferred."""
        return str(click.prompt(question, default=inferred, show_default=bool(inferred), err=True))
