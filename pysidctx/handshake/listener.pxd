from libc.string cimport memcmp

from pysidctx.handshake.client_hello cimport ServerName
from pysidctx.handshake.siphash cimport siphash_key, siphash_value
from pysidctx.libssl cimport SSL, SSL_CTX, SSL_CTX_get_ex_data, SSL_get_ex_data, SSL_MAX_SID_CTX_LENGTH
from pysidctx.lockfree.held_contexts cimport HeldContext
from pysidctx.lockfree.id_context_slot cimport sid_slot, sid_slot_read
from pysidctx.lockfree.readers cimport atomic_int, flag_load, shared_load, shared_pointer

cdef extern from *:  # Cython's own
    bint likely(bint) nogil
    bint unlikely(bint) nogil

cdef extern from *:
    """
    #ifdef Py_GIL_DISABLED
    #define PYSIDCTX_HAS_GIL 0
    #else
    #define PYSIDCTX_HAS_GIL 1
    #endif
    """
    const bint HAS_GIL "PYSIDCTX_HAS_GIL"

cdef extern from *:
    """
    #define PYSIDCTX_CPYTHON ((const unsigned char *) "Python")
    """
    const unsigned char *CPYTHON "PYSIDCTX_CPYTHON"  # the id context that CPython sets, with its NUL

cdef enum:
    CPYTHON_LENGTH = 7

# Kept on an SSL_CTX once it has the ClientHello callback; owned by it, freed with it.
cdef struct Listener:
    sid_slot id_context         # CPython's own where no other was set
    bint serves                 # so the SSL_CTX's own id context is random, see keep_apart()
    shared_pointer router       # a Router; NULL where all connections are served alike
    atomic_int left             # not 0 once one of its connections was switched away after the choice
    atomic_int has_ticket_keys  # not 0 where connections that it creates use other keys than OpenSSL's own

# Kept on an SSL once an id context was set on it or chosen for it; owned by it, freed with it.
cdef struct Connection:
    bint own     # set on the connection itself
    bint chosen  # a ClientHello was read under it
    bint routed  # by a Router, so a later ClientHello must name the same host
    bint named   # the Router knows the host, so its name is to be acknowledged
    unsigned int length
    unsigned char id_context[SSL_MAX_SID_CTX_LENGTH]
    siphash_value host    # of the name in the first ClientHello
    SSL_CTX *chosen_for   # which served it then; a reference of its own
    HeldContext *context  # which it was switched to; NULL: none. A reference of its own
    # Which read the first ClientHello, where it was switched then; else NULL. A reference of its own.
    SSL_CTX *former

# What chooses by host name among the connections of an SSL_CTX. Called by the ClientHello callback;
# freed after the last of these calls.
cdef struct Router:
    # Told first, so that what choosing needs may be on its way from memory.
    void (*expect)(Router *router, const siphash_value *host) noexcept nogil
    # Fills in `connection`, which has its own id context already where that is set. Returns False
    # to end the handshake with `alert`.
    bint (*choose)(Router *router, Listener *listener, SSL *ssl, ServerName *name,
                   Connection *connection, int *alert) noexcept nogil
    void (*free)(Router *router) noexcept nogil

# The SSL_CTX that was asked for last, and what is kept on it: OpenSSL takes longer to find that
# than to set an id context. Written under the GIL; where there is none, not at all.
cdef struct Recent:
    SSL_CTX *ctx
    Listener *listener

cdef Recent recent
cdef int listener_index
cdef int connection_index

cdef Listener *new_listener(SSL_CTX *ctx, const unsigned char *sid_ctx,
                            unsigned int length) noexcept nogil
cdef void keep_former(Connection *connection, SSL *ssl) noexcept nogil
cdef Connection *new_connection(SSL *ssl) noexcept nogil
cdef Listener *listener_made(SSL_CTX *ctx) except NULL
cdef bint set_router(Listener *listener, Router *router) noexcept nogil
cdef void wait_for_callbacks() noexcept nogil
cdef const siphash_key *host_key() noexcept nogil

cdef inline Connection *connection_kept(SSL *ssl) noexcept nogil:
    """What is kept on `ssl`; NULL where nothing is yet."""
    return <Connection *> SSL_get_ex_data(ssl, connection_index)

cdef inline Listener *listener_of(SSL_CTX *ctx) noexcept nogil:
    """What is kept on `ctx`; NULL where nothing is yet."""
    return <Listener *> SSL_CTX_get_ex_data(ctx, listener_index)

cdef inline Listener *recent_listener_of(SSL_CTX *ctx) noexcept:
    """The same, quicker for the SSL_CTX that was asked for last; needs the GIL."""
    cdef Listener *listener
    if HAS_GIL and recent.ctx is ctx:
        return recent.listener
    listener = listener_of(ctx)
    if HAS_GIL and listener is not NULL:
        recent.listener = listener
        recent.ctx = ctx
    return listener

cdef inline bint is_routed(Listener *listener) noexcept nogil:
    """Whether a Router chooses for the connections of a listener, which may be NULL."""
    return listener is not NULL and shared_load(&listener.router) is not NULL

cdef inline bint has_ticket_keys(SSL_CTX *ctx) noexcept nogil:
    """Whether connections that `ctx` creates use other ticket keys than OpenSSL's own."""
    cdef Listener *listener = listener_of(ctx)
    return listener is not NULL and flag_load(&listener.has_ticket_keys)

cdef inline bint is_cpythons(const unsigned char *sid_ctx, unsigned int length) noexcept nogil:
    """Whether this is the id context that CPython sets, so that nobody else has chosen one."""
    return length == CPYTHON_LENGTH and memcmp(sid_ctx, CPYTHON, CPYTHON_LENGTH) == 0

cdef inline bint has_own_id_context(Listener *listener) noexcept nogil:
    """Whether the id context of `listener` is another than CPython's."""
    cdef unsigned char found[SSL_MAX_SID_CTX_LENGTH]
    return not is_cpythons(found, sid_slot_read(&listener.id_context, found))
