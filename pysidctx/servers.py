"""The hook that gunicorn and uvicorn call for a server's SSLContext: one that every worker resumes on.

When this module is imported it makes the ticket keys: from the file that the environment variable
PYSIDCTX_SECRET_FILE names, else random ones, which workers inherit that are forked later.
"""

import logging
import multiprocessing
import os
import ssl
import threading
import time
import warnings
import weakref
from collections.abc import Callable
from functools import partial
from types import CellType, FunctionType, MethodType
from typing import Any, Optional

from pysidctx.sharing import checked_id_contexts, resumable
from pysidctx.tickets import TicketKeys

VARIABLE = "PYSIDCTX_SECRET_FILE"

Build = Callable[[], ssl.SSLContext]

# The settings of gunicorn, uvicorn and hypercorn that a context is made by.
FILES = ("certfile", "keyfile", "ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_ca_certs")
SETTINGS = (*FILES, "ssl_version", "cert_reqs", "ssl_cert_reqs", "ciphers", "ssl_ciphers",
            "keyfile_password", "ssl_keyfile_password", "verify_mode", "verify_flags", "alpn_protocols",
            "http_protocols", "http_protocol_class")

# How many contexts are kept. More are only asked for where each call has a function of its own that
# cannot be told from the last.
MOST = 100

log = logging.getLogger(__name__)


class CurrentContext:
    """The SSLContext of one server in this process: another one when its files were rewritten."""

    LOOK = 1.0  # seconds, at least, between looks at the files

    def __init__(self, build: Build, files: tuple[Any, ...]) -> None:
        self._build = build
        self._files = files
        self._looking = threading.Lock()
        self._found = self._failed = stamps(files)
        self._context = self._built()
        self._looked = time.monotonic()

    def get(self) -> ssl.SSLContext:
        """The one for the next connection. It looks at the files at most once in LOOK seconds."""
        if time.monotonic() - self._looked >= self.LOOK and self._looking.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._looked = time.monotonic()
                self._looking.release()
        return self._context

    def after_fork(self) -> None:
        """A thread that was looking is not in this process."""
        self._looking = threading.Lock()

    def _look(self) -> None:
        # Before they are read: what is written meanwhile is seen the next time.
        found = stamps(self._files)
        if found == self._found:
            return
        try:
            self._context = self._built()
        except Exception as error:  # such as a certificate whose key is to come
            if found != self._failed:
                log.warning("%s changed but cannot be used, so the former certificate stays: %s",
                            ", ".join(str(path) for path in self._files), error)
            self._failed = found
        else:
            self._found = found

    def _built(self) -> ssl.SSLContext:
        made = self._build()
        # A server that keeps it, as those do that are built on asyncio, goes on with the current one.
        kind = type(made)

        def wrap_bio(*arguments: Any, **options: Any) -> ssl.SSLObject:
            return kind.wrap_bio(self.get(), *arguments, **options)

        def wrap_socket(*arguments: Any, **options: Any) -> ssl.SSLSocket:
            return kind.wrap_socket(self.get(), *arguments, **options)

        vars(made).update(wrap_bio=wrap_bio, wrap_socket=wrap_socket)
        return made


class SSLContextFactory:
    """A hook `(config, default_factory)` with your own keys; `ssl_context_factory` has those for all.

    keys
        The `TicketKeys` for all contexts.
    id_context, exact_id_context
        As for `resumable()`: the first is added to what the context authenticates by, so that sessions
        from before a change of certificates, CAs or revocation lists are not resumed; the second stands
        alone, and they are.

    A call returns the context that `default_factory()` has built, made resumable. That is done once
    in a process for the same settings and the same function; later calls return the same context, and so
    may be made for every connection, in any thread. When the certificate, the key or the CA file has been
    rewritten, it is built anew by the next call, and by the next connection of a context that was returned
    before: within a second, without a restart. Sessions of the former certificate are not resumed then. A
    file that cannot be used, such as a certificate that does not belong to the key, is logged, and the
    former context serves on.

    config
        The configuration of gunicorn, uvicorn or hypercorn, or any object with their attributes for
        TLS.
    default_factory
        A function without arguments that returns an `ssl.SSLContext`. What you change in the context
        belongs into it, so that a later context has it, too. It is the same as another one if its
        code is, and the objects that it has from around it.

    Raises TypeError and ValueError for an id context that cannot be one; a call raises what
    `default_factory()` and `resumable()` raise.
    """

    def __init__(self, keys: TicketKeys, *, id_context: Optional[bytes] = None,
                 exact_id_context: Optional[bytes] = None) -> None:
        self._keys = keys
        self._id_context, self._exact_id_context = checked_id_contexts(id_context, exact_id_context)
        self._contexts: list[tuple[tuple[Any, ...], CurrentContext]] = []
        self._building = threading.Lock()
        _factories.add(self)

    def __call__(self, config: Any, default_factory: Build) -> ssl.SSLContext:
        settings = (type(config), identity(default_factory),
                    *(getattr(config, name, None) for name in SETTINGS))
        found = self._find(settings)
        if found is None:
            with self._building:
                found = self._find(settings) or self._add(settings, config, default_factory)
        return found.get()

    def _find(self, settings: tuple[Any, ...]) -> Optional[CurrentContext]:
        for known, context in tuple(self._contexts):
            if known == settings:
                return context
        return None

    def _add(self, settings: tuple[Any, ...], config: Any, default_factory: Build) -> CurrentContext:
        def build() -> ssl.SSLContext:
            return resumable(default_factory(), self._keys, id_context=self._id_context,
                             exact_id_context=self._exact_id_context)

        files = (getattr(config, name, None) for name in FILES)
        made = CurrentContext(build, tuple(path for path in files if path))
        if len(self._contexts) == MOST:
            log.warning("%d contexts were built, each by another function, and the oldest is given up: "
                        "call with the same function for the same context", MOST)
            del self._contexts[0]
        self._contexts.append((settings, made))
        return made

    def after_fork(self) -> None:
        """A thread that was building is not in this process."""
        self._building = threading.Lock()
        for _, context in self._contexts:
            context.after_fork()


