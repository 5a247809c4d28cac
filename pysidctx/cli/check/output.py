"""Where the report of `check` goes: to the screen, as text or JSON, and into files."""

import argparse
import importlib
import json
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Optional

from pysidctx.cli.check import whole_file
from pysidctx.cli.check.report import Report
from pysidctx.cli.check.report_text import show
from pysidctx.cli.check.summary import summary
from pysidctx.cli.screen import Screen

# The options that name files, and the modules that write them, which may need packages that are not there.
FORMATS = {"html": "report_html", "metrics": "report_metrics"}


class Unreachable(Exception):
    """There is nothing to audit; the message is for people."""


class Output:
    """The formats and files that the arguments name."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.console = Screen(highlight=False)
        self.files = {name: getattr(arguments, name) for name in FORMATS if getattr(arguments, name) is not None}
        self.formats: dict[str, ModuleType] = {}
        self.failure = ""  # why there is no report

    def prepare(self) -> None:
        """Before any connection is made: Unreachable for a file that cannot be written."""
        for name, path in self.files.items():
            if not whole_file.is_writable(path):
                raise Unreachable(
                    f"--{name}: {path!r} cannot be written: name a file in a folder that you may write to")
            try:
                self.formats[name] = importlib.import_module(f"pysidctx.cli.check.{FORMATS[name]}")
            except ModuleNotFoundError as error:
                if error.name is None or error.name.startswith("pysidctx"):
                    raise
                raise Unreachable(
                    f"--{name} needs the package {error.name}: python -m pip install 'pysidctx[cli]'") from None

    @contextmanager
    def told_of_failures(self) -> Iterator[None]:
        """Whatever ends the audit, all that read its output are told; signals are among that."""
        try:
            with ending_by_signals():
                yield
        except Unreachable as error:
            if not self.arguments.json:
                print(f"pysidctx check: {error}", file=sys.stderr)
            self.fail(str(error))
        except KeyboardInterrupt:
            self.fail("interrupted")
            raise
        except SystemExit as error:
            self.fail(f"ended by signal {int(error.code or 0) - 128}")
            raise
        except BaseException as error:
            self.fail(str(error) or type(error).__name__)
            raise

    def fail(self, failure: str) -> None:
        self.failure = failure
        for name, module in self.formats.items():
            whole_file.write(self.files[name], module.of_failure(self.arguments.host, failure))
        if self.arguments.json:
            print(json.dumps({"target": self.arguments.host, "error": failure}))

    def write(self, report: Report) -> None:
        """The files, before anything is printed: whoever reads that may have gone away."""
        made = {name: module.of_report(report, self.arguments.host) for name, module in self.formats.items()}
        for name, data in made.items():
            whole_file.write(self.files[name], data)

    def tell(self, report: Report) -> None:
        if self.arguments.json:
            print(json.dumps({**report.as_json(), "summary": summary(report)}, indent=1))
        else:
            show(self.console, report)


@contextmanager
def ending_by_signals() -> Iterator[None]:
    """SystemExit for signals that would end the process without a word."""
    def end(number: int, frame: Optional[object]) -> None:
        sys.exit(128 + number)

    deadly = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_DFL]
    if threading.current_thread() is not threading.main_thread():
        deadly = []  # handlers are set in the main thread alone
    for number in deadly:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in deadly:
            signal.signal(number, signal.SIG_DFL)
