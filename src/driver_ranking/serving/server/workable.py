"""Settings of MLServer that can't work here are refused before anything starts, with what to do."""

from mlserver.settings import ModelSettings, Settings

from driver_ranking.errors import SettingError

_HIGHEST_PORT = 65_535


def require_workable(settings: Settings) -> None:
    """Refuse settings of the server, after files and environment have been read.

    Raises:
        SettingError: The server would not do what they say.
    """
    if settings.parallel_workers:
        message = (
            f"parallel_workers is {settings.parallel_workers}, and this service is one process: set it to 0 in "
            f"settings.json or by MLSERVER_PARALLEL_WORKERS. For more processes, start more with "
            f"DRIVER_RANKING_REUSE_PORT=true."
        )
        raise SettingError(message)
    if settings.cache_enabled:
        message = "cache_enabled is true, and answers are not cached, as features change: set it to false."
        raise SettingError(message)
    if settings.kafka_enabled:
        message = "kafka_enabled is true, and requests are taken over REST and gRPC alone: set it to false."
        raise SettingError(message)
    _require_ports(settings)


def _require_ports(settings: Settings) -> None:
    ports = {"http_port": settings.http_port, "grpc_port": settings.grpc_port}
    if settings.metrics_endpoint:
        ports["metrics_port"] = settings.metrics_port
    names: dict[int, str] = {}
    for name, port in ports.items():
        if not 0 <= port <= _HIGHEST_PORT:
            message = f"{name} is {port}: a port is a number from 0 to {_HIGHEST_PORT}."
            raise SettingError(message)
        if port and port in names:
            message = f"{names[port]} and {name} are both {port}: give each a port of its own."
            raise SettingError(message)
        names[port] = name


def require_workable_model(settings: ModelSettings) -> None:
    """Refuse settings of the model.

    Raises:
        SettingError: The server would not do what they say.
    """
    if settings.max_batch_size > 1 and settings.max_batch_time > 0:
        message = (
            "max_batch_size and max_batch_time are set: MLServer would merge requests and split rankings wrongly. "
            "Leave them out: concurrent requests share reads and predictions in any case."
        )
        raise SettingError(message)
    if settings.cache_enabled:
        message = "cache_enabled is true, and answers are not cached, as features change: set it to false."
        raise SettingError(message)
    parameters = settings.parameters
    for name in ("environment_path", "environment_tarball", "inference_pool_gid"):
        if parameters is not None and getattr(parameters, name):
            message = f"{name} is set, and the model is served by the process's own environment: leave it out."
            raise SettingError(message)
