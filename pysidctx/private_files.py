"""Files with secrets: written whole, and read only where no other user had access."""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import RawIOBase
from typing import NamedTuple

from pysidctx._typing import Path


class Content(NamedTuple):
    """What a file is to hold, and how its refusal is told."""

    name: str
    error: type[Exception]
    largest: int        # bytes
    advice: str         # what else can be done about a file that others have access to
    group_of_root: bool = False  # root may let a group read it, and this process be in that
    source: str = ""             # ends the sentence "name a file with it": where one comes from


def write(path: Path, data: memoryview) -> None:
    """Have `path` hold the bytes of `data`, with mode 0600, or else be as it was; OSError."""
    path = os.fsdecode(path)
    # With mode 0600 from the start; in the same folder, because a rename does not leave a disk.
    file, temporary = tempfile.mkstemp(prefix=".pysidctx.", dir=os.path.dirname(path) or os.curdir)
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


def create(path: Path, data: bytes) -> None:
    """Have a new file `path` hold `data`, with mode 0600; FileExistsError, OSError."""
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
    """What is in `path`, as a bytearray that is wiped at the end; OSError, `content.error`.

    Unless `shared`, a file that users other than this process's (or root) own or have access to is
    refused.
    """
    with open(path, "rb", buffering=0, opener=open_at_once) as stream:
        # Of the file that is open: the path may name another one by now.
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise content.error(
                f"{os.fsdecode(path)!r} is not a file: name one with {content.name}{content.source}")
        if status.st_size > content.largest:
            raise content.error(
                f"{os.fsdecode(path)!r} has {status.st_size} bytes and is too large for {content.name}, which has "
                f"at most {content.largest}: name a file with one{content.source}")
        if not shared:
            refuse_shared(path, status, content)
        data = bytearray(status.st_size)
        try:
            with memoryview(data) as view:
                filled = 0
                while count := stream.readinto(view[filled:]):
                    filled += count
            del data[filled:]  # it was cut meanwhile
            yield data
        finally:
            data[:] = bytes(len(data))  # in place, as the length stays


def open_at_once(path: Path, flags: int) -> int:
    """Do not wait for the writer of a pipe."""
    return os.open(path, flags | os.O_NONBLOCK)


def refuse_shared(path: Path, status: os.stat_result, content: Content) -> None:
    mode = stat.S_IMODE(status.st_mode)
    of_others = stat.S_IRWXG | stat.S_IRWXO
    if content.group_of_root and status.st_uid == 0:
        of_others &= ~stat.S_IRGRP
    if mode & of_others:
        raise content.error(
            f"{os.fsdecode(path)!r} has mode {mode:04o}: other users may know its secret, or have put "
            f"in one of theirs. Take it away from them with chmod 600 and make a new one"
            f"{content.source}{content.advice}")
    if status.st_uid not in (os.geteuid(), 0):
        raise content.error(
            f"{os.fsdecode(path)!r} belongs to user {status.st_uid}, who knows its secret: make one of "
            f"your own{content.source}{content.advice}")
