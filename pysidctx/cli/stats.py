"""`stats`: print what all workers of a server have counted in the memory that they share, once or live."""

import argparse
import json
import shutil
import sys
import time
from typing import Optional

from pysidctx import environment
from pysidctx.cli.check.arguments import DAY
from pysidctx.lockfree.counts import read_totals
from pysidctx.lockfree.totals import Totals

# How a terminal shows another screen with the cursor at its top, erases to the end of a line or of the screen, and
# shows the former screen again.
ANOTHER_SCREEN, FIRST_LINE, END_OF_LINE, END_OF_SCREEN, FORMER_SCREEN = (
    "\x1b[?1049h", "\x1b[H", "\x1b[K", "\x1b[J", "\x1b[?1049l")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="NAME", nargs="?",
                        help=f"the file that the server's processes share, such as /dev/shm/shop (default: the one "
                             f"that {environment.STATS} names)")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--json", action="store_true", help="print the numbers as JSON")
    how.add_argument("--watch", action="store_true",
                     help="show the numbers on a terminal, with how much is added per second, until Ctrl-C is pressed")
    parser.add_argument("--interval", type=interval, metavar="SECONDS",
                        help="with --watch: how long until the numbers are read again (default: 1)")


def interval(text: str) -> float:
    value = float(text)
    if not 0.1 <= value <= DAY:
        raise argparse.ArgumentTypeError(f"{text} is out of range: pass a number of seconds, at least 0.1 and at most "
                                         f"a day ({DAY:.0f})")
    return value


def run(arguments: argparse.Namespace) -> int:
    try:
        if arguments.interval is not None and not arguments.watch:
            raise ValueError("--interval has a meaning with --watch alone: pass both, or leave it out")
        path = arguments.file if arguments.file is not None else environment.needed(environment.STATS)
        found = read_totals(path)
        if arguments.json:
            print(json.dumps(found._asdict(), indent=1))
        elif not arguments.watch:
            print("\n".join(lines(found)))
        elif not sys.stdout.isatty():
            raise ValueError("--watch needs a terminal, and the output is none: leave it out, or pass --json")
        else:
            watch(path, found, arguments.interval or 1.0)
    except (OSError, ValueError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        print(f"pysidctx stats: {error}", file=sys.stderr)
        return 2
    return 0


def watch(path: str, found: Totals, seconds: float) -> None:
    """Show the numbers until the user presses Ctrl-C. Raises OSError, ValueError when the file is gone."""
    print(ANOTHER_SCREEN, end="")
    try:
        rates, at = None, time.monotonic()
        while True:
            rows = lines(found, rates)[:max(shutil.get_terminal_size().lines - 1, 1)]
            print(FIRST_LINE + "".join(f"{row}{END_OF_LINE}\n" for row in rows) + END_OF_SCREEN, end="", flush=True)
            time.sleep(seconds)
            former, before = found, at
            found, at = read_totals(path), time.monotonic()
            rates = [(new - old) / (at - before) for new, old in zip(found, former)]
    except KeyboardInterrupt:
        pass
    finally:
        print(FORMER_SCREEN, end="", flush=True)


def lines(found: Totals, rates: Optional[list[float]] = None) -> list[str]:
    """The numbers in words, each in a line, with how much is added per second."""
    width = len(f"{max(found):,}")
    resumed = found.resumed_by_ticket + found.resumed_stored
    text = [f"{name.replace('_', ' ') + ':':<21}{value:>{width},}" for name, value in found._asdict().items()]
    if rates is not None:
        text = [f"{line} {rate:>12,.1f}/s" for line, rate in zip(text, rates)]
    if found.handshakes:
        place = Totals._fields.index("resumed_stored") + 1
        text.insert(place, f"{'resumed:':<21}{resumed / found.handshakes:>{width}.0%}")
    return text
