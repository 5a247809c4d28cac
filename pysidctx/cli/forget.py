"""`forget`: forget stored sessions, in all processes that share the memory of a SessionCache."""

import argparse
import ssl
import sys
from pathlib import Path

from pysidctx import SessionCache, environment
from pysidctx.cache.memory import read_identity
from pysidctx.exceptions import Error

PEM = b"-----BEGIN "


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cache", metavar="FILE", required=True,
                        help="the file that the server's processes share, such as /dev/shm/shop")
    parser.add_argument("--secret-file", metavar="FILE",
                        help="the file with the cache's secret; by default, the one that "
                             f"{environment.SECRET_FILE} names")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--peer", metavar="FILE", action="append",
                      help="a client's certificate, in PEM or DER; may be given several times")
    what.add_argument("--id-context", metavar="HEX", help="a session id context, in hexadecimal")
    what.add_argument("--all", action="store_true", help="all sessions")


def run(arguments: argparse.Namespace) -> int:
    """Returns 1 if nothing was forgotten, and 2 if the arguments are no good."""
    try:
        peers = [certificate(path) for path in arguments.peer or ()]
        id_context = bytes.fromhex(arguments.id_context) if arguments.id_context is not None else None
        identity = read_identity(arguments.cache)
        cache = SessionCache.from_secret_file(
            *[arguments.secret_file] if arguments.secret_file is not None else [], memory=arguments.cache,
            size=identity.size, period=identity.period, lifetime=identity.period, peers=1)
    except (OSError, ValueError) as error:
        print(f"pysidctx forget: {error}", file=sys.stderr)
        return 2
    try:
        if arguments.all:
            cache.forget_all()
        elif id_context is not None:
            cache.forget(id_context=id_context)
        for peer in peers:
            cache.forget(peer=peer)
    except ValueError as error:
        print(f"pysidctx forget: {error}", file=sys.stderr)
        return 2
    except (Error, TimeoutError) as error:
        print(f"pysidctx forget: {error}", file=sys.stderr)
        return 1
    return 0


def certificate(path: str) -> bytes:
    """Return the first certificate of a file, in DER. Raises OSError, ValueError."""
    data = Path(path).read_bytes()
    if PEM not in data:
        return data
    text = data.decode("ascii", "replace")
    begin, end = text.find("-----BEGIN CERTIFICATE-----"), text.find("-----END CERTIFICATE-----")
    if not 0 <= begin < end:
        raise ValueError(f"{path!r} contains no certificate")
    return ssl.PEM_cert_to_DER_cert(text[begin:end] + "-----END CERTIFICATE-----\n")
