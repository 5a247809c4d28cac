"""`demo`: HTTPS servers with two hosts each, plain ssl, pysidctx and its session cache, audited and under load."""

import argparse
import json
import os
import signal
import ssl
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import trustme
from rich import box
from rich.console import Console
from rich.progress import Progress, TextColumn
from rich.table import Table
from rich.text import Text

from pysidctx.cli.check.audit import Audit, Options
from pysidctx.cli.check.connection import Target
from pysidctx.cli.check.report import Report
from pysidctx.cli.check.report_text import hang, show
from pysidctx.cli.check.verdicts import FAULT, findings
from pysidctx.cli.demo.clients import Counts, Crowd, Server
from pysidctx.cli.demo.server import BANK, SHOP
from pysidctx.cli.screen import Screen, progress

PLAIN, OURS, CACHE = "plain ssl", "pysidctx", "session cache"
KINDS = {PLAIN: "plain", OURS: "pysidctx", CACHE: "cache"}
WORKERS = 4
ROUNDS = 3
SECONDS = 1.5  # length of a turn


FIGURES: dict[str, Callable[[Counts], float]] = {
    "connections a second": lambda counts: counts.rate,
    "server's CPU us a connection": lambda counts: counts.cpu / counts.connections * 1e6,
}


def total(turns: list[Counts]) -> Counts:
    made = Counts()
    for turn in turns:
        made.add(turn)
    return made


class Side(NamedTuple):
    """The results of one server; `certified` are those of clients with certificates."""

    report: Report
    turns: list[Counts]
    certified: list[Counts]

    @property
    def counts(self) -> Counts:
        return total(self.turns)

    @property
    def shares(self) -> dict[str, float]:
        counts = self.counts
        return {"resumed, on the same host": counts.resumed / counts.returned,
                "resumed, on the wrong host": counts.crossed / counts.astray,
                "let in without certificate": counts.let_in / counts.astray}

    @property
    def faults(self) -> list[str]:
        """Describe each observation that is a fault."""
        counts = self.counts
        made = [finding.seen for finding in self.report.findings if finding.grade == FAULT]
        if self.report.evidence.unfinished:
            made.append(f"the audit ended early, after {self.report.evidence.unfinished}")
        missed = sum(turn.returned - turn.resumed for turn in (*self.turns, *self.certified))
        if missed:
            made.append(f"{missed} returning connections were not resumed")
        if counts.crossed:
            made.append(f"{counts.crossed} sessions were resumed on the other host")
        if counts.let_in:
            made.append(f"{counts.let_in} clients were accepted without a certificate")
        return made


def run(arguments: argparse.Namespace) -> int:
    """Run the servers and print the results. Returns 1 if a server with pysidctx shows a fault."""
    console = Screen(highlight=False, soft_wrap=True, quiet=arguments.json)
    if arguments.plot is not None and not can_plot(arguments.plot):
        return 2
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, frame: sys.exit(128 + received))
    hang(console, Text(), Text(
        f"Three HTTPS servers on loopback, {WORKERS} worker processes each, RSA-2048, Python "
        f"{sys.version.split()[0]}, {ssl.OPENSSL_VERSION}. "
        f"Hosts: {SHOP} is open to all clients, {BANK} requires a client certificate."))
    console.print()
    with tempfile.TemporaryDirectory(prefix="pysidctx-demo.") as folder, ExitStack() as stack:
        write_certificates(Path(folder))
        servers = {name: stack.enter_context(serving(kind, Path(folder))) for name, kind in KINDS.items()}
        audits = {name: audited(console, name, server.port, Path(folder))
                  for name, server in servers.items()}
        turns = driven(console, {name: Crowd(servers[name]) for name in (PLAIN, OURS)})
        certified = driven(console, {name: Crowd(servers[name], Path(folder, "client.pem")) for name in (OURS, CACHE)})
    sides = {name: Side(audits[name], turns.get(name, []), certified.get(name, [])) for name in KINDS}
    if arguments.json:
        print(json.dumps({name: as_json(side) for name, side in sides.items()}, indent=1))
    console.width = max(console.width, 80)  # rich would truncate the figures otherwise
    compared = {name: sides[name] for name in (PLAIN, OURS)}
    console.print(drawn(compared))
    console.print(drawn_certified(sides[OURS].certified, sides[CACHE].certified))
    if arguments.plot is not None:
        from pysidctx.cli.demo import plot
        plot.draw(arguments.plot, {name: side.shares for name, side in compared.items()},
                  {name: [turn.rate for turn in side.turns] for name, side in compared.items()})
    faults = faults_of_ours(sides)
    for fault in faults:
        console.print(f"FAULT with {fault}", style="bold red", markup=False)
    hang(console, Text(), Text(last_line(sides), style="bold red" if faults else "green"))
    return int(bool(faults))


def last_line(sides: dict[str, Side]) -> str:
    """Summarize the servers in one line, or return the first fault with pysidctx."""
    ours, theirs = sides[OURS], sides[PLAIN]
    faults = faults_of_ours(sides)
    if faults:
        more = f"; and {len(faults) - 1} more" if len(faults) > 1 else ""
        return f"fault with {faults[0]}{more}"
    resumed, crossed, let_in = (f"{100 * share:.0f} %" for share in theirs.shares.values())
    return (f"{OURS} resumes {ours.counts.resumed} of {ours.counts.returned}; never crosses 2 names; client "
            f"certificates demanded by {BANK}. {PLAIN} resumes {resumed}; crosses in {crossed}; lets in {let_in} "
            "without a certificate.")