class Same:
    """Equal to what holds the very same object."""

    def __init__(self, held: object) -> None:
        self.held = held

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.held is self.held

    __hash__ = None  # type: ignore[assignment]


PLAIN = (str, bytes, int, float, type(None))  # equal if their values are


def identity(found: object, outer: tuple[object, ...] = ()) -> tuple[Any, ...]:
    """What tells a function from others: servers make one anew, of the same code, for each connection.

    `outer` are the functions that it was found in, which it may refer to itself.
    """
    if isinstance(found, PLAIN):
        return type(found), found
    if any(found is function for function in outer):
        return ()
    outer = (*outer, found)
    if isinstance(found, partial):
        inside: tuple[object, ...] = (found.func, *found.args, *found.keywords, *found.keywords.values())
    elif isinstance(found, MethodType):
        inside = found.__self__, found.__func__
    elif isinstance(found, FunctionType):
        inside = (*(found.__defaults__ or ()), *(found.__kwdefaults__ or {}).values(),
                  *map(contents, found.__closure__ or ()))
    else:
        return Same(found),
    return (getattr(found, "__code__", None), *(identity(part, outer) for part in inside))


def contents(cell: CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # nothing yet
        return None


_factories: "weakref.WeakSet[SSLContextFactory]" = weakref.WeakSet()


def _after_fork() -> None:
    for factory in tuple(_factories):
        factory.after_fork()
    _default.after_fork()


os.register_at_fork(after_in_child=_after_fork)


def stamps(files: tuple[Any, ...]) -> list[Optional[tuple[int, ...]]]:
    """What tells a file from what it is after it was rewritten or replaced."""
    return [stamp(path) for path in files]


def stamp(path: Any) -> Optional[tuple[int, ...]]:
    try:
        status = os.stat(path)
    except OSError:
        return None
    # The time of the last change of status, because that of modification can be set, as tar and cp do.
    return status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns


class DefaultKeys:
    """The keys that were made at import, or those of a secret file that was named since."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self._reading = threading.Lock()
        self._path, self._factory = self._made(os.environ.get(VARIABLE))

    @staticmethod
    def _made(path: Optional[str]) -> tuple[Optional[str], SSLContextFactory]:
        return path, SSLContextFactory(TicketKeys.from_secret_file(path) if path else TicketKeys())

    def current(self, config: Any) -> SSLContextFactory:
        path = os.environ.get(VARIABLE)
        with self._reading:
            if path != self._path:
                self._path, self._factory = self._made(path)
            factory = self._factory
        if not path and self._are_this_worker_s_alone(config):
            warnings.warn(
                "pysidctx: this worker was not forked but spawned, so its ticket keys are its own, and "
                "clients of the other workers get full handshakes from it. Write a secret with `python -m "
                f"pysidctx secret PATH` and name the file in the environment variable {VARIABLE}",
                RuntimeWarning, stacklevel=3)
        return factory

    def after_fork(self) -> None:
        """A thread that was reading is not in this process."""
        self._reading = threading.Lock()

    def _are_this_worker_s_alone(self, config: Any) -> bool:
        return (multiprocessing.parent_process() is not None and self._process == os.getpid()
                and getattr(config, "workers", None) != 1)


_default = DefaultKeys()


def ssl_context_factory(config: Any, default_factory: Build) -> ssl.SSLContext:
    """Build a server's context once per process, with keys that all its workers have.

    The hook `ssl_context` of gunicorn and `ssl_context_factory` of uvicorn; what it returns, and when, is
    told at `SSLContextFactory`. The id context is the one that `resumable()` derives.

    The keys are `TicketKeys.from_secret_file()` of the file that the environment variable
    PYSIDCTX_SECRET_FILE names, which is read when this module is imported. Without it they are random,
    made then: workers that are forked later inherit them. Where workers are spawned instead, as those of
    uvicorn and hypercorn, each has keys of its own, and a RuntimeWarning says so.

    Raises what `TicketKeys.from_secret_file()`, `default_factory()` and `resumable()` raise. Safe in any
    thread.
    """
    return _default.current(config)(config, default_factory)
