"""Handshakes with client certificates: the server's instructions and time, where sessions are kept in several ways."""

import json
import random
import ssl
import statistics
import tempfile
from pathlib import Path
from typing import NamedTuple, Optional

from rich.progress import Progress
from rich.table import Table

from benchmarks.cache.certificates import issue
from benchmarks.cache.sides import CACHE, FULL, KEYS, MEASURES, NEW, OWN_CACHE, OWN_TICKETS, RESUMED, Measure, Sides
from benchmarks.handshakes.server_time import VERSIONS
from benchmarks.report import spread, table, verdict
from benchmarks.valgrind import MISSING, PRESENT, TOGGLED, dumps, valgrind

Figures = dict[Measure, list[float]]             # one for each round
ByVersion = dict[str, Optional[Figures]]         # None: valgrind is missing


class Ratio(NamedTuple):
    """What is compared: the least that OpenSSL can do, tickets, and no resumption at all."""

    measure: Measure
    baseline: Measure
    wanted: dict[str, float] = {}  # instructions, at most, by version
    everywhere: bool = False       # otherwise with OpenSSL 3.0 alone, where decoding a certificate takes long


RATIOS = (
    Ratio(Measure(CACHE, RESUMED), Measure(OWN_CACHE, RESUMED), {"TLS 1.2": 1.03, "TLS 1.3": 1.03}, True),
    Ratio(Measure(CACHE, RESUMED), Measure(KEYS, RESUMED)),
    Ratio(Measure(CACHE, RESUMED), Measure(OWN_TICKETS, FULL)),
    Ratio(Measure(KEYS, RESUMED), Measure(OWN_TICKETS, FULL)),
    Ratio(Measure(CACHE, FULL), Measure(OWN_TICKETS, FULL), {"TLS 1.2": 0.75, "TLS 1.3": 0.65}),
    Ratio(Measure(CACHE, NEW), Measure(OWN_TICKETS, NEW), {"TLS 1.2": 0.75, "TLS 1.3": 0.65}),
    Ratio(Measure(OWN_CACHE, FULL), Measure(OWN_TICKETS, FULL)),
)


def count(rounds: int, loops: int) -> ByVersion:
    """Instructions of the server in each kind of handshake."""
    if not PRESENT:
        return dict.fromkeys(VERSIONS)
    found: dict[str, Figures] = {version: {measure: [] for measure in MEASURES} for version in VERSIONS}
    with tempfile.TemporaryDirectory() as folder:
        issue(Path(folder), rounds * loops)
        out = Path(folder, "out")
        valgrind(out, [TOGGLED], "cache.counted", folder, str(rounds), str(loops))
        for name, instructions in dumps(out).items():
            version, _, side, kind = json.loads(name)
            found[version][Measure(side, kind)].append(instructions / loops)
    return {**found}


def time(rounds: int, groups: int, chance: random.Random) -> ByVersion:
    """The server's time in each kind of handshake, in us: the median of the groups of each round."""
    made: ByVersion = {}
    with tempfile.TemporaryDirectory() as folder, Progress(transient=True) as bar:
        issue(Path(folder), groups)
        for version in bar.track(tuple(VERSIONS), description="handshakes"):
            found: Figures = {measure: [] for measure in MEASURES}
            for _ in range(rounds):
                sides = Sides(Path(folder), version, groups)  # to which the new clients are new again
                for measure, values in timed(sides, groups, chance).items():
                    found[measure].append(statistics.median(values))
            made[version] = found
    return made


def timed(sides: Sides, groups: int, chance: random.Random) -> Figures:
    taken: Figures = {measure: [] for measure in MEASURES}
    order = list(MEASURES)
    for _ in range(groups):
        chance.shuffle(order)
        for measure in order:
            taken[measure].append(sides.shake(measure))
    return taken


def drawn(figures: ByVersion, what: str, form: str) -> Table:
    made = table(f"{what} of a server's handshake with a client certificate: median of the rounds (least to most)",
                 "handshake", "", *VERSIONS)
    for measure in MEASURES:
        made.add_row(measure.kind, measure.side,
                     *(MISSING if found is None else spread(found[measure], form) for found in figures.values()))
    return made


def ratios(figures: ByVersion, what: str, judged: bool) -> Table:
    made = table(f"{what}: ratios, median of the rounds (least to most)", "", "over", "ratio", "wanted", "")
    for version, found in figures.items():
        for each in RATIOS:
            names = ", ".join((version, *each.measure)), ", ".join(each.baseline)
            if found is None:
                made.add_row(*names, MISSING, "", "")
                continue
            values = [one / other for one, other in zip(found[each.measure], found[each.baseline])]
            wanted = each.wanted.get(version) if judged and (each.everywhere or is_judged()) else None
            made.add_row(*names, spread(values, ".3f"), *verdict(values, wanted))
    return made


def is_judged() -> bool:
    return ssl.OPENSSL_VERSION_INFO[:2] == (3, 0)


def as_json(figures: ByVersion) -> dict[str, Optional[list[object]]]:
    return {version: None if found is None else [[*measure, values] for measure, values in found.items()]
            for version, found in figures.items()}
