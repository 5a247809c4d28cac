"""The command line: `python -m benchmarks [call|hostmap|session|tickets|servers] [--quick]`."""

import argparse
import sys
from pathlib import Path

from benchmarks import call, hostmap, servers, session, tickets

PARTS = {"call": call.run, "hostmap": hostmap.run, "session": session.run,
         "tickets": tickets.run, "servers": servers.run}
RESULTS = Path(__file__).resolve().parent / "results"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("part", nargs="?", choices=sorted(PARTS), help="measure this part alone")
    parser.add_argument("--quick", action="store_true", help="one short round: figures are rough")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER",
                        help="where the files go (default: benchmarks/results)")
    arguments = parser.parse_args()
    for part in [arguments.part] if arguments.part else PARTS:
        PARTS[part](arguments.results, quick=arguments.quick)
    return 0


if __name__ == "__main__":
    sys.exit(main())