def faults_of_ours(sides: dict[str, Side]) -> list[str]:
    return [f"{name}: {fault}" for name in (OURS, CACHE) for fault in sides[name].faults]


def can_plot(path: str) -> bool:
    try:
        from pysidctx.cli.demo import plot
    except ModuleNotFoundError:
        print("--plot needs matplotlib: python -m pip install 'pysidctx[plot]'", file=sys.stderr)
        return False
    folder = Path(path).absolute().parent
    if not os.access(folder, os.W_OK):
        print(f"--plot: {str(folder)!r} is not a writable folder", file=sys.stderr)
    elif Path(path).is_dir() or Path(path).suffix[1:] not in plot.formats():
        print(f"--plot: {path!r} does not have the extension of an image format: {', '.join(plot.formats())}",
              file=sys.stderr)
    else:
        return True
    return False


def write_certificates(folder: Path) -> None:
    ca = trustme.CA(key_type=trustme.KeyType.RSA)
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    for name in (SHOP, BANK, "client@bank.test"):
        issued = ca.issue_cert(name, key_type=trustme.KeyType.RSA)
        path = folder / ("client.pem" if "@" in name else f"{name}.pem")
        issued.private_key_and_cert_chain_pem.write_to_path(str(path))


@contextmanager
def serving(kind: str, folder: Path) -> Iterator[Server]:
    """Run a server. It ends when its standard input is closed, and so also when this process ends."""
    with subprocess.Popen(
        [sys.executable, "-m", "pysidctx.cli.demo.server", kind, str(folder), str(WORKERS)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise OSError(f"the demo's server {kind!r} did not start")
        yield Server(int(line), process.pid)


def audited(console: Console, name: str, port: int, folder: Path) -> Report:
    target = Target("127.0.0.1", port, "127.0.0.1")
    options = Options(names=(SHOP, BANK), demanding=frozenset([BANK]), ca_file=str(folder / "ca.pem"),
                      client_cert=str(folder / "client.pem"), most_seconds=20, verified=(SHOP, BANK))
    with progress(console) as tell:
        evidence = Audit(target, options, lambda doing: tell(f"{name}: {doing}")).run()
    report = Report(target, options, evidence, findings(evidence, options))
    console.print(f"pysidctx check, of the server with {name}:", style="bold")
    show(console, report, advice=False)
    console.print()
    return report


def driven(console: Console, crowds: dict[str, Crowd]) -> dict[str, list[Counts]]:
    """Let clients return to both servers, in turns, so that other load on the machine slows both equally."""
    turns: dict[str, list[Counts]] = {name: [] for name in crowds}
    with Progress(TextColumn("{task.description}"), console=console, transient=True) as bar:
        line = bar.add_task("")
        for _ in range(ROUNDS):
            for name, crowd in crowds.items():
                def tell(counts: Counts, name: str = name) -> None:
                    bar.update(line, description=(
                        f"{name}: {counts.connections} connections, {counts.rate:.0f} a second, "
                        f"{counts.resumed} of {counts.returned} resumed"))

                turns[name].append(crowd.turn(SECONDS, tell))
    return turns


def drawn(sides: dict[str, Side]) -> Table:
    made = Table(box=box.SIMPLE, title="Clients that come back, as fast as they go")
    made.add_column("", no_wrap=True)
    for name in (*sides, "ratio, by turns"):
        made.add_column(name, justify="right", no_wrap=True)
    for share in sides[PLAIN].shares:
        made.add_row(share, *(f"{100 * side.shares[share]:.0f} %" for side in sides.values()))
    add_figures(made, sides[PLAIN].turns, sides[OURS].turns)
    return made


def drawn_certified(tickets: list[Counts], cache: list[Counts]) -> Table:
    made = Table(box=box.SIMPLE, title=f"Clients with certificates that come back to {BANK}, with pysidctx")
    made.add_column("", no_wrap=True)
    for name in ("tickets", CACHE, "ratio, by turns"):
        made.add_column(name, justify="right", no_wrap=True)
    made.add_row("resumed, by any worker", *(f"{100 * counts.resumed / counts.returned:.0f} %"
                                             for counts in map(total, (tickets, cache))))
    add_figures(made, tickets, cache)
    return made


def add_figures(table: Table, former: list[Counts], latter: list[Counts]) -> None:
    for heading, figure in FIGURES.items():
        ratios = [figure(after) / figure(before) for before, after in zip(former, latter)]
        table.add_row(heading, *(f"{figure(total(turns)):.0f}" for turns in (former, latter)),
                      f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


def as_json(side: Side) -> dict[str, object]:
    made: dict[str, object] = {"findings": [finding.as_json() for finding in side.report.findings],
                               "faults": side.faults, "turns": [vars(turn) for turn in side.turns],
                               "turns with client certificates": [vars(turn) for turn in side.certified]}
    if side.turns:
        made.update(shares=side.shares, **{heading: figure(side.counts) for heading, figure in FIGURES.items()})
    return made
