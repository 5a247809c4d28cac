"""What a handshake takes of a server's time, in each way of choosing an id context, and what resumption saves.

Over memory BIOs in one thread, without sockets. The sides follow each other in random order. Where a listener
has no servername callback, as with ssl alone, OpenSSL looks longer at its certificates: hence ratios below 1.
The maps here have id contexts; `hostmap` has those with SSLContexts, to which OpenSSL switches. Clients'
certificates are ECDSA P-256.
"""

import json
import random
import ssl
import statistics
from collections.abc import Callable, Iterable
from itertools import product
from pathlib import Path
from time import perf_counter_ns
from typing import NamedTuple, Optional

import trustme
from rich.progress import Progress
from rich.table import Table

from benchmarks import native
from benchmarks.handshakes import callgrind
from benchmarks.handshakes.hostmap_handshakes import SID_CTX, looked_up
from benchmarks.handshakes.server_time import VERSIONS, server_time
from benchmarks.pictures import Bars, Picture, Role, Series
from benchmarks.report import Part, spread, table, verdict
from pysidctx import HostMap, TicketKeys, resumable, set_session_id_context

FLOOR = "OpenSSL without Python"
PLAIN = "ssl"
PER_CONNECTION = "set_session_id_context() each"
SNI = "sni_callback"
KEYS = "TicketKeys"
BOTH = "resumable()"
WANTED = {KEYS: 1.02}
MEASURED = ("trustme", "cryptography", "valgrind")
ECDSA = "ECDSA P-256"
CERTIFICATES = {ECDSA: trustme.KeyType.ECDSA, "RSA-2048": trustme.KeyType.RSA}


class Case(NamedTuple):
    """A kind of handshake."""

    version: str
    key: str
    client_certificate: bool
    resumed: bool = False

    def __str__(self) -> str:
        words = [self.version, self.key, *(["client"] if self.client_certificate else []),
                 "resumed" if self.resumed else "full"]
        return ", ".join(words)


class Effort(NamedTuple):
    hosts: tuple[int, ...]
    rounds: int
    groups: int   # of handshakes, in a round
    counted: int  # handshakes that callgrind counts, in each of its runs
    versions: tuple[str, ...]  # of these runs
    with_certificate: tuple[bool, ...]  # of a client, in those of ticket keys
    kinds: tuple[Case, ...]


KINDS = tuple(Case(*parts) for parts in product(VERSIONS, CERTIFICATES, (False, True)))
FULL = Effort((10, 1_000_000), 4, 40, 60, tuple(VERSIONS), (False, True), KINDS)
QUICK = Effort((1_000,), 1, 2, 3, ("TLS 1.2",), (False,), KINDS[::4])


def in_map(hosts: int) -> str:
    return f"HostMap of {hosts:,}"


class Maps:
    """The HostMaps, one of each size, which all listeners share."""

    def __init__(self, sizes: tuple[int, ...]) -> None:
        self.name: Callable[[int], str] = native.load("hostmap_cython").name
        self.sizes = sizes
        self.made = {in_map(size): HostMap(dict.fromkeys(map(self.name, range(size)), SID_CTX))
                     for size in sizes}
        self.size_of = dict(zip(self.made, sizes))

    def random_name(self, side: str, chance: random.Random) -> str:
        return self.name(chance.randrange(self.size_of.get(side, self.sizes[0])))


class Side:
    """A server, with the session that its client resumes."""

    def __init__(self, listener: ssl.SSLContext, client_ctx: ssl.SSLContext,
                 prepare: Optional[Callable[[ssl.SSLObject], None]] = None) -> None:
        self.listener, self.client_ctx, self.prepare = listener, client_ctx, prepare
        self.session: "Optional[ssl.SSLSession]" = None
        self.clock: Callable[[], int] = perf_counter_ns

    def shake(self, name: str, resume: bool) -> float:
        taken, client = server_time(self.listener, self.client_ctx, name,
                                    self.session if resume else None, self.prepare, self.clock)
        if self.session is None:
            self.session = client.session
        return taken


class FloorSide:
    """The same without Python."""

    def __init__(self, listener: ssl.SSLContext, client_ctx: ssl.SSLContext) -> None:
        self.floor = native.load("handshake_cython").Floor(listener, client_ctx)

    def shake(self, name: str, resume: bool) -> float:
        taken: float = self.floor.server_time(name, resume)
        return taken


