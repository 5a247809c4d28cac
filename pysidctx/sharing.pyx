"""resumable(): all that a server's SSLContext needs for every worker to resume its sessions."""

from pysidctx.fingerprint import context_fingerprint
from pysidctx.sidctx import derive_session_id_context, set_session_id_context
from pysidctx.tickets import TicketKeys

from pysidctx.hosts cimport server_context
from pysidctx.inert cimport warn_without_certificate
from pysidctx.libssl cimport SSL_CTX, SSL_MAX_SID_CTX_LENGTH
from pysidctx.sidctx cimport copy_sid_ctx
from pysidctx.wrapped cimport unwrapped


def resumable(ctx, keys, *, id_context=None):
    """Have all servers that have these keys and a context like this one resume each other's sessions.

    Sets the session id context of `ctx`, and installs the keys on it.

    ctx
        An `ssl.SSLContext` of PROTOCOL_TLS_SERVER, that a server makes its connections with. Complete
        it first: certificates, CAs and client verification are what its id context derives from.
    keys
        A `TicketKeys`: random for workers that are forked later, from a secret for all others.
    id_context
        A bytes-like object of 1 to 32 bytes, where sessions are to be shared otherwise: the same one
        for contexts that differ, or another one for each of several applications with one secret,
        equal certificates and equal client verification. None: it is
        `derive_session_id_context("pysidctx resumable", context_fingerprint(ctx))`, so that a session
        is resumed only under the certificates and the client verification that it was made under.

    It counts from the next ClientHello on. Returns `ctx`.

    Raises TypeError for objects of other types; ValueError for a context of clients or of one version
    of TLS, for an id context that is empty or too long, and where none can be derived (see
    `context_fingerprint()`: then say one). Then nothing is changed. Raises `pysidctx.Error` and
    MemoryError where OpenSSL fails; then no sessions are shared that were not before. A RuntimeWarning
    says where the context has no certificate, or issues no tickets. Safe in any thread, with handshakes
    going on in others.

    See `TicketKeys.install()` and `set_session_id_context()`, which tell the rest.
    """
    if isinstance(ctx, TicketKeys):
        raise TypeError("the arguments are swapped: call resumable(ctx, keys)")
    used = unwrapped(ctx)
    cdef SSL_CTX *target = server_context(used, "resumable() takes")
    if not isinstance(keys, TicketKeys):
        raise TypeError(f"resumable() needs TicketKeys, not {type(keys).__name__}")
    if id_context is None:
        id_context = derive_session_id_context("pysidctx resumable", context_fingerprint(used))
    else:
        id_context = checked_id_context(id_context)
    warn_without_certificate(used, target, "so that its handshakes fail: call load_cert_chain() before resumable()")
    # Before the keys: with them and the former id context, sessions might cross.
    set_session_id_context(used, id_context)
    keys.install(used)
    return ctx


def checked_id_context(id_context):
    """Return it as bytes, 1 to 32; TypeError, ValueError."""
    cdef unsigned char said[SSL_MAX_SID_CTX_LENGTH]
    cdef Py_ssize_t length = copy_sid_ctx(id_context, said)
    if length == 0:
        raise ValueError("the id context must not be empty: OpenSSL fails every attempt to resume "
                         "under it where clients are verified")
    return said[:length]
