"""Connections of clients, full and resumed by ClientSessions: their CPU time, their time, and what keeping costs.

ssl is one byte each way over its sockets; urllib3, httpx and aiohttp get a page of nginx, one for each connection.
Certificates and names are verified; between the server's certificate and the root is that of an intermediate CA, as
with public servers, except where the case says that there is none. On loopback, the sides follow each other in random
order, in one process; the servers have processes of their own. At a distance, a proxy puts a round trip of 20 ms in,
that of connecting too. The instructions of a client's full handshake are counted without Python; valgrind's processor
may lack what speeds up a real one's cryptography.
"""

import json
import random
import ssl
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from time import perf_counter_ns, process_time_ns
from typing import Any, NamedTuple

from rich.progress import Progress
from rich.table import Table

from benchmarks import native
from benchmarks.clients import counted, trust
from benchmarks.clients.libraries import DELAYED, HTTP, LIBRARIES, SSL, Visit
from benchmarks.clients.servers import DIRECT, Ports, Servers, running
from benchmarks.handshakes.certificates import KEY_TYPES
from benchmarks.handshakes.server_time import VERSIONS
from benchmarks.handshakes.sides import ECDSA
from benchmarks.pictures import Bars, Picture, Role, Series
from benchmarks.report import Part, spread, table, verdict
from pysidctx import ClientSessions

MEASURED = ("urllib3", "httpx", "aiohttp", "nginx", "trustme", "certifi", "valgrind")
NO_NGINX = "nginx is missing: apt-get install nginx-light"
WANTED_CPU = {"TLS 1.2": 2.5, "TLS 1.3": 1.8}  # full over resumed
WANTED_FAR = {"TLS 1.2": 0.75}                 # resumed over full


class Effort(NamedTuple):
    rounds: int
    visits: int        # in a turn
    far_rounds: int
    far_visits: int
    keys: tuple[str, ...]
    counted: int       # handshakes, for each count of instructions
    contexts: int


FULL = Effort(9, 50, 5, 8, (*KEY_TYPES, DIRECT), 20, 31)
QUICK = Effort(1, 3, 1, 1, (ECDSA,), 2, 1)


class Case(NamedTuple):
    library: str
    version: str
    key: str

    def __str__(self) -> str:
        return f"{self.library}, {self.version}, {self.key}"


class Turn(NamedTuple):
    """The figures of one connection, in ms: the mean of a turn."""

    cpu: float
    time: float


class Sides(NamedTuple):
    full: Turn
    resumed: Turn


Rounds = dict[Case, list[Sides]]


class Side:
    """A client, which keeps sessions or does not."""

    def __init__(self, stack: ExitStack, case: Case, servers: Servers, ports: Ports, keeps: bool) -> None:
        self.sessions = ClientSessions()
        ctx = ssl.create_default_context(cafile=servers.ca_file)
        ctx.minimum_version = ctx.maximum_version = VERSIONS[case.version]
        if keeps:
            self.sessions.install(ctx)
        self.keeps = keeps
        port = ports.http if case.library in HTTP else ports.echo
        self.visit: Visit = stack.enter_context(LIBRARIES[case.library](ctx, port))
        self.visit()  # what is done once, and the session to resume

    def turn(self, visits: int) -> Turn:
        before = self.sessions.stats().resumed
        began, cpu = perf_counter_ns(), process_time_ns()
        for _ in range(visits):
            self.visit()
        cpu, time = process_time_ns() - cpu, perf_counter_ns() - began
        if self.sessions.stats().resumed - before != visits * self.keeps:
            raise AssertionError("a connection was not resumed")
        return Turn(cpu / visits / 1e6, time / visits / 1e6)


def cases(keys: Sequence[str], has_nginx: bool, far: bool = False) -> Iterator[Case]:
    names = [name for name in LIBRARIES if has_nginx or name not in HTTP]
    for library, version, key in product(names, VERSIONS, keys):
        if library == DELAYED and (far or version == "TLS 1.3" or key != ECDSA):
            continue  # it is seen in TLS 1.2
        if library != SSL and key == DIRECT:
            continue
        if not far or key == ECDSA:
            yield Case(library, version, key)


