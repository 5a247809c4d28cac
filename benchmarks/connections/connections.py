"""Real servers at the highest rate they take: connections a second, CPU, resumption, latency.

Each server twice, with pysidctx and without, and nginx beside them; every connection is a new one, and a
share of the clients comes back. The clients, in C and without the GIL, load one server after the other in
turns. On loopback, with RSA-2048 where nothing else is said; all shares with the most workers alone.

Where the clients take a large share of the processors, the server could do more: its CPU time a connection tells
how much. threads, asyncio and uvloop answer any request with the same bytes, without parsing it, and make their
contexts in each worker, as frameworks do; plain, one that is made before the fork shares its ticket keys.
uvicorn has uvloop and h11 here, hypercorn asyncio. gunicorn makes a context for each connection, and with
pysidctx's hook one for all: it gains where nobody comes back, too. What choosing an id context costs is lost in
the noise of a busy machine: `handshake` counts its instructions.
"""

import inspect
import json
import os
import random
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, Optional

import trustme
import uvicorn
from matplotlib.figure import Figure
from rich.progress import Progress
from rich.table import Table

from benchmarks import ROOT, native
from benchmarks.connections.programs.own import HOSTS
from benchmarks.handshakes.handshake import CERTIFICATES
from benchmarks.handshakes.server_time import VERSIONS
from benchmarks.report import Part, spread, table, verdict
from pysidctx.cli.processes import cpu_time

PLAIN, OURS, NGINX = "plain", "pysidctx", "nginx"
AGAIN = "the same again: the noise"
EACH, MAP = "an id context for each connection", "HostMap of a million"
SERVERS = ("threads", "asyncio", "uvloop", "gunicorn", "uvicorn", "hypercorn")
CLIENTS = 8  # at once
NO_NGINX = "nginx is missing: apt-get install nginx-light"
HAS_FACTORY = "ssl_context_factory" in inspect.signature(uvicorn.run).parameters
OLD_UVICORN = "This uvicorn has no ssl_context_factory, as from 0.47 on, and is left out."
NGINX_PROGRAM = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")

APP = """
def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "6")])
    return [b"hello\\n"]

async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            said = (await receive())["type"]
            await send({"type": said + ".complete"})
            if said == "lifespan.shutdown":
                return
    headers = [(b"content-length", b"6"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello\\n"})
"""
HOOK = "from pysidctx.servers import ssl_context_factory as ssl_context\n"
DEMANDING = "cert_reqs = 2\nca_certs = 'ca.pem'\n"
NGINX_CONF = """
daemon off; worker_processes {workers}; pid {folder}/pid; error_log stderr crit; {user}
events {{ worker_connections 1024; }}
http {{
    access_log off; client_body_temp_path {folder}/1; proxy_temp_path {folder}/2;
    fastcgi_temp_path {folder}/3; uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
    ssl_protocols TLSv1.2 TLSv1.3; ssl_session_ticket_key ticket.key; keepalive_timeout 0;
    server {{
        listen 127.0.0.1:{port} ssl backlog=1024; ssl_certificate server.pem; ssl_certificate_key server.pem;
        location / {{ return 200 "hello\\n"; }}
    }}
}}
"""


class Kind(NamedTuple):
    """What servers show, and what they demand of clients."""

    key: str
    client_certificate: bool = False

    def __str__(self) -> str:
        return f"{self.key}, client" if self.client_certificate else self.key


RSA = Kind("RSA-2048")
OTHERS = Kind("RSA-2048", True), Kind("ECDSA P-256"), Kind("ECDSA P-256", True)


class Case(NamedTuple):
    server: str
    workers: int
    version: str
    returning: int  # percent of the connections
    kind: Kind = RSA

    def __str__(self) -> str:
        said = f"{self.server}, {self.workers}, {self.version}"
        return said if self.kind == RSA else f"{said}, {self.kind}"


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


FULL = Effort(SERVERS, (1, 2, 4), (0, 50, 90, 100), 3, 96, 0.12, 12, 0.12, OTHERS)
QUICK = Effort(("uvloop",), (2,), (0, 100), 1, 16, 0, 1, 0, OTHERS[2:])


class Turn(NamedTuple):
    """What came of one server's turn."""

    rate: float        # connections a second
    cpu: float         # us of the server for each
    generator: float   # the clients' share of all the CPU time
    offered: int
    resumed: int
    latencies: list[float]  # ms, of whole visits: connecting, handshake, answer, closing


class Running(NamedTuple):
    process: "subprocess.Popen[bytes]"
    port: int


