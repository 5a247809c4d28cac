"""Real servers at the highest rate they take: connections a second, CPU, resumption, latency.

Each server twice, with pysidctx and without, and nginx beside them; every connection is a new one, and a
share of the clients comes back. The clients, in C and without the GIL, load one server after the other in
turns. On loopback, with RSA-2048 where nothing else is said; all shares with the most workers alone.

Where the clients take a large share of the processors, the server could do more: its CPU time a connection tells
how much. threads, asyncio and uvloop answer any request with the same bytes, without parsing it, and make their
contexts in each worker, as frameworks do; plain, one that is made before the fork shares its ticket keys.
uvicorn has uvloop and h11 here, hypercorn asyncio. gunicorn makes a context for each connection, and with
pysidctx's hook one for all: it gains where nobody comes back, too. Where clients have certificates, one worker with a
SessionCache is set against one with tickets, and one of nginx with each. What choosing an id context costs is lost in
the noise of a busy machine: `handshake` counts its instructions.
"""

import inspect
import json
import os
import random
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import trustme
import uvicorn
from rich.progress import Progress

from benchmarks import ROOT, native
from benchmarks.connections import stored
from benchmarks.connections.cases import AGAIN, EACH, MAP, NGINX, OURS, PLAIN, RSA, Case, Kind, Rounds
from benchmarks.connections.drawn import pictures as pictures
from benchmarks.connections.load import CLIENTS, Load
from benchmarks.connections.programs.own import HOSTS
from benchmarks.connections.servers import APP, DEMANDING, HOOK, NGINX_PROGRAM, Running, settle, started
from benchmarks.connections.tables import cost, drawn, gains, yardstick
from benchmarks.handshakes.certificates import KEY_TYPES
from benchmarks.handshakes.server_time import VERSIONS
from benchmarks.report import Part

MEASURED = ("gunicorn", "uvicorn", "h11", "hypercorn", "uvloop", "nginx")
SERVERS = ("threads", "asyncio", "uvloop", "gunicorn", "uvicorn", "hypercorn")
HAS_FACTORY = "ssl_context_factory" in inspect.signature(uvicorn.run).parameters
OLD_UVICORN = "This uvicorn has no ssl_context_factory, as from 0.47 on, and is left out."
OTHERS = Kind("RSA-2048", True), Kind("ECDSA P-256"), Kind("ECDSA P-256", True)


class Effort(NamedTuple):
    servers: tuple[str, ...]
    workers: tuple[int, ...]   # of which the last is measured with every share
    shares: tuple[int, ...]
    rounds: int
    connections: int           # in a turn, at least
    seconds: float             # of a turn, about
    cost_rounds: int
    cost_seconds: float
    kinds: tuple[Kind, ...]    # measured with gunicorn, besides RSA
    stored: tuple[str, ...]    # servers with stored sessions
    stored_rounds: int


FULL = Effort(SERVERS, (1, 2, 4), (0, 50, 90, 100), 3, 96, 0.12, 12, 0.12, OTHERS, ("uvloop", "asyncio"), 7)
QUICK = Effort(("uvloop",), (2,), (0, 100), 1, 16, 0, 1, 0, OTHERS[2:], ("uvloop",), 1)


class Bench:
    """The folder and the clients' contexts for servers of one kind."""

    def __init__(self, folder: Path, pool: ThreadPoolExecutor, chance: random.Random, kind: Kind = RSA) -> None:
        self.folder, self.pool, self.chance, self.kind = folder, pool, chance, kind
        folder.mkdir()
        keys = kind.key, kind.client_key or kind.key
        ca = trustme.CA(key_type=KEY_TYPES[keys[1]])
        ca.cert_pem.write_to_path(str(folder / "ca.pem"))
        self.issued = [ca.issue_cert(name, key_type=KEY_TYPES[key])
                       for name, key in zip(("localhost", "client@localhost"), keys)]
        self.issued[0].private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
        demands = DEMANDING if kind.client_certificate else ""
        for name, text in (("app.py", APP), ("hook.py", HOOK + demands), ("none.py", demands)):
            (folder / name).write_text(text)
        (folder / "ticket.key").write_bytes(os.urandom(80))
        subprocess.run([sys.executable, "-m", "pysidctx", "secret", folder / "secret"], cwd=ROOT, check=True,
                       stdout=subprocess.DEVNULL)
        self.contexts = {version: self.client_context(version) for version in VERSIONS}

    def client_context(self, version: str) -> ssl.SSLContext:
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        ctx.minimum_version = ctx.maximum_version = VERSIONS[version]
        ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE  # it is the servers that are to work
        if self.kind.client_certificate:
            self.issued[1].configure_cert(ctx)
        return ctx

    @contextmanager
    def sides(self, server: str, workers: int, hows: dict[str, str]) -> Iterator[dict[str, Running]]:
        with self.servers(workers, {name: (NGINX if name == NGINX else server, how) for name, how in hows.items()}
                          ) as running:
            yield running

    @contextmanager
    def servers(self, workers: int, wanted: dict[str, tuple[str, str]]) -> Iterator[dict[str, Running]]:
        """By name, servers of a kind, each set up in its own way."""
        with ExitStack() as stack:
            running = {name: stack.enter_context(started(server, workers, how, self.folder))
                       for name, (server, how) in wanted.items()}
            settle(list(running.values()))
            yield running

    def measure(self, running: dict[str, Running], version: str, returning: "int | dict[str, int]", rounds: int,
                connections: int, seconds: float, hosts: int = 0) -> Rounds:
        """`returning`: percent of the connections, for all servers or for each by its name."""
        loads = {name: Load(self.contexts[version], server, self.pool, self.folder, hosts)
                 for name, server in running.items()}
        shares = dict.fromkeys(loads, returning) if isinstance(returning, int) else returning
        # The first turn does what is done once, and tells how many make a turn as long as the others'.
        counts = {name: max(connections, int(load.turn(6 * CLIENTS, shares[name]).rate * seconds))
                  for name, load in loads.items()}
        made = []
        for _ in range(rounds):
            order = list(loads)
            self.chance.shuffle(order)
            made.append({name: loads[name].turn(counts[name], shares[name]) for name in order})
        return made


