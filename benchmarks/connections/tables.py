"""Present the results of the servers' turns as tables and as an image."""

import statistics
from itertools import product
from pathlib import Path
from typing import Optional

from rich.table import Table

from benchmarks.connections.cases import AGAIN, EACH, MAP, NGINX, OURS, PLAIN, Case, Rounds
from benchmarks.handshakes.server_time import VERSIONS
from benchmarks.report import picture, spread, table, verdict

NO_NGINX = "nginx is missing: apt-get install nginx-light"


def median(rounds: Rounds, side: str, figure: str) -> float:
    values: list[float] = [getattr(each[side], figure) for each in rounds]
    return statistics.median(values)


def ratio(rounds: Rounds, figure: str, side: str = OURS, baseline: str = PLAIN) -> list[float]:
    return [getattr(each[side], figure) / getattr(each[baseline], figure) for each in rounds]


def percentile99(rounds: Rounds, side: str) -> float:
    """Return the 99th percentile of all visits, in milliseconds."""
    values = sorted(each for turn in rounds for each in turn[side].latencies)
    return values[len(values) * 99 // 100]


def latency_ratios(rounds: Rounds) -> list[float]:
    return [percentile99([each], OURS) / percentile99([each], PLAIN) for each in rounds]


def share(rounds: Rounds, side: str) -> Optional[float]:
    """Return how many of the offered sessions were resumed, in percent."""
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
    """Return whether the quartiles of a server's ratios to itself are within a hundredth of 1."""
    return len(ratios) >= 4 and all(abs(each - 1) < 0.01 for each in statistics.quantiles(ratios))


def plotted(results: Path, measured: dict[Case, Rounds]) -> tuple[str, ...]:
    """Draw the rate of each server with returning clients, and how it grows with their share."""
    figure = picture(11, 4.5)
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
