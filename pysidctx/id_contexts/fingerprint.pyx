"""The fingerprint of an SSLContext: 32 bytes that identify how it authenticates itself and its peers."""

from hashlib import sha256

import _ssl

cimport cython

from pysidctx.id_contexts.derivation import derive_session_id_context

from pysidctx.binding cimport bind_openssl
from pysidctx.der cimport der_of
from pysidctx.errors cimport check, check_pointer
from pysidctx.handles cimport SSL_CTX_from
from pysidctx.id_contexts.client_verification cimport Demands
from pysidctx.id_contexts.derivation cimport LABEL_FINGERPRINT
from pysidctx.id_contexts.store_lookups cimport store_fetches
from pysidctx.libssl cimport (
    SSL, SSL_CERT_SET_FIRST, SSL_CERT_SET_NEXT, SSL_CTX, SSL_CTX_get0_CA_list, SSL_CTX_get0_param,
    SSL_CTX_get_cert_store, SSL_CTX_get_client_CA_list, SSL_CTX_get_extra_chain_certs_only, SSL_CTX_get_security_level,
    SSL_CTX_get_verify_depth, SSL_CTX_get_verify_mode, SSL_free, SSL_get0_chain_certs, SSL_get_certificate, SSL_new,
    SSL_set_current_cert, STACK_OF_X509, STACK_OF_X509_NAME, STACK_OF_X509_OBJECT, X509_OBJECT, X509_OBJECT_free,
    X509_OBJECT_get0_X509, X509_OBJECT_get0_X509_CRL, X509_STORE, X509_STORE_get0_param, X509_VERIFY_PARAM,
    X509_VERIFY_PARAM_get_auth_level, X509_VERIFY_PARAM_get_depth, X509_VERIFY_PARAM_get_flags,
    X509_VERIFY_PARAM_get_hostflags, i2d_of_void, i2d_X509, i2d_X509_AUX, i2d_X509_CRL, i2d_X509_NAME,
    sk_X509_NAME_num, sk_X509_NAME_value, sk_X509_OBJECT_num, sk_X509_OBJECT_pop_free, sk_X509_OBJECT_value,
    sk_X509_num, sk_X509_value,
)
from pysidctx.openssl_compat cimport X509_STORE_get1_objects
from pysidctx.wrapped cimport unwrapped

bind_openssl()


def context_fingerprint(ctx):
    """Return 32 bytes that identify how a context authenticates itself and its peers.

    Derive an id context from it, as in `derive_session_id_context("shop", context_fingerprint(ctx))`:
    sessions are then resumed only by contexts with the same settings, on every worker and machine.

    The result is the same in every release. It is `derive_session_id_context()` of the parts below. A
    *set* is the concatenation of the SHA-256 digests of its members, sorted and without duplicates.
    Certificates, names and lists are in DER format.

    1. the text `pysidctx context fingerprint 1`
    2. the certificates, one for each type of key: the set of them, each as the
       `derive_session_id_context()` of the certificate and those of its chain, in order
    3. the chain certificates for all types of key (`SSL_CTX_add_extra_chain_cert()`, which Python
       does not use): the set of them
    4. the trusted certificates of the store, with the trust settings that OpenSSL appends to
       them (`i2d_X509_AUX()`): the set of them
    5. the certificate revocation lists of the store: the set of them
    6. the CA names sent to clients (`SSL_CTX_set_client_CA_list()`, `SSL_CTX_set0_CA_list()`):
       the set of them
    7. the settings, as a text of `name=decimal number`, joined by commas, in this order:
       verify_mode (`SSL_CTX_get_verify_mode()`), verify_depth, verify_flags, host_flags,
       auth_level, security_level, store_flags, store_depth, store_auth_level, check_hostname,
       post_handshake_auth
    8. the names of the ciphers that authenticate without a certificate (anonymous, by pre-shared
       key or by SRP): the set of them

    The fingerprint does not cover signature algorithms and callbacks for pre-shared keys, because no
    function reads them; `sni_callback`, because its behaviour cannot be hashed; and settings that only C
    code can change, such as a verify callback or a purpose. If contexts differ in these, add a name for
    the difference: `derive_session_id_context("psk", context_fingerprint(ctx))`.

    ctx
        An `ssl.SSLContext`. Configure it completely first: later changes give another fingerprint.

    Raises TypeError if `ctx` is not an `ssl.SSLContext`. Raises ValueError if its CAs come from a directory
    (`capath`, or the system's with `load_default_certs()`): OpenSSL loads those on demand, so they
    cannot be listed. Load the CAs with `cafile` or `cadata`, or choose an id context yourself. Also raises
    ValueError if this OpenSSL does not reveal whether there are such CAs. Raises `pysidctx.Error` if
    OpenSSL fails. Safe in any thread, while handshakes run in others; but no other thread may load
    anything into the context during the call.

    See SSL_CTX_get0_certificate(3), X509_STORE_get0_objects(3), X509_VERIFY_PARAM_get_flags(3).
    """
    cdef Demands demands
    used = unwrapped(ctx)
    read_demands(&demands, used)
    return fingerprint_under(&demands, used)


