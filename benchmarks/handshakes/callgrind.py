"""The instructions of a resumed handshake, as valgrind's callgrind counts them: what of them is pysidctx's.

Several counts run at once. What valgrind runs is callgrind_worker.py, without Python, and callgrind_python.py, where
the interpreter's count too. What freeing a connection takes, and without Python making it, is in no figure; and
valgrind's processor may lack what speeds up a real one's cryptography, where shares are larger then.
"""

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Optional, TypeVar

from rich.progress import Progress
from rich.table import Table

from benchmarks.handshakes.certificates import issue
from benchmarks.handshakes.sides import KEYS, PLAIN, Count
from benchmarks.report import judged, table
from benchmarks.valgrind import MISSING, PRESENT, TOGGLED, dumped, dumps, valgrind

T = TypeVar("T")
R = TypeVar("R")

WANTED = {"TLS 1.2": 0.7, "TLS 1.3": 0.2}  # percent
SERVER = "server_step"
OF_A_MAP = "listener_on_client_hello", "server_names_on_server_name"
OF_KEYS = "callbacks_on_ticket_key", "callbacks_on_ticket_read"

WANTED_OF_KEYS = 1.02


Counts = dict[Count, Optional[dict[str, float]]]  # None: valgrind is missing
Sides = dict[tuple[str, bool], float]             # instructions by side, and whether resumed


def run(versions: tuple[str, ...], sizes: tuple[int, ...], certificates: tuple[bool, ...], loops: int
        ) -> Counts:
    """Count instructions of handshakes in which no Python runs."""
    wanted = [Count(version, str(size)) for version in versions for size in sizes]
    wanted += [Count(version, side, certificate) for version in versions for certificate in certificates
               for side in (PLAIN, KEYS)]
    if not PRESENT:
        return dict.fromkeys(wanted)
    of_versions = [[each for each in wanted if each.version == version] for version in versions]
    found = {each: counted for counts in at_once("instructions", lambda some: count(some, loops), of_versions)
             for each, counted in counts.items()}
    return {each: found[each] for each in wanted}


def count(wanted: list[Count], loops: int) -> Counts:
    """Instructions of a server's resumed handshake, and of pysidctx's callbacks with all that they call."""
    with tempfile.TemporaryDirectory() as folder:
        issue(Path(folder))
        out = Path(folder, "out")
        valgrind(out, [], "handshakes.callgrind_worker", folder, str(loops), *map(json.dumps, wanted))
        return {Count(*json.loads(name)): parted(path, Count(*json.loads(name)), loops)
                for name, path in dumped(out).items()}


def parted(path: Path, counted: Count, loops: int) -> dict[str, float]:
    """The instructions of one dump, of one handshake."""
    said = subprocess.run(["callgrind_annotate", "--inclusive=yes", "--threshold=100", path],
                          check=True, capture_output=True, text=True).stdout
    callbacks = {KEYS: OF_KEYS, PLAIN: ()}.get(counted.side, OF_A_MAP)
    return {"handshake": inclusive(said, SERVER) / loops,
            "callbacks": sum(inclusive(said, each) for each in callbacks) / loops}


def run_python(versions: tuple[str, ...], sizes: tuple[int, ...], loops: int) -> dict[str, Optional[Sides]]:
    return dict(zip(versions, at_once("instructions with Python's",
                                      lambda version: count_python(version, sizes, loops), versions)))


def at_once(doing: str, call: Callable[[T], R], given: Sequence[T]) -> list[R]:
    with ThreadPoolExecutor(os.cpu_count()) as pool, Progress(transient=True) as bar:
        return list(bar.track(pool.map(call, given), total=len(given), description=doing))


def count_python(version: str, sizes: tuple[int, ...], loops: int) -> Optional[Sides]:
    """Instructions of a server's handshake on each side of the comparison."""
    if not PRESENT:
        return None
    with tempfile.TemporaryDirectory() as folder:
        issue(Path(folder))
        out = Path(folder, "out")
        valgrind(out, [TOGGLED], "handshakes.callgrind_python", folder, version, str(loops), *map(str, sizes))
        found: Sides = {}
        for name, instructions in dumps(out).items():
            side, resumed = json.loads(name)
            found[side, resumed] = instructions / loops
    return found


def inclusive(annotated: str, function: str) -> int:
    """Return the instructions of a function and of all that it called: its largest figure. It must be in one file."""
    found = re.findall(rf"^ *([\d,]+) \([^)]*\)  .*:\w*{function}(?: \[.*\])?$", annotated, re.MULTILINE)
    if not found:
        raise AssertionError(f"callgrind has not seen {function}()")
    return max(int(number.replace(",", "")) for number in found)


def drawn(counts: Counts, enough: bool) -> list[Table]:
    """Whether enough handshakes were counted for a verdict, the caller says."""
    return [shares(counts, enough), ratios(counts, enough)]


def shares(counts: Counts, enough: bool) -> Table:
    made = table("Instructions of a resumed handshake, without Python (callgrind)",
                 "", "handshake", "HostMap's callbacks", "share, %", "wanted", "")
    for each, found in counts.items():
        if not each.side.isdecimal():
            continue
        name = f"{each.version}, {int(each.side):,} hosts"
        if found is None:
            made.add_row(name, MISSING, "", "", "", "")
            continue
        share = found["callbacks"] / found["handshake"]
        made.add_row(name, f"{found['handshake']:,.0f}", f"{found['callbacks']:,.0f}", f"{100 * share:.2f}",
                     *judged(100 * share, enough, WANTED[each.version]))
    return made


def ratios(counts: Counts, enough: bool) -> Table:
    made = table("Instructions of a handshake resumed by ticket, without Python (callgrind)",
                 "", "OpenSSL's own keys", KEYS, "ratio", "wanted", "")
    for each, ours in counts.items():
        if each.side != KEYS:
            continue
        name = f"{each.version}, client" if each.client_certificate else each.version
        theirs = counts[each._replace(side=PLAIN)]
        if ours is None or theirs is None:
            made.add_row(name, MISSING, "", "", "", "")
            continue
        ratio = ours["handshake"] / theirs["handshake"]
        made.add_row(name, f"{theirs['handshake']:,.0f}", f"{ours['handshake']:,.0f}", f"{ratio:.3f}",
                     *judged(ratio, enough, WANTED_OF_KEYS))
    return made


def drawn_python(counts: dict[str, Optional[Sides]], plain: str,
                 wanted: Callable[[str, bool], Optional[float]], enough: bool) -> Table:
    made = table(f"Instructions of a server's handshake, Python's with them (callgrind), and ratio to {plain}",
                 "handshake", "side", "instructions", "ratio", "wanted", "")
    for version, found in counts.items():
        if found is None:
            made.add_row(version, MISSING, "", "", "", "")
            continue
        for resumed in (True, False):
            sides = {side: value for (side, kind), value in found.items() if kind == resumed}
            for side in sorted(sides, key=lambda each: each != plain):
                ratio = sides[side] / sides[plain]
                made.add_row(f"{version}, {'resumed' if resumed else 'full'}" if side == plain else "", side,
                             f"{sides[side]:,.0f}", f"{ratio:.4f}",
                             *judged(ratio, enough, wanted(side, resumed)))
    return made
