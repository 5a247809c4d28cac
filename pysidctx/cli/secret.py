"""`secret`: write a new secret for ticket keys to a file."""

import argparse
import json
import os
import secrets
import shlex
import sys

from pysidctx import private_files
from pysidctx.environment import SECRET_FILE

LENGTH = 32  # bytes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", help="the file to create")
    parser.add_argument("--json", action="store_true", help="print the path and the length of the secret as JSON")


def run(arguments: argparse.Namespace) -> int:
    path: str = arguments.path
    try:
        private_files.create(path, secrets.token_bytes(LENGTH))
    except FileExistsError:
        print(f"{path!r} already exists: remove it first if nothing uses it, or choose another path",
              file=sys.stderr)
        return 1
    except OSError as error:
        print(f"no secret was written: {error}", file=sys.stderr)
        return 1
    path = os.path.abspath(path)
    if arguments.json:
        print(json.dumps({"file": path, "bytes": LENGTH}))
    else:
        print(f"{path} contains a new secret of {LENGTH} bytes, which only you can read. Set this environment variable "
              f"for all servers that are to resume each other's sessions:\n\nexport {SECRET_FILE}={shlex.quote(path)}")
    return 0
