from pysidctx.libssl cimport SSL_SESSION

cdef str host_of(SSL_SESSION *session)
cdef bint is_checked(SSL_SESSION *session) noexcept
cdef bint is_same(str host, str other)
cdef int file_connection_host(SSL_SESSION *session, object connection) except -1
cdef int file_said_host(SSL_SESSION *session, object host) except -1
cdef int note_unchecked(SSL_SESSION *session, object context) except -1
cdef int leave_host_out(SSL_SESSION *session) except -1
