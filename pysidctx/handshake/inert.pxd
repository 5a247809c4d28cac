from pysidctx.libssl cimport SSL_CTX

cdef class Rerouted:
    """An attribute of an SSLContext whose connections are switched to other contexts."""
    cdef list serving(self)

cdef list contexts_serving(object context)
cdef int note_listener(object context) except -1
cdef int warn_of_keys(object context) except -1
cdef int warn_of_cache(object context, bint always) except -1
cdef int warn_without_verification(list serving) except -1
cdef int warn_of_host(SSL_CTX *listener, SSL_CTX *host) except -1
cdef int warn_without_certificate(object context, SSL_CTX *ctx, str consequence) except -1
cdef int warn_of_clients(object context, SSL_CTX *ctx) except -1
