"""Instructions, as valgrind's callgrind counts them: they do not depend on how busy the machine is."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks import ROOT, native

PRESENT = shutil.which("valgrind") is not None and native.COUNTS
MISSING = "valgrind is missing: apt-get install valgrind"
TOGGLED = "--collect-atstart=no"  # counts only between calls of toggle() in native/handshake_cython.pyx


def valgrind(out: Path, options: list[str], module: str, *arguments: str) -> None:
    """Run a module of the benchmarks; it decides what is counted."""
    subprocess.run(["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out}",
                    *options, sys.executable, "-m", f"benchmarks.{module}", *arguments], cwd=ROOT,
                   # Hashes decide how long look-ups in dicts take.
                   env=dict(os.environ, PYTHONHASHSEED="0"), check=True, capture_output=True)


def dumps(out: Path) -> dict[str, int]:
    """Instructions by the names that dump() in native/handshake_cython.pyx was given, in their order."""
    totals = {name: re.search(r"^totals: (\d+)$", path.read_text(), re.MULTILINE)
              for name, path in dumped(out).items()}
    return {name: int(total[1]) for name, total in totals.items() if total}


def dumped(out: Path) -> dict[str, Path]:
    """The files of these dumps, by their names."""
    found = {}
    for path in sorted(out.parent.glob(f"{out.name}.*"), key=lambda path: int(path.suffix[1:])):
        name = re.search(r"^desc: Trigger: Client Request: ([^\n]*)$", path.read_text(), re.MULTILINE)
        if name:
            found[name[1]] = path
    return found
