"""resumable(): configure a server's SSLContext so that all workers resume each other's sessions."""

cimport cython

from pysidctx import environment
from pysidctx.cache.session_cache import WHEN, SessionCache
from pysidctx.id_contexts.derivation import derive_session_id_context
from pysidctx.id_contexts.fingerprint import context_fingerprint
from pysidctx.id_contexts.setters import set_session_id_context
from pysidctx.tickets.ticket_keys import TicketKeys

from libc.stdint cimport uintptr_t

from pysidctx.binding cimport bind_openssl
from pysidctx.cache.callbacks cimport cache_of, stop_using_cache, use_cache
from pysidctx.cache.store cimport Cache, hold_cache, release_cache
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


def resumable(ctx, keys, *, cache=None, cache_when=None, id_context=None, exact_id_context=None):
    """Make servers that have the same keys and equivalent contexts resume each other's sessions.

    Sets the session id context of `ctx` and installs the keys on it, and the cache. Returns `ctx`.

    ctx
        An `ssl.SSLContext` of PROTOCOL_TLS_SERVER from which a server creates its connections. Configure
        its certificates, CAs and client verification first: the id context derives from them.
    keys
        A `TicketKeys`: random keys for workers that are forked later, keys from a secret for all others.
    cache
        A `SessionCache`, or None. If one is passed, the sessions of connections on which a client certificate is
        requested are stored in it, and no tickets are issued there: see `SessionCache.install()`.
    cache_when
        "client-certificates" or "always", as for `SessionCache.install()`. None, the default: as the cache is installed
        on `ctx` already, or else "client-certificates".
    id_context
        A bytes-like object of 1 to 32 bytes that names the application. Pass it if several applications
        have the same secret, the same certificates and the same client verification. The id context is then
        `derive_session_id_context("pysidctx resumable", context_fingerprint(ctx), id_context)`;
        without it, `derive_session_id_context("pysidctx resumable", context_fingerprint(ctx))`. Either
        way, a session is resumed only by a context with the certificates and the client verification under
        which the session was established.
    exact_id_context
        A bytes-like object of 1 to 32 bytes that becomes the id context unchanged, without any derivation.
        Pass it if different contexts are to share sessions, or if `context_fingerprint()` fails for `ctx`.
        It does not change with the context's trust: after a change of CAs, revocation lists or
        certificates, old sessions are still resumed, and their clients are not verified again until
        `lifetime` has passed. Choose a new value whenever trust changes.

    Takes effect with the next ClientHello. Safe in any thread, while handshakes run in others.

    Raises TypeError if an argument has the wrong type; ValueError if `ctx` is a context for clients or for
    a single TLS version, if an id context is empty or too long, if both are passed, if none can be derived (see
    `context_fingerprint()`; then pass `exact_id_context`), or if `cache_when` is another word or is passed without a
    cache. Then nothing is changed. Raises `pysidctx.Error` or MemoryError if OpenSSL fails; then no sessions are
    shared that were not shared before. Emits a RuntimeWarning if the context has no certificate or issues no tickets,
    or if only sessions with a client certificate are stored in the cache and none is requested; and if the environment
    variable PYSIDCTX_ID_CONTEXT, PYSIDCTX_LIFETIME or PYSIDCTX_PERIOD is set, but the id context that is passed, or
    the lifetime or the period of `keys` or of `cache`, is another.

    See `TicketKeys.install()`, `SessionCache.install()` and `set_session_id_context()` for details.
    """
    if isinstance(ctx, TicketKeys):
        raise TypeError("the arguments are swapped: call resumable(ctx, keys)")
    used = unwrapped(ctx)
    cdef SSL_CTX *target = server_context(used, "resumable() takes")
    if cache is not None and not isinstance(cache, SessionCache):
        raise TypeError(f"cache must be a SessionCache, not {type(cache).__name__}: for the secret that the keys are "
                        "derived from, pass SessionCache.from_secret_file(path, memory=\"/dev/shm/NAME\")")
    if not isinstance(keys, TicketKeys):
        raise TypeError(f"resumable() needs TicketKeys, not {type(keys).__name__}: for a secret in a file, pass "
                        "TicketKeys.from_secret_file(path)")
    name, exact = checked_id_contexts(id_context, exact_id_context)
    check_cache_when(cache, cache_when)
    environment.warn_of_unused((name, exact), (keys.lifetime, keys.period),
                               None if cache is None else (cache.lifetime, cache.period))
    sid_ctx = derived_id_context(used, name) if exact is None else exact
    if used in contexts_serving(used):
        warn_without_certificate(used, target, "so all handshakes with it will fail: call load_cert_chain() before "
                                 "resumable()")
    # Before the keys: the new keys with the old id context might let sessions cross.
    set_session_id_context(used, sid_ctx)
    keys.install(used)
    if cache is not None:
        cache.install(used, cache_when or cache._when_on(used) or WHEN[0])
    return ctx


