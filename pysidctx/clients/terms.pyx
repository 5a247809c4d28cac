"""The terms on which a client's connection accepts its peer: what it trusts, what it demands, and who it is itself.

A resumed handshake checks none of this again, so a session is offered only on the terms that it was made on. They are
read in each handshake, from the connection and its SSL_CTX, so that a change since is noticed. The CAs and certificates
of an SSL_CTX are hashed only when their number, or the current certificate, has changed.
"""

import _ssl

from libc.stdint cimport uint64_t
from libc.stdlib cimport free, qsort, realloc
from libc.string cimport memcmp, memcpy, memset, strlen

from pysidctx.binding cimport bind_openssl
from pysidctx.clients.session_store cimport HOST_LENGTH, lock_stores, unlock_stores
from pysidctx.handles cimport SSL_CTX_from
from pysidctx.handshake.listener cimport (
    Connection, Listener, connection_kept, is_cpythons, listener_of,
)
from pysidctx.id_contexts.derivation cimport sha256_md
from pysidctx.id_contexts.store_lookups cimport store_fetches
from pysidctx.libssl cimport (
    EVP_Digest, OPENSSL_free, SSL_CERT_SET_FIRST, SSL_CERT_SET_NEXT, SSL_CTX_get0_certificate,
    SSL_CTX_get0_privatekey, SSL_CTX_get_cert_store, SSL_CTX_get_verify_callback, SSL_free, SSL_get0_param,
    SSL_get_certificate, SSL_get_privatekey, SSL_get_security_level, SSL_get_servername, SSL_get_verify_mode, SSL_new,
    SSL_set_current_cert, SSL_VERIFY_PEER, STACK_OF_X509_OBJECT, TLSEXT_NAMETYPE_host_name, X509_CRL, X509_free,
    X509_OBJECT, X509_OBJECT_free, X509_OBJECT_get0_X509, X509_OBJECT_get0_X509_CRL, X509_STORE_get0_objects,
    X509_STORE_get0_param, X509_up_ref, X509_VERIFY_PARAM, X509_VERIFY_PARAM_get_auth_level,
    X509_VERIFY_PARAM_get_depth, X509_VERIFY_PARAM_get_flags, X509_VERIFY_PARAM_get_hostflags, i2d_X509,
    i2d_X509_AUX, i2d_X509_CRL, SSL_verify_cb, sk_X509_OBJECT_num, sk_X509_OBJECT_pop_free, sk_X509_OBJECT_value,
)
from pysidctx.lockfree.id_context_slot cimport sid_slot_read
from pysidctx.openssl_compat cimport X509_STORE_get1_objects, checks_host, get0_host, get1_ip_asc

bind_openssl()

cdef enum:
    DIGEST_LENGTH = 32
    # A digest follows its kind.
    ENTRY_LENGTH = 1 + DIGEST_LENGTH
    OWN_CERTIFICATE = 1
    TRUSTED_CERTIFICATE = 2
    REVOCATION_LIST = 3

cdef extern from *:
    """
    #define PYSIDCTX_LABEL_CLIENT_TRUST "pysidctx client trust 1"
    """
    const char *LABEL_CLIENT_TRUST "PYSIDCTX_LABEL_CLIENT_TRUST"

# The verify callback of Python's own contexts: NULL, but for newer releases of CPython.
cdef SSL_verify_cb python_s_callback = SSL_CTX_get_verify_callback(
    SSL_CTX_from(_ssl._SSLContext(_ssl.PROTOCOL_TLS_CLIENT)))

# What is hashed at the end: the label and the settings, then the digests of certificates and lists, sorted.
cdef struct Text:
    unsigned char *data
    size_t length
    size_t room
    bint failed


cdef bint read_host(SSL *ssl, HostKey *key) noexcept nogil:
    """Read which host a client's connection is to, before its ClientHello. Returns False if that is not known."""
    cdef const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)
    cdef X509_VERIFY_PARAM *param = SSL_get0_param(ssl)
    cdef const char *checked = get0_host(param)
    cdef char *address
    if name is not NULL:
        key.is_address = False
        # If the certificate is checked for another name, it is not known whether the session may be resumed.
        return copy_name(name, key) and (checked is NULL or is_name(checked, key))
    if checked is not NULL:
        return False
    address = get1_ip_asc(param)
    if address is NULL:
        return False
    key.is_address = True
    found = copy_name(address, key)
    OPENSSL_free(address)
    return found


cdef bint copy_name(const char *name, HostKey *key) noexcept nogil:
    cdef size_t length = strlen(name)
    cdef size_t i
    if length == 0 or length > HOST_LENGTH:
        return False
    for i in range(length):
        key.name[i] = lower(name[i])
    key.name[length] = 0
    key.length = <unsigned int> length
    return True


