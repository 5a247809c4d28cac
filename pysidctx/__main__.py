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
    """A command: the modules of pysidctx.cli that implement it, and its help texts."""

    module: str     # the module with run()
    arguments: str  # the module with add_arguments(), which imports no optional package
    help: str
    description: str
    ends: str       # the meaning of its exit codes


COMMANDS = {
    "cache": Command(
        "cache", "cache", "print what is in the memory of a SessionCache",
        "Print how many sessions and client certificates are in the file that a server's processes share, and for how "
        "many there is room. This takes no secret, and prints none.",
        "0; 2: the file is not the memory of a SessionCache."),
    "check": Command(
        "check.command", "check.arguments", "audit how a TLS server resumes sessions, by connecting to it",
        "Audit any TLS server, whatever language it is written in: do all its workers resume sessions, does it accept "
        "a session of one host name under another, and what do its tickets reveal? The audit only performs TLS "
        "handshakes (and, if the server chooses h2, the HTTP/2 preface) unless you pass --request. It connects only "
        "to the hosts that you name. Each finding is ok, a note or a fault, with the reason and what to do; or info, "
        "without a verdict. The audit cannot see what happens after the handshake, whether sessions survive a restart "
        "of the server, nor, if the server has many workers, what its connections have missed: the report states how "
        "likely that is.",
        "0: no fault; 1: a fault was found, or a note with --fail-on note; 2: there was nothing to audit, or the "
        "arguments were invalid; 3: no fault was found, but the audit ended early. "
        "129, 130 or 143 if SIGHUP, SIGINT or SIGTERM ended it."),
    "demo": Command(
        "demo.command", "demo.arguments", "compare a server on plain ssl with one that uses pysidctx",
        "Start two HTTPS servers on loopback, one with Python's ssl alone and one with pysidctx. Each has four worker "
        "processes and two hosts, one of which requires client certificates. Audit both servers, let clients return "
        "to both, and compare the results. Takes less than a minute, and removes everything it has created.",
        "0: no fault with pysidctx; 1: a fault with pysidctx; 2: the arguments were invalid."),
    "doctor": Command(
        "doctor.command", "doctor.arguments", "find out why a server does not resume sessions",
        "Look for what keeps a server from resuming sessions: in the environment variables, the secret, gunicorn's "
        "configuration, and, if you pass the address of the server, on its port, as check does. Run it on the machine "
        "and as the user of the server. It judges the environment, the folder and the arguments of the process that "
        "listens there; without an address, its own. It loads gunicorn's configuration as gunicorn does, which RUNS "
        "THE CODE OF THAT FILE, in another process. It does not load the application or start the server, and creates "
        "and changes no file. Each finding is ok, a note or a fault, with what to do; or info, without a verdict.",
        "0: no fault; 1: a fault was found, or a note with --fail-on note; 2: the arguments were invalid; 3: no fault "
        "was found, but the audit of the port ended early."),
    "forget": Command(
        "forget", "forget", "forget the stored sessions of a client, in all processes of a server",
        "Forget the sessions that a server with a SessionCache has stored until now: those of a client, of an id "
        "context, or all. The next handshake of these clients is a full one, in which their certificates are "
        "verified. Takes effect at once in all processes that share the file.",
        "0: the sessions are forgotten; 1: nothing was forgotten, or not for all that were named; 2: the arguments "
        "were invalid."),
    "info": Command(
        "info", "info", "print versions and libraries, for a bug report",
        "Print the versions of Python, OpenSSL and related packages, and the libssl files in use. The output contains "
        "no secrets.", "0; 1: Python's ssl and the libssl that pysidctx calls say that they are different versions."),
    "secret": Command(
        "secret", "secret", "write a new secret for ticket keys to a file that only you can read",
        "Write a new secret of 32 random bytes to a file, for TicketKeys.from_secret_file() and the environment "
        "variable PYSIDCTX_SECRET_FILE. An existing file is never overwritten.",
        "0: the secret was written; 1: it was not written."),
    "serve": Command(
        "serve", "serve", "run gunicorn, hypercorn or uvicorn so that all workers resume each other's sessions",
        "Run a server by its own command line, with pysidctx.servers.ssl_context_factory as its hook: all of its "
        "workers resume each other's sessions. All arguments after its name are its own: see `pysidctx serve SERVER "
        "--help`. The workers share a random secret until the server ends, or that of the environment variable "
        "PYSIDCTX_SECRET_FILE.",
        "0 and others: those of the server; 2 also: the server was not started, because it is not installed, has no "
        "certificate that can be loaded, or an environment variable of pysidctx is invalid."),
    "session": Command(
        "session", "session", "print the contents of saved sessions",
        "Print the contents of the session that Session.save() or `openssl s_client -sess_out` has saved, or of each "
        "of those that ClientSessions.save() has, without their secrets.",
        "0: the session, or one of several, can still be resumed; 1: none can; 2: the file contains no session."),
    "stats": Command(
        "stats", "stats", "print what all workers of a server have counted",
        "Print how many handshakes the workers of a server have made, how many of them were resumed, and why others "
        "were not. The server's workers share a file, which its environment variable PYSIDCTX_STATS names.",
        "0; 2: the file is not one that a server's workers share, or --watch was passed without a terminal."),
}


def main(argv: Optional[list[str]] = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(
        prog="pysidctx", description="Tools for TLS session resumption: audit any TLS server, run one whose workers "
                                     "resume each other's sessions, create secrets for ticket keys, inspect saved "
                                     "sessions, forget stored ones, and print what servers have counted.",
        epilog="Run pysidctx COMMAND --help for the options of a command.")
    parser.add_argument("--version", action="version", version=f"pysidctx {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, dest="command")
    for name, command in COMMANDS.items():
        added = commands.add_parser(name, help=command.help, description=command.description,
                                    epilog=f"Exit code: {command.ends}")
        # Import the chosen command only: others may need packages that are not installed.
        if name in argv[:1]:
            importlib.import_module(f"pysidctx.cli.{command.arguments}").add_arguments(added)
    arguments = parser.parse_args(argv)
    module = imported(arguments.command)
    if module is None:
        return 2
    if sys.stdout is None:  # the parent process has closed it
        sys.stdout = open(os.devnull, "w")
    try:
        result: int = module.run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the program that reads the output has ended
        sys.stdout = None
        return 141
    except OSError as error:
        sys.stdout = None
        if sys.stderr is not None:
            print(f"pysidctx {arguments.command}: {error}", file=sys.stderr)
        return 2
    return result


def imported(name: str) -> Optional[ModuleType]:
    """Import the module of a command. If it needs a package that is missing, print a message and return None."""
    try:
        return importlib.import_module(f"pysidctx.cli.{COMMANDS[name].module}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("pysidctx"):
            raise
        print(f"pysidctx {name} needs the package {error.name}: {EXTRA}", file=sys.stderr)
        return None


if __name__ == "__main__":
    sys.exit(main())
