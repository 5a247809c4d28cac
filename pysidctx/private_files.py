"""Files with secrets: replaced in one step, and read only where no other user had access."""

import os
import stat
import tempfile
from contextlib import suppress
from io import RawIOBase
from typing import Union

from pysidctx.errors import SessionError

Path = Union[str, bytes, "os.PathLike[str]", "os.PathLike[bytes]"]

LARGEST = 1 << 20  # bytes: many times of what a ticket and certificates can take


def write(path: Path, data: memoryview) -> None:
    """Have `path` hold the bytes of `data`, with mode 0600, or else be as it was; OSError."""
    path = os.fsdecode(path)
    # With mode 0600 from the start; in the same folder, because a rename does not leave a disk.
    file, temporary = tempfile.mkstemp(prefix=".session.", dir=os.path.dirname(path) or os.curdir)
    try:
        with open(file, "wb", buffering=0) as stream:
            write_all(stream, data)
            os.fsync(file)
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):  # interrupted after the last step
            os.unlink(temporary)
        raise


def write_all(stream: RawIOBase, data: memoryview) -> None:
    written = 0
    while written < len(data):
        written += stream.write(data[written:]) or 0


def read(path: Path, *, shared: bool) -> bytearray:
    """Return what is in `path` as a bytearray, for the caller to wipe; OSError, SessionError.

    Unless `shared`, a file that users other than this process's (or root) own or have access to is
    refused.
    """
    with open(path, "rb", buffering=0, opener=open_at_once) as stream:
        # Of the file that is open: the path may name another one by now.
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise SessionError(f"{os.fsdecode(path)!r} is not a file: name one that save() has written")
        if status.st_size > LARGEST:
            raise SessionError(f"{os.fsdecode(path)!r} is too large for a session: name another file")
        if not shared:
            refuse_shared(path, status)
        data = bytearray(status.st_size)
        with memoryview(data) as view:
            filled = 0
            while count := stream.readinto(view[filled:]):
                filled += count
        return data


def open_at_once(path: Path, flags: int) -> int:
    """Do not wait for the writer of a pipe."""
    return os.open(path, flags | os.O_NONBLOCK)


def refuse_shared(path: Path, status: os.stat_result) -> None:
    mode = stat.S_IMODE(status.st_mode)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SessionError(
            f"{os.fsdecode(path)!r} has mode {mode:04o}: other users may know its secret, or have "
            "put in a session of theirs. Take it away from them with chmod 600 and make a new one, or "
            "say shared=True")
    if status.st_uid not in (os.geteuid(), 0):
        raise SessionError(
            f"{os.fsdecode(path)!r} belongs to user {status.st_uid}, who knows its secret: save a "
            "session of your own, or say shared=True")
