"""everywhere(): a ClientSessions on every client context that a program makes, for libraries that make their own."""

import ssl
from types import TracebackType
from typing import Any, Optional

from pysidctx.clients.client_sessions import (
    ClientSessions,
    context_class,
    count_everywhere,
    install_on_new,
    uninstall_everywhere,
)

# Those that were not undone, the newest last: it is the one that counts.
_active: list["Everywhere"] = []
# The `__new__` in the class that was replaced last, and what has replaced it.
_replaced: list[object] = []


def everywhere(sessions: Optional[ClientSessions] = None) -> "Everywhere":
    """Install one ClientSessions on every client context that is made from now on.

    For programs whose libraries make contexts of their own, such as `requests`, which makes one for each call of
    `requests.get()`. Contexts share sessions if they trust the same CAs, demand the same and have the same certificate
    of their own when they shake hands: see `ClientSessions.install()` with share=True.

    It replaces `ssl.SSLContext.__new__`, of the class as Python has it, and nothing else, so that every context is
    covered, of subclasses too, unless it is of PROTOCOL_TLS_SERVER. One of PROTOCOL_TLS, which may serve as well,
    remains as it is until it makes a client's connection. It goes with `truststore.inject_into_ssl()` in either order.
    Contexts that were made before the call are not covered: pass them to `install()`.

    sessions
        The ClientSessions to install; None makes a new one.

    Returns an `Everywhere`. Its `sessions` is the ClientSessions; `undo()`, or leaving a `with` statement, ends it. If
    it is called again before that, the new call counts until it is undone.

    Raises TypeError if `sessions` is neither, and RuntimeError if another library has changed `ssl.SSLContext` itself.
    Calls of it and of `undo()` must not overlap; contexts may be made in other threads meanwhile.
    """
    if sessions is None:
        sessions = ClientSessions()
    elif not isinstance(sessions, ClientSessions):
        raise TypeError(f"sessions must be a ClientSessions or None, not {type(sessions).__name__}")
    return Everywhere(sessions)


class Everywhere:
    """What `everywhere()` returns: a context manager, whose end is that of its effect."""

    def __init__(self, sessions: ClientSessions) -> None:
        self.sessions = sessions
        kind = context_class()
        if not _active:
            _replace(kind)
        count_everywhere(sessions, 1)
        _active.append(self)

    def undo(self) -> None:
        """Uninstall the sessions from the contexts that were made meanwhile, and restore `ssl.SSLContext.__new__`.

        Does nothing if it was done before.
        If another library has replaced `__new__` since then, that one stays, and calls Python's.
        """
        if self not in _active:
            return
        _active.remove(self)
        count_everywhere(self.sessions, -1)
        if not _active:
            _restore(context_class())
        if all(other.sessions is not self.sessions for other in _active):
            uninstall_everywhere(self.sessions)

    def __enter__(self) -> "Everywhere":
        return self

    def __exit__(self, kind: Optional[type[BaseException]], error: Optional[BaseException],
                 traceback: Optional[TracebackType]) -> None:
        self.undo()


def _replace(kind: type[ssl.SSLContext]) -> None:
    make = kind.__new__

    def __new__(cls: type[ssl.SSLContext], *arguments: Any, **options: Any) -> ssl.SSLContext:
        made = make(cls, *arguments, **options)
        for newest in _active[-1:]:
            install_on_new(newest.sessions, made)
        return made

    ours = staticmethod(__new__)
    _replaced[:] = kind.__dict__["__new__"], ours
    kind.__new__ = ours  # type: ignore[method-assign, assignment]


def _restore(kind: type[ssl.SSLContext]) -> None:
    former, ours = _replaced
    if kind.__dict__["__new__"] is ours:
        kind.__new__ = former  # type: ignore[method-assign, assignment]
