from pysidctx.libssl cimport SSL_CTX
from pysidctx.tickets.keyring cimport Keyring

cdef int use_keyring(SSL_CTX *ctx, Keyring *ring) except -1
cdef bint stop_using(SSL_CTX *ctx, Keyring *ring) except -1
cdef Keyring *keyring_of(SSL_CTX *ctx) noexcept nogil
