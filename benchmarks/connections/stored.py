"""Clients with certificates that come back to one worker: servers that store sessions, beside tickets and nginx."""

import ssl
import statistics
from pathlib import Path
from typing import NamedTuple

from rich.table import Table

from benchmarks.connections.cases import NGINX, Kind, Rounds
from benchmarks.connections.tables import NO_NGINX, median, percent, ratio, share
from benchmarks.report import picture, spread, table, verdict

KIND = Kind("ECDSA P-256", True, "RSA-2048")
JUDGED = "uvloop"


def full(server: str) -> str:
    return f"{server}, full"


def tickets(server: str) -> str:
    return f"{server}, tickets"


def cache(server: str) -> str:
    return f"{server}, shared cache" if server == NGINX else f"{server}, SessionCache"


def servers(names: tuple[str, ...], has_nginx: bool) -> dict[str, tuple[str, str]]:
    """By name, the kind of server, and how it keeps sessions."""
    return {name(server): (server, how) for server in (*names, *([NGINX] if has_nginx else []))
            for name, how in ((tickets, "tickets"), (cache, "cache"))}


class Ratio(NamedTuple):
    side: str
    baseline: str
    wanted: dict[str, float] = {}  # by version, with OpenSSL 3.0, where decoding a certificate takes long


RATIOS = (
    Ratio(cache(JUDGED), cache(NGINX), {"TLS 1.2": 0.9, "TLS 1.3": 1.0}),
    Ratio(cache(JUDGED), tickets(NGINX), {"TLS 1.2": 0.85, "TLS 1.3": 0.7}),
    *(Ratio(cache("asyncio"), other) for other in (cache(NGINX), tickets(NGINX))),
    *(Ratio(cache(server), other(server)) for server in (JUDGED, "asyncio") for other in (tickets, full)),
)


def drawn(kept: dict[str, Rounds]) -> Table:
    made = table(f"{KIND}: server CPU us a connection, 1 worker; all come back, but where it says full",
                 "", *(f"{version}{what}" for version in kept for what in (", us", ", resumed, %")))
    for side in sorted(next(iter(kept.values()))[0]):
        made.add_row(side, *(cell for rounds in kept.values() for cell in (
            spread((each[side].cpu for each in rounds), ".0f"), percent(share(rounds, side)))))
    return made


def ratios(kept: dict[str, Rounds]) -> Table:
    made = table(f"{KIND}: server CPU a connection, ratios: median (least to most)", "", "", "over", "ratio", "wanted",
                 "")
    for version, rounds in kept.items():
        for each in RATIOS:
            if each.side not in rounds[0]:
                continue
            if each.baseline not in rounds[0]:
                made.add_row(version, each.side, each.baseline, NO_NGINX, "", "")
                continue
            values = ratio(rounds, "cpu", each.side, each.baseline)
            wanted = each.wanted.get(version) if ssl.OPENSSL_VERSION_INFO[:2] == (3, 0) else None
            made.add_row(version, each.side, each.baseline, spread(values, ".2f"),
                         *verdict(statistics.median(values), wanted))
    return made


def plotted(results: Path, kept: dict[str, Rounds]) -> tuple[str, ...]:
    """Draw the server's CPU time a returning client, and for one that does not come back."""
    figure = picture(11, 4)
    for axes, (version, rounds) in zip(figure.subplots(1, len(kept), squeeze=False)[0], kept.items()):
        sides = sorted(rounds[0], key=lambda side: (NGINX in side, "asyncio" in side, -median(rounds, side, "cpu")))
        axes.barh(sides, [median(rounds, side, "cpu") for side in sides])
        axes.invert_yaxis()
        axes.set_title(f"{version}: server CPU a returning client")
        axes.set_xlabel("us")
    figure.savefig(results / "stored.svg")
    return ("stored.svg",)
