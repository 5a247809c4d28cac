from libc.stdint cimport uint64_t

from pysidctx.libssl cimport SSL

cdef uint64_t verified_until(SSL *ssl) noexcept nogil
