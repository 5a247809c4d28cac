from pysidctx.libssl cimport SSL, SSL_CTX

cdef bint may_resume(SSL *ssl, SSL_CTX *created_with) noexcept nogil
