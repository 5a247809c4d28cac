"""HostMap and Host: choosing the id context, and the whole context, by host name."""

cimport cython

import ssl
from collections import namedtuple
from collections.abc import Mapping, MutableMapping
from itertools import chain

import _ssl

from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, strlen

from pysidctx.fingerprint import context_fingerprint

from pysidctx.contexts cimport HeldContext, let_go, new_held
from pysidctx.errors cimport check
from pysidctx.handles cimport SSL_CTX_from, SSL_CTX_of, is_context
from pysidctx.host_table cimport (
    HOSTS_MALFORMED, HOSTS_MATCHED, HOSTS_REJECTED, HOSTS_UNMATCHED, entry_name, entry_new,
    flag_load, flag_store, host_entry, host_slots, host_table, siphash, slots_copy, slots_delete, slots_get,
    slots_have_room, slots_new, slots_next, slots_put, slots_take, table_changed, table_counted, table_match,
    table_new, table_release, table_slots, table_swap,
)
from pysidctx.hostnames cimport (
    HOST_NAME_MAX, PATTERN_ADDRESS, PATTERN_CHARACTER, PATTERN_EMPTY, PATTERN_HYPHEN,
    PATTERN_LABEL_EMPTY, PATTERN_LABEL_TOO_LONG, PATTERN_OK, PATTERN_TOO_LONG, PATTERN_WILDCARD,
    check_pattern, lowered, without_last_dot,
)
from pysidctx.libssl cimport (
    SSL_CTX, SSL_CTX_get0_param, SSL_CTX_get_ssl_method, SSL_CTX_get_verify_mode,
    SSL_MAX_SID_CTX_LENGTH, TLS_client_method, TLS_method, TLS_server_method,
    X509_VERIFY_PARAM_get_flags,
)
from pysidctx.listener cimport (
    Listener, host_key, listener_made, listener_of, set_router, wait_for_callbacks,
)
from pysidctx.routing cimport (
    Part, acknowledge_names, derive, has_own_id_context, ignore_names, install,
    part,
)
from pysidctx.sidctx cimport copy_sid_ctx


_WRONG = {
    PATTERN_EMPTY: "it is empty",
    PATTERN_TOO_LONG: "it is longer than the 253 characters that a host name can have",
    PATTERN_LABEL_EMPTY: "there is nothing before, or between, its dots",
    PATTERN_LABEL_TOO_LONG: "a part between dots is longer than 63 characters",
    PATTERN_CHARACTER: "only letters, digits, hyphens, underscores and dots can be in it",
    PATTERN_HYPHEN: "no part between dots begins or ends with a hyphen",
    PATTERN_WILDCARD: "a wildcard is '*.' at the beginning and stands for one whole label; for all "
                      "names that are not in the map there is `unmatched`",
    PATTERN_ADDRESS: "it is an IP address, which clients never send as a server name: serve it as "
                     "`unmatched`",
}

Host = namedtuple("Host", ("context", "session_id_context"))
Host.__doc__ = """What serves a host: an `ssl.SSLContext`, and the id context to use with it.

As a value of a HostMap, where an `SSLContext` alone would get a derived id context. Hosts with equal
id contexts share their sessions, so give these the same certificates and the same client
verification: what one of them lets in, the others resume.

context
    An `ssl.SSLContext`, as HostMap takes it.
session_id_context
    A bytes-like object of 1 to 32 bytes.
"""

HostMapStats = namedtuple("HostMapStats", ("matched", "unmatched", "rejected", "malformed"))
HostMapStats.__doc__ = "How many connections were routed by a HostMap, as `HostMap.stats()` tells."


# Where install() keeps a HostMap: in the SSLContext's own dictionary, so that the garbage collector
# sees a map whose hosts lead back to its listener.
_KEY = "_pysidctx_hosts"


cdef struct Pattern:
    size_t length
    unsigned char text[HOST_NAME_MAX]


cdef int read_pattern(Pattern *pattern, object name) except -1:
    """Take a pattern from a str; TypeError, ValueError."""
    cdef Py_ssize_t length
    cdef const char *text
    cdef int wrong
    if not isinstance(name, str):
        raise TypeError(f"a host pattern is a str, not {type(name).__name__}")
    if not name.isascii():
        raise ValueError(f"host pattern {name!r}: {a_label_of(name)}")
    text = PyUnicode_AsUTF8AndSize(name, &length)
    pattern.length = without_last_dot(<const unsigned char *> text, length)
    wrong = check_pattern(pattern.text, <const unsigned char *> text, pattern.length)
    if wrong != PATTERN_OK:
        raise ValueError(f"host pattern {name!r}: {_WRONG[wrong]}")
    return 0


