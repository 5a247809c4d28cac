"""A server in processes of its own: its port, its start, until it answers, and its end."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Optional, Union

PATIENCE = 60  # seconds, where several suites share a slow machine


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def start(command: "Sequence[Union[str, os.PathLike[str]]]", folder: Path,
          environment: Optional[Mapping[str, str]] = None) -> "subprocess.Popen[bytes]":
    """A process in `folder` that leads a group of its own; what it prints is appended to `folder`/log."""
    with open(folder / "log", "ab") as log:
        return subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log,
                                stderr=log, start_new_session=True)


def wait_until(visit: Callable[[], object], process: "subprocess.Popen[bytes]", folder: Path) -> None:
    """Until `visit` raises no OSError; AssertionError, with the log, if the process ends before, or in vain."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError):
            visit()
            return
        time.sleep(0.05)
    raise AssertionError(f"{process.args!r} does not answer:\n{(folder / 'log').read_text()}")


def stop(process: "subprocess.Popen[bytes]") -> None:
    """End the whole group: in order, and then what is left of it."""
    for sent, timeout in ((signal.SIGTERM, 10), (signal.SIGKILL, None)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, sent)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout)
