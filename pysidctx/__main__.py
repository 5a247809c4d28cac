"""The command line: `python -m pysidctx COMMAND`."""

import argparse
import sys

from pysidctx.cli import secret


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="pysidctx", description="Session id contexts for Python's TLS servers."
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    shown = commands.add_parser(
        "demo",
        help="watch OpenSSL's own client resume within an id context, and never across",
    )
    shown.set_defaults(run=lambda arguments: demo())
    written = commands.add_parser(
        "secret",
        help="write a new secret for ticket keys, which only you can read",
        description="Write a new secret of 32 random bytes, for TicketKeys.from_secret_file() and the "
                    "environment variable PYSIDCTX_SECRET_FILE.",
    )
    written.add_argument("path", metavar="PATH", help="the new file; an existing one is left as it is")
    written.set_defaults(run=lambda arguments: secret.run(arguments.path))
    arguments = parser.parse_args()
    result: int = arguments.run(arguments)
    return result


def demo() -> int:
    try:
        from pysidctx.cli import demo
    except ModuleNotFoundError as error:
        if error.name != "rich":
            raise
        print("The command line needs rich: python -m pip install 'pysidctx[cli]'", file=sys.stderr)
        return 2
    return demo.run()


if __name__ == "__main__":
    sys.exit(main())
