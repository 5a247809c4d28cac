from cpython.object cimport PyObject

from pysidctx.libssl cimport SSL, SSL_SESSION

# Why a connection does not offer a session.
cdef enum Refusal:
    ACCEPTABLE
    NOT_RESUMABLE
    EXCLUDED_PROTOCOL
    TICKET_EXPIRED
    TICKET_NOT_SENT
    NOT_VERIFIED
    NOT_SET

cdef int resume(PyObject *connection, SSL_SESSION *session, bint any_host) except -1
cdef Refusal refusal_of(SSL *ssl, SSL_SESSION *session) noexcept nogil
cdef Refusal offer(SSL *ssl, SSL_SESSION *session) noexcept nogil
cdef bint is_verified(SSL *ssl, SSL_SESSION *session) noexcept nogil
