"""The command line: `python -m pysidctx COMMAND`."""

import argparse
import sys


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="pysidctx", description="Session id contexts for Python's TLS servers."
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    commands.add_parser(
        "demo",
        help="watch OpenSSL's own client resume within an id context, and never across",
    )
    parser.parse_args()
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