def command(server: str, workers: int, port: int, how: str, folder: Path) -> list[str]:
    if server == NGINX:
        user = "user root;" if os.geteuid() == 0 else ""
        path = folder / f"nginx.{port}.conf"
        path.write_text(NGINX_CONF.format(workers=workers, port=port, folder=folder, user=user))
        return [str(NGINX_PROGRAM), "-p", str(folder), "-c", str(path)]
    if server == "gunicorn":
        return [sys.executable, "-m", "gunicorn", "--config", "hook.py" if how == "keys" else "none.py",
                "--workers", str(workers), "--bind", f"127.0.0.1:{port}", "--certfile", "server.pem",
                "--log-level", "warning", "app:wsgi"]
    if server in ("uvicorn", "hypercorn"):
        return [sys.executable, "-m", f"benchmarks.connections.programs.with_{server}", str(workers), str(port), how]
    return [sys.executable, "-m", "benchmarks.connections.programs.own", server, str(workers), str(port), how]


@contextmanager
def started(server: str, workers: int, how: str, folder: Path) -> Iterator[Running]:
    port = free_port()
    with open(folder / "log", "ab") as log:
        process = subprocess.Popen(
            command(server, workers, port, how, folder), cwd=folder, start_new_session=True, stdout=log,
            stderr=log, env=dict(os.environ, PYSIDCTX_SECRET_FILE="secret",
                                 PYTHONPATH=f"{ROOT}{os.pathsep}."))
    try:
        yield Running(process, port)
    finally:
        for sent in (signal.SIGTERM, signal.SIGKILL):  # the second for what it has left
            try:
                os.killpg(process.pid, sent)
                process.wait(10)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


class Load:
    """Clients of one server, each in a thread, with the sessions that they got last."""

    def __init__(self, ctx: ssl.SSLContext, server: Running, pool: ThreadPoolExecutor, folder: Path,
                 hosts: int) -> None:
        self.ctx, self.server, self.pool, self.folder = ctx, server, pool, folder
        self.clients = [native.load("load_cython").Client(number, CLIENTS, hosts)
                        for number in range(CLIENTS)]
        self.wait()

    def wait(self) -> None:
        """Until the server answers, and each client has a session."""
        end = time.monotonic() + 60
        for client in self.clients:
            while True:
                try:
                    client.visits(self.ctx, "localhost", self.server.port, 1, 100)
                    break
                except OSError:
                    if time.monotonic() > end or self.server.process.poll() is not None:
                        raise AssertionError((self.folder / "log").read_text()) from None
                    time.sleep(0.1)

    def turn(self, connections: int, returning: int) -> Turn:
        spent, own, start = cpu_time(self.server.process.pid), time.process_time(), time.perf_counter()
        each = list(self.pool.map(
            lambda client: client.visits(self.ctx, "localhost", self.server.port, connections // CLIENTS,
                                         returning), self.clients))
        taken, own = time.perf_counter() - start, time.process_time() - own
        spent = cpu_time(self.server.process.pid) - spent
        latencies = [1000 * seconds for _, _, found in each for seconds in found]
        count = len(latencies)
        return Turn(count / taken, spent / count * 1e6, own / (own + spent),
                    sum(offered for offered, _, _ in each), sum(resumed for _, resumed, _ in each),
                    latencies)


Rounds = list[dict[str, Turn]]


def settle(servers: list[Running]) -> None:
    """Until all workers have started: until the servers hardly run any more."""
    end, spent = time.monotonic() + 60, 0.0
    while time.monotonic() < end:
        time.sleep(0.5)
        now = sum(cpu_time(server.process.pid) for server in servers)
        if spent and now - spent < 0.03:
            return
        spent = now
    raise AssertionError("the servers do not come to rest")


class Bench:
    """The folder and the clients' contexts for servers of one kind."""

    def __init__(self, folder: Path, pool: ThreadPoolExecutor, chance: random.Random, kind: Kind = RSA) -> None:
        self.folder, self.pool, self.chance, self.kind = folder, pool, chance, kind
        folder.mkdir()
        ca = trustme.CA(key_type=CERTIFICATES[kind.key])
        ca.cert_pem.write_to_path(str(folder / "ca.pem"))
        self.issued = [ca.issue_cert(name, key_type=CERTIFICATES[kind.key])
                       for name in ("localhost", "client@localhost")]
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
        with ExitStack() as stack:
            running = {name: stack.enter_context(started(
                NGINX if name == NGINX else server, workers, how, self.folder)) for name, how in hows.items()}
            settle(list(running.values()))
            yield running

    def measure(self, running: dict[str, Running], version: str, returning: int, rounds: int,
                connections: int, seconds: float, hosts: int = 0) -> Rounds:
        loads = {name: Load(self.contexts[version], server, self.pool, self.folder, hosts)
                 for name, server in running.items()}
        # The first turn does what is done once, and tells how many make a turn as long as the others'.
        counts = {name: max(connections, int(load.turn(6 * CLIENTS, returning).rate * seconds))
                  for name, load in loads.items()}
        made = []
        for _ in range(rounds):
            order = list(loads)
            self.chance.shuffle(order)
            made.append({name: loads[name].turn(counts[name], returning) for name in order})
        return made


