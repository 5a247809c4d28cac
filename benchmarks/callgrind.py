"""The instructions of a resumed handshake, and pysidctx's share of them, as valgrind's callgrind counts them.

They do not depend on how busy the machine is. `python -m benchmarks.callgrind VERSION HOSTS LOOPS` is
what valgrind runs: handshakes without Python on both sides, with a listener that has a HostMap.
"""

import random
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Optional

from rich.table import Table

from benchmarks.report import table, verdict

ROOT = Path(__file__).resolve().parent.parent
WANTED = {"TLS 1.2": 0.7, "TLS 1.3": 0.2}  # percent
SERVER, CALLBACK = "server_step", "listener_on_client_hello"

Counts = dict[str, Optional[dict[str, float]]]  # by version and hosts; None: valgrind is missing


def run(versions: tuple[str, ...], sizes: tuple[int, ...], loops: int) -> Counts:
    return {f"{version}, {size:,} hosts": count(version, size, loops)
            for version in versions for size in sizes}


def count(version: str, hosts: int, loops: int) -> Optional[dict[str, float]]:
    """Instructions of a server's resumed handshake, and of pysidctx's callback with all that it calls."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out")
        subprocess.run(
            [valgrind, "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out}",
             sys.executable, "-m", "benchmarks.callgrind", version, str(hosts), str(loops)],
            cwd=ROOT, check=True, capture_output=True)
        said = subprocess.run(["callgrind_annotate", "--inclusive=yes", "--threshold=100", out],
                              check=True, capture_output=True, text=True).stdout
    return {"handshake": inclusive(said, SERVER) / loops, "pysidctx": inclusive(said, CALLBACK) / loops}


def inclusive(annotated: str, function: str) -> int:
    """The instructions of a function and all that it has called: its largest line, and it stands in one file."""
    found = re.findall(rf"^ *([\d,]+) \([^)]*\)  \S*:\w*{function}(?: \[.*\])?$", annotated, re.MULTILINE)
    return max(int(number.replace(",", "")) for number in found)


def drawn(counts: Counts) -> Table:
    made = table("Instructions of a resumed handshake, without Python (callgrind)",
                 "", "handshake", "pysidctx's callback", "share, %", "wanted", "")
    for name, found in counts.items():
        if found is None:
            made.add_row(name, "valgrind is missing: apt-get install valgrind", "", "", "", "")
            continue
        share = found["pysidctx"] / found["handshake"]
        made.add_row(name, f"{found['handshake']:,.0f}", f"{found['pysidctx']:,.0f}", f"{100 * share:.2f}",
                     *verdict(100 * share, WANTED[name[:7]]))
    return made


def main(version: str, hosts: int, loops: int) -> None:
    from benchmarks import native
    from benchmarks.handshake import Case, Certificates, Maps, in_map

    case, certificates, maps = Case(version, "ECDSA P-256", False), Certificates(), Maps((hosts,))
    listener = certificates.listener(case)
    maps.made[in_map(hosts)].install(listener)
    floor = native.load("handshake_cython").Floor(listener, certificates.client_context(case))
    floor.server_time(maps.name(0), False)
    chance = random.Random(0)
    names = [maps.name(chance.randrange(hosts)) for _ in range(loops)]
    floor.server_time(names[0], True)  # what is done once
    floor.counted(names, 1)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
