"""The image, built without an engine, and containers of it: processes in its files, with a network of their own.

Root, buildah and debootstrap are needed, and Linux. A container here is what an engine would make of the same settings,
as far as the image can tell: its files read-only, its user, environment and working directory, a /tmp of its own,
volumes, and the names of the other services. Its network has loopback alone, where all ports are free.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from processes import stop

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).parents[2]
BASE = "localhost/base:bookworm"
NAME = "localhost/driver_ranking:test"
PROGRAMS = ("buildah", "debootstrap", "ip", "unshare", "chroot")

# Enters a container: $1 is its root, $2 its hosts file, then pairs of a folder and where it is mounted, up to --.
_ENTER = """
root=$1; hosts=$2; shift 2
mount --bind "$root" "$root"; mount -o remount,bind,ro "$root"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount --rbind /proc "$root/proc"; mount --rbind /dev "$root/dev"
mount --bind "$hosts" "$root/etc/hosts"
while [ "$1" != -- ]; do mount --bind "$1" "$root$2"; shift 2; done
shift; exec "$@"
"""


def missing() -> str | None:
    """Return what this machine lacks to build the image and run it, None if nothing."""
    programs = [name for name in PROGRAMS if shutil.which(name) is None]
    lacks = [*programs, *([] if os.geteuid() == 0 else ["the rights of root"])]
    return f"to build and run the image, this machine lacks {', '.join(lacks)}" if lacks else None


@dataclass(frozen=True)
class Network:
    """A network of its own, in which the services have the names that compose.yaml gives them.

    Attributes:
        name: The network namespace.
        hosts: Its hosts file.
    """

    name: str
    hosts: Path

    def inside(self, command: Sequence[str]) -> list[str]:
        """Return a command that runs another one in this network."""
        return ["ip", "netns", "exec", self.name, *command]

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a program of this machine in this network."""
        environment = {**os.environ, **variables}
        return subprocess.run(
            self.inside(command), env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    def post(self, url: str, content: object) -> Any:
        """Post JSON and return the JSON of the answer."""
        head = ["--header", "Content-Type: application/json", "--data", json.dumps(content)]
        done = self.run("curl", "--silent", "--show-error", *head, url)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def get(self, url: str, *options: str) -> str:
        """Get a URL; options are those of curl."""
        done = self.run("curl", "--silent", "--show-error", "--get", *options, url)
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextlib.contextmanager
def private_network(names: Sequence[str] = ()) -> Iterator[Network]:
    """Make a network with loopback alone, under which all the names are found."""
    name = f"driver-ranking-{secrets.token_hex(4)}"
    folder = Path("/etc/netns") / name  # where `ip netns exec` looks for the files of a network
    folder.mkdir(parents=True)
    hosts = folder / "hosts"
    hosts.write_text(f"127.0.0.1 localhost {' '.join(names)}\n", encoding="utf-8")
    _output(["ip", "netns", "add", name])
    try:
        _output(["ip", "-n", name, "link", "set", "lo", "up"])
        yield Network(name, hosts)
    finally:
        _output(["ip", "netns", "delete", name])
        shutil.rmtree(folder)


@dataclass(frozen=True)
class Image:
    """A built image.

    Attributes:
        files: Its files.
        config: What it says of itself: Env, Cmd, User, WorkingDir, Healthcheck, Labels ...
    """

    files: Path
    config: Mapping[str, Any]

    @property
    def healthcheck(self) -> list[str]:
        """Return the command of its health check."""
        kind, *command = self.config["Healthcheck"]["Test"]
        assert kind == "CMD"
        return [str(word) for word in command]

    def new_volume(self, folder: Path, target: str) -> Path:
        """Make a volume as an engine does: with what the image has there, and its owner."""
        shutil.copytree(self.files / target.lstrip("/"), folder)
        user, group = map(int, self.config["User"].split(":"))
        for path in (folder, *folder.rglob("*")):
            os.chown(path, user, group)
        return folder


@dataclass(frozen=True)
class Container:
    """What the image's programs are run in.

    Attributes:
        image: The image.
        network: The network.
        volumes: Folders of this machine by where they are mounted.
        variables: Environment variables beside those of the image.
    """

    image: Image
    network: Network
    volumes: Mapping[str, Path] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)

    def command(self, program: Sequence[str] = ()) -> list[str]:
        """Return the command that runs a program in the container, by default the image's own."""
        config = self.image.config
        mounts = [word for target, folder in self.volumes.items() for word in (str(folder), target)]
        variables = [*config["Env"], *(f"{name}={value}" for name, value in self.variables.items())]
        enter = ["unshare", "--mount", "--propagation", "private", "sh", "-eu", "-c", _ENTER, "sh"]
        inside = ["chroot", f"--userspec={config['User']}", str(self.image.files)]
        clean = ["/usr/bin/env", "--ignore-environment", f"--chdir={config['WorkingDir']}", *variables]
        entered = [*enter, str(self.image.files), str(self.network.hosts), *mounts, "--", *inside, *clean]
        return self.network.inside([*entered, *(program or [*(config["Entrypoint"] or []), *config["Cmd"]])])

    def run(self, *program: str, seconds: float = 180) -> subprocess.CompletedProcess[str]:
        """Run a program to its end."""
        return subprocess.run(self.command(program), capture_output=True, text=True, timeout=seconds, check=False)

    def start(self, log: Path, *program: str) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
        """Run a program until the block ends, by default the image's own."""
        return started(self.command(program), log)


