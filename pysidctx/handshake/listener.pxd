from libc.stdint cimport uint64_t
from libc.string cimport memcmp

from pysidctx.handshake.client_hello cimport ServerName
from pysidctx.handshake.siphash cimport siphash_key, siphash_value
from pysidctx.libssl cimport (
    SSL, SSL_CTX, SSL_CTX_get_ex_data, SSL_get_ex_data, SSL_MAX_SID_CTX_LENGTH, SSL_SESSION,
)
from pysidctx.lockfree.held_contexts cimport HeldContext
from pysidctx.lockfree.id_context_slot cimport sid_slot, sid_slot_read
from pysidctx.lockfree.readers cimport atomic_int, flag_load, shared_load, shared_pointer

cdef extern from *:  # Cython defines these macros in every module
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

# Of which of an SSL_CTX's connections a Store keeps the sessions.
cdef enum Stores:
    STORES_NONE = 0
    STORES_WITH_CERTIFICATES = 1  # those on which a client certificate is requested
    STORES_ALL = 2

# Stored in an SSL_CTX's ex_data when it gets the ClientHello callback; the SSL_CTX owns it and frees it.
cdef struct Listener:
    sid_slot id_context         # CPython's own if no other was set
    bint serves                 # whether it serves; the SSL_CTX's own id context is then random, see keep_apart()
    shared_pointer router       # a Router; NULL if all connections are served in the same way
    atomic_int left             # not 0 once a connection was switched away after its id context was chosen
    atomic_int has_ticket_keys  # not 0 if the connections that it creates use other keys than OpenSSL's own
    shared_pointer store        # a Store; NULL if OpenSSL keeps the sessions
    atomic_int stores           # for which connections there is a Store: one of Stores
    bint has_store_callbacks    # whether a Store was ever installed, so that its callbacks are in place

# Stored in an SSL's ex_data when an id context is set on it or chosen for it; the SSL owns it and frees it.
cdef struct Connection:
    bint own      # the id context was set on the connection itself
    bint chosen   # the id context was chosen: a ClientHello was read
    bint routed   # a Router has chosen it, so a later ClientHello must name the same host
    bint named    # the Router knows the host, so its name is to be acknowledged
    bint resumed  # counted as resumed: the ClientHello after a HelloRetryRequest counts no more
    unsigned int length
    unsigned char id_context[SSL_MAX_SID_CTX_LENGTH]
    siphash_value host    # the hash of the name in the first ClientHello
    SSL_CTX *chosen_for   # the SSL_CTX that served it when the id context was chosen; holds a reference
    HeldContext *context  # the context to which it was switched, or NULL; holds a reference
    # If it was switched, the SSL_CTX that read the first ClientHello; otherwise NULL. Holds a reference.
    SSL_CTX *former

# Chooses how to serve the connections of an SSL_CTX, by host name. The ClientHello callback calls it;
# it is freed after the last of these calls.
cdef struct Router:
    # Called first, to prefetch the memory that choose() will read.
    void (*expect)(Router *router, const siphash_value *host) noexcept nogil
    # Fills in `connection`, which already has an id context if `own` is set. Returns False to end the
    # handshake with `alert`.
    bint (*choose)(Router *router, Listener *listener, SSL *ssl, ServerName *name,
                   Connection *connection, int *alert) noexcept nogil
    void (*free)(Router *router) noexcept nogil

# Keeps the sessions of the connections that an SSL_CTX creates. The ClientHello callback calls it; it is freed after
# the last of these calls.
cdef struct Store:
    # Called once for each connection, after its id context and its SSL_CTX were chosen.
    void (*prepare)(Store *store, SSL *ssl) noexcept nogil
    void (*free)(Store *store) noexcept nogil
    uint64_t lifetime  # of its sessions, in seconds

# A cache of one entry: the SSL_CTX that was looked up last, and its Listener. OpenSSL takes longer to look
# ex_data up than to set an id context. Written under the GIL, and not used without a GIL.
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
cdef bint set_store(Listener *listener, Store *store) noexcept nogil
cdef uint64_t stored_lifetime(Listener *listener) noexcept nogil
cdef void wait_for_callbacks() noexcept nogil
cdef void count_resumed(SSL *ssl, const SSL_SESSION *session, unsigned int counter) noexcept nogil
cdef const siphash_key *host_key() noexcept nogil

cdef inline Connection *connection_kept(SSL *ssl) noexcept nogil:
    """Return the Connection that is stored in `ssl`, or NULL."""
    return <Connection *> SSL_get_ex_data(ssl, connection_index)

cdef inline Listener *listener_of(SSL_CTX *ctx) noexcept nogil:
    """Return the Listener that is stored in `ctx`, or NULL."""
    return <Listener *> SSL_CTX_get_ex_data(ctx, listener_index)

cdef inline Listener *recent_listener_of(SSL_CTX *ctx) noexcept:
    """Like listener_of(), but faster for the SSL_CTX that was looked up last. Needs the GIL."""
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

cdef inline Stores stores_of(SSL_CTX *ctx) noexcept nogil:
    """Of which of the connections that `ctx` creates a Store keeps the sessions."""
    cdef Listener *listener = listener_of(ctx)
    return STORES_NONE if listener is NULL else <Stores> flag_load(&listener.stores)

cdef inline bint is_cpythons(const unsigned char *sid_ctx, unsigned int length) noexcept nogil:
    """Whether this is the id context that CPython sets, so that no other was chosen."""
    return length == CPYTHON_LENGTH and memcmp(sid_ctx, CPYTHON, CPYTHON_LENGTH) == 0

cdef inline bint has_own_id_context(Listener *listener) noexcept nogil:
    """Whether the id context of `listener` differs from CPython's."""
    cdef unsigned char found[SSL_MAX_SID_CTX_LENGTH]
    return not is_cpythons(found, sid_slot_read(&listener.id_context, found))
