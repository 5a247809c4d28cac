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
import tempfile
from itertools import product
from pathlib import Path
from typing import NamedTuple, Optional

from rich.progress import Progress
from rich.table import Table

from benchmarks import native
from benchmarks.handshakes import callgrind
from benchmarks.handshakes.certificates import KEY_TYPES, issue
from benchmarks.handshakes.server_time import VERSIONS, server_time
from benchmarks.handshakes.sides import (
    ECDSA,
    FLOOR,
    KEYS,
    PER_CONNECTION,
    PLAIN,
    SNI,
    Case,
    Certificates,
    FloorSide,
    Maps,
    Side,
    in_map,
    sides_of,
)
from benchmarks.pictures import Bars, Picture, Role, Series
from benchmarks.report import Part, spread, table, verdict

WANTED = {KEYS: 1.02}
MEASURED = ("trustme", "cryptography", "valgrind")


class Effort(NamedTuple):
    hosts: tuple[int, ...]
    rounds: int
    groups: int   # of handshakes, in a round
    counted: int  # handshakes that callgrind counts, in each of its runs
    versions: tuple[str, ...]  # of these runs
    with_certificate: tuple[bool, ...]  # of a client, in those of ticket keys
    kinds: tuple[Case, ...]


KINDS = tuple(Case(*parts) for parts in product(VERSIONS, KEY_TYPES, (False, True)))
FULL = Effort((10, 1_000_000), 4, 40, 60, tuple(VERSIONS), (False, True), KINDS)
QUICK = Effort((1_000,), 1, 2, 3, ("TLS 1.2",), (False,), KINDS[::4])


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
    maps = Maps(effort.hosts)
    with tempfile.TemporaryDirectory() as folder:
        certificates = Certificates(Path(folder))
        issue(certificates.folder, {case.key for case in effort.kinds})
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
