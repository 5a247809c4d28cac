from libc.stdint cimport uint64_t

from pysidctx.clients.session_store cimport TRUST_LENGTH, HostKey, SessionStore, Terms
from pysidctx.libssl cimport SSL, SSL_CTX, X509, X509_STORE, info_fn, new_session_fn

# What an SSL_CTX trusted, and authenticated itself by, when its trust was computed.
cdef struct TrustState:
    X509 *certificate      # the current one; holds a reference, so that no other one gets its address
    void *key              # of that certificate; NULL until it follows: only then is the certificate used
    X509_STORE *store
    int objects            # in the store: CAs and revocation lists, which Python can only add
    int fetches            # 1: CAs are loaded on demand; 0: they are not; -1: OpenSSL does not tell
    unsigned long flags    # of the store, as the next two
    int depth
    int auth_level

# Stored in an SSL_CTX's ex_data on the first installation; the SSL_CTX owns it and frees it. The stores' lock protects
# what can change.
cdef struct ClientContext:
    uint64_t number        # no other SSL_CTX of this process ever has it
    info_fn former_info    # the callbacks that were there before, or NULL
    new_session_fn former_new
    long former_mode
    SessionStore *store    # holds a reference; NULL if none is installed
    bint shared            # whether contexts with equal trust may use its sessions
    bint pending           # whether it keeps sessions only from the first handshake of a client on
    bint active            # whether its cache mode was changed
    bint known             # whether what follows was computed
    bint listed            # whether all that it trusts is known
    TrustState state
    unsigned char trust[TRUST_LENGTH]

cdef bint read_host(SSL *ssl, HostKey *key) noexcept nogil
cdef bint read_terms(SSL *ssl, SSL_CTX *ctx, ClientContext *context, Terms *terms) noexcept nogil
cdef bint trust_of(SSL_CTX *ctx, ClientContext *context, unsigned char *trust, bint *listed) noexcept nogil
cdef void forget_state(ClientContext *context) noexcept nogil