cdef str a_label_of(str name):
    wildcard, rest = ("*.", name[2:]) if name.startswith("*.") else ("", name)
    try:
        try:
            import idna
        except ImportError:
            encoded = rest.encode("idna")
        else:
            encoded = idna.encode(rest, uts46=True)
    except UnicodeError:  # idna.IDNAError is one
        return "it is not ASCII, and there is no A-label for it"
    return f"it is not ASCII: write its A-label, {wildcard + encoded.decode()!r}"


cdef str name_of(const host_entry *entry):
    return entry_name(entry)[:entry.name_length].decode("ascii")


cdef SSL_CTX *server_context(object context) except NULL:
    """The SSL_CTX of a context that connections can be switched from and to."""
    cdef SSL_CTX *ctx = SSL_CTX_from(context)
    if SSL_CTX_get_ssl_method(ctx) is TLS_client_method():
        raise ValueError("this SSLContext is for clients (PROTOCOL_TLS_CLIENT): a host needs one "
                         "of PROTOCOL_TLS_SERVER")
    if SSL_CTX_get_ssl_method(ctx) not in (TLS_server_method(), TLS_method()):
        raise ValueError(
            f"this SSLContext is for one version of TLS ({context.protocol!r}), and connections "
            "cannot be switched from it or to it: take PROTOCOL_TLS_SERVER, and say the version "
            "in minimum_version and maximum_version")
    return ctx


cdef bytes fingerprint_of(object context):
    try:
        return context_fingerprint(context)
    except ValueError as error:
        raise ValueError(f"no id context can be derived for it: {error}. Then say it: "
                         "Host(context, session_id_context)") from None


cdef Py_ssize_t said_id_context(unsigned char *sid_ctx, object said) except -1:
    cdef Py_ssize_t length
    if not isinstance(said, (bytes, bytearray, memoryview, str)):
        raise TypeError("a host is served by an ssl.SSLContext, an id context in bytes, or "
                        f"Host(context, session_id_context), not {type(said).__name__}")
    length = copy_sid_ctx(said, sid_ctx)
    if length == 0:
        raise ValueError("the id context of a host must not be empty: OpenSSL fails every attempt "
                         "to resume under it where clients are verified")
    return length


cdef Py_ssize_t derive_for_host(unsigned char *sid_ctx, const Pattern *pattern,
                                const HeldContext *held) except -1:
    cdef const char *kind = b"pysidctx host"
    cdef Part parts[3]
    parts[0] = part(kind, strlen(kind))
    parts[1] = part(pattern.text, pattern.length)
    parts[2] = part(held.fingerprint, sizeof(held.fingerprint))
    check(derive(sid_ctx, parts, 3), b"EVP_Digest()")
    return SSL_MAX_SID_CTX_LENGTH


cdef class _Entries:
    """Entries that are in no table: new ones before a change, former ones after it."""

    cdef _Hosts hosts
    cdef host_entry **entries
    cdef size_t count, size

    def __cinit__(self, _Hosts hosts):
        self.hosts = hosts

    def __dealloc__(self):
        cdef size_t i
        for i in range(self.count):
            self.hosts.discard(self.entries[i])
        free(self.entries)

    cdef int add(self, host_entry *entry) except -1:
        cdef host_entry **larger
        if self.count == self.size:
            larger = <host_entry **> realloc(self.entries,
                                             (2 * self.size + 16) * sizeof(host_entry *))
            if larger is NULL:
                self.hosts.discard(entry)
                raise MemoryError("no memory for so many hosts")
            self.entries = larger
            self.size = 2 * self.size + 16
        self.entries[self.count] = entry
        self.count += 1
        return 0


