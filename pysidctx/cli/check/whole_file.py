"""Replace files atomically: each reader sees either the complete old file or the complete new one."""

import os
from contextlib import suppress


def write(path: str, data: bytes) -> None:
    """Write `data` to `path`, with a mode that the umask limits. Raises OSError; then the file is unchanged."""
    if os.path.exists(path) and not os.path.isfile(path):  # for example /dev/stdout
        with open(path, "wb") as stream:
            stream.write(data)
        return
    path = os.path.realpath(path)  # a link stays one
    folder, name = os.path.split(path)
    # In the same folder, because a rename cannot move a file across disks, and without the suffix that readers expect.
    temporary = os.path.join(folder, f".{name}.{os.getpid()}")
    try:
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        with open(file, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(file)
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def is_writable(path: str) -> bool:
    """Whether write() can be expected to succeed."""
    if os.path.exists(path) and not os.path.isfile(path):
        return not os.path.isdir(path) and os.access(path, os.W_OK)
    return path != "" and os.access(os.path.dirname(os.path.realpath(path)), os.W_OK | os.X_OK)
