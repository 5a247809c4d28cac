"""`session`: print the contents of a saved session, without its secrets."""

import argparse
import json
import stat
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

from pysidctx import Session
from pysidctx.cli import in_words
from pysidctx.exceptions import Error


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a PEM file that Session.save() or `openssl s_client -sess_out` "
                                                     "has written")
    parser.add_argument("--json", action="store_true", help="print the contents as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the session. Returns 1 if it can no longer be resumed, and 2 if the file contains no session."""
    path = Path(arguments.file)
    try:
        shared = bool(stat.S_IMODE(path.stat().st_mode) & (stat.S_IRWXG | stat.S_IRWXO))
        session = Session.load(path, id_context=None, shared=True)
    except OSError as error:
        return refused(error)
    except Error as error:
        return refused(f"{arguments.file!r}: {error}")
    found = described(session)
    if shared:
        found["file"] = "other users have access to this file, and may have read the session's secret"
    if arguments.json:
        print(json.dumps(found, indent=1))
    else:
        width = max(map(len, found)) + 1
        for name, value in found.items():
            print(f"{name + ':':<{width}} {in_words(value, '-')}")
    return 0 if found["valid"] and found["resumable"] else 1


def refused(why: object) -> int:
    print(f"pysidctx session: {why}", file=sys.stderr)
    return 2


def described(session: Session) -> dict[str, object]:
    timeout = session.timeout
    if session.protocol == "TLSv1.3" and session.ticket_lifetime_hint:  # after which clients offer none
        timeout = min(timeout, timedelta(seconds=session.ticket_lifetime_hint))
    ends = session.time + timeout
    return {
        "protocol": session.protocol,
        "cipher": session.cipher,
        "host": session.hostname,
        "id": session.id.hex(),
        "id context": session.id_context.hex(),
        "id context as text": text_of(session.id_context),
        "made": session.time.isoformat(),
        "ends": ends.isoformat(),
        "valid": datetime.now(timezone.utc) < ends,
        "resumable": session.resumable,
        "ticket": session.has_ticket,
        "ticket lifetime hint": session.ticket_lifetime_hint,
        "peer certificate": None if session.peer_certificate is None
        else f"{len(session.peer_certificate)} bytes",
    }


def text_of(id_context: bytes) -> "str | None":
    """Return an id context as text if it consists of printable ASCII characters; otherwise None."""
    text = id_context.rstrip(b"\0").decode("ascii", "replace")
    return text if text and text.isprintable() else None
