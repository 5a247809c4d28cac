"""The exceptions that pysidctx raises."""


class Error(Exception):
    """Base class of pysidctx's own exceptions.

    Raised itself only if a call to OpenSSL failed for another reason than the arguments, such as memory
    that ran out. The message ends with OpenSSL's reason.
    """


class LibraryMismatchError(Error, ImportError):
    """The OpenSSL functions that the interpreter's `ssl` module calls cannot be found, or are not OpenSSL's.

    Raised when pysidctx is imported. A pointer from one libssl handed to another crashes the
    process, so there is no way to go on: the message says what was tried and what to do.
    """


class SessionError(Error):
    """The input is not a session, or the session cannot be resumed on this connection.

    The message says why, and what to do; a full handshake is always possible.
    """


class WrongContextError(Error):
    """A session has another session id context than the one that was expected.

    An application must not resume a session that was made for another one: see
    SSL_CTX_set_session_id_context(3). The message shows both id contexts.
    """
