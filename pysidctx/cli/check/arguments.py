"""The arguments of `check`. This module imports no optional package, so `check --help` always works."""

import argparse
from collections.abc import Callable

from pysidctx.cli.check.audit import Options
from pysidctx.cli.check.client import ALPN
from pysidctx.cli.check.starttls import PROTOCOLS
from pysidctx.cli.check.verdicts import FAULT, NOTE

MOST_NAMES = 5  # how many names are audited if the arguments name none
MOST_CONNECTIONS = Options(()).most_connections
DAY = 24 * 3600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("host", metavar="HOST[:PORT]",
                        help="the server to audit; write an IPv6 address as [IPv6]:PORT (default port: 443)")
    add_connections(parser)
    parser.add_argument("--address", action="append", default=[], dest="addresses", metavar="ADDRESS",
                        help="another IP address of the same server; checks whether its sessions are resumed there "
                             "too; may be repeated")
    parser.add_argument("--demands", action="append", default=[], metavar="NAME",
                        help="a further server name that must reject clients without a certificate; may be repeated")
    parser.add_argument("--delay", type=seconds, default=0.0, metavar="SECONDS",
                        help="time to wait between connections (default: 0)")
    parser.add_argument("--most-connections", type=at_least(1), default=MOST_CONNECTIONS, metavar="N",
                        help=f"end the audit after this number of connections (default: {MOST_CONNECTIONS})")
    parser.add_argument("--most-seconds", type=some_seconds, metavar="SECONDS",
                        help="end the audit after this time (default: 60, plus the time that --delay can take)")
    parser.add_argument("--least-share", type=share, metavar="SHARE",
                        help="the least share of returning connections that must be resumed, for each name and "
                             "version, above 0 and at most 1; less is a fault, and so is a share that cannot be "
                             "measured; session ids count only if no tickets are offered")
    parser.add_argument("--fail-on", choices=[FAULT, NOTE], default=FAULT,
                        help=f"exit with 1 if there is a fault ({FAULT}, the default), or also if there is a note "
                             f"about the server ({NOTE}), but not about the audit itself (the checks limit and client)")
    parser.add_argument("--json", action="store_true",
                        help="print the report as JSON (schema: docs/check-report.schema.json)")
    parser.add_argument("--html", metavar="FILE", help="also write the report as an HTML page")
    parser.add_argument("--metrics", metavar="FILE",
                        help="also write metrics for Prometheus, for example as a *.prom file for the textfile "
                             "collector of node_exporter; if the audit fails, the metrics show that")


def add_connections(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how to connect, which `doctor` has too."""
    parser.add_argument("--name", action="append", default=[], dest="names", metavar="NAME",
                        help="a server name to send; repeat the option for several names, the main one first "
                             f"(default: HOST and the names in its certificate, at most {MOST_NAMES} in all)")
    parser.add_argument("--client-cert", metavar="FILE",
                        help="a PEM file with a client certificate, its chain and its key, for names that request one")
    parser.add_argument("--ca-file", metavar="FILE",
                        help="a PEM file with the CAs that verify the server's certificate (default: the system's)")
    parser.add_argument("--connections", type=at_least(2), default=10, metavar="N",
                        help="connections of a returning client, for each name and kind of resumption; the first "
                             "one establishes the session, so the report counts N - 1 (default: 10)")
    parser.add_argument("--timeout", type=some_seconds, default=5.0, metavar="SECONDS",
                        help="time limit for each connection (default: 5)")
    parser.add_argument("--request", action="store_true",
                        help="send a request (HEAD / HTTP/1.1) in TLS 1.3, because some servers send tickets only "
                             "with a response")
    parser.add_argument("--starttls", choices=[*PROTOCOLS], metavar="PROTOCOL",
                        help="begin in plain text and switch to TLS with the command of this protocol: "
                             f"{', '.join(PROTOCOLS)}")
    parser.add_argument("--alpn", action="append", default=[], metavar="PROTOCOL",
                        help="an application protocol to offer (ALPN); may be repeated; '' offers none (default: "
                             f"{' and '.join(ALPN)}; with --request, http/1.1; with --starttls, none)")


def at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is less than {least}")
        return value
    return number


def share(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a share: pass a number more than 0 and at most 1")
    return value


def seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value <= DAY:
        raise argparse.ArgumentTypeError(f"{text} is out of range: pass a number of seconds, at most a day ({DAY:.0f})")
    return value


def some_seconds(text: str) -> float:
    value = seconds(text)
    if not value:
        raise argparse.ArgumentTypeError("must be more than 0 seconds")
    return value
