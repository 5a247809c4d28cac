"""From OpenSSL's error queue to one Python exception, with the queue drained."""

from pysidctx.exceptions import Error

from pysidctx.binding cimport bind_openssl
from pysidctx.libssl cimport ERR_clear_error, ERR_error_string_n, ERR_peek_last_error

bind_openssl()


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
