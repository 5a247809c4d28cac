"""`secret`: writes a new secret for ticket keys."""

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
    parser.add_argument("path", metavar="PATH", help="the new file")
    parser.add_argument("--json", action="store_true", help="print what was written, without the secret, as JSON")


def run(arguments: argparse.Namespace) -> int:
    path: str = arguments.path
    try:
        private_files.create(path, secrets.token_bytes(LENGTH))
    except FileExistsError:
        print(f"{path!r} exists: remove it first if nobody uses it, or name another file",
              file=sys.stderr)
        return 1
    except OSError as error:
        print(f"no secret was written: {error}", file=sys.stderr)
        return 1
    path = os.path.abspath(path)
    if arguments.json:
        print(json.dumps({"file": path, "bytes": LENGTH}))
    else:
        print(f"{path} has a new secret of {LENGTH} bytes, which only you can read. Name it in the environment of "
              f"all servers that are to resume each other's sessions:\n\nexport {SECRET_FILE}={shlex.quote(path)}")
    return 0