cdef bytes derived_id_context(object ctx, bytes name):
    try:
        fingerprint = context_fingerprint(ctx)
    except ValueError as error:
        raise ValueError(f"no id context can be derived for this context: {error}. "
                         "Pass an id context of your own as exact_id_context") from None
    named = () if name is None else (name,)
    return derive_session_id_context(<bytes> LABEL_RESUMABLE, fingerprint, *named)


def checked_id_contexts(id_context, exact_id_context):
    """Return both as bytes, 1 to 32, or None; TypeError, ValueError."""
    if id_context is not None and exact_id_context is not None:
        raise ValueError("id_context and exact_id_context exclude each other: pass id_context to add a name to the "
                         "context's fingerprint, or exact_id_context to replace the fingerprint")
    return (None if id_context is None else copied_not_empty(id_context),
            None if exact_id_context is None else copied_not_empty(exact_id_context))


def check_cache_when(cache, cache_when):
    """Raise ValueError if `cache_when` means nothing, or nothing without a cache."""
    if cache_when is None:
        return
    if cache_when not in WHEN:
        raise ValueError(f'cache_when must be "client-certificates" or "always", not {cache_when!r}')
    if cache is None:
        raise ValueError("cache_when has no effect without a cache: pass a SessionCache as `cache`, too")


cdef bytes copied_not_empty(object id_context):
    cdef unsigned char copied[SSL_MAX_SID_CTX_LENGTH]
    cdef Py_ssize_t length = copy_sid_ctx(id_context, copied)
    if length == 0:
        raise ValueError("the id context must not be empty: with an empty one, OpenSSL fails every attempt to resume a "
                         "session if clients are verified")
    return copied[:length]


def connecting(ctx):
    """Return the SSLContext that creates the connections of `ctx`: `ctx` itself, or the context that it wraps."""
    return unwrapped(ctx)


def installed_on(ctx):
    """Return the id context that was set on an SSLContext (b"" for none) and a number that identifies its ticket keys.

    Different ticket keys have different numbers as long as the SSLContext lives.
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
    """Install the ticket keys of `source` on `ctx`."""
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


@cython.final
cdef class InstalledCache:
    """The cache of an SSLContext, and on which of its connections it is used. Equal ones have the same effect."""

    cdef Cache *cache  # holds a reference, so that no other cache gets the same address
    cdef bint always

    def __dealloc__(self):
        if self.cache is not NULL:
            release_cache(self.cache)

    def __eq__(self, other):
        return (isinstance(other, InstalledCache) and self.cache is (<InstalledCache> other).cache
                and self.always == (<InstalledCache> other).always)

    __hash__ = None


def cache_on(ctx):
    """Return the InstalledCache of an SSLContext, or None."""
    cdef SSL_CTX *target = SSL_CTX_from(ctx)
    cdef InstalledCache made = InstalledCache.__new__(InstalledCache)
    cdef Cache *found
    with cython.critical_section(ctx):
        found = cache_of(target, &made.always)
        if found is not NULL:
            hold_cache(found)
            made.cache = found
    return None if made.cache is NULL else made


def use_installed_cache(ctx, InstalledCache found):
    """Install the cache of another SSLContext on `ctx`; without one, uninstall the cache of `ctx`."""
    cdef SSL_CTX *target = SSL_CTX_from(ctx)
    cdef bint always
    with cython.critical_section(ctx):
        if found is not None:
            use_cache(target, found.cache, found.always)
        else:
            stop_using_cache(target, cache_of(target, &always))