cdef int read_demands(Demands *demands, object context) except -1:
    """Raises TypeError if `ctx` is not an SSLContext."""
    cdef SSL_CTX *ctx = SSL_CTX_from(context)
    # Python's own settings come first: reading them locks the context, which would suspend the lock below.
    demands.post_handshake_auth = post_handshake_auth(context)
    with cython.critical_section(context):
        demands.verify_mode = SSL_CTX_get_verify_mode(ctx)
        demands.verify_flags = X509_VERIFY_PARAM_get_flags(SSL_CTX_get0_param(ctx))
    return 0


# Python stores these two settings itself. They are read with the base class, because a subclass may override them.

cdef bint post_handshake_auth(object context) except -1:
    return _ssl._SSLContext.post_handshake_auth.__get__(context)


cdef bint check_hostname(object context) except -1:
    return _ssl._SSLContext.check_hostname.__get__(context)


cdef bytes fingerprint_under(const Demands *demands, object context):
    """Return the fingerprint of a context with these demands, even if its own have changed since."""
    cdef SSL_CTX *ctx = SSL_CTX_from(context)
    cdef bint checked = check_hostname(context)
    ciphers = digests(uncertified_ciphers(context))
    # This locks only on a free-threaded Python. Elsewhere the GIL prevents changes from Python.
    with cython.critical_section(context):
        parts = (
            <bytes> LABEL_FINGERPRINT,
            digests(certificates(ctx)),
            digests(extra_chain(ctx)),
            *(digests(found) for found in trusted(ctx)),
            digests(names(SSL_CTX_get_client_CA_list(ctx)) + names(SSL_CTX_get0_CA_list(ctx))),
            settings(demands, ctx, checked),
            ciphers,
        )
    return derive_session_id_context(*parts)


cdef bytes digests(list members):
    return b"".join(sorted({sha256(member).digest() for member in members}))


cdef list certificates(SSL_CTX *ctx):
    """Return a derived id context for each certificate with its chain."""
    # SSL_CTX_set_current_cert() would move a cursor that other threads use, so this iterates over the copy in a
    # new connection.
    cdef SSL *ssl = <SSL *> check_pointer(SSL_new(ctx), b"SSL_new()")
    cdef STACK_OF_X509 *chain
    cdef int found
    try:
        derived = []
        found = SSL_set_current_cert(ssl, SSL_CERT_SET_FIRST)
        while found:
            chain = NULL
            check(SSL_get0_chain_certs(ssl, &chain), b"SSL_get0_chain_certs()")
            leaf = der_of(<i2d_of_void *> i2d_X509, SSL_get_certificate(ssl), b"i2d_X509()")
            derived.append(derive_session_id_context(leaf, *all_of(chain)))
            found = SSL_set_current_cert(ssl, SSL_CERT_SET_NEXT)
        return derived
    finally:
        SSL_free(ssl)


