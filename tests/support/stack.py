"""compose.yaml without an engine: its services by hand, with the commands, settings and health checks that it gives."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from support.image import Container, Image, Network, started

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

DEPLOY = Path(__file__).parents[2] / "deploy"
_VARIABLE = re.compile(r"\$(?:(?P<escaped>\$)|\{(?P<name>\w+)(?:(?P<kind>:[-?])(?P<word>[^}]*))?\})")


class UnsetError(Exception):
    """A variable that must be set is not; the message is the one in compose.yaml."""


def compose_file(variables: Mapping[str, str]) -> Any:
    """Read compose.yaml with its variables filled in, as the Compose specification has it.

    Raises:
        UnsetError: A variable is not set that must be.
    """
    return filled_in(yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8")), variables)


def filled_in(value: Any, variables: Mapping[str, str]) -> Any:
    """Return a value with the variables in its texts filled in."""
    if isinstance(value, dict):
        return {key: filled_in(one, variables) for key, one in value.items()}
    if isinstance(value, list):
        return [filled_in(one, variables) for one in value]
    return _VARIABLE.sub(lambda match: _value(match, variables), value) if isinstance(value, str) else value


def _value(match: re.Match[str], variables: Mapping[str, str]) -> str:
    if match["escaped"]:
        return "$"
    given = variables.get(match["name"], "")
    if match["kind"] == ":?" and not given:
        raise UnsetError(match["word"])
    return given or (match["word"] if match["kind"] == ":-" else "")


@dataclass(frozen=True)
class Stack:
    """The services of compose.yaml in one network.

    Attributes:
        compose: What compose.yaml says.
        image: The project's image.
        network: Where its services find each other.
        folder: Holds the volumes and the logs.
    """

    compose: Mapping[str, Any]
    image: Image
    network: Network
    folder: Path

    def is_ours(self, name: str) -> bool:
        """Return whether a service is run in the project's image."""
        return bool(self.compose["services"][name]["image"] == self.compose["services"]["online"]["image"])

    def container(self, name: str) -> Container:
        """Return what a service of the project's image runs in."""
        service = self.compose["services"][name]
        assert service["read_only"]
        targets = dict(text.split(":") for text in service.get("volumes", []))
        volumes = {target: self._volume(volume, target) for volume, target in targets.items()}
        return Container(self.image, self.network, volumes, service["environment"])

    def _volume(self, name: str, target: str) -> Path:
        folder = self.folder / name
        return folder if folder.exists() else self.image.new_volume(folder, target)

    def start(self, name: str) -> AbstractContextManager[subprocess.Popen[bytes]]:
        """Run a service until the block ends."""
        service, log = self.compose["services"][name], self.folder / f"{name}.log"
        if self.is_ours(name):
            return self.container(name).start(log, *service.get("command", []))
        return started(self.network.inside(self._by_hand(name, service["command"])), log)

    def run(self, name: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a service of the project's image to its end, or another command in its place."""
        return self.container(name).run(*(command or self.compose["services"][name]["command"]))

    def _by_hand(self, name: str, command: list[str]) -> list[str]:
        """Return the command of another's service, with the places in its container as they are on this machine."""
        program = [] if command[0] == "redis-server" else [name]  # what the image of the service runs
        places = self._places(name)
        return [self._placed(word, places) for word in [*program, *command]]

    def _places(self, name: str) -> dict[str, str]:
        service, places = self.compose["services"][name], {}
        for source, target in (text.split(":")[:2] for text in service.get("volumes", [])):
            folder = DEPLOY / source if source.startswith(".") else self.folder / source
            folder.mkdir(exist_ok=True)
            places[target] = str(folder)
        for config in service.get("configs", []):
            file = self.folder / f"{config['source']}.conf"
            content = self.compose["configs"][config["source"]]["content"]
            file.write_text(self._placed(content, places), encoding="utf-8")
            places[config["target"]] = str(file)
        return places

    @staticmethod
    def _placed(text: str, places: Mapping[str, str]) -> str:
        for target, place in places.items():
            text = re.sub(rf"(?<![\w/]){re.escape(target)}(?![\w-])", place, text)
        return text

    def health(self, name: str) -> subprocess.CompletedProcess[str]:
        """Run the health check of a service once."""
        service = self.compose["services"][name]
        kind, *command = service["healthcheck"]["test"]
        assert kind == "CMD"
        if self.is_ours(name):
            return self.container(name).run(*command)
        return self.network.run(*command, **service.get("environment", {}))

    def until_healthy(self, name: str, process: subprocess.Popen[bytes], seconds: float = 90) -> None:
        """Run the health check of a service until it passes."""
        end = time.monotonic() + seconds
        while (checked := self.health(name)).returncode:
            said = f"{checked.stdout}{checked.stderr}"
            assert process.poll() is None, f"{name} has ended with exit code {process.returncode}"
            assert time.monotonic() < end, f"{name} is not healthy after {seconds} s: {said}"
            time.sleep(0.5)
