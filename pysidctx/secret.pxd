from cpython.buffer cimport Py_buffer

cdef enum:
    RANDOM_SECRET = 32  # bytes

cdef class Secret:
    """The bytes of a secret, inside a `with` statement."""
    cdef const unsigned char *data
    cdef Py_ssize_t length
    cdef Py_buffer view  # of the caller's object; its `buf` is NULL if there is none
    cdef unsigned char made[RANDOM_SECRET]

cdef Secret random_secret()
cdef Secret secret_in(object given)
