"""The memory that processes share: anonymous, for workers that are forked later, or a file."""

import errno
import os
import stat
import struct
import tempfile
from contextlib import suppress
from typing import NamedTuple

from pysidctx._typing import Path

# What begins it, in one page: what it is, the version of its layout, its size, and what its keys are derived from.
HEADER = struct.Struct("<16sIQQ32s")
MAGIC = b"pysidctx cache\0\0"
VERSION = 1
HEADER_LENGTH = 4096

MIN_SIZE = 1 << 20   # bytes
MAX_SIZE = 1 << 40

ADVICE = ("choose another path, or remove the file once no process uses it: a new one is made, and the sessions in "
          "this one are lost")


class Identity(NamedTuple):
    """What processes that share a memory must have in common."""

    size: int     # bytes
    period: int   # seconds
    check: bytes  # 32 bytes, derived from the secret


def anonymous(identity: Identity, first: bytes) -> int:
    """Return the descriptor of new memory that only this process and those that it forks have. Raises OSError."""
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("pysidctx cache", os.MFD_CLOEXEC)
    else:
        file, path = tempfile.mkstemp(prefix=".pysidctx.", dir="/dev/shm")
        os.unlink(path)
    try:
        fill(file, identity, first)
    except BaseException:
        os.close(file)
        raise
    return file


def shared(path: Path, identity: Identity, first: bytes) -> int:
    """Return the descriptor of the memory in the file `path`, which is made if there is none.

    Raises OSError, and ValueError if the file is not such memory, or is not this user's alone.
    """
    path = os.fsdecode(path)
    while True:
        with suppress(FileNotFoundError):
            return opened(path, identity)
        make(path, identity, first)


def opened(path: str, identity: Identity) -> int:
    try:
        file = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ValueError(f"{path!r} is a symbolic link, which another user may have put there: pass the path of "
                             "the file itself") from None
        raise
    try:
        refuse_others(path, os.fstat(file))
        check(path, file, identity)
    except BaseException:
        os.close(file)
        raise
    return file


def make(path: str, identity: Identity, first: bytes) -> None:
    """Make the file, unless another process has made it meanwhile."""
    # mkstemp() creates it with mode 0600. Nobody finds it by its name before it is complete.
    file, temporary = tempfile.mkstemp(prefix=".pysidctx.", dir=os.path.dirname(path) or os.curdir)
    try:
        fill(file, identity, first)
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        os.close(file)
        os.unlink(temporary)


def fill(file: int, identity: Identity, first: bytes) -> None:
    """Allocate it; `first` is what follows the header."""
    # Not ftruncate(): if the disk were full, the first write to the memory would kill the process (SIGBUS).
    os.posix_fallocate(file, 0, identity.size)
    os.pwrite(file, HEADER.pack(MAGIC, VERSION, *identity).ljust(HEADER_LENGTH, b"\0") + first, 0)


def refuse_others(path: str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{path!r} is not a regular file: pass the path of one, such as /dev/shm/NAME")
    if status.st_uid != os.geteuid():
        raise ValueError(f"{path!r} belongs to user {status.st_uid}, who could change what is in it: {ADVICE}")
    if stat.S_IMODE(status.st_mode) & (stat.S_IRWXG | stat.S_IRWXO):
        raise ValueError(f"{path!r} has mode {stat.S_IMODE(status.st_mode):04o}, so other users could change what is "
                         f"in it: {ADVICE}")


def identified(path: str, file: int) -> Identity:
    """Read the header."""
    header = os.pread(file, HEADER.size, 0) if stat.S_ISREG(os.fstat(file).st_mode) else b""
    if len(header) < HEADER.size or not header.startswith(MAGIC):
        raise ValueError(f"{path!r} is not the memory of a SessionCache: pass the path of one, or of a file that does "
                         "not exist yet")
    _, version, size, period, secret = HEADER.unpack(header)
    if version != VERSION:
        raise ValueError(f"{path!r} was made by another version of pysidctx (layout {version}, not {VERSION}): "
                         f"{ADVICE}")
    if os.fstat(file).st_size != size:
        raise ValueError(f"{path!r} was truncated: {ADVICE}")
    return Identity(size, period, secret)


def check(path: str, file: int, identity: Identity) -> None:
    size, period, secret = identified(path, file)
    if size != identity.size:
        raise ValueError(f"{path!r} has {size} bytes, not {identity.size}: pass size={size} in all processes, or "
                         f"{ADVICE}")
    if period != identity.period:
        raise ValueError(f"{path!r} was made with a period of {period} seconds, not {identity.period}: pass "
                         f"period={period} in all processes, or {ADVICE}")
    if secret != identity.check:
        raise ValueError(f"{path!r} was made with another secret: {ADVICE}")


def read_identity(path: Path) -> Identity:
    """Return what the memory in the file `path` was made with. Raises OSError, ValueError."""
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return identified(os.fsdecode(path), file)
    finally:
        os.close(file)
