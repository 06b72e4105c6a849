"""A project whose online store is a Redis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from processes import running_redis

from support.projects import run_pipeline

if TYPE_CHECKING:
    import subprocess
    from contextlib import AbstractContextManager
    from pathlib import Path

PASSWORD = "a password"  # noqa: S105 - of a Redis that lives for a test


@dataclass(frozen=True)
class RedisProject:
    """A project and where its Redis is.

    Attributes:
        folder: The project.
        port: The port that Redis listens on.
        data: The folder that Redis keeps its data in.
    """

    folder: Path
    port: int
    data: Path

    def redis(self) -> AbstractContextManager[subprocess.Popen[bytes]]:
        """Run the Redis; it keeps its data in its folder, and has it again at its next start."""
        self.data.mkdir(exist_ok=True)
        return running_redis(self.data, self.port, requirepass=PASSWORD, appendonly="yes")

    def variables(self, port: int | None = None) -> dict[str, str]:
        """Return the environment of what uses this Redis, or what listens on another port in its place."""
        return {
            "FEAST_FS_YAML_FILE_PATH": str(self.folder / "feature_repo/feature_store_redis.yaml"),
            "REDIS_ADDRESS": f"127.0.0.1:{port or self.port}",
            "REDIS_PASSWORD": PASSWORD,
        }

    def materialize(self) -> None:
        """Fill the Redis, which must run."""
        with pytest.MonkeyPatch.context() as environment:
            for name, value in self.variables().items():
                environment.setenv(name, value)
            run_pipeline(self.folder, "materialize")
