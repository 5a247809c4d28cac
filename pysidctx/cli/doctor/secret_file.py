"""The file with the secret: which one, who may read it, and whether pysidctx accepts it. Its content is never shown."""

import os
import shlex
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import Optional

from pysidctx import environment, private_files, secret_files
from pysidctx.cli.check.verdicts import FAULT, INFO, NOTE, OK
from pysidctx.cli.doctor.findings import SECRET, Finding
from pysidctx.cli.doctor.words import parted
from pysidctx.tickets.ticket_keys import TicketKeys

ACCURACY = 1.0  # seconds, of the time at which a process was started
WRITE = "`pysidctx secret {}` writes one"


def secret_findings(path: Optional[str], *, spawns: bool = False, is_served: bool = False,
                    started: Optional[float] = None) -> Iterator[Finding]:
    """`path` is the value of the environment variable, or None; `spawns`: whether the server spawns its workers.

    `is_served`: whether `pysidctx serve` has started it, which lets workers share a random secret.
    `started` is when the server was started, in seconds since the epoch; None: it is not known to run.
    """
    name = environment.SECRET_FILE
    if path is None:
        yield unset(spawns, is_served)
        return
    if not path:
        yield Finding(SECRET, "secret", FAULT, f"the environment variable {name} is empty",
                      environment.VARIABLES[name].way_out)
        return
    path = os.path.abspath(path)
    try:
        with secret_files.read(path) as (_, content):
            yield Finding(SECRET, "secret", OK, f"{name} names {path!r}: {len(content)} bytes, {described(path)}"
                          f"{fingerprint(content)}")
            yield from changed(path, started)
            yield from encoding(content, path)
    except (OSError, ValueError) as error:
        yield refused(path, error)


def unset(spawns: bool, is_served: bool) -> Finding:
    """What follows if no secret is named."""
    grade, write = INFO, "write a secret with `pysidctx secret PATH`, "
    if is_served:
        seen = ("so the secret is random: all workers that `pysidctx serve` has started share it, and it ends with the "
                "server")
        do = "and set the variable to that path, if sessions are to survive restarts, or if there are several machines"
    elif spawns:
        grade = NOTE
        seen = ("and the server starts its workers anew instead of forking them, so each has ticket keys of its own, "
                "unless the program reads a secret itself")
        do = "set the variable to that path, and restart the server"
    else:
        seen = "so ticket keys are random: they end with the server, and only workers that are forked share them"
        do = ("and set the variable to that path, if uvicorn or hypercorn starts the workers without `pysidctx serve`, "
              "if sessions are to survive restarts, or if there are several machines")
    return Finding(SECRET, "secret", grade, f"{environment.SECRET_FILE} is not set, {seen}", write + do)


def changed(path: str, started: Optional[float]) -> Iterator[Finding]:
    """A server reads the file once. The time of a status change also tells of a file that was moved to this path."""
    if started is not None and os.stat(path).st_ctime > started + ACCURACY:
        yield Finding(SECRET, "secret-changed", NOTE, f"{path!r} was changed or replaced after the server was started, "
                      "and the server still has the secret that it read then", "restart the server")


def refused(path: str, error: Exception) -> Finding:
    named = f"{path!r}, which {environment.SECRET_FILE} names,"
    if isinstance(error, FileNotFoundError):
        return Finding(SECRET, "secret", FAULT, f"{named} does not exist",
                       f"{WRITE.format(shlex.quote(path))}; if there is one elsewhere, correct the variable")
    if isinstance(error, PermissionError):
        return Finding(SECRET, "secret", FAULT, f"{named} cannot be read by {user(os.geteuid())}",
                       "run doctor as the user of the server; if it was that user, make the file belong to it, with "
                       "mode 0600")
    if isinstance(error, OSError):
        return Finding(SECRET, "secret", FAULT, f"{named} cannot be read: {error.strerror}", WRITE.format("PATH"))
    with suppress(OSError):  # it may be gone meanwhile
        status = os.stat(path)
        if stat.S_ISREG(status.st_mode) and stat.S_IMODE(status.st_mode) & (stat.S_IRWXG | stat.S_IRWXO):
            return Finding(SECRET, "secret", FAULT, f"pysidctx refuses {named} because other users may have read or "
                           f"replaced it: {described(path)}",
                           f"deny them access: {private_files.way_out(path)}{secret_files.CONTENT.source}")
    seen, do = parted(str(error))
    return Finding(SECRET, "secret", FAULT, seen, do or WRITE.format("PATH"))


def described(path: str) -> str:
    status = os.stat(path)
    days = (time.time() - status.st_mtime) / 86400
    written = datetime.fromtimestamp(status.st_mtime).strftime("%Y-%m-%d")
    return (f"mode {stat.S_IMODE(status.st_mode):04o}, owner {user(status.st_uid)}, written on {written}, "
            f"{days:.0f} days ago; read as {user(os.geteuid())}")


def fingerprint(content: bytearray) -> str:
    """Return what tells this secret from that of another machine, and does not tell the secret."""
    return (f"; its fingerprint, which is the same where the secret is the same, is "
            f"{TicketKeys.from_secret(content).fingerprint}")


def user(number: int) -> str:
    try:
        import pwd  # which not every Python has
        return f"{pwd.getpwuid(number).pw_name} (user {number})"
    except (ImportError, KeyError):
        return f"user {number}"


def encoding(content: bytearray, path: str) -> Iterator[Finding]:
    """What matters where the secret is copied: whether it is text, which an editor may end with a newline."""
    if content.isascii() and all(byte >= 32 or byte in b"\t\n\r" for byte in content):
        ends = content.endswith(b"\n")
        yield Finding(SECRET, "secret-text", INFO, f"{path!r} is text{', and ends with a newline' if ends else ''}; "
                      "its bytes are the secret as they are, and are not decoded",
                      "compare its length on all machines: a newline more or less is another secret")
    if len(set(content)) < 8:
        quoted = shlex.quote(path)
        yield Finding(SECRET, "secret-weak", NOTE, f"{path!r} consists of fewer than 8 different bytes, so it may be "
                      "guessed", f"remove it, and `pysidctx secret {quoted}` writes a new one")