def run(results: Path, quick: bool) -> Part:
    """Measure; the figures of each round go to `connections.json` in `results`."""
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
        line = bar.add_task("connections", total=len(turns) + 1)
        for place, server, workers in turns:
            measured.update(compared(place, server, workers, effort))
            bar.advance(line)
            write(results, measured, costs)
        costs.update(chosen(bench, effort))
        bar.advance(line)
    write(results, measured, costs)
    tables = [drawn(measured), gains(measured), yardstick(measured), cost(costs)]
    return Part("connections", __doc__, tables, plotted(results, measured), () if HAS_FACTORY else (OLD_UVICORN,))


def compared(bench: Bench, server: str, workers: int, effort: Effort) -> dict[Case, Rounds]:
    """A server with pysidctx and without, and nginx where the server is to be held against it."""
    hows = {PLAIN: "plain", OURS: "keys", **({NGINX: ""} if NGINX_PROGRAM and bench.kind == RSA else {})}
    shares = effort.shares if bench.kind == RSA and workers == effort.workers[-1] else (100,)
    with bench.sides(server, workers, hows) as running:
        return {Case(server, workers, version, returning, bench.kind): bench.measure(
            running, version, returning, effort.rounds, effort.connections, effort.seconds)
            for version, returning in product(VERSIONS, shares)}


def chosen(bench: Bench, effort: Effort) -> dict[str, Rounds]:
    """What choosing id contexts costs."""
    hows = {PLAIN: "plain", AGAIN: "plain", EACH: "each", MAP: "map"}
    with bench.sides("threads", 1, hows) as running:
        return {f"{version}, {returning} % come back": bench.measure(
            running, version, returning, effort.cost_rounds, effort.connections, effort.cost_seconds, HOSTS)
            for version, returning in product(VERSIONS, (0, 100))}


def write(results: Path, measured: dict[Case, Rounds], costs: dict[str, Rounds]) -> None:
    (results / "connections.json").write_text(json.dumps({
        "servers": [{**case._asdict(), "kind": str(case.kind), "rounds": as_json(rounds)}
                    for case, rounds in measured.items()],
        "cost": {name: as_json(rounds) for name, rounds in costs.items()}}, indent=1))


def as_json(rounds: Rounds) -> list[dict[str, dict[str, Any]]]:
    return [{name: turn._asdict() for name, turn in each.items()} for each in rounds]


def median(rounds: Rounds, side: str, figure: str) -> float:
    return statistics.median(getattr(each[side], figure) for each in rounds)


def ratio(rounds: Rounds, figure: str, side: str = OURS, baseline: str = PLAIN) -> list[float]:
    return [getattr(each[side], figure) / getattr(each[baseline], figure) for each in rounds]


