"""The entries of a HostMap: read from Python, put into a table that handshakes read meanwhile."""

from collections import namedtuple

import _ssl

from cpython.buffer cimport PyObject_CheckBuffer
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, strlen

from pysidctx.fingerprint import context_fingerprint

from pysidctx.contexts cimport let_go, new_held
from pysidctx.errors cimport check
from pysidctx.handles cimport SSL_CTX_from, is_context
from pysidctx.host_table cimport (
    entry_name, entry_new, flag_store, siphash, slots_copy, slots_delete, slots_get,
    slots_have_room, slots_new, slots_next, slots_put, slots_take, table_changed, table_match,
    table_new, table_release, table_slots, table_swap,
)
from pysidctx.hostnames cimport (
    HOST_NAME_MAX, PATTERN_ADDRESS, PATTERN_CHARACTER, PATTERN_EMPTY, PATTERN_HYPHEN,
    PATTERN_LABEL_EMPTY, PATTERN_LABEL_TOO_LONG, PATTERN_OK, PATTERN_TOO_LONG, PATTERN_WILDCARD,
    check_pattern, lowered, without_last_dot,
)
from pysidctx.libssl cimport (
    SSL_CTX_get0_param, SSL_CTX_get_ssl_method, SSL_CTX_get_verify_mode, SSL_MAX_SID_CTX_LENGTH,
    TLS_client_method, TLS_method, TLS_server_method, X509_VERIFY_PARAM_get_flags,
)
from pysidctx.listener cimport host_key, listener_made, wait_for_callbacks
from pysidctx.routing cimport Part, derive, part
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

Host = namedtuple("Host", ("context", "session_id_context"), module=__name__)
Host.__doc__ = """What serves a host: an `ssl.SSLContext`, and the id context to use with it.

As a value of a HostMap, where an `SSLContext` alone would get a derived id context. Hosts with equal
id contexts share their sessions, so give these the same certificates and the same client
verification: what one of them lets in, the others resume.

context
    An `ssl.SSLContext`, as HostMap takes it.
session_id_context
    A bytes-like object of 1 to 32 bytes.
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
    if not isinstance(said, str) and not PyObject_CheckBuffer(said):
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


cdef class Entries:
    """Entries that are in no table: new ones before a change, former ones after it."""

    cdef Hosts hosts
    cdef host_entry **entries
    cdef size_t count, size

    def __cinit__(self, Hosts hosts):
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


cdef class Hosts:
    """The entries of a HostMap."""

    def __cinit__(self):
        self.contexts = {}
        self.addresses = {}
        self.table = table_new(host_key())
        if self.table is NULL:
            raise MemoryError("no memory for a HostMap")

    def __del__(self):
        # The garbage collector calls this before it takes SSLContexts apart: those that connections
        # use get references that it respects.
        if self.table is NULL:  # there was no memory for it
            return
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
                self.addresses.pop(key, None)
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
        cdef Entries entries = Entries(self)
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
