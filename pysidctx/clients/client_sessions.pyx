"""ClientSessions: the sessions of the servers that a program's clients visit, offered when they come back."""

cimport cython

import ipaddress
import weakref

from pysidctx import arguments
from pysidctx.clients.stats import ClientStats

from pysidctx.binding cimport bind_openssl
from pysidctx.clients.callbacks cimport client_context_of, install_store, uninstall_store
from pysidctx.clients.saved_sessions cimport load_sessions, save_sessions
from pysidctx.clients.session_store cimport (
    HOST_LENGTH, TRUST_LENGTH, Counts, SessionStore, forget_all, forget_name, new_store, read_counts, release_store,
)
from pysidctx.clients.terms cimport trust_of
from pysidctx.handles cimport SSL_CTX_from, SSL_CTX_of, SSLContext_type, is_context
from pysidctx.handshake.listener cimport Listener, has_ticket_keys, is_routed, listener_of
from pysidctx.libssl cimport SSL_CTX, SSL_CTX_get_ssl_method, TLS_client_method, TLS_server_method
from pysidctx.lockfree.readers cimport shared_load
from pysidctx.sessions.peer cimport as_server_hostname
from pysidctx.wrapped cimport unwrapped

bind_openssl()

HOSTS = 1000
MOST_HOSTS = 1 << 20
PER_HOST = 8
MOST_PER_HOST = 1024


