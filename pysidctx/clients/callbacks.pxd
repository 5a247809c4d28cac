from libc.stdint cimport uint64_t

from pysidctx.clients.session_store cimport SessionStore
from pysidctx.clients.terms cimport ClientContext
from pysidctx.libssl cimport SSL_CTX, SSL_SESSION

cdef bint install_store(SSL_CTX *ctx, SessionStore *store, bint shared, bint later) except -1
cdef bint uninstall_store(SSL_CTX *ctx, SessionStore *store) except -1
cdef uint64_t own_end_of(SSL_SESSION *session) noexcept nogil
cdef ClientContext *client_context_of(SSL_CTX *ctx) noexcept nogil