cdef list extra_chain(SSL_CTX *ctx):
    cdef STACK_OF_X509 *chain = NULL
    check(SSL_CTX_get_extra_chain_certs_only(ctx, &chain), b"SSL_CTX_get_extra_chain_certs_only()")
    return all_of(chain)


cdef list all_of(STACK_OF_X509 *stack):
    cdef int i
    return [der_of(<i2d_of_void *> i2d_X509, sk_X509_value(stack, i), b"i2d_X509()")
            for i in range(sk_X509_num(stack))]


cdef tuple trusted(SSL_CTX *ctx):
    """Return the certificates and the revocation lists of the store."""
    cdef X509_STORE *store = SSL_CTX_get_cert_store(ctx)
    cdef STACK_OF_X509_OBJECT *objects = <STACK_OF_X509_OBJECT *> check_pointer(
        X509_STORE_get1_objects(store), b"X509_STORE_get1_objects()")
    cdef X509_OBJECT *found
    cdef int i
    try:
        certificates, lists = [], []
        for i in range(sk_X509_OBJECT_num(objects)):
            found = sk_X509_OBJECT_value(objects, i)
            if X509_OBJECT_get0_X509(found) is not NULL:
                certificates.append(der_of(<i2d_of_void *> i2d_X509_AUX,
                                           X509_OBJECT_get0_X509(found), b"i2d_X509_AUX()"))
            elif X509_OBJECT_get0_X509_CRL(found) is not NULL:
                lists.append(der_of(<i2d_of_void *> i2d_X509_CRL,
                                    X509_OBJECT_get0_X509_CRL(found), b"i2d_X509_CRL()"))
        return certificates, lists
    finally:
        sk_X509_OBJECT_pop_free(objects, X509_OBJECT_free)


cdef list names(const STACK_OF_X509_NAME *stack):
    cdef int i
    return [der_of(<i2d_of_void *> i2d_X509_NAME, sk_X509_NAME_value(stack, i), b"i2d_X509_NAME()")
            for i in range(sk_X509_NAME_num(stack))]


cdef str settings(const Demands *demands, SSL_CTX *ctx, bint checked):
    cdef X509_STORE *store = SSL_CTX_get_cert_store(ctx)
    cdef X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ctx)
    cdef X509_VERIFY_PARAM *store_param = X509_STORE_get0_param(store)
    cdef int fetches = store_fetches(store)
    if fetches < 0:
        raise ValueError(
            f"{_ssl.OPENSSL_VERSION} does not reveal whether a context loads CAs on demand, from a directory (capath) "
            "or the system's defaults, so the list of this context's CAs may be incomplete: choose an id context "
            "yourself")
    if fetches:
        raise ValueError(
            "OpenSSL loads CAs of this context on demand, from a directory (capath) or the system's defaults, so they "
            "cannot be listed: load them with cafile or cadata, or choose an id context yourself")
    return ",".join(f"{setting}={int(value)}" for setting, value in (
        ("verify_mode", demands.verify_mode),
        ("verify_depth", SSL_CTX_get_verify_depth(ctx)),
        ("verify_flags", demands.verify_flags),
        ("host_flags", X509_VERIFY_PARAM_get_hostflags(param)),
        ("auth_level", X509_VERIFY_PARAM_get_auth_level(param)),
        ("security_level", SSL_CTX_get_security_level(ctx)),
        ("store_flags", X509_VERIFY_PARAM_get_flags(store_param)),
        ("store_depth", X509_VERIFY_PARAM_get_depth(store_param)),
        ("store_auth_level", X509_VERIFY_PARAM_get_auth_level(store_param)),
        ("check_hostname", checked),
        ("post_handshake_auth", demands.post_handshake_auth),
    ))


cdef list uncertified_ciphers(object context):
    return [cipher["name"].encode() for cipher in _ssl._SSLContext.get_ciphers(context)
            if cipher["auth"] in ("auth-null", "auth-psk", "auth-srp")]
