"""The arguments of `doctor`. This module imports no optional package, so `doctor --help` always works."""

import argparse

from pysidctx.cli.check.arguments import add_connections, share
from pysidctx.cli.check.verdicts import FAULT, NOTE

LEAST_SHARE = 0.9


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("host", metavar="HOST[:PORT]", nargs="?",
                        help="the server to check, too; write an IPv6 address as [IPv6]:PORT (default port: 443)")
    parser.add_argument("--config", metavar="CONFIG",
                        help="gunicorn's configuration file, as gunicorn's option --config takes it; its code is run "
                             "(default: the file that gunicorn finds: the one that GUNICORN_CMD_ARGS names, or "
                             "gunicorn.conf.py in the working directory)")
    parser.add_argument("--gunicorn", metavar="ARGUMENTS",
                        help="the arguments with which you start gunicorn, in quotes, such as '--workers 4 --certfile "
                             "server.pem app:wsgi', or --gunicorn=--preload for one alone (default: those of the "
                             "process that listens); the application is not loaded")
    add_connections(parser)
    parser.add_argument("--least-share", type=share, default=LEAST_SHARE, metavar="SHARE",
                        help="the least share of returning connections that must be resumed, as for check; less is a "
                             f"fault (default: {LEAST_SHARE})")
    parser.add_argument("--fail-on", choices=[FAULT, NOTE], default=FAULT,
                        help=f"exit with 1 if there is a fault ({FAULT}, the default), or also if there is a note "
                             f"({NOTE})")
    parser.add_argument("--json", action="store_true",
                        help="print the findings as JSON (schema: docs/doctor-report.schema.json)")
