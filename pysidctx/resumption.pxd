from cpython.object cimport PyObject

from pysidctx.libssl cimport SSL_SESSION

cdef int resume(PyObject *connection, SSL_SESSION *session, bint any_host) except -1
cdef bint is_marked(SSL_SESSION *session) noexcept
cdef object refusal_of_marked()
cdef str protocol_of(SSL_SESSION *session)
