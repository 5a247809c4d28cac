"""Switch a server's connection to another SSL_CTX, including the settings that SSL_set_SSL_CTX() does not copy.

For the ClientHello callback, before OpenSSL has chosen a version or looked a session up.
"""

from pysidctx.id_contexts.client_verification cimport connection_mode
from pysidctx.libssl cimport (
    SSL, SSL_clear_options, SSL_CTX, SSL_CTX_get0_param, SSL_CTX_get_keylog_callback,
    SSL_CTX_get_max_proto_version,
    SSL_CTX_get_min_proto_version, SSL_CTX_get_num_tickets, SSL_CTX_get_options,
    SSL_CTX_get_verify_callback, SSL_CTX_get_verify_mode, SSL_get0_param, SSL_get_options,
    SSL_get_SSL_CTX, SSL_set1_param, SSL_set_max_proto_version, SSL_set_min_proto_version,
    SSL_set_num_tickets, SSL_set_options, SSL_set_psk_find_session_callback,
    SSL_set_SSL_CTX, SSL_set_verify, SSL_verify_cb, X509_STORE_CTX,
    X509_VERIFY_PARAM,
    X509_VERIFY_PARAM_get_inh_flags, X509_VERIFY_PARAM_set_inh_flags, X509_VP_FLAG_OVERWRITE,
    X509_VP_FLAG_RESET_FLAGS,
)
from pysidctx.openssl_compat cimport SSL_set_psk_server_callback

cdef inline int as_verified(int preverify_ok, X509_STORE_CTX *x509_ctx) noexcept nogil:
    # SSL_set_verify() cannot remove a callback; this one does what OpenSSL does without a callback.
    return preverify_ok

cdef inline void copy_verification(SSL *ssl, SSL_CTX *ctx, bint post_handshake) noexcept nogil:
    cdef int mode = connection_mode(SSL_CTX_get_verify_mode(ctx), post_handshake)
    cdef SSL_verify_cb callback = SSL_CTX_get_verify_callback(ctx)
    SSL_set_verify(ssl, mode, callback if callback is not NULL else as_verified)

cdef inline bint copy_parameters(SSL *ssl, SSL_CTX *ctx) noexcept nogil:
    """Carry over depth, flags and all other parameters, and reset those that only the former SSL_CTX has set."""
    cdef X509_VERIFY_PARAM *param = SSL_get0_param(ssl)
    cdef unsigned int flags = X509_VERIFY_PARAM_get_inh_flags(param)
    cdef bint copied
    X509_VERIFY_PARAM_set_inh_flags(param, X509_VP_FLAG_OVERWRITE | X509_VP_FLAG_RESET_FLAGS)
    copied = SSL_set1_param(ssl, SSL_CTX_get0_param(ctx))
    X509_VERIFY_PARAM_set_inh_flags(param, flags)
    return copied

cdef inline bint switch_context(SSL *ssl, SSL_CTX *ctx, bint post_handshake) noexcept nogil:
    """Switch `ssl` to `ctx`. `post_handshake` tells whether `ctx` requests authentication after the handshake.

    Returns False if memory runs out or the key log prevents the switch. The handshake must end then.
    """
    cdef SSL_CTX *former = SSL_get_SSL_CTX(ssl)
    if former is ctx:
        return True
    # OpenSSL asks `ctx` whether to log, but CPython uses the file of the former context. If that has none,
    # CPython does not release the GIL.
    if (SSL_CTX_get_keylog_callback(ctx) is not NULL
            and SSL_CTX_get_keylog_callback(former) is NULL):
        return False
    if SSL_set_SSL_CTX(ssl, ctx) is NULL or not copy_parameters(ssl, ctx):
        return False
    copy_verification(ssl, ctx, post_handshake)
    # A client with a pre-shared key of the former context would not be asked for a certificate. CPython
    # could only look the key up in that context.
    SSL_set_psk_server_callback(ssl, NULL)
    SSL_set_psk_find_session_callback(ssl, NULL)
    SSL_clear_options(ssl, SSL_get_options(ssl))
    SSL_set_options(ssl, SSL_CTX_get_options(ctx))
    return (SSL_set_min_proto_version(ssl, SSL_CTX_get_min_proto_version(ctx))
            and SSL_set_max_proto_version(ssl, SSL_CTX_get_max_proto_version(ctx))
            and SSL_set_num_tickets(ssl, SSL_CTX_get_num_tickets(ctx)))
