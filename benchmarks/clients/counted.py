"""The instructions of a client's full handshake, and those of ClientSessions in it, as valgrind's callgrind counts."""

import json
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple, Optional

from rich.table import Table

from benchmarks.clients.counted_worker import Count
from benchmarks.handshakes.callgrind import inclusive
from benchmarks.handshakes.certificates import issue
from benchmarks.handshakes.server_time import VERSIONS
from benchmarks.report import judged, table
from benchmarks.valgrind import MISSING, PRESENT, dumped, valgrind

WANTED = 0.1  # percent, where nothing is stored
CLIENT = "client_step"
CALLBACKS = "callbacks_on_info", "callbacks_on_new_session"


class Found(NamedTuple):
    handshake: float
    callbacks: float  # with all that they call


Counts = dict[Count, Optional[Found]]  # None: valgrind is missing


def run(loops: int) -> Counts:
    wanted = [Count(version, stores) for version in VERSIONS for stores in (False, True)]
    if not PRESENT:
        return dict.fromkeys(wanted)
    with tempfile.TemporaryDirectory() as folder:
        issue(Path(folder))
        out = Path(folder, "out")
        valgrind(out, [], "clients.counted_worker", folder, str(loops))
        return {Count(*json.loads(name)): parted(path, Count(*json.loads(name)), loops)
                for name, path in dumped(out).items()}


def parted(path: Path, wanted: Count, loops: int) -> Found:
    said = subprocess.run(["callgrind_annotate", "--inclusive=yes", "--threshold=100", path],
                          check=True, capture_output=True, text=True).stdout
    callbacks = CALLBACKS if wanted.stores else CALLBACKS[:1]
    return Found(inclusive(said, CLIENT) / loops, sum(inclusive(said, each) for each in callbacks) / loops)


def drawn(counts: Counts, enough: bool) -> Table:
    """Whether enough handshakes were counted for a verdict, the caller says."""
    made = table("Instructions of a client's full handshake, without Python (callgrind)",
                 "", "handshake", "ClientSessions", "share, %", "wanted", "")
    for each, found in counts.items():
        name = f"{each.version}, {'sessions are stored' if each.stores else 'nothing is stored'}"
        if found is None:
            made.add_row(name, MISSING, "", "", "", "")
            continue
        share = 100 * found.callbacks / found.handshake
        made.add_row(name, f"{found.handshake:,.0f}", f"{found.callbacks:,.0f}", f"{share:.3f}",
                     *judged(share, enough, None if each.stores else WANTED))
    return made