@cython.final
cdef class ClientSessions:
    """The sessions of the servers that clients have visited, which their next connections resume by themselves.

    `install()` it on the SSLContext of a client. From then on, each of its connections offers a session of the host
    that it connects to, if there is one, and keeps those that it gets: with `ssl`, asyncio, and every library that
    takes an `ssl.SSLContext`. `pysidctx.clients.everywhere()` installs one on all contexts that a program makes.

    A session is offered only

    - to the host that it was made with, by the server name; on connections to an IP address, to that address, if the
      connection checks it and OpenSSL is 3.0 or later. If the connection has a socket, a session of the same port is
      preferred. Without a name, nothing is kept;
    - by a connection that would have accepted the peer itself: made by the same SSLContext (or by one that shares its
      sessions, see `install()`), which still trusts and demands the same and has the same certificate of its own, with
      the same settings for verification and the same id context, if one was set. Changes are noticed in the handshake;
    - until its timeout, the server's ticket lifetime, or the earliest notAfter of the verified chain;
    - if the user has set no session on the connection.

    Nothing is kept of connections whose server has no certificate, such as those with pre-shared keys. If a handshake
    that offers a session fails, all sessions of that host are dropped, so that the next attempt is a full handshake.
    After a fork, the child starts empty.

    hosts
        An int, 1 to 1,048,576: how many hosts to keep sessions of. The one that was not used for longest goes first.
    per_host
        An int, 1 to 1,024: how many sessions to keep of each host. The oldest goes first.
    single_use
        A bool: whether to offer each TLS 1.3 ticket only once (RFC 8446, appendix C.4), so that an observer cannot link
        connections. False allows bursts of parallel connections to resume with the same ticket. TLS 1.2 sessions are
        offered again and again.

    Raises TypeError if an argument has another type, ValueError if it is out of range, and MemoryError.

    Any thread may use a ClientSessions at any time. Handshakes use it in C, without the GIL. An SSLContext keeps it
    alive. OpenSSL wipes the secrets of sessions when they are freed, `repr()` does not show them, and a ClientSessions
    cannot be pickled. See SSL_CTX_sess_set_new_cb(3) and SSL_set_session(3).
    """

    cdef SessionStore *store  # holds a reference
    cdef dict contexts        # by id(): a weak reference to an SSLContext, and whether everywhere() has installed it
    cdef int everywhere       # how many everywhere() install it
    cdef object __weakref__

    def __cinit__(self, *, hosts=HOSTS, per_host=PER_HOST, single_use=True):
        if not isinstance(single_use, bool):
            raise TypeError(f"single_use must be a bool, not {type(single_use).__name__}")
        self.store = new_store(arguments.checked_int("hosts", hosts, 1, MOST_HOSTS, "hosts"),
                               arguments.checked_int("per_host", per_host, 1, MOST_PER_HOST, "sessions"), single_use)
        self.contexts = {}

    def __dealloc__(self):
        release_store(self.store)

    @property
    def hosts(self):
        """int: how many hosts to keep sessions of."""
        return self.store.most_hosts

    @property
    def per_host(self):
        """int: how many sessions to keep of each host."""
        return self.store.per_host

    @property
    def single_use(self):
        """bool: whether each TLS 1.3 ticket is offered only once."""
        return bool(self.store.single_use)

    def install(self, ctx, share=False):
        """Keep and offer the sessions of the client connections of `ctx`, and return `ctx`.

        Applies to connections whose handshake begins after the call. If another ClientSessions is installed on `ctx`,
        this one replaces it.

        ctx
            An `ssl.SSLContext` for clients. If it creates its connections with another context, as
            `truststore.SSLContext` does, this is installed on the other one.
        share
            A bool: whether contexts on which this is also installed with share=True may offer the sessions, if they
            trust the same CAs and revocation lists, demand the same and have the same certificate of their own. A
            context whose CAs cannot be listed, because OpenSSL loads them on demand (`capath`, or the system's), keeps
            its sessions to itself. Signature algorithms and groups are not compared, nor is `post_handshake_auth`.

        While it is installed on a context of PROTOCOL_TLS that also serves, the server's connections store no sessions
        for resumption by session id: OpenSSL has no such setting for clients alone.

        Raises TypeError if `ctx` is not an `ssl.SSLContext` or `share` not a bool, ValueError if `ctx` is a server's or
        if it creates its connections with a context that cannot be determined, and `pysidctx.Error` if OpenSSL fails.
        Calls for one `ctx` must not overlap. Handshakes read the certificates of `ctx`, so do not call
        `load_cert_chain()` while other threads connect with it.
        """
        if not isinstance(share, bool):
            raise TypeError(f"share must be a bool, not {type(share).__name__}")
        used = unwrapped(ctx)
        refuse_server(SSL_CTX_from(used))
        put_on(self, used, share, False, False)
        return ctx

    def uninstall(self, ctx):
        """Neither keep nor offer sessions on connections of `ctx` any more.

        Applies to connections whose handshake begins after the call. The sessions that `ctx` has kept to itself are
        removed; those that it shares stay.

        Raises TypeError if `ctx` is not an `ssl.SSLContext`, and ValueError if this is not installed on it. Calls for
        one `ctx` must not overlap.
        """
        used = unwrapped(ctx)
        if not uninstall_store(SSL_CTX_from(used), self.store):
            raise ValueError("this ClientSessions is not installed on that SSLContext: pass one that was passed to "
                             "install()")
        self.contexts.pop(id(used), None)

    def forget(self, host):
        """Remove all sessions of a host, whatever context they were made with.

        A handshake that has begun may still resume one.

        host
            A str: a host name or an IP address, in the form of `server_hostname`.

        Raises TypeError, and ValueError if it cannot be a host. Does nothing if there are none.
        """
        cdef bytes name = as_key(as_server_hostname(host))
        if len(name) <= HOST_LENGTH:
            forget_name(self.store, name, <unsigned int> len(name))

    def clear(self):
        """Remove all sessions. A handshake that has begun may still resume one."""
        forget_all(self.store)

    def save(self, path):
        """Write the sessions to a file, with mode 0600, atomically; another process can `load()` it.

        Each session is written as a PEM block, which `openssl sess_id` reads, after a line that says for which contexts
        it is: those with equal trust, demands and certificate. With `single_use`, TLS 1.3 tickets move to the file,
        because no two processes may offer the same one, so call it when the program ends.

        Sessions of contexts whose CAs cannot be listed (see `install()`) are not saved, with a RuntimeWarning. Those
        that a context keeps to itself are gone when the context is.

        path
            A path, as str, bytes or os.PathLike. A file with this name is replaced, whatever it contains: sessions that
            another process has saved there are lost.

        Raises OSError, or `pysidctx.Error` if OpenSSL fails; then the file is unchanged, and so are the sessions.
        """
        save_sessions(self.store, path)

    def load(self, path):
        """Read the sessions that `save()` has written, for connections of contexts on which this is installed.

        First `install()` it on the contexts, or call `everywhere()`. A session belongs to any context that has the
        terms of the one that it was made with. Those that have expired are left out.

        With `single_use`, the TLS 1.3 tickets that are read are taken out of the file, because no two processes may
        offer the same one; a file without any other sessions is removed. If two processes do so at once, one of them
        may get none, or FileNotFoundError. A process that is killed meanwhile may leave the tickets in a file named
        `.pysidctx.*` in the same folder.

        path
            A path, as str, bytes or os.PathLike.

        Raises OSError, such as FileNotFoundError. Raises SessionError if the file is not what `save()` writes, or if it
        belongs to another user or other users have access to it; then nothing is loaded. Warns with a RuntimeWarning of
        sessions for which no installed context is found; they stay in the file until `save()` replaces it.
        """
        load_sessions(self.store, path, None if self.everywhere else installed_trust(self))

    def stats(self):
        """Return a `ClientStats`: what was done in this process since it began, and what is stored."""
        cdef Counts counts
        cdef size_t hosts, sessions
        read_counts(self.store, &counts, &hosts, &sessions)
        return ClientStats(
            stored=counts.stored, offered=counts.offered, resumed=counts.resumed, declined=counts.declined,
            expired=counts.expired, dropped=counts.dropped, unlisted=counts.unlisted, sessions=sessions, hosts=hosts)

    def __repr__(self):
        return (f"<pysidctx.ClientSessions hosts={self.hosts} per_host={self.per_host} single_use={self.single_use} "
                f"with {self.stats()}>")

    def __reduce__(self):
        raise TypeError("a ClientSessions cannot be pickled, because the pickle would contain secrets: use save(), and "
                        "protect the file")


