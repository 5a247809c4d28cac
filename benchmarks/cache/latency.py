"""How long handshakes take where sessions go to other machines, and the channel to these works, is gone or hangs."""

import json
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple, Optional

from rich.progress import Progress
from rich.table import Table

from benchmarks import ROOT
from benchmarks.cache.certificates import issue
from benchmarks.cache.sides import FULL, RESUMED
from benchmarks.handshakes.server_time import VERSIONS
from benchmarks.report import spread, table
from loopback.processes import free_port, start, stop, wait_until

ALONE, LIVE, DEAD, HANGING = "not replicated", "live channel", "dead channel", "hanging channel"
SIDES = ALONE, LIVE, DEAD, HANGING
# In TLS 1.2, a resumption stores nothing that could go to other machines.
CASES = tuple(f"{version}, {kind}" for version in VERSIONS for kind in (FULL, RESUMED)
              if (version, kind) != ("TLS 1.2", RESUMED))

SERVER = shutil.which("valkey-server") or shutil.which("redis-server")
PRESENT = SERVER is not None and find_spec("valkey") is not None
MISSING = "a server for the channel is missing: apt-get install redis-server, and python -m pip install valkey"


class Taken(NamedTuple):
    """What the handshakes of a round have taken."""

    latencies: list[float]  # us
    waits: list[int]        # of each group: how often one waited for something


Latencies = dict[str, dict[str, list[Taken]]]  # of each case, side and round


def measure(rounds: int, groups: int, group: int, chance: random.Random) -> Optional[Latencies]:
    """Each side has a process of its own, of which one is busy at a time, for a group of handshakes."""
    if not PRESENT:
        return None
    found: Latencies = {case: {side: [] for side in SIDES} for case in CASES}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack, Progress(transient=True) as bar:
        issue(Path(folder), 0)
        sides = {side: stack.enter_context(worker(Path(folder), side, group)) for side in SIDES}
        for case in bar.track(CASES, description="channels"):
            for _ in range(rounds):
                taken = {side: Taken([], []) for side in SIDES}
                for _ in range(groups):
                    for side in chance.sample(SIDES, len(SIDES)):
                        latencies, waits = sides[side](case)
                        taken[side].latencies.extend(latencies)
                        taken[side].waits.append(waits)
                for side in SIDES:
                    found[case][side].append(taken[side])
    return found


@contextmanager
def worker(folder: Path, side: str, group: int) -> Iterator[Callable[[str], tuple[list[float], int]]]:
    """A process that replicates as this side does: call it for a group of handshakes."""
    with ExitStack() as stack:
        port, server = 0, None
        if side != ALONE:
            port, server = stack.enter_context(channel_server())
        process = subprocess.Popen([sys.executable, "-m", "benchmarks.cache.latency_worker", folder, str(port)],
                                   cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        stack.callback(process.communicate)
        stack.callback(process.kill)

        def shake(case: str) -> tuple[list[float], int]:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(f"{json.dumps([case, group])}\n")
            process.stdin.flush()
            latencies, waits = json.loads(process.stdout.readline())
            return latencies, waits

        for case in CASES:  # with the channel as it should be, so that it is in use
            shake(case)
        if server is not None and side != LIVE:
            server.send_signal(signal.SIGKILL if side == DEAD else signal.SIGSTOP)
        for case in CASES:
            shake(case)
        yield shake


@contextmanager
def channel_server() -> Iterator[tuple[int, "subprocess.Popen[bytes]"]]:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        process = start([SERVER, "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no"],
                        Path(folder))
        try:
            wait_until(lambda: socket.create_connection(("127.0.0.1", port), timeout=5).close(), process, Path(folder))
            yield port, process
        finally:
            process.send_signal(signal.SIGCONT)
            stop(process)


def percentile(taken: Taken, part: int) -> float:
    return statistics.quantiles(taken.latencies, n=100, method="inclusive")[part - 1]


def drawn(found: Optional[Latencies]) -> Table:
    made = table("Latency of a handshake, both ends, us, and of 1,000 handshakes, how often one waited: median of the "
                 "rounds (least to most)", "handshake", "", "median", "99th percentile", "waits")
    for case in CASES:
        for side in SIDES:
            made.add_row(case, side, *([MISSING] if found is None else [
                *(spread([percentile(taken, part) for taken in found[case][side]], ".0f") for part in (50, 99)),
                spread([1000 * sum(taken.waits) / len(taken.latencies) for taken in found[case][side]], ".1f")]))
    return made


def ratios(found: Optional[Latencies]) -> Table:
    made = table("Latency of a handshake, 99th percentile: ratios, median of the rounds (least to most)",
                 "handshake", "", "over", "ratio")
    for case in CASES:
        for side, baseline in ((DEAD, LIVE), (HANGING, LIVE), (LIVE, ALONE)):
            made.add_row(case, side, baseline, MISSING if found is None else spread(
                [percentile(one, 99) / percentile(other, 99)
                 for one, other in zip(found[case][side], found[case][baseline])], ".2f"))
    return made


def as_json(found: Optional[Latencies]) -> Optional[dict[str, dict[str, list[dict[str, object]]]]]:
    return None if found is None else {
        case: {side: [taken._asdict() for taken in rounds] for side, rounds in sides.items()}
        for case, sides in found.items()}
