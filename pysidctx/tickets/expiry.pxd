from libc.stdint cimport uint64_t
from libc.time cimport time

from pysidctx.libssl cimport SSL, SSL_CTX, SSL_SESSION

cdef inline uint64_t unix_time() noexcept nogil:
    return <uint64_t> time(NULL)

cdef bint write_times(SSL *ssl, SSL_CTX *creator, SSL_SESSION *session, uint64_t lifetime) noexcept nogil
cdef int on_session_made(SSL *ssl, SSL_SESSION *session) noexcept nogil
cdef void end_at(SSL_SESSION *session, uint64_t end) noexcept nogil
