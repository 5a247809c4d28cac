from pysidctx.libssl cimport SSL, SSL_CTX, SSL_SESSION
from pysidctx.tickets.keyring cimport Keyring

cdef int use_keyring(SSL_CTX *ctx, Keyring *ring) except -1
cdef bint stop_using(SSL_CTX *ctx, Keyring *ring) except -1
cdef Keyring *keyring_of(SSL_CTX *ctx) noexcept nogil
cdef int write_times_of_tickets(SSL_CTX *ctx) except -1
cdef int refuse_other_callback(SSL_CTX *ctx) except -1
cdef bint lacks_certificate(SSL *ssl, SSL_SESSION *session) noexcept nogil
