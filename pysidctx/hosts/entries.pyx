"""The entries of a HostMap: changed from Python, in a table that handshakes read at the same time."""

cimport cython

from weakref import WeakSet

from pysidctx.hosts.host import Host

from cpython.buffer cimport PyObject_CheckBuffer
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport uint64_t
from libc.stdlib cimport free, realloc

from pysidctx.binding cimport bind_openssl
from pysidctx.errors cimport check
from pysidctx.handles cimport SSL_CTX_of, described, is_context
from pysidctx.handshake.host_names cimport HOST_NAME_MAX, lowered, without_last_dot
from pysidctx.handshake.inert cimport warn_of_host
from pysidctx.handshake.listener cimport host_key, listener_of, wait_for_callbacks
from pysidctx.hosts.contexts cimport HostContext
from pysidctx.hosts.patterns cimport Pattern, read_pattern
from pysidctx.hosts.router cimport has_map
from pysidctx.hosts.table cimport (
    entry_init, entry_state, host_slots, slots_copy, slots_delete, slots_free, slots_have_room, slots_new, slots_next,
    slots_put, state_id_length, state_is_explicit, table_find, table_match_name, table_new, table_release, table_slots,
    table_swap,
)
from pysidctx.id_contexts.derivation cimport LABEL_HOST, Part, derive_id_context, label, part
from pysidctx.id_contexts.setters cimport copy_sid_ctx
from pysidctx.libssl cimport SSL_CTX, SSL_MAX_SID_CTX_LENGTH
from pysidctx.lockfree.readers cimport flag_load, flag_store

bind_openssl()


cdef str name_of(const host_entry *entry):
    return entry.name.text[:entry.name.length].decode("ascii")


cdef Py_ssize_t copy_explicit(unsigned char *sid_ctx, object given) except -1:
    cdef Py_ssize_t length = copy_sid_ctx(given, sid_ctx)
    if length == 0:
        raise ValueError("the id context of a host must not be empty: with an empty one, OpenSSL fails every attempt "
                         "to resume a session if clients are verified")
    return length


cdef Py_ssize_t derive_for_host(unsigned char *sid_ctx, const Pattern *pattern,
                                const HostContext *held) except -1:
    cdef Part parts[3]
    parts[0] = label(LABEL_HOST)
    parts[1] = part(pattern.text, pattern.length)
    parts[2] = part(held.fingerprint, sizeof(held.fingerprint))
    check(derive_id_context(sid_ctx, parts, 3), b"EVP_Digest()")
    return SSL_MAX_SID_CTX_LENGTH


cdef class Entries:
    """Entries that are in no table: new entries before a change, replaced entries after it."""

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
        """Return space for one more entry, which is not counted yet."""
        cdef host_entry *larger
        if self.count == self.size:
            larger = <host_entry *> realloc(self.entries, (2 * self.size + 16) * sizeof(host_entry))
            if larger is NULL:
                raise MemoryError("out of memory while adding hosts")
            self.entries = larger
            self.size = 2 * self.size + 16
        return &self.entries[self.count]


