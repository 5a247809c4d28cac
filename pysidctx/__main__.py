"""The command line: `python -m pysidctx COMMAND`, or the script `pysidctx`."""

import argparse
import importlib
import os
import sys
from types import ModuleType
from typing import NamedTuple, Optional

from pysidctx import __version__
from pysidctx.cli import EXTRA


class Command(NamedTuple):
    """Modules of pysidctx.cli, and what is said of them."""

    module: str     # which has run()
    arguments: str  # which has add_arguments(), and needs no other package
    help: str
    description: str
    ends: str       # what its exit codes mean


COMMANDS = {
    "check": Command(
        "check.command", "check.arguments", "audit a TLS server from outside: does it resume, and does nothing cross?",
        "Audit any TLS server, in whatever language it is written: does it resume sessions, over all of "
        "its workers; does a session made for one name get into another; what are its tickets like? "
        "It only shakes hands (with a server that chooses h2, in HTTP/2, too), unless you say --request, and sends "
        "nothing to hosts that you do not name. Each finding is ok, a note or a fault, with the reason and what to "
        "do; or info, without a verdict. It cannot see what comes after the handshake, what becomes of sessions when "
        "the server restarts, nor, with many workers, what its tries have missed: it says how likely that is.",
        "0: no fault; 1: a fault was found, or a note with --fail-on note; 2: there was nothing to audit, or the "
        "command was wrong; 3: no fault was found, but the audit ended early. 129, 130 or 143 if SIGHUP, SIGINT or "
        "SIGTERM ended it."),
    "demo": Command(
        "demo.command", "demo.arguments", "see two servers side by side: plain ssl, and pysidctx",
        "Start two HTTPS servers on loopback, each with four worker processes and two hosts, one of which "
        "demands client certificates: one on Python's ssl alone, one with pysidctx. Audit both, have "
        "clients come back to both, and compare. Takes less than a minute, and leaves nothing behind.",
        "0: all is well with pysidctx; 1: it shows a fault; 2: the command was wrong."),
    "info": Command(
        "info", "info", "print versions and libraries, for a bug report",
        "Print the versions of all that matters here, and which libssl is used. No secrets.", "0."),
    "secret": Command(
        "secret", "secret", "write a new secret for ticket keys, which only you can read",
        "Write a new secret of 32 random bytes, for TicketKeys.from_secret_file() and the environment "
        "variable PYSIDCTX_SECRET_FILE. An existing file is left as it is.",
        "0: it was written; 1: it was not."),
    "session": Command(
        "session", "session", "print what a saved session says",
        "Print what a session says that was saved by Session.save() or `openssl s_client -sess_out`, "
        "without its secrets.",
        "0: it can still be resumed; 1: it cannot; 2: there is no session."),
}


def main(argv: Optional[list[str]] = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(
        prog="pysidctx", description="Session id contexts for Python's TLS servers, and a look at those of "
                                     "any TLS server.",
        epilog="pysidctx COMMAND --help tells more.")
    parser.add_argument("--version", action="version", version=f"pysidctx {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, dest="command")
    for name, command in COMMANDS.items():
        added = commands.add_parser(name, help=command.help, description=command.description,
                                    epilog=f"Exit code: {command.ends}")
        # Only what was asked for is imported: others may need packages that are not there.
        if name in argv[:1]:
            importlib.import_module(f"pysidctx.cli.{command.arguments}").add_arguments(added)
    arguments = parser.parse_args(argv)
    module = imported(arguments.command)
    if module is None:
        return 2
    if sys.stdout is None:  # closed by whoever has started this
        sys.stdout = open(os.devnull, "w")
    try:
        result: int = module.run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever was reading has gone
        sys.stdout = None
        return 141
    except OSError as error:
        sys.stdout = None
        if sys.stderr is not None:
            print(f"pysidctx {arguments.command}: {error}", file=sys.stderr)
        return 2
    return result


def imported(name: str) -> Optional[ModuleType]:
    """The module of the command `name`; None, after saying why, where a package is missing that it needs."""
    try:
        return importlib.import_module(f"pysidctx.cli.{COMMANDS[name].module}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("pysidctx"):
            raise
        print(f"pysidctx {name} needs the package {error.name}: {EXTRA}", file=sys.stderr)
        return None


if __name__ == "__main__":
    sys.exit(main())
