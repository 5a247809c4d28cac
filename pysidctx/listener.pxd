from libc.string cimport memcpy

from pysidctx.client_hello cimport ServerName
from pysidctx.codes cimport (
    PYSIDCTX_NO_MEMORY, PYSIDCTX_OK, PYSIDCTX_TOO_LATE,
)
from pysidctx.contexts cimport HeldContext, shared_pointer
from pysidctx.libssl cimport (
    SSL, SSL_CTX, SSL_CTX_get_ex_data, SSL_CTX_set_session_id_context, SSL_get_ex_data,
    SSL_get_pending_cipher, SSL_get_session, SSL_in_before, SSL_MAX_SID_CTX_LENGTH,
    SSL_set_session_id_context,
)
from pysidctx.siphash cimport siphash_key, siphash_value

cdef extern from "sid_slot.h" nogil:
    ctypedef struct sid_slot:
        pass
    void sid_slot_write(sid_slot *slot, const unsigned char *data, unsigned int length)
    unsigned int sid_slot_read(sid_slot *slot, unsigned char *data)

cdef extern from "stdatomic.h" nogil:
    ctypedef struct atomic_int:
        pass

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

# Kept on an SSL_CTX once it has the ClientHello callback; owned by it, freed with it.
cdef struct Listener:
    sid_slot id_context    # CPython's own where no other was set
    bint serves            # so the SSL_CTX's own id context is random, see keep_apart()
    shared_pointer router  # a Router; NULL where all connections are served alike
    atomic_int left        # not 0 once one of its connections was switched away after the choice

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

cdef inline int set_on_context(SSL_CTX *ctx, Listener *listener, const unsigned char *sid_ctx,
                               unsigned int length) noexcept nogil:
    """Set an id context of at most 32 bytes for the next connections of `ctx`; returns a PYSIDCTX_ code.

    `listener` is what is kept on `ctx`. Two calls for one `ctx` must not overlap; handshakes may
    run meanwhile.
    """
    if listener is not NULL:
        sid_slot_write(&listener.id_context, sid_ctx, length)
    else:
        listener = new_listener(ctx, sid_ctx, length)
        if listener is NULL:
            return PYSIDCTX_NO_MEMORY
    if listener.serves:
        return PYSIDCTX_OK
    return SSL_CTX_set_session_id_context(ctx, sid_ctx, length)

cdef inline int set_on_connection(SSL *ssl, const unsigned char *sid_ctx,
                                  unsigned int length) noexcept nogil:
    """Set an id context of at most 32 bytes for `ssl` alone; returns a PYSIDCTX_ code.

    Called by the one thread that uses `ssl`.
    """
    cdef Connection *connection
    # A server has a session, and that its id context, from the ClientHello on; between a
    # HelloRetryRequest and its answer none, but a cipher.
    if (not likely(SSL_in_before(ssl))
            and (SSL_get_session(ssl) is not NULL or SSL_get_pending_cipher(ssl) is not NULL)):
        return PYSIDCTX_TOO_LATE
    connection = connection_kept(ssl)
    if unlikely(connection is NULL):
        connection = new_connection(ssl)
        if connection is NULL:
            return PYSIDCTX_NO_MEMORY
    connection.own = True
    if likely(length == SSL_MAX_SID_CTX_LENGTH):  # as derived ones are: without a call
        memcpy(connection.id_context, sid_ctx, SSL_MAX_SID_CTX_LENGTH)
    else:
        memcpy(connection.id_context, sid_ctx, length)
    connection.length = length
    return SSL_set_session_id_context(ssl, sid_ctx, length)
