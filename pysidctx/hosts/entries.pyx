"""The entries of a HostMap: read from Python, put into a table that handshakes read meanwhile."""

import warnings
from collections import namedtuple
from ipaddress import ip_address
from weakref import WeakSet

cimport cython
from cpython.buffer cimport PyObject_CheckBuffer
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

from pysidctx.errors cimport check
from pysidctx.handles cimport SSL_CTX_of, described, is_context, server_context
from pysidctx.handshake.host_names cimport (
    HOST_NAME_MAX, PATTERN_ADDRESS, PATTERN_CHARACTER, PATTERN_EMPTY, PATTERN_HYPHEN,
    PATTERN_LABEL_EMPTY, PATTERN_LABEL_TOO_LONG, PATTERN_OK, PATTERN_TOO_LONG, PATTERN_WILDCARD,
    check_pattern, lowered, without_last_dot,
)
from pysidctx.handshake.listener cimport has_ticket_keys, host_key, listener_made, listener_of, wait_for_callbacks
from pysidctx.handshake.siphash cimport siphash, siphash_value
from pysidctx.hosts.router cimport is_installed
from pysidctx.hosts.table cimport (
    entry_init, entry_state, host_slots, slots_copy, slots_delete, slots_find,
    slots_free, slots_have_room, slots_new, slots_next, slots_put, state_id_length,
    state_is_explicit, table_match, table_new, table_release, table_slots, table_swap,
)
from pysidctx.id_contexts.client_verification cimport Demands
from pysidctx.id_contexts.derivation cimport LABEL_HOST, Part, derive_id_context, label, part
from pysidctx.id_contexts.fingerprint cimport fingerprint_under, read_demands
from pysidctx.id_contexts.setters cimport copy_sid_ctx
from pysidctx.inert cimport warn_of_no_tickets, warn_without_certificate
from pysidctx.libssl cimport SSL_CTX, SSL_CTX_get_keylog_callback, SSL_MAX_SID_CTX_LENGTH
from pysidctx.lockfree.held_contexts cimport let_go, new_held
from pysidctx.lockfree.readers cimport flag_store
from pysidctx.wrapped cimport unwrapped


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

Host = namedtuple("Host", ("context", "session_id_context"), module=__name__)
Host.__doc__ = """What serves a host: an `ssl.SSLContext`, and the id context to use with it.

As a value of a HostMap, where an `SSLContext` alone would get a derived id context. Hosts with equal
id contexts share their sessions, so give these the same certificates and the same client
verification: what one of them lets in, the others resume.

context
    An `ssl.SSLContext`, as HostMap takes it.
session_id_context
    A bytes-like object of 1 to 32 bytes. It stands alone: when the context's certificates, CAs or
    revocation lists change, sessions from before are resumed still, and nobody verifies their clients
    again. Name another one then, or leave it to the HostMap to derive one.
"""


cdef struct Pattern:
    size_t length
    unsigned char text[HOST_NAME_MAX]


cdef int read_pattern(Pattern *pattern, object name) except -1:
    """Take a pattern from a str; TypeError, ValueError."""
    cdef Py_ssize_t length
    cdef const char *text
    cdef int wrong
    if not isinstance(name, str):
        raise TypeError(f"a host pattern is a str, not {type(name).__name__}{hint_at_pattern(name)}")
    if not name.isascii():
        raise ValueError(f"host pattern {name!r}: {too_much_in(name) or a_label_of(name)}")
    text = PyUnicode_AsUTF8AndSize(name, &length)
    pattern.length = without_last_dot(<const unsigned char *> text, length)
    wrong = check_pattern(pattern.text, <const unsigned char *> text, pattern.length)
    if wrong != PATTERN_OK:
        raise ValueError(f"host pattern {name!r}: {too_much_in(name) or _WRONG[wrong]}")
    return 0


cdef str hint_at_pattern(object name):
    if is_context(name) or isinstance(name, Host):
        return ": a HostMap goes from patterns to what serves them, {'shop.example': ctx}"
    if isinstance(name, bytes):
        return ": decode it, as with .decode('ascii')"
    return ""


