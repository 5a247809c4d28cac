"""Where the report of `check` goes: to the screen, as text or JSON, and into files."""

import argparse
import json
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Optional

from pysidctx.cli.report import Report
from pysidctx.cli.report_text import show
from pysidctx.cli.screen import Screen
from pysidctx.cli.summary import summary


class Unreachable(Exception):
    """There is nothing to audit; the message is for people."""


class Output:
    """The formats and files that the arguments name."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.console = Screen(highlight=False)
        self.failure = ""  # why there is no report

    def refuse_unwritable(self) -> None:
        """Before any connection is made; Unreachable."""

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
        if self.arguments.json:
            print(json.dumps({"target": self.arguments.host, "error": failure}))

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