class Certificates:
    """The certificates of servers, with keys of these kinds, and of a client."""

    def __init__(self, keys: Iterable[str] = tuple(CERTIFICATES)) -> None:
        self.ca = trustme.CA(key_type=trustme.KeyType.ECDSA)
        self.client = self.ca.issue_cert("client@example.org", key_type=trustme.KeyType.ECDSA)
        self.servers = {key: self.ca.issue_cert("*.example.org", key_type=CERTIFICATES[key]) for key in keys}

    def listener(self, case: Case) -> ssl.SSLContext:
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.servers[case.key].configure_cert(ctx)
        self.ca.configure_trust(ctx)
        ctx.verify_mode = ssl.CERT_REQUIRED if case.client_certificate else ssl.CERT_NONE
        return ctx

    def client_context(self, case: Case) -> ssl.SSLContext:
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        ctx.minimum_version = ctx.maximum_version = VERSIONS[case.version]
        ctx.check_hostname = False
        self.ca.configure_trust(ctx)
        if case.client_certificate:
            self.client.configure_cert(ctx)
        return ctx


def sides_of(case: Case, made: Certificates, maps: Maps) -> "dict[str, Side | FloorSide]":
    """Each side has a context of its own, so that no context is in the processor's caches more than the others."""
    client_ctx = made.client_context(case)
    sides: "dict[str, Side | FloorSide]" = {
        FLOOR: FloorSide(made.listener(case), client_ctx),
        PLAIN: Side(made.listener(case), client_ctx),
        PER_CONNECTION: Side(made.listener(case), client_ctx,
                             lambda connection: set_session_id_context(connection, SID_CTX)),
    }
    for name, hosts in maps.made.items():
        listener = made.listener(case)
        hosts.install(listener)
        sides[name] = Side(listener, client_ctx)
    with_callback = made.listener(case)
    found = {maps.name(number): with_callback for number in range(maps.sizes[0])}
    with_callback.sni_callback = lambda connection, name, ctx: looked_up(found, name)
    sides[SNI] = Side(with_callback, client_ctx)
    with_keys = made.listener(case)
    TicketKeys().install(with_keys)
    sides[KEYS] = Side(with_keys, client_ctx)
    sides[BOTH] = Side(resumable(made.listener(case), TicketKeys()), client_ctx)
    for side in sides.values():
        side.shake(maps.name(0), False)
    return sides