cdef str too_much_in(str name):
    """Why a pattern that came from a URL, an e-mail address or a socket's address is none; None if it did not."""
    extra = []
    _, found, rest = name.strip().rpartition("://")
    if found:
        extra.append("the scheme")
    rest, found, _ = rest.partition("/")
    if found:
        extra.append("the path")
    _, found, rest = rest.rpartition("@")
    if found:
        extra.append("what comes before the @")
    host, found, _ = rest.rpartition(":")
    if found and ":" not in host.rpartition("]")[2]:  # else an IPv6 address without brackets
        rest = host
        extra.append("the port")
    if name != name.strip():
        extra.append("the spaces")
    try:
        ip_address(rest.strip("[]"))
    except ValueError:
        if not extra:
            return None
        return f"leave out {' and '.join(extra)}" + (f": {rest!r}" if rest else "")
    return _WRONG[PATTERN_ADDRESS]


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
    return entry.name.text[:entry.name.length].decode("ascii")


cdef bytes fingerprint_of(const Demands *demands, object context):
    try:
        return fingerprint_under(demands, context)
    except ValueError as error:
        raise ValueError(f"no id context can be derived for it: {error}. Then say it: "
                         "Host(context, session_id_context)") from None


cdef Py_ssize_t copy_of_said(unsigned char *sid_ctx, object said) except -1:
    cdef Py_ssize_t length = copy_sid_ctx(said, sid_ctx)
    if length == 0:
        raise ValueError("the id context of a host must not be empty: OpenSSL fails every attempt "
                         "to resume under it where clients are verified")
    return length


cdef Py_ssize_t derive_for_host(unsigned char *sid_ctx, const Pattern *pattern,
                                const HostContext *held) except -1:
    cdef Part parts[3]
    parts[0] = label(LABEL_HOST)
    parts[1] = part(pattern.text, pattern.length)
    parts[2] = part(held.fingerprint, sizeof(held.fingerprint))
    check(derive_id_context(sid_ctx, parts, 3), b"EVP_Digest()")
    return SSL_MAX_SID_CTX_LENGTH


cdef int warn_of_host(SSL_CTX *listener, SSL_CTX *host) except -1:
    """Where connections of `listener` that are switched to `host` lack something that `host` has."""
    if has_ticket_keys(listener):
        warn_of_no_tickets(host)
    elif has_ticket_keys(host):
        warnings.warn("the ticket keys of a host's SSLContext are without effect, because all hosts have those of "
                      "the listener, and that has none: call keys.install(listener), first", RuntimeWarning)
    if SSL_CTX_get_keylog_callback(listener) is NULL and SSL_CTX_get_keylog_callback(host) is not NULL:
        warnings.warn("a host's SSLContext has a keylog_filename and the listener has none, so that its "
                      "handshakes fail: set it on the listener before install()", RuntimeWarning)
    return 0


cdef class Entries:
    """Entries that are in no table: new ones before a change, former ones after it."""

    cdef Hosts hosts
    cdef host_entry *entries
    cdef size_t count, size

    def __cinit__(self, Hosts hosts):
        self.hosts = hosts

    def __dealloc__(self):
        cdef size_t i
        for i in range(self.count):
            self.hosts.discard(&self.entries[i])
        free(self.entries)

    cdef host_entry *another(self) except NULL:
        """Room for one that is not counted yet."""
        cdef host_entry *larger
        if self.count == self.size:
            larger = <host_entry *> realloc(self.entries, (2 * self.size + 16) * sizeof(host_entry))
            if larger is NULL:
                raise MemoryError("no memory for so many hosts")
            self.entries = larger
            self.size = 2 * self.size + 16
        return &self.entries[self.count]


