from cpython.object cimport PyObject

from pysidctx.libssl cimport SSL_SESSION

cdef str host_of(SSL_SESSION *session)
cdef bint is_same(str host, str other)
cdef bint checks_name(PyObject *connection) except -1
cdef bint is_checked(SSL_SESSION *session) noexcept nogil
cdef bint set_checked(SSL_SESSION *session, bint was_checked) noexcept nogil
cdef int note_checked(SSL_SESSION *session, bint was_checked) except -1
cdef int file_host_of(SSL_SESSION *session, PyObject *connection) except -1
cdef int file_given_host(SSL_SESSION *session, object host) except -1
cdef int file_host(SSL_SESSION *session, object name) except -1
cdef str as_server_hostname(object host)
