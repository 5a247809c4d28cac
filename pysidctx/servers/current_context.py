"""The SSLContext of one server in this process: another one when what it was built from has changed."""

import logging
import ssl
import threading
import time
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Callable, Optional

from pysidctx.servers.carried_settings import HandedOut
from pysidctx.servers.process_lock import ProcessLock
from pysidctx.servers.watched_files import FilesRead, WatchedFile

Build = Callable[[], Optional[ssl.SSLContext]]  # None, as hypercorn's without TLS, is an error

# Methods that change a context. Of the first ones every call counts, of the others the last.
ADDING = ("load_cert_chain", "load_verify_locations", "load_default_certs", "set_default_verify_paths")
SETTING = ("load_dh_params", "set_ciphers", "set_ciphersuites", "set_alpn_protocols", "set_ecdh_curve", "set_groups",
           "set_client_sigalgs", "set_server_sigalgs", "set_psk_server_callback")

# How many calls are kept. More are only made where each connection makes another one.
MOST_CALLS = 100

log = logging.getLogger("pysidctx.servers")


class CurrentContext:
    """Built at once, and anew by the next connection after a change of files, or after `max_age` seconds.

    A server may keep the first one: its connections are made by the current one, and what is set on it
    is set on the current one, and on those that come later.

    build
        Makes an SSLContext, each time another one.
    finish
        Is given what was made, and what was set from outside is in it by then.
    files
        Paths to watch beside those that are read while it is built.
    max_age
        In seconds; None: files alone count.
    """

    LOOK = 1.0  # seconds, at least, between looks at the files

    def __init__(self, build: Build, finish: Callable[[ssl.SSLContext], object], files: Iterable[Any],
                 max_age: Optional[float]) -> None:
        self._build = build
        self._finish = finish
        self._named = tuple(files)
        self._max_age = max_age
        self._looking, self._carrying = ProcessLock(), ProcessLock()
        self._calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self._failed: object = None
        self._direct = threading.local()
        self._earlier: list[tuple[weakref.ref[ssl.SSLContext], HandedOut]] = []
        self._files, self._context, self._handed_out = self._built(None)
        self._trust = trust(self._context)
        self._looked = self._since = time.monotonic()

    def get(self) -> ssl.SSLContext:
        """The one for the next connection. It looks at the files at most once in LOOK seconds."""
        looking = self._looking.here()
        if time.monotonic() - self._looked >= self.LOOK and looking.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._looked = time.monotonic()
                looking.release()
        return self._context

    def _look(self) -> None:
        self._carry_from_earlier()
        changed = [file for file in self._files if file.has_changed()]
        # Its id context has to be another one where it trusts or demands something else.
        if not changed and not self._is_too_old() and self._trust == trust(self._context):
            return
        former = self._context
        try:
            made = self._built(former)
            with self._carrying.here(), self._directly(former, made[1]):
                self._handed_out.carry(former, made[1], made[2])  # what was set meanwhile, too
                self._earlier.append((weakref.ref(former), self._handed_out))
                self._files, self._context, self._handed_out = made
                self._trust = trust(self._context)
        except Exception as error:  # such as a certificate whose key is to come
            self._tell(changed, error)
        else:
            self._since = time.monotonic()
            self._failed = None

    def _carry_from_earlier(self) -> None:
        """What was set since on those that a server may still have, and not ask for a connection."""
        self._earlier = [(reference, handed_out) for reference, handed_out in self._earlier if reference() is not None]
        for reference, handed_out in self._earlier:
            kept = reference()
            if kept is None or not handed_out.has_changed(kept):
                continue
            try:
                self._carry(kept, handed_out)
            except Exception as error:
                log.error("what was set on a context that was returned earlier cannot be set on the current one: %s. "
                          "Set it in the function that builds the context", error)

    def _carry(self, kept: ssl.SSLContext, handed_out: HandedOut) -> None:
        with self._carrying.here(), self._directly(kept, self._context):
            handed_out.carry(kept, self._context, self._handed_out)

    def _is_too_old(self) -> bool:
        return self._max_age is not None and time.monotonic() - self._since >= self._max_age

    def _tell(self, changed: list[WatchedFile], error: Exception) -> None:
        """Once for the same."""
        failed = [WatchedFile(file.path).status for file in changed], str(error)
        if failed == self._failed:
            return
        self._failed = failed
        if changed:
            log.warning("%s changed but cannot be used, so the former certificate stays: %s",
                        ", ".join(str(file.path) for file in changed), error)
        else:
            log.warning("the context is %s seconds old (max_age) but cannot be built anew, so the former one "
                        "stays: %s", self._max_age, error)

    def _built(self, former: Optional[ssl.SSLContext]) -> "tuple[FilesRead, ssl.SSLContext, HandedOut]":
        """Another one, with what was set on the former from outside."""
        # Before they are read: what is written meanwhile is seen the next time.
        files = FilesRead(self._named)
        with files.noticing():
            made = self._build()
            if made is None:
                raise TypeError("the function that builds the context returned None: call the hook only where there "
                                "is to be TLS")
            if made is former:
                raise ValueError("the function that builds the context returned the former one: have it make "
                                 "another one each time")
            handed_out = HandedOut(made)
            for name, arguments, options in tuple(self._calls):
                getattr(type(made), name)(made, *arguments, **options)
        if former is not None:
            self._handed_out.carry_settings(former, made)
        self._finish(made)
        handed_out.is_finished(made)
        if former is not None:
            with self._directly(former):
                self._handed_out.carry_installed(former, made, handed_out)
        self._lead_to_current(made, handed_out)
        return files, made, handed_out

    def _lead_to_current(self, made: ssl.SSLContext, handed_out: HandedOut) -> None:
        """A server that keeps it, as those do that are built on asyncio, goes on with the current one."""
        kind: Any = type(made)
        reference = weakref.ref(made)

        def wrap_bio(*arguments: Any, **options: Any) -> ssl.SSLObject:
            made: ssl.SSLObject = kind.wrap_bio(self._current_for(reference(), handed_out), *arguments, **options)
            return made

        def wrap_socket(*arguments: Any, **options: Any) -> ssl.SSLSocket:
            made: ssl.SSLSocket = kind.wrap_socket(self._current_for(reference(), handed_out), *arguments, **options)
            return made

        vars(made).update(wrap_bio=wrap_bio, wrap_socket=wrap_socket)
        for name in (*ADDING, *SETTING):
            if hasattr(kind, name):
                vars(made)[name] = self._kept_call(kind, name, reference)

    def _current_for(self, kept: Optional[ssl.SSLContext], handed_out: HandedOut) -> ssl.SSLContext:
        if kept is not None and kept in getattr(self._direct, "contexts", ()):
            return kept
        current = self.get()
        if kept is None or kept is current or not handed_out.has_changed(kept):
            return current
        self._carry(kept, handed_out)
        return self._context

    @contextmanager
    def _directly(self, *contexts: ssl.SSLContext) -> Iterator[None]:
        """Whoever asks one of these for a connection in this thread gets its own: to see which context makes it."""
        self._direct.contexts = contexts
        try:
            yield
        finally:
            self._direct.contexts = ()

    def _kept_call(self, kind: type, name: str, reference: "weakref.ref[ssl.SSLContext]") -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            kept = reference()
            with self._files.noticing():
                method = getattr(kind, name)
                result = method(kept, *arguments, **options)
                if kept is not self._context:
                    method(self._context, *arguments, **options)
            self._keep((name, arguments, options))
            self._trust, self._looked = None, float("-inf")  # the next connection has one built anew
            return result

        call.__name__ = call.__qualname__ = name
        call.__doc__ = getattr(kind, name).__doc__
        return call

    def _keep(self, call: tuple[str, tuple[Any, ...], dict[str, Any]]) -> None:
        with self._carrying.here():
            kept = [other for other in self._calls
                    if other != call and (call[0] in ADDING or other[0] != call[0])]
            if len(kept) == MOST_CALLS:
                log.warning("%s() and others were called %d times on the context that was returned, each time "
                            "otherwise, and the oldest call is given up: call them in the function that builds the "
                            "context", call[0], MOST_CALLS)
                del kept[0]
            self._calls = [*kept, call]


def trust(ctx: ssl.SSLContext) -> Optional[tuple[Any, ...]]:
    """What of the fingerprint can be set by attributes."""
    return ctx.verify_mode, ctx.verify_flags, ctx.post_handshake_auth