cdef inline char lower(char letter) noexcept nogil:
    return letter + 32 if b"A" <= letter <= b"Z" else letter


cdef bint is_name(const char *name, const HostKey *key) noexcept nogil:
    cdef size_t i
    if strlen(name) != key.length:
        return False
    for i in range(key.length):
        if lower(name[i]) != key.name[i]:
            return False
    return True


cdef bint read_terms(SSL *ssl, SSL_CTX *ctx, ClientContext *context, Terms *terms) noexcept nogil:
    """Read the terms of a connection, whose SSL_CTX is `ctx` now. Returns False if they cannot be determined."""
    cdef X509_VERIFY_PARAM *param = SSL_get0_param(ssl)
    cdef int checks = checks_host(param)
    cdef bint listed
    memset(terms, 0, sizeof(Terms))
    # A connection keeps the certificates and keys that its SSL_CTX had when it was created. load_cert_chain() sets the
    # key some time after the certificate.
    if (SSL_get_certificate(ssl) is not SSL_CTX_get0_certificate(ctx)
            or SSL_get_privatekey(ssl) is not SSL_CTX_get0_privatekey(ctx)):
        return False
    if not trust_of(ctx, context, terms.trust, &listed):
        return False
    terms.unlisted = not listed
    terms.owner = 0 if context.shared and listed else context.number
    terms.verify_mode = SSL_get_verify_mode(ssl)
    terms.flags = X509_VERIFY_PARAM_get_flags(param)
    terms.depth = X509_VERIFY_PARAM_get_depth(param)
    terms.auth_level = X509_VERIFY_PARAM_get_auth_level(param)
    terms.security_level = SSL_get_security_level(ssl)
    terms.host_flags = X509_VERIFY_PARAM_get_hostflags(param)
    if checks < 0:
        # Python refuses to check the name without verifying the certificate.
        checks = 2 if terms.verify_mode & SSL_VERIFY_PEER else 0
    terms.checks_name = <unsigned int> checks
    read_id_context(ssl, ctx, terms)
    return True


cdef void read_id_context(SSL *ssl, SSL_CTX *ctx, Terms *terms) noexcept nogil:
    """Read the id context that the user has set on the connection, or else on its SSL_CTX."""
    cdef Connection *connection = connection_kept(ssl)
    cdef Listener *listener
    if connection is not NULL and connection.own:
        terms.id_context_length = connection.length
        memcpy(terms.id_context, connection.id_context, connection.length)
        return
    listener = listener_of(ctx)
    if listener is not NULL:
        terms.id_context_length = sid_slot_read(&listener.id_context, terms.id_context)
        if is_cpythons(terms.id_context, terms.id_context_length):
            memset(terms.id_context, 0, terms.id_context_length)
            terms.id_context_length = 0


cdef bint trust_of(SSL_CTX *ctx, ClientContext *context, unsigned char *trust, bint *listed) noexcept nogil:
    """Write TRUST_LENGTH bytes that identify what `ctx` trusts, and by which certificates it authenticates itself.

    They are equal for equal contexts of all processes if `listed` is set. Otherwise, no other SSL_CTX has them. Returns
    False if memory runs out, or the trust changes meanwhile. Do not call it with the lock of the stores.
    """
    cdef TrustState now, later
    cdef bint known, newly_unlisted
    read_state(ctx, &now)
    lock_stores()
    known = context.known and is_equal(&context.state, &now)
    if known:
        memcpy(trust, context.trust, TRUST_LENGTH)
        listed[0] = context.listed
    unlock_stores()
    if known:
        return True
    # Another verify callback may accept anything.
    listed[0] = now.fetches == 0 and SSL_CTX_get_verify_callback(ctx) is python_s_callback
    if not compute(ctx, 0 if listed[0] else context.number, &now, trust):
        return False
    read_state(ctx, &later)
    if not is_equal(&later, &now) or (now.certificate is not NULL and not X509_up_ref(now.certificate)):
        return False
    lock_stores()
    newly_unlisted = not listed[0] and not (context.known and not context.listed)
    later = context.state
    context.state = now
    context.known = True
    context.listed = listed[0]
    memcpy(context.trust, trust, TRUST_LENGTH)
    if newly_unlisted and context.store is not NULL:
        context.store.counts.unlisted += 1
    unlock_stores()
    X509_free(later.certificate)
    return True


cdef void forget_state(ClientContext *context) noexcept nogil:
    X509_free(context.state.certificate)