def run(results: Path, quick: bool) -> Part:
    """Measure. The figures of each round are written to `connections.json` in `results`."""
    native.build()
    effort = QUICK if quick else FULL
    measured: dict[Case, Rounds] = {}
    costs: dict[str, Rounds] = {}
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(CLIENTS) as pool, \
            Progress(transient=True) as bar:
        chance = random.Random(0)
        bench = Bench(Path(folder, "RSA"), pool, chance)
        others = [Bench(Path(folder, str(kind)), pool, chance, kind) for kind in effort.kinds]
        servers = [server for server in effort.servers if server != "uvicorn" or HAS_FACTORY]
        turns = [*product([bench], servers, effort.workers), *product(others, ["gunicorn"], effort.workers)]
        line = bar.add_task("connections", total=len(turns) + 2)
        for place, server, workers in turns:
            measured.update(compared(place, server, workers, effort))
            bar.advance(line)
            write(results, measured, costs, {})
        costs.update(chosen(bench, effort))
        bar.advance(line)
        kept = stored_sessions(Bench(Path(folder, "stored"), pool, chance, stored.KIND), effort)
        bar.advance(line)
    write(results, measured, costs, kept)
    tables = [drawn(measured), gains(measured), yardstick(measured), cost(costs), stored.drawn(kept),
              stored.ratios(kept)]
    return Part("connections", __doc__, tables, () if HAS_FACTORY else (OLD_UVICORN,))


def compared(bench: Bench, server: str, workers: int, effort: Effort) -> dict[Case, Rounds]:
    """The sides of a comparison: a server with pysidctx and without, and nginx where it is the yardstick."""
    hows = {PLAIN: "plain", OURS: "keys", **({NGINX: ""} if NGINX_PROGRAM and bench.kind == RSA else {})}
    shares = effort.shares if bench.kind == RSA and workers == effort.workers[-1] else (100,)
    with bench.sides(server, workers, hows) as running:
        return {Case(server, workers, version, returning, bench.kind): bench.measure(
            running, version, returning, effort.rounds, effort.connections, effort.seconds)
            for version, returning in product(VERSIONS, shares)}


def chosen(bench: Bench, effort: Effort) -> dict[str, Rounds]:
    """Measure the cost of choosing id contexts."""
    hows = {PLAIN: "plain", AGAIN: "plain", EACH: "each", MAP: "map"}
    with bench.sides("threads", 1, hows) as running:
        return {f"{version}, {returning} % come back": bench.measure(
            running, version, returning, effort.cost_rounds, effort.connections, effort.cost_seconds, HOSTS)
            for version, returning in product(VERSIONS, (0, 100))}


def stored_sessions(bench: Bench, effort: Effort) -> dict[str, Rounds]:
    """What a client with a certificate costs one worker, by where its session is kept."""
    with bench.servers(1, stored.servers(effort.stored, NGINX_PROGRAM is not None)) as running:
        # The same server, whose clients do not come back.
        full = {stored.full(server): running[stored.tickets(server)] for server in effort.stored}
        running = {**full, **running}
        returning = {name: 0 if name in full else 100 for name in running}
        return {version: bench.measure(running, version, returning, effort.stored_rounds, effort.connections,
                                       effort.seconds) for version in VERSIONS}


def write(results: Path, measured: dict[Case, Rounds], costs: dict[str, Rounds], kept: dict[str, Rounds]) -> None:
    (results / "connections.json").write_text(json.dumps({
        "servers": [{**case._asdict(), "kind": str(case.kind), "rounds": as_json(rounds)}
                    for case, rounds in measured.items()],
        "cost": {name: as_json(rounds) for name, rounds in costs.items()},
        "stored": {version: as_json(rounds) for version, rounds in kept.items()}}, indent=1))


def as_json(rounds: Rounds) -> list[dict[str, dict[str, Any]]]:
    return [{name: turn._asdict() for name, turn in each.items()} for each in rounds]
