from pysidctx.handshake.client_hello cimport ServerName
from pysidctx.libssl cimport SSL

cdef void note_rejection(SSL *ssl, const ServerName *name) noexcept nogil