cdef void read_state(SSL_CTX *ctx, TrustState *state) noexcept nogil:
    cdef X509_VERIFY_PARAM *param
    state.certificate = SSL_CTX_get0_certificate(ctx)
    state.key = SSL_CTX_get0_privatekey(ctx)
    state.store = SSL_CTX_get_cert_store(ctx)
    param = X509_STORE_get0_param(state.store)
    state.objects = sk_X509_OBJECT_num(X509_STORE_get0_objects(state.store))
    state.fetches = store_fetches(state.store)
    state.flags = X509_VERIFY_PARAM_get_flags(param)
    state.depth = X509_VERIFY_PARAM_get_depth(param)
    state.auth_level = X509_VERIFY_PARAM_get_auth_level(param)


cdef bint is_equal(const TrustState *state, const TrustState *other) noexcept nogil:
    return (state.certificate is other.certificate and state.key is other.key and state.store is other.store
            and state.objects == other.objects and state.fetches == other.fetches and state.flags == other.flags
            and state.depth == other.depth and state.auth_level == other.auth_level)


cdef bint compute(SSL_CTX *ctx, uint64_t number, const TrustState *state, unsigned char *trust) noexcept nogil:
    """Hash the trust of `ctx`. If it cannot be listed, its `number` stands for the CAs, which can only become more."""
    cdef Text text
    cdef size_t begin
    cdef uint64_t settings[4]
    memset(&text, 0, sizeof(Text))
    settings[0] = number
    settings[1] = state.flags
    settings[2] = <uint64_t> state.depth
    settings[3] = <uint64_t> state.auth_level
    append(&text, LABEL_CLIENT_TRUST, strlen(LABEL_CLIENT_TRUST))
    append(&text, settings, sizeof(settings))
    begin = text.length
    if state.certificate is not NULL:
        add_own_certificates(&text, ctx)
    add_store(&text, state.store, number == 0)
    if not text.failed:
        # Duplicates change nothing: a store has none.
        qsort(text.data + begin, (text.length - begin) // ENTRY_LENGTH, ENTRY_LENGTH, compare_entries)
        text.failed = not EVP_Digest(text.data, text.length, trust, NULL, sha256_md, NULL)
    free(text.data)
    return not text.failed


cdef int compare_entries(const void *entry, const void *other) noexcept nogil:
    return memcmp(entry, other, ENTRY_LENGTH)


cdef void append(Text *text, const void *data, size_t length) noexcept nogil:
    cdef unsigned char *grown
    if text.length + length > text.room:
        grown = <unsigned char *> realloc(text.data, 2 * text.room + length + 1024)
        if grown is NULL:
            text.failed = True
            return
        text.data = grown
        text.room = 2 * text.room + length + 1024
    memcpy(text.data + text.length, data, length)
    text.length += length


cdef void add_entry(Text *text, unsigned char kind, unsigned char *der, int length) noexcept nogil:
    """Add the digest of an encoded object, and free the encoding."""
    cdef unsigned char entry[ENTRY_LENGTH]
    entry[0] = kind
    if length <= 0 or not EVP_Digest(der, length, entry + 1, NULL, sha256_md, NULL):
        text.failed = True
    else:
        append(text, entry, ENTRY_LENGTH)
    OPENSSL_free(der)


cdef void add_own_certificates(Text *text, SSL_CTX *ctx) noexcept nogil:
    # SSL_CTX_set_current_cert() would move a cursor that other threads use, so this iterates over the copy in a
    # new connection.
    cdef SSL *ssl = SSL_new(ctx)
    cdef unsigned char *der
    cdef int found, length
    if ssl is NULL:
        text.failed = True
        return
    found = SSL_set_current_cert(ssl, SSL_CERT_SET_FIRST)
    while found:
        der = NULL
        length = i2d_X509(SSL_get_certificate(ssl), &der)
        add_entry(text, OWN_CERTIFICATE, der, length)
        found = SSL_set_current_cert(ssl, SSL_CERT_SET_NEXT)
    SSL_free(ssl)


cdef void add_store(Text *text, X509_STORE *store, bint with_certificates) noexcept nogil:
    cdef STACK_OF_X509_OBJECT *objects = X509_STORE_get1_objects(store)
    cdef X509_OBJECT *found
    cdef X509 *certificate
    cdef X509_CRL *crl
    cdef unsigned char *der
    cdef int i, length
    if objects is NULL:
        text.failed = True
        return
    for i in range(sk_X509_OBJECT_num(objects)):
        found = sk_X509_OBJECT_value(objects, i)
        certificate = X509_OBJECT_get0_X509(found)
        crl = X509_OBJECT_get0_X509_CRL(found)
        der = NULL
        if certificate is not NULL and with_certificates:
            length = i2d_X509_AUX(certificate, &der)
            add_entry(text, TRUSTED_CERTIFICATE, der, length)
        elif crl is not NULL:
            length = i2d_X509_CRL(crl, &der)
            add_entry(text, REVOCATION_LIST, der, length)
    sk_X509_OBJECT_pop_free(objects, X509_OBJECT_free)