cdef class _Hosts:
    """The entries of a HostMap."""

    cdef host_table *table
    # What keeps the SSLContexts alive, where the garbage collector sees it: the address of each
    # HeldContext with its SSLContext, and with its key in `addresses`.
    cdef dict contexts
    cdef dict addresses
    cdef HeldContext *idle

    def __cinit__(self):
        self.contexts = {}
        self.addresses = {}
        self.table = table_new(host_key())
        if self.table is NULL:
            raise MemoryError("no memory for a HostMap")

    def __del__(self):
        # The garbage collector calls this before it takes SSLContexts apart: those that connections
        # use get references that it respects.
        flag_store(&self.table.closed, True)
        wait_for_callbacks()
        self.discard_all(table_slots(self.table))
        self.settle()

    def __dealloc__(self):
        if self.table is not NULL:
            table_release(self.table)

    cdef HeldContext *held_for(self, object context, bytes fingerprint) except NULL:
        cdef SSL_CTX *ctx = server_context(context)
        cdef HeldContext *held
        asks_later = _ssl._SSLContext.post_handshake_auth.__get__(context)
        key = id(context), fingerprint, asks_later
        address = self.addresses.get(key)
        if address is not None:
            return <HeldContext *> <size_t> address
        listener_made(ctx)  # its callback reads the second ClientHello after a switch
        held = new_held(context)
        held.verify_mode = SSL_CTX_get_verify_mode(ctx)
        held.verify_flags = X509_VERIFY_PARAM_get_flags(SSL_CTX_get0_param(ctx))
        held.post_handshake_auth = asks_later
        memcpy(held.fingerprint, <const unsigned char *> fingerprint, len(fingerprint))
        self.contexts[<size_t> held] = context, key
        self.addresses[key] = <size_t> held
        self.is_idle(held)
        return held

    cdef HeldContext *held_with_fingerprint(self, object context, dict known) except NULL:
        address = known.get(id(context))
        if address is None:
            address = <size_t> self.held_for(context, fingerprint_of(context))
            known[id(context)] = address
        return <HeldContext *> <size_t> address

    cdef void is_idle(self, HeldContext *held) noexcept:
        if not held.idle:
            held.idle = True
            held.next = self.idle
            self.idle = held

    cdef host_entry *new_entry(self, object name, object value, dict known) except NULL:
        """An entry that is not in the table yet.

        `known` has the contexts that were seen in the same change.
        """
        cdef unsigned char sid_ctx[SSL_MAX_SID_CTX_LENGTH]
        cdef Py_ssize_t length
        cdef Pattern pattern
        cdef HeldContext *held = NULL
        cdef host_entry *entry
        cdef bint said = True
        read_pattern(&pattern, name)
        if is_context(value):
            held = self.held_with_fingerprint(value, known)
            said = False
            length = derive_for_host(sid_ctx, &pattern, held)
        elif isinstance(value, Host):
            length = said_id_context(sid_ctx, value.session_id_context)
            held = self.held_for(value.context, b"")
        else:
            length = said_id_context(sid_ctx, value)
        entry = entry_new(self.table, held, said, sid_ctx, length, pattern.text, pattern.length)
        if entry is NULL:
            raise MemoryError("no memory for a host")
        if held is not NULL:
            held.entries += 1
        return entry

    cdef void discard(self, host_entry *entry) noexcept:
        """Free an entry that no handshake can find any more; NULL does nothing."""
        if entry is NULL:
            return
        cdef HeldContext *held = <HeldContext *> entry.context
        free(entry)
        if held is not NULL:
            held.entries -= 1
            if held.entries == 0:
                self.is_idle(held)

    cdef int settle(self) except -1:
        """Let go of the contexts that are without entries."""
        cdef HeldContext *held
        while self.idle is not NULL:
            held = self.idle
            self.idle = held.next
            held.idle = False
            if held.entries == 0:
                context, key = self.contexts.pop(<size_t> held)
                del self.addresses[key]
                let_go(held)
        return 0

    cdef int put(self, object name, object value) except -1:
        cdef host_entry *entry
        cdef host_slots *slots
        cdef host_slots *larger
        try:
            entry = self.new_entry(name, value, {})
            slots = table_slots(self.table)
            if slots_have_room(slots):
                entry = slots_put(slots, entry)
                table_changed(self.table)
                slots = NULL
            else:
                larger = slots_copy(slots, slots.count + 1)
                if larger is NULL:
                    self.discard(entry)
                    raise MemoryError("no memory for another host")
                entry = slots_put(larger, entry)
                table_swap(self.table, larger)
            if slots is not NULL or entry is not NULL:
                wait_for_callbacks()
                free(slots)
                self.discard(entry)
        finally:
            self.settle()
        return 0

    cdef int put_all(self, object items) except -1:
        cdef _Entries entries = _Entries(self)
        cdef host_slots *slots
        cdef size_t i
        cdef dict known = {}
        try:
            for name, value in items:
                entries.add(self.new_entry(name, value, known))
                if entries.count % 1024 == 0:
                    with nogil:  # let other threads have their turn
                        pass
            if entries.count:
                slots = slots_copy(table_slots(self.table), entries.count)
                if slots is NULL:
                    raise MemoryError("no memory for so many hosts")
                for i in range(entries.count):
                    entries.entries[i] = slots_put(slots, entries.entries[i])
                slots = table_swap(self.table, slots)
                wait_for_callbacks()
                free(slots)
        finally:
            del entries
            self.settle()
        return 0

    cdef bint remove(self, object name) except -1:
        """Whether it was there."""
        cdef Pattern pattern
        cdef host_entry *entry
        try:
            read_pattern(&pattern, name)
        except (TypeError, ValueError):
            return False
        entry = slots_delete(table_slots(self.table), self.table.key, pattern.text, pattern.length)
        if entry is NULL:
            return False
        table_changed(self.table)
        wait_for_callbacks()
        self.discard(entry)
        self.settle()
        return True

    cdef void discard_all(self, host_slots *slots) noexcept:
        cdef size_t i = 0
        cdef host_entry *entry = slots_take(slots, &i)
        while entry is not NULL:
            self.discard(entry)
            entry = slots_take(slots, &i)

    cdef int clear(self) except -1:
        cdef host_slots *slots = slots_new(0)
        if slots is NULL:
            raise MemoryError("no memory for an empty map")
        slots = table_swap(self.table, slots)
        wait_for_callbacks()
        self.discard_all(slots)
        free(slots)
        self.settle()
        return 0

    cdef object value_of(self, const host_entry *entry):
        sid_ctx = entry.bytes[:entry.id_length]
        if entry.context is NULL:
            return sid_ctx
        context, _ = self.contexts[<size_t> entry.context]
        return Host(context, sid_ctx) if entry.explicit_id else context

    cdef object find(self, object name):
        """The value of a pattern, in a tuple; None where there is none."""
        cdef Pattern pattern
        cdef host_entry *entry
        try:
            read_pattern(&pattern, name)
        except (TypeError, ValueError):
            return None
        entry = slots_get(table_slots(self.table), self.table.key, pattern.text, pattern.length)
        return None if entry is NULL else (self.value_of(entry),)

    cdef object match(self, object name):
        cdef unsigned char text[HOST_NAME_MAX]
        cdef const host_entry *entry = NULL
        cdef Py_ssize_t given
        if not isinstance(name, str):
            raise TypeError(f"a server name is a str, not {type(name).__name__}")
        cdef const unsigned char *sent = <const unsigned char *> PyUnicode_AsUTF8AndSize(name, &given)
        cdef size_t length = without_last_dot(sent, given)
        if length <= HOST_NAME_MAX and lowered(text, sent, length):
            entry = table_match(self.table, siphash(self.table.key, text, length), text, length)
        return None if entry is NULL else name_of(entry)

    cdef list names(self):
        cdef list found = []
        cdef host_slots *slots = table_slots(self.table)
        cdef size_t i = 0
        cdef host_entry *entry = slots_next(slots, &i)
        while entry is not NULL:
            found.append(name_of(entry))
            entry = slots_next(slots, &i)
        return found


