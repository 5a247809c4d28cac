"""`serve`: run a server by its own command line, so that all of its workers resume each other's sessions."""

import argparse
import importlib
import sys
import traceback

SERVERS = ("gunicorn", "hypercorn", "uvicorn")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("server", metavar="SERVER", type=server, help=f"{', '.join(SERVERS[:-1])} or {SERVERS[-1]}")
    parser.add_argument("arguments", metavar="ARGUMENT", nargs=argparse.REMAINDER,
                        help="what the server's own command line takes, such as --help")


def server(name: str) -> str:
    if name not in SERVERS:
        raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(SERVERS)}: for other servers, see "
                                         "docs/servers.md; options of the server come after its name")
    return name


def run(arguments: argparse.Namespace) -> int:
    """Returns the server's exit code, or 2 if it was not started."""
    name, prog = arguments.server, f"python -m pysidctx serve {arguments.server}"
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        print(f"pysidctx serve: {name} is not installed: python -m pip install {name}", file=sys.stderr)
        return 2
    try:
        from pysidctx.servers.launch import NotServed  # reads the environment variables
    except (OSError, ValueError) as error:
        print(f"pysidctx serve: {error}", file=sys.stderr)
        return 2
    try:
        code: int = importlib.import_module(f"pysidctx.servers.serve_{name}").serve(prog, arguments.arguments)
    except NotServed as error:
        print(f"pysidctx serve: {error}", file=sys.stderr)
        return 2
    except OSError:  # for main(), it would be one of the command's own
        traceback.print_exc()
        return 1
    return code