cdef class Hosts:
    """The entries of a HostMap. Its methods lock the map for changes; handshakes need no lock."""

    def __cinit__(self):
        self.contexts = HostContexts()
        self.listeners = WeakSet()
        self.table = table_new(host_key())
        if self.table is NULL:
            raise MemoryError("out of memory while creating a HostMap")

    def __del__(self):
        # The garbage collector calls this before it clears SSLContexts: those that connections use get
        # references that keep them alive.
        if self.table is not NULL:  # it is NULL if __cinit__() ran out of memory
            self.close()

    def __dealloc__(self):
        if self.table is not NULL:
            table_release(self.table)

    cdef int new_entry(self, host_entry *entry, object name, object value, dict known) except -1:
        """Fill in an entry that is not in the table yet.

        `known` contains the contexts of other entries in the same change.
        """
        cdef unsigned char sid_ctx[SSL_MAX_SID_CTX_LENGTH]
        cdef Py_ssize_t length
        cdef Pattern pattern
        cdef HostContext *held = NULL
        cdef bint explicit_id = True
        read_pattern(&pattern, name)
        if is_context(value):
            held = self.contexts.with_fingerprint(value, known)
            explicit_id = False
            length = derive_for_host(sid_ctx, &pattern, held)
        elif isinstance(value, Host):
            if is_context(value.session_id_context):
                raise TypeError("the arguments are swapped: write Host(context, session_id_context)")
            length = copy_explicit(sid_ctx, value.session_id_context)
            held = self.contexts.without_fingerprint(value.context)
        else:
            if not PyObject_CheckBuffer(value):
                raise TypeError("the value for a host must be an ssl.SSLContext, an id context in bytes, or "
                                f"Host(context, session_id_context), not {described(value)}")
            length = copy_explicit(sid_ctx, value)
        if not entry_init(entry, host_key(), held, explicit_id, sid_ctx, length, pattern.text,
                          pattern.length):
            raise MemoryError("out of memory while adding a host")
        if held is NULL:
            return 0
        held.entries += 1
        if held.entries == 1:  # the context was not in the map yet
            # The entry is counted before this, because this runs Python code: another thread may change the map
            # meanwhile and release contexts without entries.
            try:
                self.warn_where_installed(held)
            except BaseException:
                self.discard(entry)
                raise
        return 0

    cdef void discard(self, const host_entry *entry) noexcept:
        """Free the data of an entry that no handshake can find any more."""
        cdef HostContext *held = <HostContext *> entry.context
        free(entry.name)
        if held is not NULL:
            self.contexts.release(held)

    cdef int put(self, object name, object value) except -1:
        cdef host_entry entry
        cdef host_entry former
        cdef host_slots *slots
        cdef bint replaced
        with cython.critical_section(self):
            try:
                self.new_entry(&entry, name, value, {})
                slots = table_slots(self.table)
                if not slots_have_room(slots):
                    slots = slots_copy(slots, slots.count + 1)
                    if slots is NULL:
                        self.discard(&entry)
                        raise MemoryError("out of memory while adding a host")
                    slots = table_swap(self.table, slots)
                    wait_for_callbacks()
                    slots_free(slots)
                replaced = slots_put(self.table, table_slots(self.table), &entry, &former)
                if replaced:
                    wait_for_callbacks()
                    self.discard(&former)
            finally:
                self.contexts.forget_idle()
            return 0

    cdef int put_all(self, object items) except -1:
        cdef Entries entries = Entries(self)
        cdef host_slots *slots
        cdef host_entry former
        cdef size_t i, kept = 0
        cdef dict known = {}
        with cython.critical_section(self):
            try:
                for name, value in items:
                    self.new_entry(entries.another(), name, value, known)
                    entries.count += 1
                    if entries.count % 1024 == 0:
                        with nogil:  # give other threads a chance to run
                            pass
                if entries.count == 0:
                    return 0
                slots = slots_copy(table_slots(self.table), entries.count)
                if slots is NULL:
                    raise MemoryError("out of memory while adding hosts")
                # From here on, `entries` contains the entries that were replaced.
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
                self.contexts.forget_idle()
            return 0

    cdef host_entry *entry_of(self, object name) except? NULL:
        """Return the entry of a pattern, or NULL if there is none."""
        cdef Pattern pattern
        try:
            read_pattern(&pattern, name)
        except (TypeError, ValueError):
            return NULL
        return table_find(self.table, pattern.text, pattern.length)

    cdef bint remove(self, object name) except -1:
        """Remove an entry. Returns whether it existed."""
        cdef host_entry *entry
        cdef host_entry taken
        with cython.critical_section(self):
            entry = self.entry_of(name)
            if entry is NULL:
                return False
            slots_delete(self.table, table_slots(self.table), entry, &taken)
            wait_for_callbacks()
            self.discard(&taken)
            self.contexts.forget_idle()
            return True

    cdef int clear(self) except -1:
        cdef host_slots *slots = slots_new(0)
        cdef host_entry *entry
        cdef size_t at = 0
        if slots is NULL:
            raise MemoryError("out of memory while clearing a HostMap")
        with cython.critical_section(self):
            slots = table_swap(self.table, slots)
            wait_for_callbacks()
            entry = slots_next(slots, &at)
            while entry is not NULL:
                self.discard(entry)
                entry = slots_next(slots, &at)
            slots_free(slots)
            self.contexts.forget_idle()
            return 0

    cdef int close(self) except -1:
        """Release everything, without allocating memory. The map cannot be used afterwards."""
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
        self.contexts.forget_idle()
        return 0

    cdef object value_of(self, const host_entry *entry):
        sid_ctx = entry.id_context[:state_id_length(entry_state(entry))]
        if entry.context is NULL:
            return sid_ctx
        given = self.contexts.given(<const HostContext *> entry.context)
        return Host(given, sid_ctx) if state_is_explicit(entry_state(entry)) else given

    cdef object find(self, object name):
        """Return the value of a pattern in a tuple, or None if there is none."""
        cdef host_entry *entry
        with cython.critical_section(self):
            entry = self.entry_of(name)
            return None if entry is NULL else (self.value_of(entry),)

    cdef object match(self, object name):
        cdef unsigned char text[HOST_NAME_MAX]
        cdef const host_entry *entry
        cdef Py_ssize_t given
        if not isinstance(name, str):
            raise TypeError(f"a server name must be a str, not {type(name).__name__}")
        if not name.isascii():
            return None
        cdef const unsigned char *sent = <const unsigned char *> PyUnicode_AsUTF8AndSize(name, &given)
        cdef size_t length = without_last_dot(sent, given)
        cdef uint64_t state
        if length <= HOST_NAME_MAX and lowered(text, sent, length):
            with cython.critical_section(self):
                entry = table_match_name(self.table, text, length, &state)
                return None if entry is NULL else name_of(entry)
        return None

    cdef list names(self):
        cdef list found = []
        cdef host_slots *slots
        cdef host_entry *entry
        cdef size_t at = 0
        with cython.critical_section(self):
            slots = table_slots(self.table)
            entry = slots_next(slots, &at)
            while entry is not NULL:
                found.append(name_of(entry))
                entry = slots_next(slots, &at)
        return found

    cdef Py_ssize_t count(self) except -1:
        with cython.critical_section(self):
            return table_slots(self.table).count

    cdef tuple overview(self, object listener):
        """Return the number of entries, whether any has only an id context, and the SSLContexts of the others.

        The list does not contain `listener`.
        """
        cdef host_slots *slots
        cdef host_entry *entry
        cdef size_t at = 0
        cdef bint by_id_context = False
        with cython.critical_section(self):
            slots = table_slots(self.table)
            entry = slots_next(slots, &at)
            while entry is not NULL and not by_id_context:
                by_id_context = entry.context is NULL
                entry = slots_next(slots, &at)
            contexts = [context for context in self.contexts.connecting() if context is not listener]
            return slots.count, by_id_context, contexts

    cdef list serving(self, object listener):
        """Return the SSLContexts that serve connections of `listener`, which may be one of them, or None."""
        _, by_id_context, contexts = self.overview(listener)
        serves = by_id_context or not flag_load(&self.table.rejects_unmatched)
        with cython.critical_section(self):
            serves = serves or listener in self.contexts.connecting()
        if listener is not None and serves:
            contexts.append(listener)
        return contexts

    cdef int add_listener(self, object listener) except -1:
        with cython.critical_section(self):
            self.listeners.add(listener)
        return 0

    cdef int discard_listener(self, object listener) except -1:
        with cython.critical_section(self):
            self.listeners.discard(listener)
        return 0

    cdef int warn_where_installed(self, HostContext *held) except -1:
        cdef SSL_CTX *ctx
        for listener in list(self.listeners):
            ctx = SSL_CTX_of(listener)
            if ctx is not held.held.ctx and has_map(listener_of(ctx), self.table):
                warn_of_host(ctx, held.held.ctx)
        return 0