def measured(sides: "dict[str, Side | FloorSide]", maps: Maps, resumed: bool, groups: int,
             chance: random.Random) -> dict[str, float]:
    """Return the median of each side, in microseconds."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    order = list(sides)
    for _ in range(groups):
        chance.shuffle(order)
        for name in order:
            taken[name].append(sides[name].shake(maps.random_name(name, chance), resumed))
    return {name: statistics.median(values) / 1000 for name, values in taken.items()}


class Ways:
    """One server with tickets and one without, whose client makes a session and comes back."""

    KINDS = ("full", "by ticket", "from the cache")

    def __init__(self, case: Case, made: Certificates) -> None:
        self.client_ctx = made.client_context(case)
        self.by_ticket, self.cached = made.listener(case), made.listener(case)
        self.cached.options |= ssl.OP_NO_TICKET

    def measure(self, groups: int, chance: random.Random) -> dict[str, float]:
        taken: dict[str, list[int]] = {name: [] for name in self.KINDS}
        for _ in range(groups):
            order = [("by ticket", self.by_ticket), ("from the cache", self.cached)]
            chance.shuffle(order)
            for name, ctx in order:
                full, client = server_time(ctx, self.client_ctx, "a.example.org", None)
                if ctx is self.by_ticket:
                    taken["full"].append(full)
                taken[name].append(server_time(ctx, self.client_ctx, "a.example.org", client.session)[0])
        return {name: statistics.median(values) / 1000 for name, values in taken.items()}


Rounds = dict[Case, list[dict[str, float]]]


def ratios(rounds: list[dict[str, float]], figure: str, baseline: str) -> list[float]:
    return [each[figure] / each[baseline] for each in rounds]


def drawn(rounds: Rounds, resumed: bool) -> Table:
    made = table(f"Server time of a {'resumed' if resumed else 'full'} handshake: median of the rounds, and ratio "
                 f"to {PLAIN} (least to most)", "handshake", "side", "us", "ratio", "wanted", "")
    for case, found in rounds.items():
        if case.resumed == resumed:
            for name in found[0]:
                values = ratios(found, name, PLAIN)
                made.add_row(str(case) if name == FLOOR else "", name,
                             format(statistics.median(each[name] for each in found), ".1f"),
                             spread(values, ".3f"),
                             *verdict(values, WANTED.get(name) if resumed else None))
    return made


def payoff(rounds: Rounds) -> Table:
    made = table("Where resumption pays: server time, us, and ratio to a full handshake",
                 "", *Ways.KINDS, "by ticket / full", "from the cache / full")
    for case, found in rounds.items():
        made.add_row(str(case)[:-len(", full")],
                     *(format(statistics.median(each[name] for each in found), ".1f") for name in Ways.KINDS),
                     *(spread(ratios(found, name, "full"), ".2f") for name in Ways.KINDS[1:]))
    return made


def pictures(figures: Path) -> list[Picture]:
    found = json.loads(figures.read_text())
    return [Picture("payoff", "Where resumption pays: a server's time of a handshake", "us",
                    "The server's time of a full handshake, of one resumed by a ticket and of one from a cache, for "
                    "TLS 1.2 and 1.3, ECDSA and RSA, with and without client certificates",
                    [paying(found["payoff"], each) for each in VERSIONS], True),
            Picture("handshake", "What an id context adds: a server's time of a resumed handshake, ECDSA P-256", "us",
                    "The server's time of a resumed handshake without pysidctx, and with each way of choosing an id "
                    "context", [resuming(found["rounds"], each) for each in VERSIONS], True)]


def paying(rounds: dict[str, list[dict[str, float]]], version: str) -> Bars:
    """Where resumption pays."""
    roles = dict(zip(Ways.KINDS, (Role.PLAIN, Role.OURS, Role.OURS_CACHE)))
    ending = ", full"
    return Bars(version, [
        Series(kind, role, {case[len(version) + 2:-len(ending)] + " certificate" * case.endswith(f"client{ending}"):
                            [each[kind] for each in found]
                            for case, found in rounds.items() if case.startswith(version)})
        for kind, role in roles.items()])


def resuming(rounds: dict[str, list[dict[str, float]]], version: str) -> Bars:
    """What choosing an id context adds."""
    found = rounds[str(Case(version, ECDSA, False, True))]
    plain = (FLOOR, PLAIN, SNI)
    return Bars(version, [
        Series(label, role, {side: [each[side] for each in found] for side in found[0] if (side in plain) == without})
        for label, role, without in (("without pysidctx", Role.PLAIN, True), ("with pysidctx", Role.OURS, False))])


def run(results: Path, quick: bool) -> Part:
    """Measure. The figures of each round are written to `handshake.json` in `results`."""
    native.build()
    effort = QUICK if quick else FULL
    chance = random.Random(0)
    certificates, maps = Certificates({case.key for case in effort.kinds}), Maps(effort.hosts)
    sides = {case: sides_of(case, certificates, maps) for case in effort.kinds}
    ways = {case: Ways(case, certificates) for case in effort.kinds}
    rounds: Rounds = {case._replace(resumed=resumed): [] for resumed in (False, True) for case in effort.kinds}
    saved: Rounds = {case: [] for case in effort.kinds}
    with Progress(transient=True) as bar:
        for _ in bar.track(range(effort.rounds), description="handshake"):
            for case, found in rounds.items():
                found.append(measured(sides[case._replace(resumed=False)], maps, case.resumed,
                                      effort.groups if case.resumed else max(effort.groups // 4, 1), chance))
            for case, found in saved.items():
                found.append(ways[case].measure(max(effort.groups // 4, 1), chance))
    figures: dict[str, object] = {"rounds": {str(case): found for case, found in rounds.items()},
                                  "payoff": {str(case): found for case, found in saved.items()}}
    (results / "handshake.json").write_text(json.dumps(figures, indent=1))
    counts = callgrind.run(effort.versions, effort.hosts, effort.with_certificate, effort.counted)
    with_python = callgrind.run_python(effort.versions, effort.hosts, effort.counted // 4 + 1)
    figures["instructions"] = [{**each._asdict(), "found": found} for each, found in counts.items()]
    figures["instructions with Python"] = {
        version: found and [[*side, value] for side, value in found.items()] for version, found in with_python.items()}
    (results / "handshake.json").write_text(json.dumps(figures, indent=1))
    return Part("handshake", __doc__, [
        drawn(rounds, True), drawn(rounds, False), payoff(saved), *callgrind.drawn(counts, not quick),
        callgrind.drawn_python(with_python, PLAIN, wanted_instructions, not quick)])


def wanted_instructions(side: str, resumed: bool) -> Optional[float]:
    """Return the largest ratio to plain ssl's instructions that is wanted."""
    if side == PER_CONNECTION or side in map(in_map, (*FULL.hosts, *QUICK.hosts)):
        return 1.01
    return WANTED.get(side) if resumed else None
