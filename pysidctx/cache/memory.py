"""The memory that processes share: anonymous, for workers that are forked later, or a file."""

import errno
import os
import stat
import struct
from contextlib import suppress
from typing import NamedTuple, Optional

from pysidctx import shared_files
from pysidctx._typing import Path
from pysidctx.shared_files import NOT_REGULAR, new_file

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
    available = available_memory()
    if identity.size > available:  # nothing else limits it: the kernel would end processes until it fits
        raise OSError(errno.ENOMEM, f"{identity.size} bytes of memory are needed, and {available} are available: pass "
                      "a smaller size")
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("pysidctx cache", os.MFD_CLOEXEC)
    else:
        with new_file("/dev/shm") as (unnamed, _):
            file = os.dup(unnamed)
    try:
        fill(file, None, identity, first)
    except BaseException:
        os.close(file)
        raise
    return file


def available_memory() -> int:
    """Return how much memory programs can have without swapping, or if that is not told, how much there is."""
    with suppress(OSError), open("/proc/meminfo", encoding="ascii") as told:
        for line in told:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


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
    file = shared_files.open_existing(path)
    try:
        check(path, file, identity)
        # Of a copy, what was empty may not be allocated.
        if os.fstat(file).st_blocks * 512 < identity.size:
            allocate(file, path, identity.size)
    except BaseException:
        os.close(file)
        raise
    return file


def make(path: str, identity: Identity, first: bytes) -> None:
    """Make the file, unless another process has made it meanwhile."""
    shared_files.make(path, lambda file: fill(file, path, identity, first))


def fill(file: int, path: Optional[str], identity: Identity, first: bytes) -> None:
    """Allocate it; `first` is what follows the header. Raises OSError, about `path`."""
    allocate(file, path, identity.size)
    os.pwrite(file, HEADER.pack(MAGIC, VERSION, *identity).ljust(HEADER_LENGTH, b"\0") + first, 0)


def allocate(file: int, path: Optional[str], size: int) -> None:
    try:
        shared_files.allocate(file, size)
    except OSError as error:
        raise OSError(error.errno, f"{os.strerror(error.errno or 0)}, for the {size} bytes of a SessionCache's memory: "
                      "make room, or pass a smaller size in all processes", path) from None


def identified(path: str, file: int, status: os.stat_result) -> Identity:
    """Read the header."""
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(NOT_REGULAR.format(path))
    header = os.pread(file, HEADER.size, 0)
    # First of all: the advice to remove the file is for this library's own.
    if len(header) < HEADER.size or not header.startswith(MAGIC):
        raise ValueError(f"{path!r} is not the memory of a SessionCache: pass the path of one, or of a file that does "
                         "not exist yet")
    _, version, size, period, secret = HEADER.unpack(header)
    if version != VERSION:
        raise ValueError(f"{path!r} was made by another version of pysidctx (layout {version}, not {VERSION}): "
                         f"{ADVICE}")
    if status.st_size != size:
        raise ValueError(f"{path!r} was truncated or extended: {ADVICE}")
    return Identity(size, period, secret)


def check(path: str, file: int, identity: Identity) -> None:
    status = os.fstat(file)
    size, period, secret = identified(path, file, status)
    shared_files.refuse_others(path, status, ADVICE)
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
        return identified(os.fsdecode(path), file, os.fstat(file))
    finally:
        os.close(file)