@contextlib.contextmanager
def started(
    command: Sequence[str], log: Path, variables: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the block ends; what it says is added to a failure's message."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env={**os.environ, **(variables or {})}, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield process
    except AssertionError as error:
        error.add_note(f"{log.name}: {log.read_text(encoding='utf-8')[-4000:]}")
        raise
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired):
            stop(process, patience=30)


@contextlib.contextmanager
def built_image(folder: Path) -> Iterator[Image]:
    """Build the image by the project's own `make image`, on a base made by debootstrap; it goes with the block."""
    folder.mkdir(exist_ok=True)
    builder = _Builder(folder, _storage_driver(folder))
    try:
        builder.make_base()
        builder.make_image()
        container = builder.buildah("from", NAME)
        files = Path(builder.buildah("mount", container))
        (files / "etc/hosts").touch()  # an engine mounts one over it
        described = json.loads(builder.buildah("inspect", "--type", "image", NAME))
        yield Image(files, described["Docker"]["config"])
    finally:
        builder.remove_containers()
        shutil.rmtree(folder)


@dataclass(frozen=True)
class _Builder:
    """A buildah that keeps everything in a folder."""

    folder: Path
    driver: str

    @property
    def _storage(self) -> list[str]:
        return [f"--root={self.folder}/storage", f"--runroot={self.folder}/run", f"--storage-driver={self.driver}"]

    def buildah(self, *arguments: str) -> str:
        """Run buildah and return what it prints."""
        return _output(["buildah", *self._storage, *arguments])

    def remove_containers(self) -> None:
        """Remove all containers, whose files may be mounts."""
        self.buildah("umount", "--all")
        self.buildah("rm", "--all")

    def make_base(self) -> None:
        """Make an image of Debian with Python and no more, as the Dockerfile's base."""
        container = self.buildah("from", "scratch")
        files = self.buildah("mount", container)
        packages = "python3,python3-venv,ca-certificates"
        _output(["debootstrap", "--variant=minbase", f"--include={packages}", "bookworm", files])
        self.buildah("commit", "--rm", container, BASE)

    def make_image(self) -> None:
        """Build the image as the Makefile does, with this machine's own settings of pip handed on as secrets."""
        certificates, pip_conf = _certificates(), self.folder / "pip.conf"
        pip_conf.write_text(_pip_settings(trusted=certificates is not None), encoding="utf-8")
        options = ["--isolation=chroot", "--format=docker", f"--build-arg=BASE_IMAGE={BASE}"]
        options += [f"--secret=id=pip.conf,src={pip_conf}"]
        options += [f"--secret=id=certificates.pem,src={certificates}"] if certificates else []
        builder = " ".join(["buildah", *self._storage, "bud"])
        _output(
            ["make", "image", f"IMAGE={NAME}", f"IMAGE_BUILDER={builder}", f"IMAGE_OPTIONS={' '.join(options)}"],
            cwd=ROOT,
        )


def _output(command: Sequence[str], cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout.strip()


def _storage_driver(folder: Path) -> str:
    """Return overlay if this machine can mount one in a folder; vfs works anywhere, and copies all at each step."""
    parts = {name: folder / name for name in ("lower", "upper", "work", "merged")}
    for part in parts.values():
        part.mkdir()
    options = f"lowerdir={parts['lower']},upperdir={parts['upper']},workdir={parts['work']}"
    tried = ["unshare", "--mount", "mount", "-t", "overlay", "-o", options, "overlay", str(parts["merged"])]
    return "vfs" if subprocess.run(tried, capture_output=True, check=False).returncode else "overlay"


def _certificates() -> Path | None:
    """Return the certificates that this machine trusts the package index by."""
    named = [os.environ.get("PIP_CERT"), os.environ.get("SSL_CERT_FILE"), "/etc/ssl/certs/ca-certificates.crt"]
    return next((Path(one) for one in named if one and Path(one).is_file()), None)


def _pip_settings(*, trusted: bool) -> str:
    """Return a pip.conf with the index that this machine's pip uses, as far as it can be reached from a container."""
    lines = _output([sys.executable, "-m", "pip", "config", "list"]).splitlines()
    found = {line.split("=")[0].rpartition(".")[2]: line.split("=", 1)[1].strip("'") for line in lines}
    index = [f"{name} = {found[name]}" for name in ("index-url", "proxy") if name in found]
    certificates = ["cert = /run/secrets/certificates.pem"] if trusted else []
    return "\n".join(["[global]", "timeout = 180", *index, *certificates, ""])
