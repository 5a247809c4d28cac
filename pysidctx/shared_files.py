"""Files that processes of one user share as memory: made whole, with mode 0600, and opened only if nobody else can."""

import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

NOT_REGULAR = "{!r} is not a regular file: pass the path of one, or of none yet, such as /dev/shm/NAME"
PART = 4 << 20  # bytes that are allocated at once


def open_existing(path: str) -> int:
    """Return the descriptor of a file. Raises OSError, and ValueError for what is no file."""
    try:
        return os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ValueError(f"{path!r} is a symbolic link, which another user may have put there: pass the path of "
                             "the file itself") from None
        if error.errno in (errno.EISDIR, errno.ENXIO):
            raise ValueError(NOT_REGULAR.format(path)) from None
        raise


def make(path: str, fill: Callable[[int], None]) -> None:
    """Make the file, unless another process has made it meanwhile. `fill` gets its descriptor."""
    with new_file(os.path.dirname(path) or os.curdir) as (file, source):
        fill(file)
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


def allocate(file: int, size: int) -> None:
    """Allocate `size` bytes for a file. Raises OSError."""
    # Not ftruncate(): if the disk were full, the first write to the memory would kill the process (SIGBUS). In parts,
    # because up to Linux 6.9 each signal has tmpfs begin anew: a profiler's timer would never let it finish.
    for begin in range(0, size, PART):
        os.posix_fallocate(file, begin, min(PART, size - begin))


def refuse_others(path: str, status: os.stat_result, advice: str) -> None:
    """Raise ValueError if another user can write to the file; `advice` ends the message."""
    if status.st_uid != os.geteuid():
        raise ValueError(f"{path!r} belongs to user {status.st_uid}, who could change what is in it: {advice}")
    if stat.S_IMODE(status.st_mode) & (stat.S_IRWXG | stat.S_IRWXO):
        raise ValueError(f"{path!r} has mode {stat.S_IMODE(status.st_mode):04o}, so other users could change what is "
                         f"in it: {advice}")
