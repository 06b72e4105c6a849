"""The champion of the moment: it is loaded, tried, swapped and unloaded here, one such thing at a time."""

import asyncio
import contextlib
import gc
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING

from driver_ranking.errors import (
    DriverRankingError,
    ModelError,
    ModelRefusedError,
    ModelTimeoutError,
    NotReadyError,
    UnloadedError,
)
from driver_ranking.model import RegisteredModel
from driver_ranking.serving.champion import Champion, ChampionLoader
from driver_ranking.serving.memory import trim_memory
from driver_ranking.serving.metrics import ranking_metrics
from driver_ranking.serving.settings import RuntimeSettings
from driver_ranking.serving.threads import AllStuckError, BoundedCalls, OverTimeError
from driver_ranking.serving.trial import Outcome, Trial, try_on_stored_rows

if TYPE_CHECKING:
    from driver_ranking.serving.query import RankingQuery

logger = logging.getLogger("mlserver.driver_ranking")

NO_MODEL = "No model is loaded yet."
_UNLOADED = "The model is unloaded. Load it with POST /v2/repository/models/NAME/load."
_STOPPING = "The server is stopping."

_UNTRIED = {
    Outcome.NO_ROWS: "the online store has no rows that it can be tried on, or can't be read. It is tried as soon as "
    "there are some.",
    Outcome.NOT_POSSIBLE: "what its requests have is not known here.",
}
_MOST_STUCK = 8  # loads that may be left alone
_LONGEST_PAUSE = 60.0  # seconds


@dataclass(frozen=True)
class _Loaded:
    """What a load gave.

    Attributes:
        began: When, by the count of what was asked for.
        loader: What loaded.
        outcome: The model, or why there is none.
    """

    began: int
    loader: ChampionLoader
    outcome: RegisteredModel | DriverRankingError

    def result(self) -> RegisteredModel:
        if isinstance(self.outcome, DriverRankingError):
            raise self.outcome
        return self.outcome


class Pause:
    """A time to wait that doubles with each time that it was for nothing."""

    def __init__(self, first: float) -> None:
        """Begin with so many seconds."""
        self._first = first
        self._pause, self._end = first, 0.0

    @property
    def is_over(self) -> bool:
        """Return whether it is time to try again."""
        return time.monotonic() >= self._end

    def longer(self) -> None:
        """Wait, and the next time longer."""
        self._end = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, max(_LONGEST_PAUSE, self._first))

    def over(self) -> None:
        """Begin anew."""
        self._pause, self._end = self._first, 0.0


