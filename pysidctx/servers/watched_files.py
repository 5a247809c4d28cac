"""The files from which SSLContexts are built: detect which files are read, and whether they have changed."""

import _ssl
import hashlib
import os
import ssl
import stat
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Callable, Optional

from pysidctx.private_files import open_at_once
from pysidctx.servers.process_lock import ProcessLock

# Python's own class. gevent, truststore and others replace ssl.SSLContext by a subclass.
CONTEXT: Any = next(kind for kind in ssl.SSLContext.__mro__ if kind.__base__ is _ssl._SSLContext)

# Two changes within this time, in nanoseconds, may get the same time stamp from a file system.
GRAIN = 2 * 10**9


class WatchedFile:
    """The state of a file, or of a folder and the files in it. Create it before the file is read."""

    def __init__(self, path: Any) -> None:
        self.path = path
        self.status = status(path)
        self._content = digest(path) if may_change_unseen(self.status) else None

    def has_changed(self) -> bool:
        if status(self.path) != self.status:
            return True
        if self._content is None:
            return False
        if digest(self.path) != self._content:
            return True
        if not may_change_unseen(self.status):
            self._content = None
        return False


def status(path: Any) -> Optional[tuple[Any, ...]]:
    """Return values that change when the file is rewritten or replaced; None if the file does not exist.

    They include the time of the last status change, because programs such as tar and cp set the modification
    time.
    """
    try:
        found = os.stat(path)
        inside = [entry.path for entry in os.scandir(path)] if stat.S_ISDIR(found.st_mode) else []
    except (OSError, ValueError):  # ValueError for a path with a null byte
        return None
    return (found.st_dev, found.st_ino, found.st_size, found.st_ctime_ns,
            *((name, status_of_entry(name)) for name in sorted(inside)))


def status_of_entry(path: Any) -> Optional[tuple[int, ...]]:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_ctime_ns


def may_change_unseen(found: Optional[tuple[Any, ...]]) -> bool:
    return found is not None and found[3] > time.time_ns() - GRAIN


def digest(path: Any) -> Optional[bytes]:
    """Hash a file's content. It may be a private key, so no copy of it remains in memory."""
    made = hashlib.sha256()
    chunk = bytearray(65536)
    try:
        with open(path, "rb", buffering=0, opener=open_at_once) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return None
            while length := file.readinto(chunk):
                made.update(memoryview(chunk)[:length])
    except (OSError, ValueError):
        return None
    finally:
        chunk[:] = bytes(len(chunk))
    return made.digest()


class FilesRead:
    """The files that SSLContexts read in this thread, each in its state before it was read."""

    def __init__(self, paths: Iterable[Any] = ()) -> None:
        self._files: dict[Any, WatchedFile] = {}
        for path in paths:
            self.add(path)

    def add(self, path: Any) -> None:
        try:
            path = os.fspath(path)
        except TypeError:  # SSLContext's method is about to raise it
            return
        if path not in self._files:
            self._files[path] = WatchedFile(path)

    def __iter__(self) -> Iterator[WatchedFile]:
        return iter(self._files.copy().values())  # other threads may add files during the iteration

    @contextmanager
    def noticing(self) -> Iterator[None]:
        """Inside this context manager, add each file that this thread loads into any SSLContext."""
        _reading.stack = (*stack(), self)
        start_noticing()
        try:
            yield
        finally:
            _reading.stack = stack()[:-1]
            stop_noticing()


_reading = threading.local()


def stack() -> tuple[FilesRead, ...]:
    return getattr(_reading, "stack", ())


def certificate_paths(certfile: Any, keyfile: Any = None, *rest: Any, **options: Any) -> Iterator[Any]:
    yield certfile
    yield keyfile


def verify_paths(cafile: Any = None, capath: Any = None, *rest: Any, **options: Any) -> Iterator[Any]:
    yield cafile
    if capath is not None:
        yield from folders(capath)


def folders(capath: Any) -> list[Any]:
    """Split a `capath`: OpenSSL accepts several folders, separated by colons."""
    capath = os.fspath(capath)
    return list(capath.split(b":" if isinstance(capath, bytes) else ":"))


def parameter_paths(path: Any) -> Iterator[Any]:
    yield path


def default_paths() -> Iterator[Any]:
    paths = ssl.get_default_verify_paths()
    yield os.environ.get(paths.openssl_cafile_env, paths.openssl_cafile)
    yield from folders(os.environ.get(paths.openssl_capath_env, paths.openssl_capath))


# The methods that read files, each with a function that returns the paths for its arguments.
READERS: dict[str, Callable[..., Iterator[Any]]] = {
    "load_cert_chain": certificate_paths, "load_verify_locations": verify_paths, "load_dh_params": parameter_paths,
    "set_default_verify_paths": default_paths,
}

# While any thread is in noticing(), CONTEXT has replacement methods, which record files only in such a thread.
_changing = ProcessLock()
_count = 0
_former: dict[str, Any] = {}
_ours: dict[str, Any] = {}


def start_noticing() -> None:
    global _count
    with _changing.here():
        _count += 1
        if _count > 1:
            return
        for name, paths in READERS.items():
            _former[name] = vars(CONTEXT).get(name)
            _ours[name] = reader(getattr(CONTEXT, name), paths)
            setattr(CONTEXT, name, _ours[name])


def stop_noticing() -> None:
    global _count
    with _changing.here():
        _count -= 1
        if _count == 0:
            put_back()


def put_back() -> None:
    for name, ours in tuple(_ours.items()):
        if vars(CONTEXT).get(name) is not ours:  # other code has wrapped the method since
            continue
        former = _former[name]
        if former is None:
            delattr(CONTEXT, name)
        else:
            setattr(CONTEXT, name, former)
    _ours.clear()


def reader(method: Callable[..., Any], paths: Callable[..., Iterator[Any]]) -> Callable[..., Any]:
    def read(self: ssl.SSLContext, *arguments: Any, **options: Any) -> Any:
        readers = stack()
        if readers:
            try:
                found = [path for path in paths(*arguments, **options) if path is not None]
            except TypeError:  # SSLContext's method is about to raise it
                found = []
            for each in readers:
                for path in found:
                    each.add(path)
        return method(self, *arguments, **options)

    read.__name__ = read.__qualname__ = method.__name__
    read.__doc__ = method.__doc__
    return read


def _after_fork() -> None:
    """In the child, only the forking thread can still be in noticing()."""
    global _count
    if _count:
        _count = len(stack())
        if _count == 0:
            put_back()


os.register_at_fork(after_in_child=_after_fork)
