"""Present the results of the servers' turns as tables."""

import statistics
from typing import Optional

from rich.table import Table

from benchmarks.connections.cases import AGAIN, EACH, MAP, NGINX, OURS, PLAIN, Case, Rounds
from benchmarks.report import ONE_ROUND, judged, spread, table, verdict

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
        all_return = case.returning == 100 and case.workers == 4
        made.add_row(str(case), str(case.returning), spread(rates, ".2f"),
                     *verdict(rates, 1.6, True) if case.server == "gunicorn"
                     and case.returning == 100 else ("", ""),
                     spread(ratio(rounds, "cpu"), ".2f"), spread(latency_ratios(rounds), ".2f"),
                     percent(plain), *judged(plain or 0, len(rounds) > 1, 25 if all_return else None),
                     percent(ours), *judged(ours or 0, len(rounds) > 1, 100 if all_return else None, True))
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
                     *verdict(rates, 0.75 if judged else None, True), spread(costs, ".2f"),
                     # As many connections in the same time on a processor.
                     *verdict(costs, 1.33 if judged else None))
    return made


def cost(costs: dict[str, Rounds]) -> Table:
    made = table("What choosing costs: threads, 1 worker, over the same server without: median (least to most)",
                 "", "with", "connections a second", "wanted", "", "server CPU")
    for name, rounds in costs.items():
        for side in (AGAIN, EACH, MAP):
            values = ratio(rounds, "rate", side)
            wanted, reached = verdict(values, None if side == AGAIN else 0.99, True)
            if wanted and reached != ONE_ROUND and not steady(ratio(rounds, "rate", AGAIN)):
                reached = "cannot be told here"
            made.add_row(name, side, spread(values, ".3f"), wanted, reached,
                         spread(ratio(rounds, "cpu", side), ".3f"))
    return made


def steady(ratios: list[float]) -> bool:
    """Return whether the quartiles of a server's ratios to itself are within a hundredth of 1."""
    return len(ratios) >= 4 and all(abs(each - 1) < 0.01 for each in statistics.quantiles(ratios))
