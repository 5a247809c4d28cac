"""A browser without a window, which tells what pages look like: Chromium, by its DevTools protocol over pipes."""

import fcntl
import json
import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Optional

from machine import lack

OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
           "--disable-background-networking", "--disable-component-update", "--disable-sync",
           "--disable-dev-shm-usage", "--remote-debugging-pipe")


def chromium() -> str:
    found = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if found is None:
        lack("the program chromium-headless-shell is missing: install chromium-headless-shell")
    return found


class Browser:
    """A running browser with one page: a context manager. It keeps its files in `folder`, which is its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        commands, self.commands = os.pipe()
        self.answers, answers = os.pipe()
        null = os.open(os.devnull, os.O_RDWR)
        # It reads commands from descriptor 3, and writes to 4, which may be in use here.
        given = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10) for descriptor in (null, null, commands, answers)]
        program = chromium()
        self.process = os.posix_spawn(
            program, [program, *OPTIONS, *options, f"--user-data-dir={folder}"], os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, descriptor, place) for place, descriptor in enumerate(given, 1)])
        for descriptor in (null, commands, answers, *given):
            os.close(descriptor)
        self.number, self.received, self.events = 0, b"", list[dict[str, Any]]()
        self.session: Optional[str] = None

    def __enter__(self) -> "Browser":
        page = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(self, kind: Optional[type[BaseException]], error: Optional[BaseException],
                 traceback: Optional[TracebackType]) -> None:
        with suppress(AssertionError, OSError):  # it may have ended
            self.call("Browser.close")
            while True:
                self.receive()
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)
        os.close(self.commands)
        os.close(self.answers)

    def call(self, method: str, **parameters: object) -> Any:
        """The result of a command. Events that come before it are kept."""
        self.number += 1
        message: dict[str, object] = {"id": self.number, "method": method, "params": parameters}
        if self.session is not None:
            message["sessionId"] = self.session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive()
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def receive(self) -> dict[str, Any]:
        while b"\0" not in self.received:
            more = os.read(self.answers, 1 << 16)
            assert more, "the browser has ended"
            self.received += more
        message, _, self.received = self.received.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def visit(self, url: str, width: int) -> None:
        """Load a page, on a screen of this width in pixels, and wait for all that it loads."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.events.clear()
        self.call("Page.navigate", url=url)
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self.receive())

    def value(self, script: str) -> Any:
        """Of an expression in JavaScript, or of its promise."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def complaints(self) -> list[str]:
        """Errors of the console, exceptions, and what could not be loaded since the last visit began."""
        found = []
        for event in self.events:
            method, told = event.get("method"), event.get("params", {})
            if method == "Runtime.exceptionThrown":
                found.append(str(told["exceptionDetails"]))
            elif method == "Runtime.consoleAPICalled" and told["type"] in ("error", "assert"):
                found.append(str(told["args"]))
            elif method == "Log.entryAdded" and told["entry"]["level"] == "error":
                found.append(f"{told['entry']['text']} {told['entry'].get('url', '')}")
            elif method == "Network.loadingFailed" and not told.get("canceled"):
                found.append(f"{told['type']} {told['errorText']}")
        return found
