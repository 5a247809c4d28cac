"""Files with secrets: written atomically, and read only if other users have no access."""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import RawIOBase
from typing import TYPE_CHECKING, NamedTuple, Optional

from pysidctx._typing import Path

if TYPE_CHECKING:
    from pysidctx._typing import Buffer


class Content(NamedTuple):
    """What a file must contain, and how to report a file that is refused."""

    name: str
    error: type[Exception]
    largest: int        # bytes
    advice: str         # ends the message about a file to which other users have access: another remedy
    group_of_root: bool = False  # accept a file of root's that its group can read
    source: str = ""             # ends a message that asks for such a file: how to create one


def write(path: Path, data: memoryview) -> None:
    """Write `data` to `path` with mode 0600. Raises OSError; then the file is unchanged."""
    path = os.fsdecode(path)
    # mkstemp() creates the file with mode 0600. It is in the same folder, because a rename cannot move it across disks.
    file, temporary = tempfile.mkstemp(prefix=".pysidctx.", dir=os.path.dirname(path) or os.curdir)
    try:
        with open(file, "wb", buffering=0) as stream:
            write_all(stream, data)
            os.fsync(file)
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):  # interrupted after os.replace()
            os.unlink(temporary)
        raise


def write_all(stream: RawIOBase, data: memoryview) -> None:
    written = 0
    while written < len(data):
        written += stream.write(data[written:]) or 0


def identity(path: Path) -> Optional[tuple[int, int]]:
    """Return what tells a file from the one that replaces it by `write()`, or None if there is none."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def create(path: Path, data: "Buffer") -> None:
    """Create the file `path` with mode 0600 and write `data` to it. Raises OSError, FileExistsError if it exists."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(file, "wb", buffering=0) as stream:
            write_all(stream, memoryview(data))
            os.fsync(file)
    except BaseException:
        os.unlink(path)
        raise


@contextmanager
def read(path: Path, content: Content, *, shared: bool = False) -> Iterator[bytearray]:
    """Read `path` into a bytearray, which is overwritten when the context manager exits.

    Raises OSError and `content.error`. Unless `shared`, it refuses a file that belongs to a user other than this
    process's or root, or to which other users have access.
    """
    with open(path, "rb", buffering=0, opener=open_at_once) as stream:
        # The status of the open file: by now, the path may name another one.
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise content.error(
                f"{os.fsdecode(path)!r} is not a regular file: pass the path of a file with "
                f"{content.name}{content.source}")
        if status.st_size > content.largest:
            raise content.error(
                f"{os.fsdecode(path)!r} has {status.st_size} bytes and is too large for {content.name}, which has "
                f"at most {content.largest} bytes: pass the path of a file with {content.name}{content.source}")
        if not shared:
            refuse_shared(path, status, content)
        data = bytearray(status.st_size)
        try:
            with memoryview(data) as view:
                filled = 0
                while count := stream.readinto(view[filled:]):
                    filled += count
            del data[filled:]  # the file was truncated meanwhile
            yield data
        finally:
            data[:] = bytes(len(data))  # overwrites the memory in place, because the length is the same


class WipedBuffer:
    """Bytes that are collected, and overwritten at the end."""

    def __init__(self) -> None:
        self._data = bytearray(4096)
        self._length = 0

    def append(self, data: "Buffer") -> None:
        with memoryview(data) as view:
            end = self._length + len(view)
            if end > len(self._data):
                grown = bytearray(max(2 * len(self._data), end))
                # By way of a memoryview, because a bytearray would make another copy first.
                memoryview(grown)[:self._length] = self.view()
                self.wipe()
                self._data = grown
            memoryview(self._data)[self._length:end] = view
        self._length = end

    def view(self) -> memoryview:
        return memoryview(self._data)[:self._length]

    def wipe(self) -> None:
        self._data[:] = bytes(len(self._data))  # overwrites the memory in place, because the length is the same


@contextmanager
def wiped_buffer() -> Iterator[WipedBuffer]:
    """A buffer for secrets, which is overwritten when the context manager exits."""
    buffer = WipedBuffer()
    try:
        yield buffer
    finally:
        buffer.wipe()


def open_at_once(path: Path, flags: int) -> int:
    """Open a file without waiting for a writer if it is a pipe."""
    return os.open(path, flags | os.O_NONBLOCK)


def refuse_shared(path: Path, status: os.stat_result, content: Content) -> None:
    mode = stat.S_IMODE(status.st_mode)
    of_others = stat.S_IRWXG | stat.S_IRWXO
    if content.group_of_root and status.st_uid == 0:
        of_others &= ~stat.S_IRGRP
    if mode & of_others:
        raise content.error(
            f"{os.fsdecode(path)!r} has mode {mode:04o}, so other users may have read its secret or replaced it by "
            f"their own. Deny them access: {way_out(path)}{content.source}{content.advice}")
    if status.st_uid not in (os.geteuid(), 0):
        raise content.error(
            f"{os.fsdecode(path)!r} belongs to user {status.st_uid}, who may know its secret: create a file of "
            f"your own{content.source}{content.advice}")


def way_out(path: Path) -> str:
    """Return what to do about a file to which other users have access."""
    from shlex import quote  # imported only here, because every import of pysidctx imports this module
    return (f"`chmod 600 {quote(os.fsdecode(path))}`; if others may have read or replaced it, remove it instead, and "
            "create a new one")