cdef class Hosts:
    """The entries of a HostMap."""

    def __cinit__(self):
        self.contexts = {}
        self.addresses = {}
        self.listeners = WeakSet()
        self.table = table_new(host_key())
        if self.table is NULL:
            raise MemoryError("no memory for a HostMap")

    def __del__(self):
        # The garbage collector calls this before it takes SSLContexts apart: those that connections
        # use get references that it respects.
        if self.table is not NULL:  # as it is where there was no memory for it
            self.close()

    def __dealloc__(self):
        if self.table is not NULL:
            table_release(self.table)

    cdef HostContext *held_for(self, object given, object context, Demands demands,
                               bytes fingerprint) except NULL:
        """For a context that makes its own connections, which `given` may wrap."""
        cdef SSL_CTX *ctx = server_context(context, "a host has")
        cdef HostContext *held
        # Before looking: this lock may have to let the one for `self` go meanwhile.
        with cython.critical_section(context):
            listener_made(ctx)  # its callback reads the second ClientHello after a switch
        key = (id(given), id(context), fingerprint, demands.verify_mode, demands.verify_flags,
               demands.post_handshake_auth)
        address = self.addresses.get(key)
        if address is not None:
            return <HostContext *> <size_t> address
        warn_without_certificate(context, ctx, "so that handshakes with its hosts fail: call load_cert_chain() "
                                 "before it goes into the map")
        self.warn_where_installed(ctx)
        held = <HostContext *> new_held(context, sizeof(HostContext))
        held.demands = demands
        memcpy(held.fingerprint, <const unsigned char *> fingerprint, len(fingerprint))
        self.contexts[<size_t> held] = context, given, key
        self.addresses[key] = <size_t> held
        self.is_idle(held)
        return held

    cdef int warn_where_installed(self, SSL_CTX *host) except -1:
        cdef SSL_CTX *ctx
        for listener in list(self.listeners):
            ctx = SSL_CTX_of(listener)
            if ctx is not host and is_installed(listener_of(ctx), self.table):
                warn_of_host(ctx, host)
        return 0

    cdef HostContext *held_with_fingerprint(self, object context, dict known) except NULL:
        cdef Demands demands
        address = known.get(id(context))
        if address is None:
            # First: what changes while the fingerprint is taken changes later than that.
            used = unwrapped(context)
            read_demands(&demands, used)
            address = <size_t> self.held_for(context, used, demands, fingerprint_of(&demands, used))
            known[id(context)] = address
        return <HostContext *> <size_t> address

    cdef void is_idle(self, HostContext *held) noexcept:
        if not held.idle:
            held.idle = True
            held.next_idle = self.idle
            self.idle = held

    cdef int new_entry(self, host_entry *entry, object name, object value, dict known) except -1:
        """Fill in an entry that is not in the table yet.

        `known` has the contexts that were seen in the same change.
        """
        cdef unsigned char sid_ctx[SSL_MAX_SID_CTX_LENGTH]
        cdef Py_ssize_t length
        cdef Pattern pattern
        cdef HostContext *held = NULL
        cdef Demands demands
        cdef bint said = True
        read_pattern(&pattern, name)
        if is_context(value):
            held = self.held_with_fingerprint(value, known)
            said = False
            length = derive_for_host(sid_ctx, &pattern, held)
        elif isinstance(value, Host):
            if is_context(value.session_id_context):
                raise TypeError("the arguments are swapped: write Host(context, session_id_context)")
            length = copy_of_said(sid_ctx, value.session_id_context)
            context = unwrapped(value.context)
            read_demands(&demands, context)
            held = self.held_for(value.context, context, demands, b"")
        else:
            if not PyObject_CheckBuffer(value):
                raise TypeError("a host is served by an ssl.SSLContext, an id context in bytes, or "
                                f"Host(context, session_id_context), not by {described(value)}")
            length = copy_of_said(sid_ctx, value)
        if not entry_init(entry, host_key(), held, said, sid_ctx, length, pattern.text,
                          pattern.length):
            raise MemoryError("no memory for a host")
        if held is not NULL:
            held.entries += 1
        return 0

    cdef void discard(self, const host_entry *entry) noexcept:
        """Free what belongs to an entry that no handshake can find any more."""
        cdef HostContext *held = <HostContext *> entry.context
        free(entry.name)
        if held is not NULL:
            held.entries -= 1
            if held.entries == 0:
                self.is_idle(held)

    cdef int settle(self) except -1:
        """Let go of the contexts that are without entries."""
        cdef HostContext *held
        while self.idle is not NULL:
            held = self.idle
            self.idle = held.next_idle
            held.idle = False
            if held.entries == 0:
                self.forget(held)
        return 0

    cdef int forget(self, HostContext *held) except -1:
        # Its SSLContext may end with this function, and run code that uses this map: not before
        # nobody finds `held` here any more.
        kept = self.contexts.pop(<size_t> held)
        self.addresses.pop(kept[2], None)
        return let_go(&held.held)

    cdef int put(self, object name, object value) except -1:
        cdef host_entry entry
        cdef host_entry former
        cdef host_slots *slots
        cdef bint replaced
        try:
            self.new_entry(&entry, name, value, {})
            slots = table_slots(self.table)
            if not slots_have_room(slots):
                slots = slots_copy(slots, slots.count + 1)
                if slots is NULL:
                    self.discard(&entry)
                    raise MemoryError("no memory for another host")
                slots = table_swap(self.table, slots)
                wait_for_callbacks()
                slots_free(slots)
            replaced = slots_put(self.table, table_slots(self.table), &entry, &former)
            if replaced:
                wait_for_callbacks()
                self.discard(&former)
        finally:
            self.settle()
        return 0

    cdef int put_all(self, object items) except -1:
        cdef Entries entries = Entries(self)
        cdef host_slots *slots
        cdef host_entry former
        cdef size_t i, kept = 0
        cdef dict known = {}
        try:
            for name, value in items:
                self.new_entry(entries.another(), name, value, known)
                entries.count += 1
                if entries.count % 1024 == 0:
                    with nogil:  # let other threads have their turn
                        pass
            if entries.count == 0:
                return 0
            slots = slots_copy(table_slots(self.table), entries.count)
            if slots is NULL:
                raise MemoryError("no memory for so many hosts")
            # From here on `entries` has those that were replaced.
            for i in range(entries.count):
                if slots_put(NULL, slots, &entries.entries[i], &former):
                    entries.entries[kept] = former
                    kept += 1
            entries.count = kept
            slots = table_swap(self.table, slots)
            wait_for_callbacks()
            slots_free(slots)
        finally:
            del entries
            self.settle()
        return 0

    cdef host_entry *entry_of(self, object name) except? NULL:
        """The entry of a pattern, NULL where there is none."""
        cdef Pattern pattern
        cdef siphash_value hash
        cdef uint64_t state
        try:
            read_pattern(&pattern, name)
        except (TypeError, ValueError):
            return NULL
        hash = siphash(host_key(), pattern.text, pattern.length)
        return slots_find(table_slots(self.table), &hash, &state)

    cdef bint remove(self, object name) except -1:
        """Whether it was there."""
        cdef host_entry *entry = self.entry_of(name)
        cdef host_entry taken
        if entry is NULL:
            return False
        slots_delete(self.table, table_slots(self.table), entry, &taken)
        wait_for_callbacks()
        self.discard(&taken)
        self.settle()
        return True

    cdef int clear(self) except -1:
        cdef host_slots *slots = slots_new(0)
        cdef host_entry *entry
        cdef size_t at = 0
        if slots is NULL:
            raise MemoryError("no memory for an empty map")
        slots = table_swap(self.table, slots)
        wait_for_callbacks()
        entry = slots_next(slots, &at)
        while entry is not NULL:
            self.discard(entry)
            entry = slots_next(slots, &at)
        slots_free(slots)
        self.settle()
        return 0

    cdef int close(self) except -1:
        """Give everything back, without needing memory for it; the map is of no use afterwards."""
        cdef host_slots *slots = table_slots(self.table)
        cdef host_entry *entry
        cdef host_entry taken
        cdef size_t at = 0
        flag_store(&self.table.closed, True)
        wait_for_callbacks()
        entry = slots_next(slots, &at)
        while entry is not NULL:
            slots_delete(self.table, slots, entry, &taken)
            self.discard(&taken)
            entry = slots_next(slots, &at)
        self.settle()
        return 0

    cdef object value_of(self, const host_entry *entry):
        cdef bint said = state_is_explicit(entry_state(entry))
        sid_ctx = entry.id_context[:state_id_length(entry_state(entry))]
        if entry.context is NULL:
            return sid_ctx
        _, given, _ = self.contexts[<size_t> entry.context]
        return Host(given, sid_ctx) if said else given

    cdef object find(self, object name):
        """The value of a pattern, in a tuple; None where there is none."""
        cdef host_entry *entry = self.entry_of(name)
        return None if entry is NULL else (self.value_of(entry),)

    cdef object match(self, object name):
        cdef unsigned char text[HOST_NAME_MAX]
        cdef const host_entry *entry = NULL
        cdef Py_ssize_t given
        if not isinstance(name, str):
            raise TypeError(f"a server name is a str, not {type(name).__name__}")
        if not name.isascii():
            return None
        cdef const unsigned char *sent = <const unsigned char *> PyUnicode_AsUTF8AndSize(name, &given)
        cdef size_t length = without_last_dot(sent, given)
        cdef siphash_value hash
        cdef uint64_t state
        if length <= HOST_NAME_MAX and lowered(text, sent, length):
            hash = siphash(host_key(), text, length)
            entry = table_match(self.table, &hash, text, length, &state)
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
