"""The model repository that settings.json names: the one model-settings.json beside it, and MLServer extended."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlserver.errors import ModelNotFound
from mlserver.repository import DEFAULT_MODEL_SETTINGS_FILENAME, ModelRepository
from mlserver.settings import ModelParameters, ModelSettings

from driver_ranking.serving.server.extension import extend_mlserver
from driver_ranking.serving.settings import ServerSettings


class ProjectRepository(ModelRepository):  # type: ignore[misc]
    """Reads the model-settings.json in its folder, and no others below it.

    MLServer makes its repository before its servers, which is when they are replaced by the ones of this project.
    """

    def __init__(self, root: str, **settings: Any) -> None:  # noqa: ANN401 - what settings.json says
        """Name the folder; further arguments are those of ``ServerSettings``."""
        self._file = Path(root).absolute() / DEFAULT_MODEL_SETTINGS_FILENAME
        extend_mlserver(ServerSettings(**settings))

    async def list(self) -> Sequence[ModelSettings]:
        """Read the settings of the model.

        Raises:
            FileNotFoundError: There are none.
        """
        settings = ModelSettings.parse_file(str(self._file))
        settings.parameters = _with_environment(settings.parameters or ModelParameters())
        return [settings]

    async def find(self, name: str) -> Sequence[ModelSettings]:
        """Read the settings of a model.

        Raises:
            ModelNotFound: It has another name.
        """
        found = [settings for settings in await self.list() if settings.name == name]
        if not found:
            raise ModelNotFound(name)
        return found


def _with_environment(parameters: ModelParameters) -> ModelParameters:
    """Let ``MLSERVER_MODEL_*`` override the file, which MLServer itself puts first."""
    environment = ModelParameters()
    for name in environment.model_fields_set & set(ModelParameters.model_fields):
        setattr(parameters, name, getattr(environment, name))
    return parameters
