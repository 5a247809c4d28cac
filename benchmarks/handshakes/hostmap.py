"""What a HostMap adds to a server's handshakes, and what it takes to load, all in one run.

Names are drawn at random from all that are in a map, so that a large one is not in the caches. The
rounds follow each other, and in each of them every side is measured.
"""

import json
import random
import ssl
import statistics
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from rich.progress import Progress
from rich.table import Table

from benchmarks import ROOT, native
from benchmarks.handshakes.hostmap_handshakes import (
    LOOKED_UP,
    PLAIN,
    SWITCHED,
    WITHOUT,
    Clients,
    Servers,
    in_map,
    switched_in_map,
)
from benchmarks.handshakes.server_time import VERSIONS
from benchmarks.pictures import Bars, Picture, Role, Series
from benchmarks.report import Part, spread, table, verdict

MEASURED = ("trustme",)
SWITCH = "SSL_set_SSL_CTX() alone"

Figures = dict[str, list[float]]  # one for each round


class Effort(NamedTuple):
    sizes: tuple[int, ...]
    rounds: int
    groups: int  # of handshakes
    batches: int
    loops: int


FULL = Effort((10, 10_000, 1_000_000), 5, 250, 20, 1000)
QUICK = Effort((10, 1_000, 20_000), 1, 20, 2, 100)


class Target(NamedTuple):
    figure: str
    values: list[float]
    wanted: float
    at_least: bool = False


def refused_client_hello(servers: Servers) -> bytes:
    """A ClientHello that a listener for TLS 1.3 only refuses right after its callback."""
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ctx.maximum_version = ssl.TLSVersion.TLSv1_2
    sent = ssl.MemoryBIO()
    client = ctx.wrap_bio(ssl.MemoryBIO(), sent, server_hostname=servers.name(0))
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return sent.read()


class Measured:
    """All figures, by their subject."""

    def __init__(self, effort: Effort) -> None:
        self.effort = effort
        self.loops = native.load("hostmap_cython")
        self.handshakes: dict[str, Figures] = {version: {} for version in VERSIONS}
        self.callback: Figures = {}
        self.loading: dict[str, dict[str, list[float]]] = {}
        self.threads: list[float] = []

    def add(self, figures: Figures, name: str, value: float) -> None:
        figures.setdefault(name, []).append(value)

    def shake_hands(self, clients: dict[str, Clients], chance: random.Random) -> None:
        for version, of_version in clients.items():
            for variant, more in of_version.added(self.effort.groups, chance).items():
                self.add(self.handshakes[version], variant, statistics.median(more))

    def call_back(self, servers: Servers, hello: bytes, chance: random.Random) -> None:
        """Measure in interleaved batches, because the machine's speed changes."""
        loops = self.effort.loops
        more: Figures = {}
        for _ in range(self.effort.batches):
            seed = chance.randrange(1, 1 << 60)
            taken = {variant: self.loops.hellos(servers.listeners[variant], hello,
                                                servers.sizes[variant], loops, seed)
                     for variant in (PLAIN, *servers.maps)}
            for variant in servers.maps:
                self.add(more, variant, (taken[variant] - taken[PLAIN]) / loops * 1e9)
            made, switched = (self.loops.connections(servers.listeners[PLAIN], other, loops)
                              for other in (None, servers.host))
            self.add(more, SWITCH, (switched - made) / loops * 1e9)
        for name, found in more.items():
            self.add(self.callback, name, statistics.median(found))

    def look_up(self, servers: Servers, chance: random.Random) -> None:
        size, loops = self.effort.sizes[-1], 1000 * self.effort.loops
        hosts = servers.maps[in_map(size)]

        def work() -> None:
            self.loops.lookups(hosts, size, loops, chance.randrange(1, 1 << 60))

        one = timed([work])
        self.threads.append(2 * one / timed([work, work]))

    def load(self) -> None:
        for kind in ("id contexts", "contexts"):
            ran = subprocess.run(
                [sys.executable, "-m", "benchmarks.handshakes.hostmap_load", str(self.effort.sizes[-1]), kind],
                cwd=ROOT, check=True, capture_output=True, text=True)
            for name, value in json.loads(ran.stdout).items():
                self.add(self.loading.setdefault(kind, {}), name, value)

    def targets(self) -> list[Target]:
        most, least = self.effort.sizes[-1], self.effort.sizes[0]
        found = [
            Target(f"callback, {most:,} names, ns", self.callback[in_map(most)], 250),
            Target(f"callback, {most:,} names over {least}",
                   over(self.callback[in_map(most)], self.callback[in_map(least)]), 2),
        ]
        for version, figures in self.handshakes.items():
            found += [
                Target(f"{version}, {most:,} names, ns", figures[in_map(most)], 250),
                Target(f"{version}, {most:,} names over {least}",
                       over(figures[in_map(most)], figures[in_map(least)]), 2),
                Target(f"{version}, HostMap over sni_callback, look-up",
                       over(figures[in_map(most)], figures[LOOKED_UP]), 0.1),
                Target(f"{version}, HostMap over sni_callback, with the switch",
                       over(figures[switched_in_map(most)], figures[SWITCHED]), 0.1),
            ]
        for kind, figures in self.loading.items():
            found += [Target(f"loading {most:,} {kind}, s", figures["seconds"], 2),
                      Target(f"loading {most:,} {kind}, bytes a name",
                             figures["bytes a name, beside it"], 128)]
        return [*found, Target("look-ups of two threads over one", self.threads, 1.8, True)]


