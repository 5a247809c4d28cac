"""The file that processes share whose counts are to be added up: how it begins, and who may open it."""

import hashlib
import os
import stat
import struct
from collections.abc import Sequence
from contextlib import suppress

from pysidctx import shared_files
from pysidctx._typing import Path

# What begins it: what it is, its size, and a digest of the counters' names, in which another layout differs.
HEADER = struct.Struct("<16sQ32s")
MAGIC = b"pysidctx counts\0"
HEADER_LENGTH = 64

ADVICE = ("choose another path, or remove the file once no process uses it: a new one is made, and the counts in this "
          "one are lost")


def shared(path: Path, size: int, names: Sequence[str]) -> int:
    """Return the descriptor of the file `path`, which is made if there is none.

    Raises OSError, and ValueError if the file is not such a file of this version, or is not this user's alone.
    """
    path = os.fsdecode(path)
    while True:
        with suppress(FileNotFoundError):
            file = shared_files.open_existing(path)
            try:
                check(path, file, size, names)
                shared_files.refuse_others(path, os.fstat(file), ADVICE)
            except BaseException:
                os.close(file)
                raise
            return file
        shared_files.make(path, lambda made: fill(made, size, names))


def to_read(path: Path, size: int, names: Sequence[str]) -> int:
    """Return the descriptor of the file `path`. Raises OSError, ValueError."""
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        check(os.fsdecode(path), file, size, names)
    except BaseException:
        os.close(file)
        raise
    return file


def fill(file: int, size: int, names: Sequence[str]) -> None:
    shared_files.allocate(file, size)
    os.pwrite(file, header(size, names), 0)


def header(size: int, names: Sequence[str]) -> bytes:
    return HEADER.pack(MAGIC, size, hashlib.sha256(" ".join(names).encode()).digest())


def check(path: str, file: int, size: int, names: Sequence[str]) -> None:
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(shared_files.NOT_REGULAR.format(path))
    found = os.pread(file, HEADER.size, 0)
    # First of all: the advice to remove the file is for this library's own.
    if len(found) < HEADER.size or not found.startswith(MAGIC):
        raise ValueError(f"{path!r} contains no counts of pysidctx: pass the path that PYSIDCTX_STATS has, or that of "
                         "a file that does not exist yet")
    if found != header(size, names):
        raise ValueError(f"{path!r} was made by another version of pysidctx: {ADVICE}")
    if status.st_size != size:
        raise ValueError(f"{path!r} was truncated or extended: {ADVICE}")
