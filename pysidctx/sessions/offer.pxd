from cpython.object cimport PyObject

from pysidctx.libssl cimport SSL_SESSION

cdef int resume(PyObject *connection, SSL_SESSION *session, bint any_host) except -1
