"""The command line: `python -m benchmarks [PART] [--quick]`.

Each part writes its figures to PART.json, pictures of them, and its report to PART.md. All of them make report.md, too.
"""

import argparse
import json
import signal
import sys
from pathlib import Path
from typing import Optional

from benchmarks import pictures
from benchmarks.cache import cache
from benchmarks.calls import call, peers, session
from benchmarks.clients import clients
from benchmarks.conditions import Conditions, machine, versions
from benchmarks.connections import connections
from benchmarks.handshakes import handshake, hostmap
from benchmarks.report import Part, console, report

PARTS = {"call": call, "session": session, "hostmap": hostmap, "handshake": handshake, "cache": cache,
         "connections": connections, "clients": clients, "peers": peers}
RESULTS = Path(__file__).resolve().parent / "results"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("part", nargs="?", choices=sorted(PARTS), help="measure this part alone")
    parser.add_argument("--quick", action="store_true", help="one short round: figures are rough, without verdicts")
    parser.add_argument("--draw", action="store_true", help="draw the pictures of what was measured before, alone")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER",
                        help="where the files go (default: benchmarks/results)")
    arguments = parser.parse_args()
    names = [arguments.part] if arguments.part else [*PARTS]
    if arguments.draw:
        for name in names:
            pictures.save(PARTS[name].pictures(arguments.results / f"{name}.json"), arguments.results)
    else:
        measure(names, arguments.results, arguments.quick)
    return 0


def measure(names: list[str], results: Path, quick: bool) -> None:
    """Each part in turn. The reports are written after each, whatever becomes of the next."""
    results.mkdir(parents=True, exist_ok=True)
    screen = console()
    whole = Conditions()
    screen.print(f"{machine()}; {versions()}", soft_wrap=True, highlight=False)
    measured: list[Part] = []
    signal.signal(signal.SIGTERM, lambda received, frame: sys.exit(128 + received))  # ends the servers, too
    for name in names:
        now = Conditions(whole.load)
        part = PARTS[name].run(results, quick=quick)
        figures = results / f"{name}.json"
        part = part._replace(pictures=PARTS[name].pictures(figures))
        measured.append(part)
        pictures.save(part.pictures, results)
        told, warning = now.told(PARTS[name].MEASURED), now.warning()
        add(figures, told)
        write(results / f"{name}.md", told, warning, [part], quick)
        if len(names) > 1:
            used = [each for other in measured for each in PARTS[other.name].MEASURED]
            write(results / "report.md", whole.told(used), whole.warning(), measured, quick)
        for printed in (*part.tables, *part.notes, *([warning] if warning else []), f"{name}: {told['duration']}"):
            screen.print(printed, soft_wrap=isinstance(printed, str), highlight=False)
    target = results / f"{names[0] if len(names) == 1 else 'report'}.md"
    screen.print(f"The report: {target}", soft_wrap=True, highlight=False)


def write(target: Path, told: dict[str, str], warning: Optional[str], measured: list[Part], quick: bool) -> None:
    target.write_text(report(told, warning, measured, quick))


def add(figures: Path, told: dict[str, str]) -> None:
    """Write the conditions into a file of figures."""
    figures.write_text(json.dumps({**json.loads(figures.read_text()), "conditions": told}, indent=1))


if __name__ == "__main__":
    sys.exit(main())