def percentile99(rounds: Rounds, side: str) -> float:
    """Of all visits, ms."""
    values = sorted(each for turn in rounds for each in turn[side].latencies)
    return values[len(values) * 99 // 100]


def latency_ratios(rounds: Rounds) -> list[float]:
    return [percentile99([each], OURS) / percentile99([each], PLAIN) for each in rounds]


def share(rounds: Rounds, side: str) -> Optional[float]:
    """Of the sessions that were offered, percent."""
    offered = sum(each[side].offered for each in rounds)
    return 100 * sum(each[side].resumed for each in rounds) / offered if offered else None


def drawn(measured: dict[Case, Rounds]) -> Table:
    made = table(f"{PLAIN} / {OURS} / {NGINX}: medians, with ratios below", "server, workers, version",
                 "returning, %", "of these resumed, %", "connections a second", "server CPU us", "p99, ms",
                 "clients' share of CPU, %")
    for case, rounds in measured.items():
        sides = [side for side in (PLAIN, OURS, NGINX) if side in rounds[0]]
        shares = [share(rounds, side) for side in sides]
        made.add_row(str(case), str(case.returning),
                     " / ".join(map(percent, shares)),
                     " / ".join(f"{median(rounds, side, 'rate'):.0f}" for side in sides),
                     " / ".join(f"{median(rounds, side, 'cpu'):.0f}" for side in sides),
                     " / ".join(f"{percentile99(rounds, side):.1f}" for side in sides),
                     " / ".join(f"{100 * median(rounds, side, 'generator'):.0f}" for side in sides))
    return made


def gains(measured: dict[Case, Rounds]) -> Table:
    made = table(f"{OURS} over {PLAIN}: median (least to most)",
                 "server, workers, version", "returning, %", "connections a second", "wanted", "", "server CPU", "p99",
                 f"of these resumed, % ({PLAIN})", "wanted", "", f"({OURS})", "wanted", "")
    for case, rounds in measured.items():
        plain, ours = share(rounds, PLAIN), share(rounds, OURS)
        rates = ratio(rounds, "rate")
        judged = case.returning == 100 and case.workers == 4
        made.add_row(str(case), str(case.returning), spread(rates, ".2f"),
                     *verdict(statistics.median(rates), 1.6, True) if case.server == "gunicorn"
                     and case.returning == 100 else ("", ""),
                     spread(ratio(rounds, "cpu"), ".2f"), spread(latency_ratios(rounds), ".2f"),
                     percent(plain), *verdict(plain or 0, 25 if judged else None),
                     percent(ours), *verdict(ours or 0, 100 if judged else None, True))
    return made


def percent(value: Optional[float]) -> str:
    return "-" if value is None else f"{value:.0f}"


def yardstick(measured: dict[Case, Rounds]) -> Table:
    made = table(f"{OURS} over {NGINX}: median (least to most)", "server, workers, version", "returning, %",
                 "connections a second", "wanted", "", "server CPU", "wanted", "")
    for case, rounds in measured.items():
        if case.server not in ("asyncio", "uvloop"):
            continue
        if NGINX not in rounds[0]:
            made.add_row(str(case), str(case.returning), NO_NGINX, *[""] * 5)
            continue
        judged = case.server == "uvloop" and case.returning == 100
        rates, costs = ratio(rounds, "rate", OURS, NGINX), ratio(rounds, "cpu", OURS, NGINX)
        made.add_row(str(case), str(case.returning), spread(rates, ".2f"),
                     *verdict(statistics.median(rates), 0.75 if judged else None, True), spread(costs, ".2f"),
                     # As many connections in the same time on a processor.
                     *verdict(statistics.median(costs), 1.33 if judged else None))
    return made


def cost(costs: dict[str, Rounds]) -> Table:
    made = table("What choosing costs: threads, 1 worker, over the same server without: median (least to most)",
                 "", "with", "connections a second", "wanted", "", "server CPU")
    for name, rounds in costs.items():
        for side in (AGAIN, EACH, MAP):
            values = ratio(rounds, "rate", side)
            wanted, reached = verdict(statistics.median(values), None if side == AGAIN else 0.99, True)
            made.add_row(name, side, spread(values, ".3f"), wanted,
                         reached if steady(ratio(rounds, "rate", AGAIN)) else wanted and "cannot be told here",
                         spread(ratio(rounds, "cpu", side), ".3f"))
    return made


def steady(ratios: list[float]) -> bool:
    """Whether a server is as fast as itself, to a hundredth."""
    return len(ratios) >= 4 and all(abs(each - 1) < 0.01 for each in statistics.quantiles(ratios))


def plotted(results: Path, measured: dict[Case, Rounds]) -> tuple[str, ...]:
    """A picture of what each server makes of clients that come back, and of how it grows with their share."""
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    most = max(case.workers for case in measured)
    bars = {case.server: rounds for case, rounds in measured.items()
            if case == Case(case.server, most, "TLS 1.2", 100)}
    for number, side in enumerate((PLAIN, OURS, NGINX)):
        found = {server: rounds for server, rounds in bars.items() if side in rounds[0]}
        if found:
            left.bar([place + 0.27 * (number - 1) for place in range(len(found))],
                     [median(rounds, side, "rate") for rounds in found.values()], 0.27, label=side)
    left.set_xticks(range(len(bars)), list(bars))
    left.set_title(f"TLS 1.2, {most} workers, all come back")
    left.set_ylabel("connections a second")
    left.legend()
    for (server, version), side in product(product(("uvloop", "gunicorn"), VERSIONS), (PLAIN, OURS)):
        points = [(case.returning, median(rounds, side, "rate")) for case, rounds in measured.items()
                  if case == Case(server, most, version, case.returning)]
        if points:
            right.plot(*zip(*sorted(points)), marker="o", label=f"{server}, {version}, {side}",
                       linestyle="--" if side == PLAIN else "-")
    right.set_ylabel("connections a second")
    right.set_xlabel("% of the connections that come back")
    right.legend(fontsize="small")
    figure.savefig(results / "connections.svg")
    return ("connections.svg",)
