"""Run a server in its own processes: find a port, start it, wait until it answers, and end it."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Optional

PATIENCE = 60  # seconds; several test suites may share a slow machine


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def start(command: Sequence[object], folder: Path,
          environment: Optional[Mapping[str, str]] = None) -> "subprocess.Popen[bytes]":
    """Start a process in `folder` that leads its own process group. Its output is appended to `folder`/log."""
    with open(folder / "log", "ab") as log:
        return subprocess.Popen([*map(str, command)], cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log,
                                stderr=log, start_new_session=True)


def wait_until(visit: Callable[[], object], process: "subprocess.Popen[bytes]", folder: Path) -> None:
    """Call `visit` until it raises no OSError. Raises AssertionError with the log if the process ends or time is up."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError):
            visit()
            return
        time.sleep(0.05)
    raise AssertionError(f"{process.args!r} does not answer:\n{(folder / 'log').read_text()}")


def stop(process: "subprocess.Popen[bytes]", *, at_once: bool = False) -> None:
    """End the whole process group: first with SIGTERM, unless `at_once`, then with SIGKILL."""
    for sent, timeout in ((signal.SIGTERM, 10), (signal.SIGKILL, None))[int(at_once):]:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, sent)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout)
