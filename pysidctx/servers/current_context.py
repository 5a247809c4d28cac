"""The SSLContext of one server in this process, which is rebuilt when its files change."""

import ssl
import threading
import time
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Callable, Optional

from pysidctx.hosts.hostmap import HostMap
from pysidctx.lockfree import counts
from pysidctx.log import log, one_line
from pysidctx.servers.carried_settings import HandedOut
from pysidctx.servers.process_lock import ProcessLock
from pysidctx.servers.watched_files import FilesRead, WatchedFile

Build = Callable[[], Optional[ssl.SSLContext]]  # None, which hypercorn returns without TLS, is an error

# Methods that change a context. Calls of ADDING methods accumulate; of a SETTING method, only the last call matters.
ADDING = ("load_cert_chain", "load_verify_locations", "load_default_certs", "set_default_verify_paths")
SETTING = ("load_dh_params", "set_ciphers", "set_ciphersuites", "set_alpn_protocols", "set_ecdh_curve", "set_groups",
           "set_client_sigalgs", "set_server_sigalgs", "set_psk_server_callback")

# How many calls are stored. Only a server that makes a different call for each connection makes more.
MOST_CALLS = 100


class CurrentContext:
    """Builds a context at once, and rebuilds it for the first connection after a file has changed or after `max_age`.

    A server may store the first context: the current context creates its connections, and settings that are
    changed on the first one are copied to the current one and to its successors.

    build
        A function that returns a new SSLContext each time.
    finish
        A function that is called with each new SSLContext, after settings from outside were copied to it.
    files
        Paths to watch, besides the files that `build` reads.
    max_age
        In seconds; with None, only a change of files causes a rebuild.
    """

    LOOK = 1.0  # the least time between two checks of the files, in seconds

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
        self.renewed = self.failed = 0  # how often it was rebuilt because a file has changed, and could not be rebuilt

    def get(self) -> ssl.SSLContext:
        """Return the context for the next connection. Checks the files at most once every LOOK seconds."""
        looking = self._looking.here()
        if time.monotonic() - self._looked >= self.LOOK and looking.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._looked = time.monotonic()
                looking.release()
        return self._context

    def installed_map(self) -> Optional[HostMap]:
        """Return the HostMap that is installed on the context at present."""
        return self._handed_out.installed_map(self._context)

    def _look(self) -> None:
        self._carry_from_earlier()
        changed = [file for file in self._files if file.has_changed()]
        why = self._why(changed)
        if why is None:
            return
        former = self._context
        try:
            made = self._built(former)
            with self._carrying.here(), self._directly(former, made[1]):
                self._handed_out.carry(former, made[1], made[2])  # includes settings made during the rebuild
                self._earlier.append((weakref.ref(former), self._handed_out))
                self._files, self._context, self._handed_out = made
                self._trust = trust(self._context)
        except Exception as error:  # for example, the certificate was replaced and its key was not yet
            self.failed += 1
            counts.add("context_failures")
            self._tell(changed, why, error)
        else:
            if changed:
                self.renewed += 1
                counts.add("certificate_renewals")
            self._since = time.monotonic()
            self._failed = None
            log.info("context rebuilt: %s", why)

    def _carry_from_earlier(self) -> None:
        """Copy settings that a server changed on earlier contexts, from which it may create no more connections."""
        self._earlier = [(reference, handed_out) for reference, handed_out in self._earlier if reference() is not None]
        for reference, handed_out in self._earlier:
            kept = reference()
            if kept is None or not handed_out.has_changed(kept):
                continue
            try:
                self._carry(kept, handed_out)
            except Exception as error:
                log.error("a setting that was changed on an earlier context cannot be copied to the current one: %s. "
                          "Set it in the function that builds the context", one_line(str(error)))

    def _carry(self, kept: ssl.SSLContext, handed_out: HandedOut) -> None:
        with self._carrying.here(), self._directly(kept, self._context):
            handed_out.carry(kept, self._context, self._handed_out)

    def _is_too_old(self) -> bool:
        return self._max_age is not None and time.monotonic() - self._since >= self._max_age

    def _why(self, changed: list[WatchedFile]) -> Optional[str]:
        """Return why the context is to be rebuilt, or None."""
        if changed:
            return f"{', '.join(one_line(str(file.path)) for file in changed)} changed"
        if self._is_too_old():
            return f"the context is {self._max_age} seconds old (max_age)"
        # If the context now trusts or requires something else, it needs another id context.
        return None if self._trust == trust(self._context) else "settings of the context were changed"

    def _tell(self, changed: list[WatchedFile], why: str, error: Exception) -> None:
        """Log why the context was not rebuilt, once for the same reason."""
        failed = [WatchedFile(file.path).status for file in changed], str(error)
        if failed == self._failed:
            return
        self._failed = failed
        log.warning("%s, but the context cannot be rebuilt, so the previous context stays in use: %s", why,
                    one_line(str(error)))

    def _built(self, former: Optional[ssl.SSLContext]) -> "tuple[FilesRead, ssl.SSLContext, HandedOut]":
        """Build a new context, with the settings that were changed on `former` from outside."""
        # Before the files are read, so that the next check notices a write during the build.
        files = FilesRead(self._named)
        with files.noticing():
            made = self._build()
            if made is None:
                raise TypeError("default_factory() returned None instead of an ssl.SSLContext: call the hook only if "
                                "the server uses TLS")
            if made is former:
                raise ValueError("default_factory() returned the previous context again: have it create a new "
                                 "ssl.SSLContext in each call")
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
        counts.add("contexts_built")
        return files, made, handed_out

    def _lead_to_current(self, made: ssl.SSLContext, handed_out: HandedOut) -> None:
        """Make a context that a server stores, as asyncio's servers do, create connections with the current one."""
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
        """Make these contexts create connections themselves in this thread, to find out which context creates them."""
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
            self._trust, self._looked = None, float("-inf")  # the next connection causes a rebuild
            return result

        call.__name__ = call.__qualname__ = name
        call.__doc__ = getattr(kind, name).__doc__
        return call

    def _keep(self, call: tuple[str, tuple[Any, ...], dict[str, Any]]) -> None:
        with self._carrying.here():
            kept = [other for other in self._calls
                    if other != call and (call[0] in ADDING or other[0] != call[0])]
            if len(kept) == MOST_CALLS:
                log.warning("%s() and other methods were called on the returned context %d times with different "
                            "arguments, and pysidctx now forgets the oldest call: call them in the function that "
                            "builds the context", call[0], MOST_CALLS)
                del kept[0]
            self._calls = [*kept, call]


def trust(ctx: ssl.SSLContext) -> Optional[tuple[Any, ...]]:
    """Return the settings of the fingerprint that are attributes of the context."""
    return ctx.verify_mode, ctx.verify_flags, ctx.post_handshake_auth
