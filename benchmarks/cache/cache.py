"""What sessions take of a server that a SessionCache stores, where client certificates come back.

Handshakes have OpenSSL on both sides and no Python; what is compared follows each other in one run. Instructions do
not depend on how busy the machine is, times do. Freeing a connection is in no figure. OpenSSL's own cache is the least
that a resumption can take: it hands out sessions that it has never encoded, but only in the process that has made them,
and a TLS 1.3 client with a session takes a new one in each handshake. A new client is one whose certificate was not
seen before. Server's certificate: ECDSA P-256; clients' certificates and their CA: RSA-2048.

Channels are streams on Valkey or Redis: a live one, one whose server was killed, and one whose server was stopped, so
that it hangs.
"""

import json
import random
from pathlib import Path
from typing import NamedTuple

from benchmarks import native
from benchmarks.cache import handshakes, latency, store
from benchmarks.cache.sides import CACHE, KEYS, OWN_CACHE, OWN_TICKETS
from benchmarks.pictures import Bars, Picture, Role, Series
from benchmarks.report import Part


class Effort(NamedTuple):
    rounds: int              # of each kind of measure
    counted: int             # handshakes of each kind, in a round, whose instructions are counted
    groups: int              # handshakes of each kind, in a round, whose time is taken
    latencies: int           # groups of handshakes of each kind, in a round, whose latency is taken
    group: int               # of one side, until it is another's turn
    sizes: tuple[int, ...]   # entries in shared memory
    sessions: int            # in the cache
    loops: int


MEASURED = ("trustme", "cryptography", "redis-server", "valkey-server", "valkey", "valgrind")
FULL = Effort(5, 3, 30, 20, 50, (100_000, 1_000_000), 100_000, 20_000)
QUICK = Effort(1, 1, 1, 1, 10, (1_000, 10_000), 1_000, 200)


def run(results: Path, quick: bool) -> Part:
    """Measure. The figures of each round are written to `cache.json` in `results`."""
    native.build()
    effort = QUICK if quick else FULL
    chance = random.Random(0)
    entries, sessions, lengths = store.measure(effort.sizes, effort.sessions, effort.rounds, effort.loops, chance)
    taken = handshakes.time(effort.rounds, effort.groups, chance)
    waited = latency.measure(effort.rounds, effort.latencies, effort.group, chance)
    counted = handshakes.count(effort.rounds, effort.counted)
    (results / "cache.json").write_text(json.dumps({
        "instructions": handshakes.as_json(counted), "time": handshakes.as_json(taken),
        "latencies": latency.as_json(waited), "entries": entries, "sessions": sessions, "lengths": lengths}, indent=1))
    return Part("cache", __doc__, [
        handshakes.drawn(counted, "Instructions (callgrind)", ",.0f"), handshakes.ratios(counted, "Instructions", True),
        handshakes.drawn(taken, "Time, us,", ".1f"), handshakes.ratios(taken, "Time", False),
        latency.drawn(waited), latency.ratios(waited), store.drawn(entries), store.sessions(sessions, lengths)])


def pictures(figures: Path) -> list[Picture]:
    roles = {OWN_TICKETS: Role.PLAIN, OWN_CACHE: Role.PLAIN_CACHE, KEYS: Role.OURS, CACHE: Role.OURS_CACHE}
    return [Picture("cache", "Clients with certificates: a server's time of a handshake", "us",
                    "The server's time of full and of resumed handshakes with a client certificate, with tickets and "
                    "with stored sessions", [
        Bars(version, [
            Series(side, role, {kind: values for name, kind, values in found if name == side})
            for side, role in roles.items()])
        for version, found in json.loads(figures.read_text())["time"].items()], True)]
