"""The memory that processes share: anonymous, for workers that are forked later, or a file."""

import errno
import os
import stat
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple, Optional

from pysidctx._typing import Path

# What begins it, in one page: what it is, the version of its layout, its size, and what its keys are derived from.
HEADER = struct.Struct("<16sIQQ32s")
MAGIC = b"pysidctx cache\0\0"
VERSION = 1
HEADER_LENGTH = 4096

MIN_SIZE = 1 << 20   # bytes
MAX_SIZE = 1 << 40
PART = 4 << 20      # what is allocated at once

ADVICE = ("choose another path, or remove the file once no process uses it: a new one is made, and the sessions in "
          "this one are lost")

NOT_REGULAR = "{!r} is not a regular file: pass the path of one, or of none yet, such as /dev/shm/NAME"


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
    try:
        file = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ValueError(f"{path!r} is a symbolic link, which another user may have put there: pass the path of "
                             "the file itself") from None
        if error.errno in (errno.EISDIR, errno.ENXIO):
            raise ValueError(NOT_REGULAR.format(path)) from None
        raise
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
    with new_file(os.path.dirname(path) or os.curdir) as (file, source):
        fill(file, path, identity, first)
        # Nobody finds it by its name before it is complete. With a descriptor of a folder, for which an absolute path
        # has no use, os.link() follows the link in /proc.
        with suppress(FileExistsError):
            os.link(source, path, src_dir_fd=file, follow_symlinks=True)


@contextmanager
def new_file(folder: str) -> Iterator[tuple[int, str]]:
    """The descriptor of a new file with mode 0600, and an absolute path from which it can be linked.

    Afterwards, the descriptor is closed. The file is gone if it was not linked, and where the file system permits it,
    also if this process is killed.
    """
    file, temporary = -1, None
    if os.path.exists("/proc/self/fd"):
        try:
            file = os.open(folder, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
                raise
    if file < 0:
        file, temporary = tempfile.mkstemp(prefix=".pysidctx.", dir=os.path.abspath(folder))
    try:
        os.fchmod(file, 0o600)  # whatever the umask
        yield file, temporary or f"/proc/self/fd/{file}"
    finally:
        os.close(file)
        if temporary:
            os.unlink(temporary)


def fill(file: int, path: Optional[str], identity: Identity, first: bytes) -> None:
    """Allocate it; `first` is what follows the header. Raises OSError, about `path`."""
    allocate(file, path, identity.size)
    os.pwrite(file, HEADER.pack(MAGIC, VERSION, *identity).ljust(HEADER_LENGTH, b"\0") + first, 0)


def allocate(file: int, path: Optional[str], size: int) -> None:
    # Not ftruncate(): if the disk were full, the first write to the memory would kill the process (SIGBUS). In parts,
    # because up to Linux 6.9 each signal has tmpfs begin anew: a profiler's timer would never let it finish.
    try:
        for begin in range(0, size, PART):
            os.posix_fallocate(file, begin, min(PART, size - begin))
    except OSError as error:
        raise OSError(error.errno, f"{os.strerror(error.errno or 0)}, for the {size} bytes of a SessionCache's memory: "
                      "make room, or pass a smaller size in all processes", path) from None


def check(path: str, file: int, identity: Identity) -> None:
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(NOT_REGULAR.format(path))
    header = os.pread(file, HEADER.size, 0)
    # First of all: the advice to remove the file is for this library's own.
    if len(header) < HEADER.size or not header.startswith(MAGIC):
        raise ValueError(f"{path!r} is not the memory of a SessionCache: pass the path of a file that does not exist "
                         "yet")
    refuse_others(path, status)
    _, version, size, period, secret = HEADER.unpack(header)
    if version != VERSION:
        raise ValueError(f"{path!r} was made by another version of pysidctx (layout {version}, not {VERSION}): "
                         f"{ADVICE}")
    if status.st_size != size:
        raise ValueError(f"{path!r} was truncated or extended: {ADVICE}")
    if size != identity.size:
        raise ValueError(f"{path!r} has {size} bytes, not {identity.size}: pass size={size} in all processes, or "
                         f"{ADVICE}")
    if period != identity.period:
        raise ValueError(f"{path!r} was made with a period of {period} seconds, not {identity.period}: pass "
                         f"period={period} in all processes, or {ADVICE}")
    if secret != identity.check:
        raise ValueError(f"{path!r} was made with another secret: {ADVICE}")


def refuse_others(path: str, status: os.stat_result) -> None:
    if status.st_uid != os.geteuid():
        raise ValueError(f"{path!r} belongs to user {status.st_uid}, who could change what is in it: {ADVICE}")
    if stat.S_IMODE(status.st_mode) & (stat.S_IRWXG | stat.S_IRWXO):
        raise ValueError(f"{path!r} has mode {stat.S_IMODE(status.st_mode):04o}, so other users could change what is "
                         f"in it: {ADVICE}")


def read_identity(path: Path) -> Identity:
    """Return what the memory in the file `path` was made with, for those who only look. Raises OSError, ValueError."""
    with open(path, "rb", buffering=0, opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as stream:
        header = stream.read(HEADER.size) or b""
        if len(header) < HEADER.size or not header.startswith(MAGIC):
            raise ValueError(f"{os.fsdecode(path)!r} is not the memory of a SessionCache")
        _, _, size, period, secret = HEADER.unpack(header)
        return Identity(size, period, secret)
