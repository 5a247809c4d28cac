"""The lock by which one process of a machine replicates the sessions of a memory."""

import fcntl
import os
import struct
from contextlib import suppress
from typing import Optional

BYTE = 1  # of the memory, which is locked; whoever forgets locks byte 0
FLOCK = struct.Struct("hhqqi4x")  # struct flock of 64-bit Linux: l_type, l_whence, l_start, l_len, l_pid


class Descriptor:
    """One that was opened for the lock alone: the lock ends with it. A child may reuse its number."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.file = identity(number)

    def close(self) -> None:
        """Unless other code has closed it, and the number is another file's by now."""
        with suppress(OSError):
            if identity(self.number) == self.file:
                os.close(self.number)


def identity(number: int) -> "tuple[int, int]":
    status = os.fstat(number)
    return status.st_dev, status.st_ino


# A child shares the lock: it would outlive a parent that is killed.
_open: "set[Descriptor]" = set()


class LeaderLock:
    """The lock on a memory. Not safe in several threads at once.

    It belongs to a descriptor of its own (F_OFD_SETLK). One of the process (F_SETLK) would end as soon as this closes
    any descriptor of the memory, as forget() does.
    """

    def __init__(self, file: int) -> None:
        self._file = file
        self._own: Optional[Descriptor] = None

    def take(self) -> bool:
        """Take or keep the lock. Returns False if another process has it. Raises OSError if it cannot be asked for."""
        if self._own in _open:
            return True
        try:
            number = os.open(f"/proc/self/fd/{self._file}", os.O_RDWR | os.O_CLOEXEC)
        except OSError:  # no /proc, or the process has become another user
            return self._take_for_process()
        try:
            fcntl.fcntl(number, fcntl.F_OFD_SETLK, FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, BYTE, 1, 0))
        except (BlockingIOError, PermissionError):
            os.close(number)
            return False
        except BaseException:
            os.close(number)
            raise
        self._own = Descriptor(number)
        _open.add(self._own)
        return True

    def _take_for_process(self) -> bool:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, BYTE)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def release(self) -> None:
        """Let another process take the lock."""
        if self._own is not None and self._own in _open:
            _open.discard(self._own)
            self._own.close()
        else:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, BYTE)
        self._own = None


def _leave_to_parent() -> None:
    for descriptor in _open:
        descriptor.close()
    _open.clear()


os.register_at_fork(after_in_child=_leave_to_parent)
