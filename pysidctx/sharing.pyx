"""resumable(): all that a server's SSLContext needs for every worker to resume its sessions."""

cimport cython

from pysidctx.id_contexts.derivation import derive_session_id_context
from pysidctx.id_contexts.fingerprint import context_fingerprint
from pysidctx.id_contexts.setters import set_session_id_context
from pysidctx.tickets.ticket_keys import TicketKeys

from libc.stdint cimport uintptr_t

from pysidctx.binding cimport bind_openssl
from pysidctx.handles cimport SSL_CTX_from, server_context
from pysidctx.handshake.inert cimport contexts_serving, warn_without_certificate
from pysidctx.handshake.listener cimport Listener, listener_of
from pysidctx.id_contexts.derivation cimport LABEL_RESUMABLE
from pysidctx.id_contexts.setters cimport copy_sid_ctx
from pysidctx.libssl cimport SSL_CTX, SSL_MAX_SID_CTX_LENGTH
from pysidctx.lockfree.id_context_slot cimport sid_slot_read
from pysidctx.tickets.callbacks cimport keyring_of, stop_using, use_keyring
from pysidctx.tickets.keyring cimport Keyring, hold_keyring, release_keyring
from pysidctx.wrapped cimport unwrapped

bind_openssl()


def resumable(ctx, keys, *, id_context=None, exact_id_context=None):
    """Have all servers that have these keys and a context like this one resume each other's sessions.

    Sets the session id context of `ctx`, and installs the keys on it.

    ctx
        An `ssl.SSLContext` of PROTOCOL_TLS_SERVER, that a server makes its connections with. Complete
        it first: certificates, CAs and client verification are what its id context derives from.
    keys
        A `TicketKeys`: random for workers that are forked later, from a secret for all others.
    id_context
        A bytes-like object of 1 to 32 bytes that names the application, where several have one secret,
        equal certificates and equal client verification. It is added to what the id context derives
        from: `derive_session_id_context("pysidctx resumable", context_fingerprint(ctx), id_context)`,
        and without it `derive_session_id_context("pysidctx resumable", context_fingerprint(ctx))`. So
        a session is resumed only under the certificates and the client verification that it was made
        under.
    exact_id_context
        A bytes-like object of 1 to 32 bytes that is the id context as it stands, instead: for contexts
        that differ and are to share their sessions, and for those whose fingerprint cannot be taken.
        It does not change when what the context trusts does. After another CA, a revocation list or
        another certificate, sessions from before are resumed, and nobody verifies their clients
        again until `lifetime` has passed. Choose another one whenever trust changes.

    Takes effect with the next ClientHello. Returns `ctx`.

    Raises TypeError for objects of other types; ValueError for a context of clients or of one version
    of TLS, for an id context that is empty or too long, for both of them, and where none can be derived
    (see `context_fingerprint()`: then pass `exact_id_context`). Then nothing is changed. Raises
    `pysidctx.Error` and MemoryError where OpenSSL fails; then no sessions are shared that were not
    before. A RuntimeWarning says where the context has no certificate, or issues no tickets. Safe in any
    thread, with handshakes going on in others.

    See `TicketKeys.install()` and `set_session_id_context()`, which document the rest.
    """
    if isinstance(ctx, TicketKeys):
        raise TypeError("the arguments are swapped: call resumable(ctx, keys)")
    used = unwrapped(ctx)
    cdef SSL_CTX *target = server_context(used, "resumable() takes")
    if not isinstance(keys, TicketKeys):
        raise TypeError(f"resumable() needs TicketKeys, not {type(keys).__name__}: for the secret in a file, "
                        "TicketKeys.from_secret_file(path)")
    name, exact = checked_id_contexts(id_context, exact_id_context)
    sid_ctx = derived_id_context(used, name) if exact is None else exact
    if used in contexts_serving(used):
        warn_without_certificate(used, target, "so that its handshakes fail: call load_cert_chain() before "
                                 "resumable()")
    # Before the keys: with them and the former id context, sessions might cross.
    set_session_id_context(used, sid_ctx)
    keys.install(used)
    return ctx


cdef bytes derived_id_context(object ctx, bytes name):
    try:
        fingerprint = context_fingerprint(ctx)
    except ValueError as error:
        raise ValueError(f"no id context can be derived for this context: {error}. "
                         "Pass your own: exact_id_context=") from None
    named = () if name is None else (name,)
    return derive_session_id_context(<bytes> LABEL_RESUMABLE, fingerprint, *named)


def checked_id_contexts(id_context, exact_id_context):
    """Return both as bytes, 1 to 32, or None; TypeError, ValueError."""
    if id_context is not None and exact_id_context is not None:
        raise ValueError("id_context= is added to what the context authenticates by, exact_id_context= "
                         "stands alone: give one of them")
    return (None if id_context is None else copied_not_empty(id_context),
            None if exact_id_context is None else copied_not_empty(exact_id_context))


cdef bytes copied_not_empty(object id_context):
    cdef unsigned char copied[SSL_MAX_SID_CTX_LENGTH]
    cdef Py_ssize_t length = copy_sid_ctx(id_context, copied)
    if length == 0:
        raise ValueError("the id context must not be empty: OpenSSL fails every attempt to resume "
                         "under it where clients are verified")
    return copied[:length]


def connecting(ctx):
    """Return the SSLContext that makes the connections of `ctx`: itself, or the one that it wraps."""
    return unwrapped(ctx)


def installed_on(ctx):
    """Return the id context that was set on an SSLContext, b"" for none, and a number for its ticket keys.

    The number tells them from others for as long as the SSLContext lives.
    """
    cdef SSL_CTX *target = SSL_CTX_from(ctx)
    cdef Listener *listener
    cdef unsigned char found[SSL_MAX_SID_CTX_LENGTH]
    cdef unsigned int length = 0
    cdef uintptr_t keys
    with cython.critical_section(ctx):
        listener = listener_of(target)
        if listener is not NULL:
            length = sid_slot_read(&listener.id_context, found)
        keys = <uintptr_t> keyring_of(target)
    return found[:length], keys


def use_keys_of(source, ctx):
    """Have an SSLContext use the ticket keys that another one uses."""
    cdef SSL_CTX *target = SSL_CTX_from(ctx)
    cdef Keyring *ring
    with cython.critical_section(source):
        ring = keyring_of(SSL_CTX_from(source))
        if ring is not NULL:
            hold_keyring(ring)
    if ring is NULL:
        return
    try:
        with cython.critical_section(ctx):
            if ring.builtin:
                stop_using(target, keyring_of(target))
            else:
                use_keyring(target, ring)
    finally:
        release_keyring(ring)
