"""Reports for the documentation: `python -m benchmarks.publish [FOLDER] [--busy]` copies those of benchmarks/results.

It makes docs/benchmarks.md list them, with their pictures. A report of one short round is left out, and so is one that
warns of a busy machine, unless --busy is passed: what is there stays.
"""

import argparse
import re
import shutil
import sys
from pathlib import Path
from typing import Optional

from benchmarks import ROOT
from benchmarks.__main__ import RESULTS
from benchmarks.report import QUICK

TARGET = ROOT / "docs" / "benchmarks"
PAGE = ROOT / "docs" / "benchmarks.md"
REPORTS = "## Reports\n"  # what follows is made here
LISTED = {
    "handshake": "Handshakes](benchmarks/handshake.md): what each kind costs a server, what pysidctx adds, where "
                 "resumption pays",
    "connections": "Connections](benchmarks/connections.md): servers under load, beside nginx",
    "cache": "The session cache](benchmarks/cache.md): stored sessions with client certificates, beside tickets",
    "clients": "Clients](benchmarks/clients.md): a connection, full and resumed, near and far",
    "hostmap": "Host maps](benchmarks/hostmap.md): what a `HostMap` adds to a handshake, and what loading it takes",
    "call": "Calls](benchmarks/call.md): one call of each function",
    "peers": "Other libraries](benchmarks/peers.md): the same call with pyOpenSSL, M2Crypto, ctypes and cffi",
    "session": "Sessions](benchmarks/session.md): writing and reading one",
}
PICTURE = re.compile(r"^!\[(.+)\]\((\w+\.svg)\)$", re.MULTILINE)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.publish", description=__doc__)
    parser.add_argument("results", nargs="?", type=Path, default=RESULTS, metavar="FOLDER")
    parser.add_argument("--busy", action="store_true", help="take those of a busy machine, too")
    arguments = parser.parse_args()
    copy(arguments.results, arguments.busy)
    PAGE.write_text(listing())


def copy(results: Path, busy: bool) -> None:
    for part in LISTED:
        report = results / f"{part}.md"
        if not report.exists():
            continue
        if reason := doubt(report.read_text(), busy):
            print(f"{report.name} is left out: {reason}", file=sys.stderr)
            continue
        shutil.copy(report, TARGET)
        for _, picture in PICTURE.findall(report.read_text()):
            shutil.copy(results / picture, TARGET)
        print(f"{report.name} is in {TARGET.relative_to(ROOT)}")


def doubt(report: str, busy: bool) -> Optional[str]:
    """Why a report does not belong in the documentation."""
    if QUICK in report:
        return "it was made with --quick"
    warning = re.search(r"^\*\*Warning: (.*)\*\*$", report, re.MULTILINE)
    return warning[1] if warning and not busy else None


def listing() -> str:
    """The page, with the reports that there are."""
    lines = [PAGE.read_text().partition(REPORTS)[0] + REPORTS]
    for part, listed in LISTED.items():
        report = TARGET / f"{part}.md"
        if report.exists():
            lines.append(f"- [{listed}\n")
            lines += [f"![{alt}](benchmarks/{name})\n" for alt, name in PICTURE.findall(report.read_text())]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
