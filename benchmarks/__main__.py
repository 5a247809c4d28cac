"""The command line: `python -m benchmarks [PART] [--quick]`.

Each part writes its figures to PART.json. All of them make report.md, with pictures; one alone PART.md.
"""

import argparse
import os
import signal
import sys
import time
from pathlib import Path

from benchmarks.cache import cache
from benchmarks.calls import call, peers, session
from benchmarks.clients import clients
from benchmarks.connections import connections
from benchmarks.handshakes import handshake, hostmap
from benchmarks.report import Part, about, console, markdown, processor

PARTS = {"call": call.run, "session": session.run, "hostmap": hostmap.run, "handshake": handshake.run,
         "cache": cache.run, "connections": connections.run, "clients": clients.run, "peers": peers.run}
RESULTS = Path(__file__).resolve().parent / "results"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("part", nargs="?", choices=sorted(PARTS), help="measure this part alone")
    parser.add_argument("--quick", action="store_true", help="one short round: figures are rough")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER",
                        help="where the files go (default: benchmarks/results)")
    arguments = parser.parse_args()
    results = arguments.results
    results.mkdir(parents=True, exist_ok=True)
    screen = console()
    machine = about(processor(), str(os.cpu_count()))
    screen.print(machine, soft_wrap=True, highlight=False)
    measured: list[Part] = []
    target = results / f"{arguments.part or 'report'}.md"
    signal.signal(signal.SIGTERM, lambda received, frame: sys.exit(128 + received))  # ends the servers, too
    for name in [arguments.part] if arguments.part else PARTS:
        begun = time.monotonic()
        part = PARTS[name](results, quick=arguments.quick)
        measured.append(part)
        for printed in (*part.tables, *part.notes, f"{name}: {time.monotonic() - begun:.0f} s"):
            screen.print(printed, highlight=False)
        # After each, so that what was measured is there, whatever becomes of the next.
        target.write_text(report(machine, measured, arguments.quick))
    screen.print(f"The report: {target}", soft_wrap=True, highlight=False)
    return 0


def report(machine: str, measured: list[Part], quick: bool) -> str:
    kind = "One short round, so that the figures are rough." if quick else (
        "Sides that are compared were measured in one run, in turns; ratios are the median of the rounds, "
        "with the least and the most.")
    return "\n".join(["# Benchmarks", "", f"{machine}. {kind}", "", *map(markdown, measured)])


if __name__ == "__main__":
    sys.exit(main())