cdef bytes as_key(str host):
    """Write a server_hostname as X509_VERIFY_PARAM_get1_ip_asc(3) and the callbacks do."""
    try:
        address = ipaddress.IPv6Address(host)
    except ValueError:
        return host.lower().encode()
    if "%" in host:
        return host.lower().encode()  # OpenSSL takes it for a name
    return ":".join(f"{address.packed[i] << 8 | address.packed[i + 1]:x}" for i in range(0, 16, 2)).encode()


cdef int refuse_server(SSL_CTX *ctx) except -1:
    cdef Listener *listener = listener_of(ctx)
    if SSL_CTX_get_ssl_method(ctx) is TLS_server_method():
        raise ValueError("this SSLContext is for servers (PROTOCOL_TLS_SERVER), and only clients offer sessions: pass "
                         "that of a client. For servers, see TicketKeys and SessionCache")
    if (has_ticket_keys(ctx) or is_routed(listener)
            or (listener is not NULL and shared_load(&listener.store) is not NULL)):
        raise ValueError("this SSLContext serves: a HostMap, TicketKeys or a SessionCache is installed on it. Make "
                         "another one, of PROTOCOL_TLS_CLIENT, for clients")
    return 0


cdef int put_on(ClientSessions sessions, object context, bint share, bint by_everywhere, bint later) except -1:
    cdef dict contexts = sessions.contexts
    key = id(context)
    install_store(SSL_CTX_of(context), sessions.store, share, later)
    contexts[key] = weakref.ref(context, lambda reference: contexts.pop(key, None)), by_everywhere
    return 0


cdef list living(ClientSessions sessions, bint all_of_them):
    """Return the SSLContexts on which it is installed, or those on which everywhere() has installed it."""
    found = [reference() for reference, by_everywhere in list(sessions.contexts.values())
             if all_of_them or by_everywhere]
    return [context for context in found if context is not None
            and client_context_of(SSL_CTX_of(context)).store is sessions.store]


cdef set installed_trust(ClientSessions sessions):
    """Return what identifies the trust of each context on which it is installed."""
    cdef unsigned char trust[TRUST_LENGTH]
    cdef bint listed
    cdef SSL_CTX *ctx
    found = set()
    for context in living(sessions, True):
        with cython.critical_section(context):
            ctx = SSL_CTX_of(context)
            if trust_of(ctx, client_context_of(ctx), trust, &listed) and listed:
                found.add(trust[:TRUST_LENGTH])
    return found


# What everywhere() uses


def context_class():
    """Return `ssl.SSLContext` as Python has it, whatever another library may have put in its place.

    Raises RuntimeError if it was changed.
    """
    if SSLContext_type is NULL:
        raise RuntimeError("another library has changed ssl.SSLContext, so it is not known how contexts are made: "
                           "import pysidctx before that library, or install() sessions on each context")
    return <object> SSLContext_type


def install_on_new(ClientSessions sessions, object context):
    """Install sessions on a new SSLContext, unless it can only serve; those of equal contexts are shared."""
    if is_context(context) and SSL_CTX_get_ssl_method(SSL_CTX_of(context)) is not TLS_server_method():
        put_on(sessions, context, True, True, SSL_CTX_get_ssl_method(SSL_CTX_of(context)) is not TLS_client_method())


def count_everywhere(ClientSessions sessions, int difference):
    """Note that an everywhere() begins to install sessions (1) or ends (-1)."""
    sessions.everywhere += difference


def uninstall_everywhere(ClientSessions sessions):
    """Uninstall sessions from the contexts on which everywhere() has installed them."""
    for context in living(sessions, False):
        uninstall_store(SSL_CTX_of(context), sessions.store)
        sessions.contexts.pop(id(context), None)
