"""Remove limits of a client's SSLContext that Python's ssl cannot change, so that an audit accepts any server."""

from pysidctx.binding cimport bind_openssl
from pysidctx.handles cimport SSL_CTX_from
from pysidctx.libssl cimport (
    SSL_CTX, ERR_pop_to_mark, ERR_set_mark, SSL_CTX_set1_groups_list, SSL_CTX_set1_sigalgs_list,
    SSL_CTX_set_ciphersuites, SSL_CTX_set_max_cert_list,
)

bind_openssl()

# A handshake message cannot be longer: RFC 8446, section 4.
cdef long LONGEST_MESSAGE = (1 << 24) - 1

# What OpenSSL offers if nothing else was configured: of each, the first that it knows.
cdef tuple GROUPS = (
    b"DEFAULT",  # from 3.5 on
    b"X25519:P-256:X448:P-521:P-384:ffdhe2048:ffdhe3072:ffdhe4096:ffdhe6144:ffdhe8192",
    b"X25519:P-256:X448:P-521:P-384",
    b"P-256:P-521:P-384",  # of FIPS 140-2
)
cdef bytes CLASSIC = (
    b"ecdsa_secp256r1_sha256:ecdsa_secp384r1_sha384:ecdsa_secp521r1_sha512:ed25519:ed448:"
    b"rsa_pss_pss_sha256:rsa_pss_pss_sha384:rsa_pss_pss_sha512:rsa_pss_rsae_sha256:rsa_pss_rsae_sha384:"
    b"rsa_pss_rsae_sha512:RSA+SHA256:RSA+SHA384:RSA+SHA512:ECDSA+SHA224:RSA+SHA224:ECDSA+SHA1:RSA+SHA1")
cdef tuple SIGNATURES = (b"?mldsa65:?mldsa87:?mldsa44:" + CLASSIC, CLASSIC)
cdef bytes CIPHERSUITES = b"TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"


def lift_limits(context):
    """Make a client's SSLContext accept messages of any length, and offer all that OpenSSL offers by default.

    Resets Groups, SignatureAlgorithms and Ciphersuites if openssl.cnf limits them for all contexts; see
    SSL_CONF_cmd(3). Returns the names of those that cannot be reset. Applies to connections that are created later.
    No other thread may create one during the call. Raises TypeError if `context` is not an SSLContext.
    """
    cdef SSL_CTX *ctx = SSL_CTX_from(context)
    SSL_CTX_set_max_cert_list(ctx, LONGEST_MESSAGE)
    ERR_set_mark()  # a name that this OpenSSL does not know is no error
    groups = takes_groups(ctx)
    signatures = takes_signatures(ctx)
    ciphersuites = SSL_CTX_set_ciphersuites(ctx, CIPHERSUITES) == 1
    ERR_pop_to_mark()
    lifted = {"Groups": groups, "SignatureAlgorithms": signatures, "Ciphersuites": ciphersuites}
    return [name for name, done in lifted.items() if not done]


cdef bint takes_groups(SSL_CTX *ctx) except -1:
    for names in GROUPS:
        if SSL_CTX_set1_groups_list(ctx, <const char *> names) == 1:
            return True
    return False


cdef bint takes_signatures(SSL_CTX *ctx) except -1:
    for names in SIGNATURES:
        if SSL_CTX_set1_sigalgs_list(ctx, <const char *> names) == 1:
            return True
    return False
