"""HostMap: the mapping from host patterns to contexts and id contexts, and the listeners that use it."""

cimport cython

import warnings
import weakref
from collections.abc import Mapping, MutableMapping
from itertools import chain

import _ssl

from pysidctx.hosts.host import HostMapStats

from pysidctx.binding cimport bind_openssl
from pysidctx.handles cimport SSL_CTX_from, SSL_CTX_of, is_context, server_context
from pysidctx.handshake.inert cimport (
    Rerouted, note_listener, warn_of_host, warn_without_certificate, warn_without_verification,
)
from pysidctx.handshake.listener cimport (
    Listener, STORES_WITH_CERTIFICATES, has_own_id_context, is_routed, listener_made, listener_of, stores_of,
)
from pysidctx.hosts.entries cimport Hosts
from pysidctx.hosts.router cimport has_map, set_map, unset_map
from pysidctx.hosts.server_names cimport acknowledge_names, ignore_names
from pysidctx.hosts.table cimport (
    HOSTS_MALFORMED, HOSTS_MATCHED, HOSTS_REJECTED, HOSTS_UNMATCHED, host_table, table_counted,
)
from pysidctx.id_contexts.client_verification cimport Demands
from pysidctx.id_contexts.fingerprint cimport fingerprint_under, read_demands
from pysidctx.libssl cimport SSL_CTX
from pysidctx.lockfree.readers cimport flag_load, flag_store
from pysidctx.wrapped cimport unwrapped

bind_openssl()

cdef extern from "Python.h":
    int Py_AddPendingCall(int (*function)(void *) noexcept, void *argument)


# Where a listener keeps its Installation: in the SSLContext's own dictionary, so that the garbage
# collector sees a map whose hosts lead back to its listener.
cdef str KEY = "_pysidctx_hosts"

_UNMATCHED = "serve", "reject"


