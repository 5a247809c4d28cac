from pysidctx.hosts.contexts cimport HostContext
from pysidctx.hosts.table cimport host_entry, host_table
from pysidctx.id_contexts.client_verification cimport Demands
from pysidctx.libssl cimport SSL_CTX

cdef class Hosts:
    cdef host_table *table
    # What keeps the SSLContexts alive, where the garbage collector sees it: the address of each
    # HostContext with its SSLContext, the one that was put in (which may wrap it), and its key in
    # `addresses`.
    cdef dict contexts
    cdef dict addresses
    cdef object listeners  # a weak set: the SSLContexts that the map was installed on
    cdef HostContext *idle

    cdef HostContext *held_for(self, object given, object context, Demands demands,
                               bytes fingerprint) except NULL
    cdef int warn_where_installed(self, SSL_CTX *host) except -1
    cdef HostContext *held_with_fingerprint(self, object context, dict known) except NULL
    cdef void is_idle(self, HostContext *held) noexcept
    cdef int new_entry(self, host_entry *entry, object name, object value, dict known) except -1
    cdef void discard(self, const host_entry *entry) noexcept
    cdef int settle(self) except -1
    cdef int forget(self, HostContext *held) except -1
    cdef int put(self, object name, object value) except -1
    cdef int put_all(self, object items) except -1
    cdef host_entry *entry_of(self, object name) except? NULL
    cdef bint remove(self, object name) except -1
    cdef int clear(self) except -1
    cdef int close(self) except -1
    cdef object value_of(self, const host_entry *entry)
    cdef object find(self, object name)
    cdef object match(self, object name)
    cdef list names(self)

cdef int warn_of_host(SSL_CTX *listener, SSL_CTX *host) except -1
