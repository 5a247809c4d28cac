from pysidctx.libssl cimport SSL_CTX

cdef void acknowledge_names(SSL_CTX *ctx) noexcept nogil
cdef void ignore_names(SSL_CTX *ctx) noexcept nogil
cdef void ask_host(SSL_CTX *ctx) noexcept nogil
