"""Write the report of `check` to the screen, as text or JSON, and into files."""

import argparse
import importlib
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from types import ModuleType
from typing import Optional

import rich  # noqa: F401, whose absence is told before anything is audited

from pysidctx.cli import EXTRA
from pysidctx.cli.check import whole_file
from pysidctx.cli.check.report import Report
from pysidctx.cli.check.summary import summary

# The options that name files, and the modules that write them, which may need packages that are not there.
# Metrics come first, because they tell a monitoring system that an audit has failed.
FORMATS = {"metrics": "report_metrics", "html": "report_html"}


class Unreachable(Exception):
    """There is nothing to audit. The message tells the user why."""


class Output:
    """The formats and files that the arguments name."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.files = {name: getattr(arguments, name) for name in FORMATS if getattr(arguments, name) is not None}
        self.formats: dict[str, ModuleType] = {}
        self.failure = ""  # why there is no report

    def prepare(self) -> None:
        """Prepare the files before any connection. Raises Unreachable if one cannot be written, after the others."""
        failures = []
        for name, path in self.files.items():
            if not whole_file.is_writable(path):
                failures.append(f"--{name}: {path!r} cannot be written: name a file in a folder that you may write to")
                continue
            try:
                self.formats[name] = importlib.import_module(f"pysidctx.cli.check.{FORMATS[name]}")
            except ModuleNotFoundError as error:
                if error.name is None or error.name.startswith("pysidctx"):
                    raise
                failures.append(f"--{name} needs the package {error.name}: {EXTRA}")
        if failures:
            raise Unreachable("; ".join(failures))

    @contextmanager
    def reporting_failures(self) -> Iterator[None]:
        """Report the end of an audit in every format, whatever ends it, a signal included."""
        try:
            with ending_by_signals():
                yield
        except Unreachable as error:
            if not self.arguments.json:
                self.complain(str(error))
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
        """Report a failure in every format; if that fails, print it on standard error."""
        self.failure = failure
        for name, module in self.formats.items():
            try:
                whole_file.write(self.files[name], module.of_failure(self.arguments.host, failure))
            except OSError as error:
                self.complain(self.unwritten(name, error))
        if self.arguments.json:
            print(json.dumps({"target": self.arguments.host, "error": failure}))

    def write(self, report: Report) -> None:
        """Write the files before anything is printed, because the reader of the output may have ended.

        If one file cannot be written, the others still are; the metrics show the failure, and the report is printed.
        """
        made = {name: module.of_report(report, self.arguments.host) for name, module in self.formats.items()}
        for name, data in made.items():
            try:
                whole_file.write(self.files[name], data)
            except OSError as error:
                self.failure = self.unwritten(name, error)
                self.complain(self.failure)
        if self.failure and "metrics" in made:
            metrics = self.formats["metrics"].of_report(report, self.arguments.host, False)
            with suppress(OSError):  # which was told
                whole_file.write(self.files["metrics"], metrics)

    def unwritten(self, name: str, error: OSError) -> str:
        return f"--{name}: {self.files[name]!r} cannot be written: {error.strerror or error}"

    def complain(self, text: str) -> None:
        if sys.stderr is not None:
            print(f"pysidctx check: {text}", file=sys.stderr)

    def tell(self, report: Report) -> None:
        if self.arguments.json:
            print(json.dumps({**report.as_json(), "summary": summary(report)}, indent=1))
        else:
            from pysidctx.cli.check.report_text import show
            from pysidctx.cli.screen import Screen
            show(Screen(highlight=False), report)


def progress(as_json: bool) -> AbstractContextManager[Callable[[str], None]]:
    """Shows the progress on the screen, but not if JSON is to be printed there."""
    if as_json:
        return nullcontext(lambda doing: None)
    from pysidctx.cli.screen import Screen, progress  # imported only here: rich takes long, and JSON does without it
    return progress(Screen(highlight=False))


@contextmanager
def ending_by_signals() -> Iterator[None]:
    """Raise SystemExit for signals that would end the process silently."""
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
