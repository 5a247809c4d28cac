"""`cache`: print what is in the memory of a SessionCache, in numbers, without any secret."""

import argparse
import json
import sys

from pysidctx.cache.contents import contents


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE",
                        help="the file that the server's processes share, such as /dev/shm/shop")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")


def run(arguments: argparse.Namespace) -> int:
    try:
        found = contents(arguments.file)
    except (OSError, ValueError) as error:
        print(f"pysidctx cache: {error}", file=sys.stderr)
        return 2
    if arguments.json:
        print(json.dumps(found, indent=1))
        return 0
    lines = {
        "size": f"{found['size']:,} bytes",
        "period": f"{found['period']:,} seconds",
        "sessions": f"{found['sessions']:,}, room for {found['room for sessions']:,}",
        "client certificates": f"{found['pieces of client certificates']:,} pieces, room for "
                               f"{found['room for pieces']:,}",
    }
    for name, value in lines.items():
        print(f"{name + ':':<21}{value}")
    return 0