def measure(wanted: Sequence[Case], servers: Servers, ports: dict[str, Ports], rounds: int, visits: int,
            chance: random.Random, doing: str) -> Rounds:
    found: Rounds = {case: [] for case in wanted}
    with ExitStack() as stack, Progress(transient=True) as bar:
        sides = {case: [Side(stack, case, servers, ports[case.key], keeps) for keeps in (False, True)]
                 for case in wanted}
        for _ in bar.track(range(rounds), description=doing):
            turns: dict[tuple[Case, int], Turn] = {}
            order = [(case, side) for case in wanted for side in (0, 1)]
            chance.shuffle(order)
            for case, side in order:
                turns[case, side] = sides[case][side].turn(visits)
            for case in wanted:
                found[case].append(Sides(turns[case, 0], turns[case, 1]))
    return found


def run(results: Path, quick: bool) -> Part:
    """Measure. The figures of each round are written to `clients.json` in `results`."""
    native.build()
    effort = QUICK if quick else FULL
    chance = random.Random(0)
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), effort.keys) as servers:
        has_nginx = servers.near[ECDSA].http != 0
        near = measure([*cases(effort.keys, has_nginx)], servers, servers.near, effort.rounds, effort.visits, chance,
                       "on loopback")
        far = measure([*cases(effort.keys, has_nginx, far=True)], servers, servers.far, effort.far_rounds,
                      effort.far_visits, chance, "at a distance")
    contexts = trust.measure(effort.contexts)
    counts = counted.run(effort.counted)
    (results / "clients.json").write_text(json.dumps({
        "loopback": as_json(near), "distance": as_json(far), "contexts": [times._asdict() for times in contexts],
        "instructions": [[*each, found] for each, found in counts.items()]}, indent=1))
    return Part("clients", __doc__, [drawn(near, "on loopback"), gains(near), drawn(far, "with a round trip of 20 ms"),
                                     savings(far), trust.drawn(contexts), counted.drawn(counts, not quick)],
                () if has_nginx else (NO_NGINX,))


def as_json(rounds: Rounds) -> list[object]:
    return [{"case": case, "rounds": [{"full": sides.full._asdict(), "resumed": sides.resumed._asdict()}
                                           for sides in found]} for case, found in rounds.items()]


def drawn(rounds: Rounds, where: str) -> Table:
    made = table(f"A client's connection {where}, ms", "", "CPU, full", "CPU, resumed", "time, full", "time, resumed")
    for case, found in rounds.items():
        made.add_row(str(case), *(spread((getattr(getattr(sides, side), figure) for sides in found), ".2f")
                                  for figure in Turn._fields for side in Sides._fields))
    return made


def gains(rounds: Rounds) -> Table:
    made = table("On loopback, full over resumed: median (least to most)", "", "CPU", "wanted", "", "time")
    for case, found in rounds.items():
        cpu = [sides.full.cpu / sides.resumed.cpu for sides in found]
        wanted = None if case.library == DELAYED else WANTED_CPU[case.version]
        made.add_row(str(case), spread(cpu, ".2f"), *verdict(cpu, wanted, True),
                     spread((sides.full.time / sides.resumed.time for sides in found), ".2f"))
    return made


def savings(rounds: Rounds) -> Table:
    made = table("With a round trip of 20 ms, resumed over full: median (least to most)", "", "time", "wanted", "")
    for case, found in rounds.items():
        time = [sides.resumed.time / sides.full.time for sides in found]
        made.add_row(str(case), spread(time, ".3f"), *verdict(time, WANTED_FAR.get(case.version)))
    return made


def pictures(figures: Path) -> list[Picture]:
    found = json.loads(figures.read_text())
    return [Picture("clients", "A client's connection", "ms",
                    "The processor time of a client's connection on loopback, and its time at a distance, full and "
                    "resumed, by library", [shown(found["loopback"], "cpu", "processor time, on loopback"),
                                            shown(found["distance"], "time", "time, with a round trip of 20 ms")])]


def shown(recorded: "list[dict[str, Any]]", figure: str, title: str) -> Bars:
    cases = {Case(*each["case"]): each["rounds"] for each in recorded}
    return Bars(title, [
        Series(kind, role, {f"{case.library}, {case.version}": [sides[kind][figure] for sides in rounds]
                            for case, rounds in cases.items() if case.key == ECDSA and case.library != DELAYED})
        for kind, role in zip(Sides._fields, (Role.PLAIN, Role.OURS))])
