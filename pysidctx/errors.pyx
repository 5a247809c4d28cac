"""From OpenSSL's error queue to one Python exception, with the queue drained."""

from pysidctx.libssl cimport ERR_clear_error, ERR_error_string_n, ERR_peek_last_error


class Error(Exception):
    """Base class of pysidctx's own exceptions.

    Raised itself only where a call to OpenSSL failed for a reason of its own, such as memory
    that ran out; the message ends with OpenSSL's words for it.
    """


class LibraryMismatchError(Error, ImportError):
    """The interpreter's `ssl` module does not use the libssl that pysidctx is linked with.

    Raised when pysidctx is imported. A pointer from one libssl handed to another crashes the
    process, so there is no way to go on: the message names both files and what to do.
    """


class SessionError(Error):
    """The input is not a session, or the session cannot be resumed on this connection.

    The message says why, and what to do; a full handshake is always possible.
    """


class WrongContextError(Error):
    """A session has another session id context than the one that was expected.

    An application must not take in a session that was made for another one, see
    SSL_CTX_set_session_id_context(3). The message shows both id contexts.
    """


cdef int raise_queued(const char *call) except -1 nogil:
    # An entry left in the queue would break the next read of any connection of this thread.
    cdef unsigned long code = ERR_peek_last_error()
    cdef char reason[256]
    ERR_error_string_n(code, reason, sizeof(reason))
    ERR_clear_error()
    with gil:
        if code == 0:
            raise Error(f"{call.decode()} failed and gave no reason")
        raise Error(f"{call.decode()} failed: {reason.decode('utf-8', 'replace')}")