class HostMap(MutableMapping):
    """A mapping from host patterns to contexts and id contexts, for the connections of listening contexts.

    Install it on the `SSLContext` that a server makes its connections with. It is then consulted for
    every ClientHello, in C and without the GIL, before OpenSSL chooses a version and decides on
    resumption. By the name that the client sends (RFC 6066, section 3) it sets the session id context.
    If the host has its own `SSLContext`, it also switches the connection to that context: its
    certificates, client verification, ciphers, versions, options and application protocols. A table in
    the documentation (docs/hosts.md) lists what is carried over.

    A key is a host name, or a wildcard as in certificates: `*.example.org` matches names with exactly
    one label more than `example.org`; an exact name takes precedence. Case does not matter; a trailing
    dot is ignored. Keys are returned in lower case without it. Names are at most 253 characters of
    letters, digits, hyphens, underscores and dots, in labels of at most 63; write international ones
    as A-labels.

    A value is one of:

    an `ssl.SSLContext` of PROTOCOL_TLS_SERVER
        The connection is switched to that context, with the id context
        `derive_session_id_context("pysidctx host", pattern, context_fingerprint(context))`.
    `Host(context, session_id_context)`
        The same with an id context of your own, which is used unchanged: see `Host`.
    a bytes-like object of 1 to 32 bytes
        This id context, which is used unchanged, too, with the listener's context.

    Complete a context before you put it into the map. The fingerprint is taken when the context is put
    into the map, and OpenSSL does not protect certificates, CAs and ciphers against changes while
    handshakes read them. To change these later, put a new context in. Only `verify_mode` and
    `verify_flags` may change at any time, on hosts' contexts and on listeners: if a connection verifies
    its client differently from when its host was put in (for bytes: when the map was installed),
    another id context is derived for it, and sessions from before the change do not resume. If you put
    a host with its own id context in again, or install the map again, that id context is used
    unchanged; choose a new one.

    A session is resumed if the id contexts are equal, so by default only under its own pattern. Names
    that are not in the map have their own id context, and connections without a name another one,
    derived from the listener's id context, or from its fingerprint if it has none. Up to TLS 1.2, a
    session made under a wildcard, or under a name that is not in the map, is also bound to that very
    name (RFC 6066 forbids resuming it under another). An id context that was set on the connection
    itself takes precedence over all of them.

    The first ClientHello decides. A later one in the same connection, after a HelloRetryRequest or in
    a renegotiation, that names another host ends the connection with the alert illegal_parameter,
    unless `sni_callback` has switched the connection to a context that is in no map.

    A change takes effect with the next ClientHello. Each ClientHello sees the whole map as it was
    before or after the change, also for `update()` and `clear()`. Connections keep the context that
    they were given as long as they live. If you store a connection on its own context, neither is ever
    freed, as with `ssl` alone. Safe in any thread; iteration covers the patterns that were there when
    it began, in no particular order.

    other
        A mapping, or pairs, to begin with: as for `update()`.

    Whatever puts entries in raises, and then nothing is changed:

    TypeError
        A key is not a str, or a value is none of the above.
    ValueError
        A key is not a host name: an IP address, a misplaced wildcard, a name that is not ASCII (the
        message contains its A-label). An id context is empty or too long. A context is for clients, or
        its PROTOCOL is for one version of TLS. The fingerprint of a context without an id context of
        its own cannot be taken, see `context_fingerprint()`.
    MemoryError
        Out of memory, or no random numbers.

    A RuntimeWarning says if a context has no certificate, and, if the map is installed, which of its
    settings have no effect there, as `install()` does.
    """

    __slots__ = ("_hosts", "__weakref__")

    def __init__(self, other=(), /):
        if not hasattr(self, "_hosts"):  # a second call adds entries, as dict's does
            self._hosts = Hosts()
        self.update(other)

    def __getitem__(self, pattern):
        cdef Hosts hosts = self._hosts
        found = hosts.find(pattern)
        if found is None:
            raise KeyError(pattern)
        return found[0]

    def __setitem__(self, pattern, value):
        """Add an entry, or replace the entry of an equal pattern.

        Raises what the class documents, and then nothing is changed. Takes effect with the next
        ClientHello. Safe in any thread, while other threads do handshakes.
        """
        cdef Hosts hosts = self._hosts
        hosts.put(pattern, value)

    def __delitem__(self, pattern):
        """Remove an entry; KeyError if there is none. Effect and thread safety as for setting one."""
        cdef Hosts hosts = self._hosts
        if not hosts.remove(pattern):
            raise KeyError(pattern)

    def __iter__(self):
        cdef Hosts hosts = self._hosts
        return iter(hosts.names())

    def __len__(self):
        cdef Hosts hosts = self._hosts
        return hosts.count()

    def __repr__(self):
        return f"<{type(self).__name__} of {len(self)} hosts, unmatched={self.unmatched!r}>"

    def __reduce__(self):
        raise TypeError("a HostMap cannot be pickled or copied: create another one with the same entries by calling "
                        "HostMap(hosts)")

    def update(self, other=(), /, **hosts):
        """Add many entries at once: each ClientHello sees either all of them or none.

        other
            A mapping, an object with `keys()`, or an iterable of pairs; keyword arguments are more
            entries. Of equal patterns, the last one is used.

        Raises what setting one entry raises, and then nothing is changed. The fingerprint of a context
        is taken once for the whole call. Takes effect with the next ClientHello. Safe in any thread,
        while other threads do handshakes.
        """
        cdef Hosts mine = self._hosts
        if is_context(other) or isinstance(other, (str, bytes)):
            raise TypeError("HostMap() needs a mapping from host patterns to contexts, such as {'shop.example': ctx}, "
                            f"not {type(other).__name__}")
        if isinstance(other, Mapping):
            items = other.items()
        elif hasattr(other, "keys"):
            items = ((key, other[key]) for key in other.keys())
        else:
            items = other
        mine.put_all(chain(items, hosts.items()))

    def clear(self):
        """Remove all entries at once: each ClientHello sees either all of them or none.

        Raises MemoryError, and then nothing is changed. Takes effect with the next ClientHello. Safe in
        any thread, while other threads do handshakes.
        """
        cdef Hosts hosts = self._hosts
        hosts.clear()

    def match(self, name):
        """Return the pattern that serves the server name `name`, or None, as a ClientHello is routed.

        name
            A str, as a client would send it.

        Raises TypeError for anything else. Safe in any thread.
        """
        cdef Hosts hosts = self._hosts
        return hosts.match(name)

    @property
    def unmatched(self):
        """What happens to a client that names no host of the map, or sends no name.

        "serve" (the default): the listener's own context serves it. "reject": its handshake ends with
        the alert unrecognized_name (RFC 6066, section 3), and the logger `pysidctx` tells how many
        there were and the last name, at most once a second. A change takes effect with the next
        ClientHello. Any other value raises ValueError. Safe in any thread.
        """
        cdef Hosts hosts = self._hosts
        return _UNMATCHED[flag_load(&hosts.table.rejects_unmatched)]

    @unmatched.setter
    def unmatched(self, value):
        cdef Hosts hosts = self._hosts
        if value not in _UNMATCHED:
            raise ValueError(f'unmatched must be "serve" or "reject", not {value!r}')
        flag_store(&hosts.table.rejects_unmatched, _UNMATCHED.index(value))

    def stats(self):
        """Return a `HostMapStats`: how many connections were routed, on all listeners together.

        A connection counts once, when its first ClientHello is read. Safe in any thread.
        """
        cdef Hosts hosts = self._hosts
        cdef host_table *table = hosts.table
        return HostMapStats(*[table_counted(table, counter) for counter in (
            HOSTS_MATCHED, HOSTS_UNMATCHED, HOSTS_REJECTED, HOSTS_MALFORMED)])

    def install(self, listener):
        """Route the connections of `listener` whose first ClientHello is read after the call.

        listener
            An `ssl.SSLContext` of PROTOCOL_TLS_SERVER that a server makes its connections with. It
            keeps the map alive. A map that was installed on it before is replaced at once. A map may be
            installed on any number of listeners, and a listener may be among its hosts.

        Session tickets, the session cache and `set_ecdh_curve()` of the listener apply to all hosts.
        Hosts with a context of their own have no pre-shared keys. Set `keylog_filename` on the listener
        first, and while no handshake is in progress: if the context of a host logs and the listener
        does not, CPython can end the process.

        `sni_callback` may be assigned before or after: it runs later, when all is decided. If the
        host's context has one, it is called for the host's connections, with that context as its third
        argument; otherwise the listener's is. Assign one to a host's context while no handshake with
        the host is in progress: a handshake that has begun calls the former one, or the listener's. A
        name in the map is acknowledged to the client; so is every name if there is an `sni_callback`
        that lets it pass. Assigning None to `sni_callback` takes the acknowledgement away: install the
        map again afterwards.

        Raises TypeError for anything that is not an `ssl.SSLContext`; ValueError for a context for
        clients or for one version of TLS, and for one without an id context of its own whose
        fingerprint cannot be taken (set an id context first); MemoryError. Then nothing is changed.
        Emits a RuntimeWarning if connections cannot be served: the listener has no certificate for
        clients that it is to serve; the map is empty and rejects all; a host's context has ticket keys, a
        SessionCache or a `keylog_filename`, and the listener has none; a host's context issues no tickets,
        and the listener has ticket keys; or the listener has a SessionCache for connections on which a
        client certificate is requested, and no host requests one.

        Safe in any thread, while other threads do handshakes. It takes OpenSSL's only ClientHello
        callback of the listener and of each context in the map: see SSL_CTX_set_client_hello_cb(3),
        which documents when it runs, and SSL_CTX_set_tlsext_servername_callback(3).
        """
        cdef Hosts hosts = self._hosts
        listener = unwrapped(listener)
        cdef SSL_CTX *ctx = server_context(listener, "a HostMap is installed on")
        cdef Listener *kept
        cdef Demands demands
        cdef const unsigned char *fingerprint = NULL
        cdef bint installed
        if not hasattr(listener, "__dict__"):
            raise TypeError("a HostMap can only be installed on an ssl.SSLContext, not on its base class "
                            "_ssl._SSLContext")
        warn_of_unserved(hosts, listener, ctx)
        with cython.critical_section(listener):
            kept = listener_made(ctx)
        read_demands(&demands, listener)
        if not has_own_id_context(kept):
            taken = fingerprint_of_listener(&demands, listener)
            fingerprint = taken
        installation = Installation(listener, self)
        vars(listener).setdefault(KEY)  # allocate the dictionary entry before anything is changed
        with cython.critical_section(listener):
            installed = set_map(kept, hosts.table, &demands, fingerprint)
        if not installed:
            raise MemoryError("out of memory while installing a HostMap")
        hosts.add_listener(listener)
        vars(listener)[KEY] = installation
        note_listener(listener)
        tell_about_names(listener)

    def uninstall(self, listener):
        """Stop routing the connections of `listener` whose first ClientHello is read after the call.

        listener
            An `ssl.SSLContext` that this map is installed on. Its connections then have the id context
            that was set on it, or else CPython's.

        Raises TypeError for anything else, and ValueError if this map is not installed on it. Safe in
        any thread, while other threads do handshakes.
        """
        cdef Hosts hosts = self._hosts
        listener = unwrapped(listener)
        cdef SSL_CTX *ctx = SSL_CTX_from(listener)
        cdef bint uninstalled
        with cython.critical_section(listener):
            uninstalled = unset_map(listener_of(ctx), hosts.table)
        if not uninstalled:
            raise ValueError("this HostMap is not installed on this SSLContext")
        hosts.discard_listener(listener)
        tell_about_names(listener)
        if is_kept_alive(listener, hosts):
            vars(listener).pop(KEY, None)


