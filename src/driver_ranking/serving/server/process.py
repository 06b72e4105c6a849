"""MLServer as the process that it is here: how it begins, and how it ends."""

import logging
import sys

from mlserver.server import MLServer
from mlserver.settings import ModelSettings, Settings

from driver_ranking.errors import SettingError
from driver_ranking.serving.server.ending import end_of_process, end_of_process_within
from driver_ranking.serving.server.workable import require_workable

logger = logging.getLogger("mlserver.driver_ranking")

_GIVEN_AS_ARGUMENTS = {"model_repository_root", "model_repository_implementation"}
_STOPS_WITHIN = 25.0  # seconds, less than Kubernetes waits


class EnvironmentFirstServer(MLServer):  # type: ignore[misc]
    """MLServer, with ``MLSERVER_*`` over settings.json."""

    def __init__(self, settings: Settings) -> None:
        """Override the settings that the environment names."""
        environment = Settings()
        for name in environment.model_fields_set - _GIVEN_AS_ARGUMENTS:
            setattr(settings, name, getattr(environment, name))
        self._failed = False
        try:
            require_workable(settings)
        except SettingError as error:
            logger.error("The server can't start: %s", error)  # noqa: TRY400 - the message says all
            sys.exit(1)
        super().__init__(settings)

    async def start(self, models_settings: list[ModelSettings]) -> None:
        """Serve until it is stopped.

        Raises:
            SystemExit: It stopped because the model's settings can't be used; MLServer would exit as if all were well.
        """
        await super().start(models_settings)
        for model in await self._model_registry.get_models():
            await getattr(model, "finish", _nothing_to_wait_for)()
        end_of_process(failed=self._failed)
        if self._failed:
            sys.exit(1)

    async def stop(self, sig: int | None = None) -> None:
        """Stop; without a signal it is MLServer itself that gives up."""
        self._failed = sig is None
        end_of_process_within(_STOPS_WITHIN, failed=self._failed)
        for model in await self._model_registry.get_models():
            getattr(model, "stop", _nothing)()
        await super().stop(sig)


async def _nothing_to_wait_for() -> None:
    """Stand in likewise."""


def _nothing() -> None:
    """Stand in for what models of other classes don't have."""
