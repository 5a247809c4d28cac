"""The instructions of a resumed handshake, and pysidctx's share of them, as valgrind's callgrind counts them.

They do not depend on how busy the machine is. That valgrind runs is callgrind_worker.py. What freeing a
connection takes is in neither figure; and valgrind's processor may lack what speeds up a real one's
cryptography, where the share is larger then.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Optional

from rich.table import Table

from benchmarks import native
from benchmarks.report import table, verdict

ROOT = Path(__file__).resolve().parent.parent
WANTED = {"TLS 1.2": 0.7, "TLS 1.3": 0.2}  # percent
SERVER, CALLBACKS = "server_step", ("listener_on_client_hello", "routing_on_server_name")

Counts = dict[str, Optional[dict[str, float]]]  # by version and hosts; None: valgrind is missing


def run(versions: tuple[str, ...], sizes: tuple[int, ...], loops: int) -> Counts:
    return {f"{version}, {size:,} hosts": count(version, size, loops)
            for version in versions for size in sizes}


def count(version: str, hosts: int, loops: int) -> Optional[dict[str, float]]:
    """Instructions of a server's resumed handshake, and of pysidctx's callbacks with all that they call."""
    valgrind = shutil.which("valgrind")
    if valgrind is None or not native.COUNTS:
        return None
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out")
        subprocess.run(
            [valgrind, "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out}",
             sys.executable, "-m", "benchmarks.callgrind_worker", version, str(hosts), str(loops)],
            cwd=ROOT, check=True, capture_output=True)
        said = subprocess.run(["callgrind_annotate", "--inclusive=yes", "--threshold=100", out],
                              check=True, capture_output=True, text=True).stdout
    return {"handshake": inclusive(said, SERVER) / loops, "pysidctx": sum(inclusive(said, each) for each in CALLBACKS) / loops}


def inclusive(annotated: str, function: str) -> int:
    """The instructions of a function and all that it has called: its largest line, and it stands in one file."""
    found = re.findall(rf"^ *([\d,]+) \([^)]*\)  .*:\w*{function}(?: \[.*\])?$", annotated, re.MULTILINE)
    if not found:
        raise AssertionError(f"callgrind has not seen {function}()")
    return max(int(number.replace(",", "")) for number in found)


def drawn(counts: Counts) -> Table:
    made = table("Instructions of a resumed handshake, without Python (callgrind)",
                 "", "handshake", "pysidctx's callbacks", "share, %", "wanted", "")
    for name, found in counts.items():
        if found is None:
            made.add_row(name, "valgrind is missing: apt-get install valgrind", "", "", "", "")
            continue
        share = found["pysidctx"] / found["handshake"]
        made.add_row(name, f"{found['handshake']:,.0f}", f"{found['pysidctx']:,.0f}", f"{100 * share:.2f}",
                     *verdict(100 * share, WANTED[name[:7]]))
    return made
