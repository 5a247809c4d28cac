"""The arguments of `check`; it needs no other package to tell what they are."""

import argparse
from collections.abc import Callable

from pysidctx.cli.check.audit import Options
from pysidctx.cli.check.client import ALPN
from pysidctx.cli.check.starttls import PROTOCOLS
from pysidctx.cli.check.verdicts import FAULT, NOTE

MOST_NAMES = 5  # that are taken from a certificate
MOST_CONNECTIONS = Options(()).most_connections
DAY = 24 * 3600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("host", metavar="HOST[:PORT]",
                        help="the server, also as [IPv6]:PORT; the port is 443 if none is given")
    parser.add_argument("--name", action="append", default=[], dest="names", metavar="NAME",
                        help="a server name to ask for, once for each; the first is the main one (default: "
                             f"HOST, and the names in its certificate, at most {MOST_NAMES} in all)")
    parser.add_argument("--address", action="append", default=[], dest="addresses", metavar="ADDRESS",
                        help="another address of the same host, once for each: are sessions resumed there, too?")
    parser.add_argument("--demands", action="append", default=[], metavar="NAME",
                        help="a name, besides the others, that is to let in nobody without a client's "
                             "certificate")
    parser.add_argument("--client-cert", metavar="FILE",
                        help="a client's certificate chain and key in PEM, for names that ask for one")
    parser.add_argument("--ca-file", metavar="FILE",
                        help="CAs to verify the server's certificate with (default: the system's)")
    parser.add_argument("--connections", type=at_least(2), default=10, metavar="N",
                        help="connections of a client that comes back, for each name and way of resumption; the first "
                             "one makes the session, so that N - 1 are counted (default: 10)")
    parser.add_argument("--delay", type=seconds, default=0.0, metavar="SECONDS",
                        help="the time between two connections (default: 0)")
    parser.add_argument("--timeout", type=some_seconds, default=5.0, metavar="SECONDS",
                        help="the time that a connection may take (default: 5)")
    parser.add_argument("--request", action="store_true",
                        help="ask for a page (HEAD / HTTP/1.1) in TLS 1.3: some servers give tickets only with "
                             "an answer")
    parser.add_argument("--starttls", choices=[*PROTOCOLS], metavar="PROTOCOL",
                        help=f"begin in plain text, and turn to TLS as this protocol does: {', '.join(PROTOCOLS)}")
    parser.add_argument("--alpn", action="append", default=[], metavar="PROTOCOL",
                        help="an application protocol to offer (ALPN), once for each; '' offers none (default: "
                             f"{' and '.join(ALPN)}; with --request http/1.1; with --starttls none)")
    parser.add_argument("--most-connections", type=at_least(1), default=MOST_CONNECTIONS, metavar="N",
                        help=f"end the audit after so many (default: {MOST_CONNECTIONS})")
    parser.add_argument("--most-seconds", type=some_seconds, metavar="SECONDS",
                        help="end the audit after so long (default: 60, besides what --delay can take)")
    parser.add_argument("--least-share", type=share, metavar="SHARE",
                        help="the share of returning connections that is to be resumed, above 0 and at most 1, for "
                             "each name and version: less is a fault, and so is a share that cannot be measured; "
                             "session ids count only where no tickets are offered")
    parser.add_argument("--fail-on", choices=[FAULT, NOTE], default=FAULT,
                        help="what ends in exit code 1: faults alone (the default), or notes, too, but for those about "
                             "the audit itself (the checks limit and client)")
    parser.add_argument("--json", action="store_true",
                        help="print the report as JSON (its schema is docs/check-report.schema.json)")
    parser.add_argument("--html", metavar="FILE", help="write the report as a page for a browser, too")
    parser.add_argument("--metrics", metavar="FILE",
                        help="write metrics for Prometheus, too, such as a *.prom file for node_exporter's textfile "
                             "collector; they say so if the audit fails")


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
        raise argparse.ArgumentTypeError(f"{text} is not a share: more than 0, and at most 1")
    return value


def seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value <= DAY:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds, up to a day")
    return value


def some_seconds(text: str) -> float:
    value = seconds(text)
    if not value:
        raise argparse.ArgumentTypeError("must be more than 0 seconds")
    return value
