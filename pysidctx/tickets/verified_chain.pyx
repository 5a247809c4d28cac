"""Until when the certificate chain is valid by which a peer was verified in the handshake of a connection.

A resumed handshake verifies no certificates, so a session must expire with its peer's chain: at the earliest
`notAfter` of its certificates or `nextUpdate` of the revocation lists in which they were looked up.
"""

from libc.stdint cimport UINT64_MAX, uint64_t
from libc.time cimport time, time_t, tm

from pysidctx.binding cimport bind_openssl
from pysidctx.libssl cimport (
    ASN1_TIME, ASN1_TIME_to_tm, ERR_pop_to_mark, ERR_set_mark, NID_issuing_distribution_point, SSL,
    SSL_CTX_get_cert_store, SSL_get0_param, SSL_get0_verified_chain, SSL_get_SSL_CTX, STACK_OF_X509,
    STACK_OF_X509_CRL, X509, X509_CRL, X509_CRL_free, X509_CRL_get0_lastUpdate, X509_CRL_get0_nextUpdate,
    X509_CRL_get_ext_by_NID, X509_CRL_verify, X509_get0_notAfter, X509_get0_pubkey, X509_get_issuer_name,
    X509_STORE, X509_STORE_CTX, X509_STORE_CTX_free, X509_STORE_CTX_get1_crls, X509_STORE_CTX_init,
    X509_STORE_CTX_new, X509_STORE_get0_param, X509_V_FLAG_CRL_CHECK, X509_V_FLAG_CRL_CHECK_ALL,
    X509_V_FLAG_NO_CHECK_TIME, X509_VERIFY_PARAM_get_flags, sk_X509_CRL_num, sk_X509_CRL_pop_free,
    sk_X509_CRL_value, sk_X509_num, sk_X509_value,
)

bind_openssl()

cdef extern from "time.h" nogil:
    time_t timegm(tm *tm)


cdef uint64_t verified_until(SSL *ssl) noexcept nogil:
    """Return the first second, as a Unix time, in which the chain is no longer valid.

    Returns UINT64_MAX if it never expires, because this handshake verified no peer or ignored the time, and 0 if the
    time cannot be determined.
    """
    cdef STACK_OF_X509 *chain = SSL_get0_verified_chain(ssl)
    cdef X509_STORE *store
    cdef unsigned long flags
    cdef uint64_t until
    if chain is NULL:
        return UINT64_MAX
    store = SSL_CTX_get_cert_store(SSL_get_SSL_CTX(ssl))
    # OpenSSL combines the flags of both in the same way when it verifies a chain.
    flags = (X509_VERIFY_PARAM_get_flags(SSL_get0_param(ssl))
             | X509_VERIFY_PARAM_get_flags(X509_STORE_get0_param(store)))
    if flags & X509_V_FLAG_NO_CHECK_TIME:
        return UINT64_MAX
    ERR_set_mark()
    until = certificates_until(chain)
    if flags & X509_V_FLAG_CRL_CHECK:
        until = min(until, lists_until(store, chain, flags))
    ERR_pop_to_mark()
    return until


cdef uint64_t certificates_until(STACK_OF_X509 *chain) noexcept nogil:
    cdef uint64_t until = UINT64_MAX
    cdef int i
    for i in range(sk_X509_num(chain)):
        until = min(until, seconds(X509_get0_notAfter(sk_X509_value(chain, i))))
    return until


cdef uint64_t lists_until(X509_STORE *store, STACK_OF_X509 *chain, unsigned long flags) noexcept nogil:
    """Return the first second, as a Unix time, in which a certificate of the chain has no current revocation list."""
    cdef int last = sk_X509_num(chain) - 1
    cdef X509_STORE_CTX *lookup = X509_STORE_CTX_new()
    cdef uint64_t until = 0
    cdef int i
    if lookup is not NULL and X509_STORE_CTX_init(lookup, store, NULL, NULL):
        until = UINT64_MAX
        for i in range(last + 1 if flags & X509_V_FLAG_CRL_CHECK_ALL else 1):
            # A root is its own issuer.
            until = min(until, list_until(lookup, sk_X509_value(chain, i), sk_X509_value(chain, min(i + 1, last))))
    X509_STORE_CTX_free(lookup)
    return until


cdef uint64_t list_until(X509_STORE_CTX *lookup, X509 *certificate, X509 *issuer) noexcept nogil:
    """Return when the revocation lists for one certificate expire, as a Unix time in seconds.

    OpenSSL uses any list that is current, so the latest `nextUpdate` of several lists decides. Lists that cover only
    some certificates (RFC 5280, section 5.2.5) may not cover this one, so the earliest `nextUpdate` of those decides.
    """
    cdef STACK_OF_X509_CRL *lists = X509_STORE_CTX_get1_crls(lookup, X509_get_issuer_name(certificate))
    cdef uint64_t whole = 0
    cdef uint64_t parts = UINT64_MAX
    cdef int i, count = sk_X509_CRL_num(lists)
    cdef X509_CRL *found
    for i in range(count):
        found = sk_X509_CRL_value(lists, i)
        # If there is only one list, the certificate was verified with it.
        if count > 1 and not may_be_used(found, issuer):
            continue
        if X509_CRL_get_ext_by_NID(found, NID_issuing_distribution_point, -1) >= 0:
            parts = min(parts, next_update(X509_CRL_get0_nextUpdate(found)))
        else:
            whole = max(whole, next_update(X509_CRL_get0_nextUpdate(found)))
    if lists is not NULL:
        sk_X509_CRL_pop_free(lists, X509_CRL_free)
    # If there is no list at all, a verification callback has accepted the certificate, and no list limits it.
    return min(whole, parts) if whole else parts


cdef bint may_be_used(X509_CRL *found, X509 *issuer) noexcept nogil:
    """Whether a list that carries the issuer's name is signed by the issuer and already valid."""
    return (seconds(X509_CRL_get0_lastUpdate(found)) <= <uint64_t> time(NULL)
            and X509_CRL_verify(found, X509_get0_pubkey(issuer)) == 1)


cdef uint64_t next_update(const ASN1_TIME *found) noexcept nogil:
    """Return a list's `nextUpdate`, or UINT64_MAX if it has none (RFC 5280, section 5.1.2.5): it stays current."""
    return UINT64_MAX if found is NULL else seconds(found)


cdef uint64_t seconds(const ASN1_TIME *found) noexcept nogil:
    cdef tm parts
    cdef time_t told
    if not ASN1_TIME_to_tm(found, &parts):
        return 0
    told = timegm(&parts)
    return <uint64_t> told if told > 0 else 0
