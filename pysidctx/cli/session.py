"""`session`: print the contents of saved sessions, without their secrets."""

import argparse
import json
import stat
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Optional, Union

from pysidctx import Session, private_files
from pysidctx.cli import in_words
from pysidctx.clients.session_file import CONTENT, Label, parts
from pysidctx.exceptions import Error

Found = dict[str, object]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a file that Session.save(), ClientSessions.save() or "
                                                     "`openssl s_client -sess_out` has written")
    parser.add_argument("--json", action="store_true",
                        help="print the contents as JSON: an object, or a list of objects for a file of ClientSessions")


def run(arguments: argparse.Namespace) -> int:
    """Print the sessions. Returns 1 if none can be resumed any longer, and 2 if the file contains no session."""
    path = Path(arguments.file)
    try:
        shared = bool(stat.S_IMODE(path.stat().st_mode) & (stat.S_IRWXG | stat.S_IRWXO))
        found = contents(path)
    except OSError as error:
        return refused(error)
    except Error as error:
        return refused(f"{arguments.file!r}: {error}")
    several = [found] if isinstance(found, dict) else found
    if shared:
        for each in several:
            each["file"] = "other users have access to this file, and may have read the session's secret"
    if arguments.json:
        print(json.dumps(found, indent=1))
    else:
        print("\n\n".join(map(in_lines, several)))
    return 0 if any(each["valid"] and each["resumable"] for each in several) else 1


def contents(path: Path) -> Union[Found, list[Found]]:
    """Describe the session in a file, or each of those that a ClientSessions has saved. Raises OSError, Error."""
    with private_files.read(path, CONTENT, shared=True) as data:
        if data[:64].lstrip().startswith(b"{"):
            return [*described_as_labelled(data)]
    return described(Session.load(path, id_context=None, shared=True))


def described_as_labelled(data: bytearray) -> Iterator[Found]:
    with memoryview(data) as view:
        for label, begin, end in parts(data):
            yield labelled(Session.from_pem(view[begin:end], id_context=None), label)


def labelled(session: Session, label: Label) -> Found:
    """Describe a session with what its label says: of which server it is, and when it ends at the latest."""
    return {**described(session, label.until), "host": label.host, "port": label.port}


def in_lines(found: Found) -> str:
    width = max(map(len, found)) + 1
    return "\n".join(f"{name + ':':<{width}} {in_words(value, '-')}" for name, value in found.items())


def refused(why: object) -> int:
    print(f"pysidctx session: {why}", file=sys.stderr)
    return 2


def described(session: Session, latest: Optional[int] = None) -> Found:
    """Return what the session contains. It ends at the Unix time `latest`, if not before."""
    timeout = session.timeout
    if session.protocol == "TLSv1.3" and session.ticket_lifetime_hint:  # after which clients offer none
        timeout = min(timeout, timedelta(seconds=session.ticket_lifetime_hint))
    ends = session.time + timeout
    if latest is not None and latest < ends.timestamp():
        ends = datetime.fromtimestamp(latest, timezone.utc)
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
