"""`secret`: write a new secret for ticket keys to a file."""

import argparse
import json
import os
import secrets
import shlex
import sys

from pysidctx import private_files
from pysidctx.environment import SECRET_FILE
from pysidctx.tickets.ticket_keys import TicketKeys

LENGTH = 32  # bytes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", help="the file to create")
    parser.add_argument("--json", action="store_true", help="print its path, length and fingerprint as JSON")


def run(arguments: argparse.Namespace) -> int:
    path: str = arguments.path
    try:
        secret = secrets.token_bytes(LENGTH)
        private_files.create(path, secret)
    except FileExistsError:
        print(f"{path!r} already exists: remove it first if nothing uses it, or choose another path",
              file=sys.stderr)
        return 1
    except OSError as error:
        print(f"no secret was written: {error}", file=sys.stderr)
        return 1
    path, fingerprint = os.path.abspath(path), TicketKeys.from_secret(secret).fingerprint
    if arguments.json:
        print(json.dumps({"file": path, "bytes": LENGTH, "fingerprint": fingerprint}))
    else:
        print(f"{path} contains a new secret of {LENGTH} bytes, which only you can read. Servers log its fingerprint, "
              f"{fingerprint}. Set this environment variable for all servers that are to resume each other's sessions:"
              f"\n\nexport {SECRET_FILE}={shlex.quote(path)}")
    return 0