class HostMap(MutableMapping):
    """A mapping from host patterns to what serves them, for the connections of listening contexts.

    Once installed on the `SSLContext` that a server makes its connections with, it is asked for
    every ClientHello, in C and without the GIL, before OpenSSL chooses a version and decides on
    resumption. By the name that the client sends (RFC 6066, section 3) it sets the session id
    context and, where a host has an `SSLContext` of its own, has the connection go on as one of
    that: its certificates, its demands on client certificates, its ciphers, versions, options and
    application protocols. The documentation has a table of what is carried over.

    A key is a host name, or a wildcard as in certificates: `*.example.org` stands for names with
    exactly one label more than `example.org`; an exact name wins over it. Capitals do not count, nor
    does a dot at the end; keys come back without them. Names are at most 253 characters of letters,
    digits, hyphens, underscores and dots, in labels of at most 63; international ones are written
    as A-labels.

    A value is one of:

    an `ssl.SSLContext` of PROTOCOL_TLS_SERVER
        The connection goes on as one of that context, with the id context
        `derive_session_id_context("pysidctx host", pattern, context_fingerprint(context))`. The
        fingerprint is that of the moment: complete a context before it goes into the map, and set
        it again after a change. (If only its verify_mode or verify_flags change later, that counts
        at once, and sessions from before are not resumed.)
    `Host(context, session_id_context)`
        The same with an id context of your own.
    a bytes-like object of 1 to 32 bytes
        This id context; the context stays the listener's.

    A session is resumed where the id contexts are equal, so by default only under its own pattern.
    Names that are not in the map have an id context of their own, and connections without a name
    another one, derived from the listener's id context, or from its fingerprint where it has none.
    Up to TLS 1.2, a session that was made under a wildcard, or under a name that is not in the
    map, is besides bound to the very name (RFC 6066 forbids to resume it under another). An id
    context that was set on the connection itself wins over all of them.

    The first ClientHello decides. A second one in the same connection, after a HelloRetryRequest or
    in a renegotiation, that names another host ends it with the alert illegal_parameter.

    A change has its effect on each ClientHello that is read after it; each one sees the map from
    before or from after it, whole, also for `update()` and `clear()`. Connections keep the
    context that they were given, for as long as they live. Any thread may use a map at any time;
    iteration goes over the patterns that were there when it began, in no particular order.

    other
        A mapping, or pairs, that it begins with: as for `update()`.

    Raises, from whatever puts entries in, and then nothing is changed:

    TypeError
        A key that is not a str, a value that is none of the above.
    ValueError
        A key that is not a host name: an IP address, a misplaced wildcard, a name that is not
        ASCII (the message has its A-label). An id context that is empty or too long. A context for
        clients, or for one version of TLS by its PROTOCOL. A context without an id context of its
        own whose fingerprint cannot be taken, see `context_fingerprint()`.
    MemoryError
        No memory for it, or no random numbers.
    """

    __slots__ = ("_hosts", "__weakref__")

    def __init__(self, other=(), /):
        self._hosts = _Hosts()
        self.update(other)

    def __getitem__(self, pattern):
        cdef _Hosts hosts = self._hosts
        with cython.critical_section(hosts):
            found = hosts.find(pattern)
        if found is None:
            raise KeyError(pattern)
        return found[0]

    def __setitem__(self, pattern, value):
        cdef _Hosts hosts = self._hosts
        with cython.critical_section(hosts):
            hosts.put(pattern, value)

    def __delitem__(self, pattern):
        cdef _Hosts hosts = self._hosts
        cdef bint removed
        with cython.critical_section(hosts):
            removed = hosts.remove(pattern)
        if not removed:
            raise KeyError(pattern)

    def __iter__(self):
        cdef _Hosts hosts = self._hosts
        with cython.critical_section(hosts):
            names = hosts.names()
        return iter(names)

    def __len__(self):
        cdef _Hosts hosts = self._hosts
        with cython.critical_section(hosts):
            return table_slots(hosts.table).count

    def __repr__(self):
        return f"<{type(self).__name__} of {len(self)} hosts, unmatched={self.unmatched!r}>"

    def __reduce__(self):
        raise TypeError("a HostMap cannot be pickled or copied as it is: HostMap(hosts) makes "
                        "another with the same entries")

    def update(self, other=(), /, **hosts):
        """Put many entries in at once: each ClientHello sees all of them, or none yet.

        other
            A mapping, an object with `keys()`, or an iterable of pairs; keyword arguments are more
            entries. Of equal patterns the last one counts.

        Raises what setting one entry raises, and then none was put in. A context's fingerprint is
        taken once for the whole call.
        """
        cdef _Hosts mine = self._hosts
        if isinstance(other, Mapping):
            other = other.items()
        elif hasattr(other, "keys"):
            other = ((key, other[key]) for key in other.keys())
        with cython.critical_section(mine):
            mine.put_all(chain(other, hosts.items()))

    def clear(self):
        """Remove all entries at once."""
        cdef _Hosts hosts = self._hosts
        with cython.critical_section(hosts):
            hosts.clear()

    def match(self, name):
        """Return the pattern that serves the server name `name`, or None; as a ClientHello is routed.

        name
            A str, as a client would send it.

        Raises TypeError for anything else. Safe in any thread.
        """
        cdef _Hosts hosts = self._hosts
        with cython.critical_section(hosts):
            return hosts.match(name)

    @property
    def unmatched(self):
        """What happens to a client that names no host of the map, or none at all.

        "serve", at first: it is served by the listener's own context. "reject": its handshake ends
        with the alert unrecognized_name (RFC 6066, section 3). A change counts from the next
        ClientHello on. Setting anything else is a ValueError.
        """
        cdef _Hosts hosts = self._hosts
        return _UNMATCHED[flag_load(&hosts.table.rejects_unmatched)]

    @unmatched.setter
    def unmatched(self, value):
        cdef _Hosts hosts = self._hosts
        if value not in _UNMATCHED:
            raise ValueError(f'unmatched is "serve" or "reject", not {value!r}')
        flag_store(&hosts.table.rejects_unmatched, _UNMATCHED.index(value))

    def stats(self):
        """Return a HostMapStats: how many connections were routed, on all listeners together.

        matched
            Their host was found.
        unmatched
            They named no host of the map, or none, and were served by the listener's context.
        rejected
            The same, but their handshake ended with the alert unrecognized_name.
        malformed
            Their server_name extension was against RFC 6066, and their handshake ended with the
            alert decode_error.

        A connection counts once, when its first ClientHello is read. Safe in any thread.
        """
        cdef _Hosts hosts = self._hosts
        cdef host_table *table = hosts.table
        return HostMapStats(*[table_counted(table, counter) for counter in (
            HOSTS_MATCHED, HOSTS_UNMATCHED, HOSTS_REJECTED, HOSTS_MALFORMED)])

    def install(self, listener):
        """Route every connection of `listener` whose first ClientHello is read from here on.

        listener
            An `ssl.SSLContext` of PROTOCOL_TLS_SERVER, that a server makes its connections with.
            It keeps the map alive. A map that was installed on it before is replaced, at once. One
            map may be installed on any number of listeners, and a listener be among its hosts.

        Session tickets, the session cache and `set_ecdh_curve()` stay the listener's for all hosts.
        `sni_callback` may be assigned before or after: it runs later, when all is decided. A name
        in the map is acknowledged to the client; so is every name where there is an `sni_callback`
        that lets it pass. After None was assigned to `sni_callback`, which takes the
        acknowledgement away, install the map again.

        Raises TypeError for anything that is not an `ssl.SSLContext`; ValueError for a context of
        clients or of one version of TLS, and for one without an id context of its own whose
        fingerprint cannot be taken (set an id context first); MemoryError. Then nothing is changed.

        Safe in any thread, with handshakes going on in others. It takes OpenSSL's one ClientHello
        callback of the listener and of each context in the map: see
        SSL_CTX_set_client_hello_cb(3), which tells when it runs, and
        SSL_CTX_set_tlsext_servername_callback(3).
        """
        cdef _Hosts hosts = self._hosts
        cdef SSL_CTX *ctx = server_context(listener)
        cdef Listener *kept
        if not isinstance(listener, ssl.SSLContext):
            raise TypeError("a HostMap is installed on an ssl.SSLContext, not on a bare "
                            "_ssl._SSLContext")
        with cython.critical_section(listener):
            kept = listener_made(ctx)
            fingerprint = bytes(SSL_MAX_SID_CTX_LENGTH)
            if not has_own_id_context(kept):
                fingerprint = fingerprint_of_listener(listener)
            former = keep(listener, self)
            if not install(ctx, kept, hosts.table, fingerprint):
                keep(listener, former)
                raise MemoryError("no memory to install a HostMap")
            if has_no_callback(listener):
                acknowledge_names(ctx)

    def uninstall(self, listener):
        """Route the connections of `listener` no more: their ClientHellos read from here on.

        listener
            An `ssl.SSLContext` that this map is installed on. From here on its connections have
            the id context that was set on it, else CPython's.

        Raises TypeError for anything else, and ValueError where this map is not installed. Safe in
        any thread, with handshakes going on in others.
        """
        cdef SSL_CTX *ctx = SSL_CTX_from(listener)
        with cython.critical_section(listener):
            if kept_by(listener) is not self:
                raise ValueError("this HostMap is not installed on this SSLContext")
            set_router(listener_of(ctx), NULL)
            if has_no_callback(listener):
                ignore_names(ctx)
            keep(listener, None)


_UNMATCHED = "serve", "reject"


cdef bytes fingerprint_of_listener(object listener):
    try:
        return context_fingerprint(listener)
    except ValueError as error:
        raise ValueError(f"no id context can be derived for names that are not in the map: {error}. "
                         "Then set one on the listener first, with set_session_id_context()"
                         ) from None


cdef bint has_no_callback(object context) except -1:
    return _ssl._SSLContext.sni_callback.__get__(context) is None


cdef object kept_by(object listener):
    """The HostMap that is installed on an SSLContext; None."""
    return getattr(listener, "__dict__", {}).get(_KEY)


cdef object keep(object listener, object hosts):
    """Have `listener` keep this HostMap alive, or none (None); returns the one from before."""
    former = vars(listener).pop(_KEY, None)
    if hosts is not None:
        vars(listener)[_KEY] = hosts
    return former
