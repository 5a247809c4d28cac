from pysidctx.libssl cimport SSL_CTX

cdef int warn_without_tickets(SSL_CTX *ctx) except -1
cdef int warn_without_certificate(object context, SSL_CTX *ctx, str consequence) except -1
cdef int warn_of_clients(object context, SSL_CTX *ctx) except -1