# Code that changes which map is installed holds the critical section of the listener. It must not run Python code or
# lock anything else meanwhile, because that would suspend the critical section.

@cython.final
cdef class Installation(Rerouted):
    """An attribute of the listener that keeps a HostMap alive while it is installed.

    Other code may change the listener's dictionary, and two threads may install a map at the same time. If an
    Installation is removed while its map is installed, a new one is stored.
    """

    cdef object listener  # a weak reference
    cdef object hostmap
    cdef Hosts hosts

    def __cinit__(self, listener, hostmap):
        self.hostmap = hostmap
        self.hosts = hostmap._hosts
        self.listener = weakref.ref(listener)

    cdef list serving(self):
        return self.hosts.serving(self.listener())

    def __del__(self):
        listener = None if self.listener is None else self.listener()
        if listener is not None and is_dropped(listener, self.hosts):
            dropped.append((listener, self.hostmap))
            # Later, because the code that releases it may be changing that dictionary. If the queue is full, the next
            # call tries again.
            Py_AddPendingCall(put_back, NULL)


# Listeners, with the maps that have yet to be stored in their dictionaries.
cdef list dropped = []


cdef int put_back(void *unused) noexcept with gil:
    while dropped:
        listener, hostmap = dropped.pop()
        if is_dropped(listener, hostmap._hosts):
            vars(listener)[KEY] = Installation(listener, hostmap)
    return 0