def over(figures: list[float], baseline: list[float]) -> list[float]:
    return [figure / base for figure, base in zip(figures, baseline)]


def timed(workers: list[Callable[[], None]]) -> float:
    """Run each in a thread of its own. Return the seconds until all have ended."""
    threads = [threading.Thread(target=worker) for worker in workers]
    start = perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return perf_counter() - start


def nanoseconds(measured: Measured) -> Table:
    drawn = table(f"Added to a server's handshake, ns, against: {PLAIN}", "",
                  *(f"{version}, resumed" for version in VERSIONS), "callback alone")
    names = [*measured.handshakes["TLS 1.2"], SWITCH]
    for name in names:
        columns = [*measured.handshakes.values(), measured.callback]
        drawn.add_row(name, *(spread(figures[name], ".0f") if name in figures else ""
                              for figures in columns))
    return drawn


def verdicts(measured: Measured) -> Table:
    drawn = table("Targets: median of the rounds (least to most)", "figure", "", "wanted", "")
    for target in measured.targets():
        drawn.add_row(target.figure, spread(target.values, ".2f"),
                      *verdict(target.values, target.wanted, target.at_least))
    return drawn


def run(results: Path, quick: bool) -> Part:
    """Measure. The figures of each round are written to `hostmap.json` in `results`."""
    native.build()
    effort = QUICK if quick else FULL
    chance = random.Random(0)
    measured = Measured(effort)
    servers, refusing = Servers(effort.sizes), Servers(effort.sizes)
    for ctx in (refusing.host, *refusing.listeners.values()):
        ctx.minimum_version = ssl.TLSVersion.TLSv1_3
    hello = refused_client_hello(refusing)
    clients = {name: Clients(servers, version) for name, version in VERSIONS.items()}
    with Progress(transient=True) as bar:
        for _ in bar.track(range(effort.rounds), description="hostmap"):
            measured.shake_hands(clients, chance)
            measured.call_back(refusing, hello, chance)
            measured.look_up(servers, chance)
            measured.load()
    (results / "hostmap.json").write_text(json.dumps({
        "handshakes": measured.handshakes, "callback": measured.callback,
        "loading": measured.loading, "threads": measured.threads}, indent=1))
    return Part("hostmap", __doc__, [nanoseconds(measured), verdicts(measured)])


def pictures(figures: Path) -> list[Picture]:
    found = json.loads(figures.read_text())["handshakes"]
    plain = (LOOKED_UP, SWITCHED)
    return [Picture("hostmap", "Added to a server's resumed handshake", "ns",
                    "The time that a HostMap and Python's sni_callback add to a server's resumed handshake", [
        Bars(version, [
            Series("sni_callback", Role.PLAIN, {name: each for name, each in sides.items() if name in plain}),
            Series("HostMap", Role.OURS, {name: each for name, each in sides.items()
                                          if name not in (*plain, WITHOUT)})])
        for version, sides in found.items()], True)]