class ChampionKeeper:
    """Holds the champion. Used from one event loop.

    Attributes:
        champion: The champion; None where there is none.
        example: A request that it can answer; None if none is known.
    """

    def __init__(
        self, loader: ChampionLoader, settings: RuntimeSettings, changed: Callable[[], Awaitable[None]]
    ) -> None:
        """Load nothing yet.

        Args:
            loader: Loads the champion, in a thread.
            settings: The settings.
            changed: Called after each swap.
        """
        self.champion: Champion | None = None
        self.example: RankingQuery | None = None
        self._loader, self._settings, self._changed = loader, settings, changed
        self._turn = asyncio.Lock()
        self._loads = BoundedCalls("load", most_stuck=_MOST_STUCK)
        self._looks = BoundedCalls("look-at-alias", most_stuck=_MOST_STUCK)
        self._working: set[asyncio.Task[RegisteredModel]] = set()
        self._asked = 0
        self._last: _Loaded | None = None
        self._problem: NotReadyError = NotReadyError(NO_MODEL)
        self._failure: str | None = None  # of a champion that has taken its place untried
        self._untried = False
        self._refused: str | None = None
        self._pause = Pause(settings.load_retry_interval)
        self._stopping = False

    @property
    def problem(self) -> str | None:
        """Return why the champion can't score, or why there is none, fit for a client; None where it can."""
        if self.champion is None:
            return str(self._problem)
        return self.champion.predictor.problem or self._failure

    @property
    def unloaded(self) -> bool:
        """Return whether the model was taken out of service."""
        return isinstance(self._problem, UnloadedError)

    def require(self) -> Champion:
        """Return the champion.

        Raises:
            UnloadedError: It was taken out of service.
            NotReadyError: There is none yet.
        """
        if self.champion is None:
            raise type(self._problem)(str(self._problem))
        return self.champion

    async def load(self, loader: ChampionLoader | None = None) -> RegisteredModel:
        """Load the version that is named now, try it, and swap it in; requests on their way end with the one before.

        Of several that ask while another load is on its way, the next load is for all.

        Args:
            loader: What loads from now on, if it is another one.

        Raises:
            ModelRefusedError: The version can't be served; the one before goes on, if there is one.
            DriverRankingError: There is no model yet and none can be found.
        """
        if self._stopping:
            raise NotReadyError(_STOPPING)
        self._asked += 1
        work = self._started(self._load_in_turn(self._asked, loader or self._loader))
        try:
            model = await asyncio.shield(work)  # whoever asked may leave, and must not leave half a load
        except asyncio.CancelledError:
            if work.cancelled():
                raise NotReadyError(_STOPPING) from None
            raise
        await self._changed()
        return model

    async def unload(self) -> None:
        """Take the champion out of service, until it is loaded again."""
        async with self._turn:
            before, self.champion, self.example = self.champion, None, None
            self._problem, self._last, self._untried = UnloadedError(_UNLOADED), None, False
            ranking_metrics().model_version.set(0)
            if before is not None:
                before.close()
                logger.info("Unloaded the %s.", before.model.label)

    def stop(self) -> None:
        """Give up what is being loaded, and load nothing more: the process is about to end."""
        self._stopping = True
        for work in self._working:
            work.cancel()

    async def keep_loading(self) -> None:
        """While there is no model, look for one; later follow the alias, if that is asked for."""
        refused: str | None = None
        untried = Pause(self._settings.load_retry_interval)
        while not self._stopping:
            watches = self.champion is not None and self._settings.watch_alias_interval and not self._untried
            await asyncio.sleep(self._settings.watch_alias_interval if watches else self._settings.load_retry_interval)
            if self.unloaded:
                continue
            if self.champion is None:
                await self.try_to_load()
                untried.over()
                continue
            if self._untried and untried.is_over:
                await self._try_on_rows(self.champion)
                if self._failure is None:
                    untried.longer()
            if self._settings.watch_alias_interval:
                refused = await self._follow_alias(self.champion.model.version, refused)

    async def try_to_load(self) -> None:
        """Load the first model; say why that does not work, once for each reason."""
        try:
            if self._refused is not None and not self._pause.is_over and await self._named() == self._refused:
                return
            await self.load()
        except DriverRankingError as error:
            if str(self._problem) != error.public_message and not self.unloaded:
                logger.error("Not ready: %s", error)  # noqa: TRY400 - the message is what helps, its cause is known
                self._problem = NotReadyError(error.public_message)
            await self._remember_refused(error)

    async def _remember_refused(self, error: DriverRankingError) -> None:
        """Try a version that has failed by itself again and again, but ever more seldom; another one at once."""
        named = None
        if isinstance(error, ModelRefusedError) and isinstance(error.__cause__, ModelError):
            with contextlib.suppress(DriverRankingError):
                named = await self._named()
        if named is None or named != self._refused:
            self._pause.over()
        self._refused = named
        self._pause.longer()

    async def _named(self) -> str:
        try:
            return await self._looks.run(self._settings.load_timeout, self._loader.named_version)
        except (OverTimeError, AllStuckError) as error:
            message = "The model registry does not answer."
            raise ModelTimeoutError(message) from error

    async def _follow_alias(self, served: str, refused: str | None) -> str | None:
        """Serve what the alias names, unless it was refused before; return the version that was refused last."""
        named = refused
        with contextlib.suppress(DriverRankingError):  # the version before serves on; refusals are logged where made
            named = await self._named()
            if named not in {served, refused}:
                await self.load()
        return None if self.champion and self.champion.model.version == named else named

    def _started(self, work: Coroutine[None, None, RegisteredModel]) -> "asyncio.Task[RegisteredModel]":
        task = asyncio.get_running_loop().create_task(work)
        self._working.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[RegisteredModel]") -> None:
        self._working.discard(task)
        if not task.cancelled():
            task.exception()  # whoever asked may have left

    async def _load_in_turn(self, asked: int, loader: ChampionLoader) -> RegisteredModel:
        async with self._turn:
            last = self._last
            if last is None or last.began < asked or last.loader != loader:
                self._asked += 1
                began = self._asked
                try:
                    last = _Loaded(began, loader, await self._load(loader))
                except DriverRankingError as error:
                    last = _Loaded(began, loader, error)
                self._last = last
            return last.result()

    async def _load(self, loader: ChampionLoader) -> RegisteredModel:
        try:
            champion = await self._loaded(loader)
            try:
                trial = await try_on_stored_rows(champion, self._settings.online_read_timeout)
            except BaseException:
                champion.close()
                raise
        except DriverRankingError as error:
            raise self._refusal(error) from error
        self._swap(champion, loader, trial)
        return champion.model

    async def _loaded(self, loader: ChampionLoader) -> Champion:
        limit = self._settings.load_timeout
        try:
            return await self._loads.run(limit, loader.load)
        except OverTimeError as error:
            message = f"It was not loaded within {limit:g} s."
            raise ModelTimeoutError(message) from error
        except AllStuckError as error:
            message = f"{_MOST_STUCK} loads before did not end within {limit:g} s each. Restart the service."
            raise ModelTimeoutError(message) from error
        except DriverRankingError:
            raise
        except Exception as error:
            message = f"The model can't be loaded: {error}"
            raise ModelError(message) from error

    def _refusal(self, error: DriverRankingError) -> DriverRankingError:
        if self.champion is None:
            passes = error.status == NotReadyError.status and not isinstance(error, ModelTimeoutError)
            return error if passes else ModelRefusedError(str(error), error.public_message)
        kept = f"The {self.champion.model.label} goes on serving."
        message = f"The new version is refused: {error} {kept}"
        logger.warning(message)
        return ModelRefusedError(message, f"The new version is refused: {error.public_message} {kept}")

    def _swap(self, champion: Champion, loader: ChampionLoader, trial: Trial) -> None:
        before, self.champion, self._loader = self.champion, champion, loader
        self._problem, self._failure, self._refused = NotReadyError(NO_MODEL), None, None
        self.example, self._untried = trial.example, trial.outcome is Outcome.NO_ROWS
        if before is None:
            _settle_memory()
        else:
            before.close()
        model = champion.model
        ranking_metrics().model_version.set(float(model.version))
        logger.info("Serving the %s with feature service %r.", model.label, model.feature_service)
        if trial.outcome in _UNTRIED:
            logger.warning("The %s was tried on its input example alone: %s", model.label, _UNTRIED[trial.outcome])

    async def _try_on_rows(self, champion: Champion) -> None:
        """Try a champion that has taken its place while the store had no rows."""
        failure, trial = None, Trial(Outcome.NO_ROWS)
        try:
            trial = await try_on_stored_rows(champion, self._settings.online_read_timeout)
        except DriverRankingError as error:
            failure = error.public_message
            if failure != self._failure:
                logger.error("Not ready: %s", error)  # noqa: TRY400 - as above
        if champion is self.champion:
            self._failure, self._untried = failure, trial.outcome is Outcome.NO_ROWS
            self.example = trial.example
            if trial.outcome is Outcome.PASSED:
                logger.info("The %s was tried on rows that the online store has.", champion.model.label)


def _settle_memory() -> None:
    """Take what the imports and the model have made out of garbage collection, which would go through all of it.

    What they have left over is given back to the system.

    Only with the first model: a full collection would itself hold up requests.
    """
    gc.collect()
    gc.freeze()
    trim_memory()