cdef bint is_dropped(object listener, Hosts hosts) except -1:
    """Whether this map is installed, and `listener` does not keep it alive."""
    return not is_kept_alive(listener, hosts) and is_installed(listener, hosts)


cdef bint is_kept_alive(object listener, Hosts hosts) except -1:
    """Whether the dictionary of `listener` has an Installation of this map."""
    found = vars(listener).get(KEY)
    return type(found) is Installation and (<Installation> found).hosts is hosts


cdef bint is_installed(object listener, Hosts hosts) noexcept:
    """Whether this map is installed on `listener`."""
    with cython.critical_section(listener):
        return has_map(listener_of(SSL_CTX_of(listener)), hosts.table)


cdef int tell_about_names(object listener) except -1:
    """Tell clients whether the map knows the name they sent, if no sni_callback does so.

    Again where the map was changed meanwhile.
    """
    cdef SSL_CTX *ctx = SSL_CTX_of(listener)
    cdef bint routed
    cdef bint settled = False
    while not settled:
        routed = is_routed(listener_of(ctx))
        if has_no_callback(listener):
            if routed:
                acknowledge_names(ctx)
            else:
                ignore_names(ctx)
            restore_callback(listener)
        settled = routed == is_routed(listener_of(ctx))
    return 0


cdef int warn_of_unserved(Hosts hosts, object listener, SSL_CTX *ctx) except -1:
    """Warn if handshakes on `listener` would fail with the map as it is, or if settings of hosts have no effect."""
    cdef bint rejects = flag_load(&hosts.table.rejects_unmatched)
    count, by_id_context, contexts = hosts.overview(listener)
    if rejects and count == 0:
        warnings.warn('this HostMap is empty and its `unmatched` is "reject", so every handshake on this '
                      "listener will fail: add hosts before install()", RuntimeWarning)
    lacking = ["with hosts that have only an id context"] if by_id_context else []
    if not rejects:
        lacking.append('with clients that name no host of the map (set unmatched = "reject" to reject these)')
    if lacking:
        warn_without_certificate(listener, ctx, f"so handshakes will fail {' and '.join(lacking)}: call "
                                 "load_cert_chain() of the listener before install()")
    for context in contexts:
        warn_of_host(ctx, SSL_CTX_of(context))
    if count and stores_of(ctx) == STORES_WITH_CERTIFICATES:
        warn_without_verification(hosts.serving(listener))
    return 0


cdef bytes fingerprint_of_listener(const Demands *demands, object listener):
    try:
        return fingerprint_under(demands, listener)
    except ValueError as error:
        raise ValueError(f"no id context can be derived for hosts that are not in the map: {error}. "
                         "Set an id context on the listener first, with set_session_id_context()") from None


cdef bint has_no_callback(object context) except -1:
    return _ssl._SSLContext.sni_callback.__get__(context) is None


cdef int restore_callback(object context) except -1:
    """Make CPython set its own callback again: without a GIL, sni_callback may be assigned while ours is being set."""
    callback = _ssl._SSLContext.sni_callback.__get__(context)
    if callback is not None:
        _ssl._SSLContext.sni_callback.__set__(context, callback)
    return 0


def _installed_map(listener):
    """Return the HostMap that is installed on an SSLContext, or None."""
    found = vars(listener).get(KEY)
    return (<Installation> found).hostmap if type(found) is Installation else None
