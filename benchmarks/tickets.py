"""What a handshake resumed with TicketKeys takes of a server's time, over one with OpenSSL's own keys.

Over memory BIOs in one thread, `ssl` included. The sides follow each other in random order.
"""

import json
import os
import random
import ssl
import statistics
from itertools import product
from pathlib import Path
from typing import NamedTuple

import trustme
from rich.progress import Progress
from rich.table import Table

from benchmarks.handshakes import VERSIONS, server_time
from benchmarks.report import about, console, processor, spread, table, verdict
from pysidctx import TicketKeys, resumable

FULL = "full"
OPENSSL = "resumed, OpenSSL's own keys"
OURS = "resumed, TicketKeys"
BOTH = "resumed, resumable()"
KEYS = {"ECDSA P-256": trustme.KeyType.ECDSA, "RSA-2048": trustme.KeyType.RSA}
WANTED = 1.02


class Case(NamedTuple):
    """A kind of handshake."""

    version: str
    key: str
    client_certificate: bool

    def __str__(self) -> str:
        return f"{self.version}, {self.key}{', client' if self.client_certificate else ''}"


CASES = [Case(*parts) for parts in product(VERSIONS, KEYS, (False, True))]


class Handshakes:
    """The contexts of one kind of handshake, and a session for each side."""

    def __init__(self, case: Case, ca: trustme.CA, client: trustme.LeafCert) -> None:
        self.client_ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.client_ctx.minimum_version = self.client_ctx.maximum_version = VERSIONS[case.version]
        ca.configure_trust(self.client_ctx)
        if case.client_certificate:
            client.configure_cert(self.client_ctx)
        certificate = ca.issue_cert("localhost", key_type=KEYS[case.key])
        contexts = []
        for _ in range(4):  # each side has its own, as warm in the processor's caches as the others'
            ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            certificate.configure_cert(ctx)
            ca.configure_trust(ctx)
            ctx.verify_mode = ssl.CERT_REQUIRED if case.client_certificate else ssl.CERT_NONE
            contexts.append(ctx)
        full, plain, ours, both = contexts
        TicketKeys().install(ours)
        resumable(both, TicketKeys())
        self.sides = {FULL: (full, None)}
        for name, ctx in ((OPENSSL, plain), (OURS, ours), (BOTH, both)):
            _, made = server_time(ctx, self.client_ctx, "localhost", None)
            self.sides[name] = ctx, made.session

    def measure(self, groups: int, chance: random.Random) -> dict[str, float]:
        """The median of each side, in microseconds."""
        taken: dict[str, list[int]] = {name: [] for name in self.sides}
        names = list(self.sides)
        for _ in range(groups):
            chance.shuffle(names)
            for name in names:
                ctx, session = self.sides[name]
                taken[name].append(server_time(ctx, self.client_ctx, "localhost", session)[0])
        return {name: statistics.median(values) / 1000 for name, values in taken.items()}


def drawn(rounds: dict[Case, list[dict[str, float]]]) -> Table:
    made = table("Server time of a handshake, us, and ratios: median of the rounds (least to most)",
                 "handshake", *(next(iter(rounds.values()))[0]), f"TicketKeys / {OPENSSL[9:]}",
                 "resumable() / the same", "wanted", "")
    for case, found in rounds.items():
        ratios = [[each[name] / each[OPENSSL] for each in found] for name in (OURS, BOTH)]
        made.add_row(str(case), *(format(statistics.median(each[name] for each in found), ".1f")
                                  for name in found[0]),
                     *(spread(values, ".3f") for values in ratios),
                     *verdict(statistics.median(ratios[0]), WANTED))
    return made


def run(results: Path, quick: bool) -> None:
    """Measure, print the table, write the figures of each round to `tickets.json` in `results`."""
    chance = random.Random(0)
    ca = trustme.CA(key_type=trustme.KeyType.ECDSA)
    client = ca.issue_cert("client@localhost", key_type=trustme.KeyType.ECDSA)
    handshakes = {case: Handshakes(case, ca, client) for case in CASES}
    rounds: dict[Case, list[dict[str, float]]] = {case: [] for case in CASES}
    screen = console()
    with Progress(console=screen, transient=True) as bar:
        for _ in bar.track(range(1 if quick else 9), description="tickets"):
            for case, found in rounds.items():
                found.append(handshakes[case].measure(10 if quick else 400, chance))
    results.mkdir(parents=True, exist_ok=True)
    (results / "tickets.json").write_text(
        json.dumps({str(case): found for case, found in rounds.items()}, indent=1))
    screen.print(about(processor(), str(os.cpu_count())), soft_wrap=True, highlight=False)
    screen.print(drawn(rounds), highlight=False)
